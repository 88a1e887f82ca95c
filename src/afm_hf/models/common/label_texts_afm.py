"""Labels in one text: with commas between them, or as a JSON list where a label has a comma of its own."""

import json
from typing import Any

_BRACKETS = {"(": ")", "[": "]"}


def split_labels(text: str, what: str = "labels") -> list[str]:
    """
    The labels of a text, without the blanks around them; none of a blank text.

    Args:
        text (`str`):
            `"rain, a dog"`, or a JSON list, `'["rain, heavy", "a dog"]'`, which is told by the bracket that it begins
            with. Parts that are blank are left out.
        what (`str`, *optional*, defaults to `"labels"`): What they are called in errors.

    Raises:
        ValueError: it begins as a JSON list and is none, or it can be read in two ways: there are quotation marks, or a
            comma stands between brackets.

    Example:
    ```python
    >>> split_labels("rain, a dog"), split_labels('["rain, heavy", "a dog"]')
    (['rain', 'a dog'], ['rain, heavy', 'a dog'])

    ```
    """
    text = text.strip()
    if text.startswith("["):
        return labels_of_json(text, what)
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if '"' in part or any(part.count(start) != part.count(end) for start, end in _BRACKETS.items()):
            raise ValueError(
                f"The {what} {text!r} can be read in two ways: is what stands at {part!r} a comma between labels, or "
                "of a label? Write a JSON list, as "
                f"{json.dumps(['one', 'another, with a comma'])}, or on the command line a file of labels."
            )
    return [part for part in parts if part]


def labels_of_json(text: str, what: str = "labels") -> list[str]:
    """
    The labels of a JSON list of texts.

    Raises:
        ValueError: it is none.
    """
    try:
        labels: Any = json.loads(text)
    except ValueError as error:
        raise ValueError(
            f"The {what} {_short(text)!r} begin as a JSON list, but are none ({error}). Write "
            '\'["one", "another, with a comma"]\', or labels with commas between them.'
        ) from None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"The {what} {_short(text)!r} are JSON, but no list of texts.")
    return [label.strip() for label in labels]


def _short(text: str) -> str:
    return text if len(text) < 80 else f"{text[:77]}..."


__all__ = ["labels_of_json", "split_labels"]
