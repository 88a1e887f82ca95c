"""The choices of a multiple-choice question, as a list or as the texts that tables make of lists."""

import ast
import json
from typing import Any

_PARTED_BY = ("\n", ";")


def question_choices(value: Any, where: str, answer: str = "") -> list[str]:
    """
    The choices, at least two.

    Args:
        value: A list of texts; or one text: a list as JSON or Python write it, or choices parted by newlines or
            semicolons. Not by commas, which stand within choices, too.
        where (`str`): What the question is called in messages.
        answer (`str`, *optional*): The right one, if it is known.

    Raises:
        ValueError: if there are less than two, one is no text or blank, or the answer is none of those that were parted
            here: then a semicolon may have stood within a choice.

    Example:
    ```python
    >>> question_choices("['a man', 'a woman']", "question 1"), question_choices("rain; wind, loud", "question 2")
    (['a man', 'a woman'], ['rain', 'wind, loud'])

    ```
    """
    found = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(found, str):
        found = _parted(found.strip())
    if not isinstance(found, list | tuple) or len(found) < 2:
        raise ValueError(
            f"The `choices` of {where} are {_short(value)}; expected a list of two texts or more, or a text that holds "
            "one: as JSON, or a choice a line, or parted by semicolons."
        )
    is_parted = isinstance(value, str) and not value.strip().startswith("[")
    if is_parted and answer and answer.strip() not in found:
        raise ValueError(
            f"The answer of {where}, {answer!r}, is none of its choices as they were parted: {_short(found)}. Give the "
            "`choices` as a list."
        )
    for choice in found:
        if not isinstance(choice, str) or not choice.strip():
            raise ValueError(f"The `choices` of {where} hold {choice!r}; expected texts that are not blank.")
    return list(found)


def _parted(text: str) -> Any:
    """What a text holds: a list, or itself if there is none in it."""
    if text.startswith("["):
        for read in (json.loads, ast.literal_eval):
            try:
                return read(text)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                continue
        return text
    sign = next((sign for sign in _PARTED_BY if sign in text), None)
    return text if sign is None else [part.strip() for part in text.split(sign) if part.strip()]


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 100 else shown[:100] + "..."


__all__ = ["question_choices"]
