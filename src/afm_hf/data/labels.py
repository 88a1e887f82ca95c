"""Labels as they are compared: one spelling of accents, no blanks around them; what differs in case alone is told."""

import unicodedata

from .report import Note

_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u2060\ufeff\u00ad"))  # zero-width space, word joiner, byte order mark, ...


def clean_label(text: str) -> str:
    """
    A label in the one spelling that is compared: composed accents, single blanks inside and none around.

    Example:
    ```python
    >>> clean_label("  cafe\u0301\u00a0noise "), clean_label("dog ") == clean_label("dog")
    ('café noise', True)

    ```
    """
    return " ".join(unicodedata.normalize("NFC", text.translate(_INVISIBLE)).split())


def label_of_folder(name: str) -> str:
    """The label that a folder stands for: its name, blanks for underscores."""
    return clean_label(name.replace("_", " "))


class LabelBook:
    """The labels seen so far; tells of a new one that differs from a known one in case alone."""

    def __init__(self) -> None:
        self._seen: dict[str, list[str]] = {}

    def notes(self, *labels: str | None) -> list[Note]:
        """What is to be said of these labels of a row."""
        told = []
        for label in labels:
            spellings = self._seen.setdefault((label or "").casefold(), [])
            if label and label not in spellings:
                if spellings:
                    text = f"{spellings[0]!r} and {label!r} differ in case alone; they are two labels"
                    told.append(Note(text))
                spellings.append(label)
        return told


__all__ = ["LabelBook", "clean_label", "label_of_folder"]
