"""
Lists of texts in the cell of a table: as JSON, Python, numpy and pandas write them.

A numpy array has no commas (`['a dog' 'rain']`), and Python itself takes that for one text: what is read here is read
by rules that know who wrote it, and what fits none of them is an error, or a text that begins with a bracket.
"""

import ast
import json
import re
from collections.abc import Sequence

MISSING = frozenset({"nan", "NaN", "NAN", "<NA>", "NaT"})  # what pandas writes for a missing value
NO_TEXT = MISSING | {"None", "null", "NULL"}  # the same where a sentence is meant: it may be a label, but no caption

_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_ITEM = rf"(?:np\.str_\(\s*{_QUOTED}\s*\)|[uU]?{_QUOTED})"
_PART = re.compile(rf"(?P<between>[\s,]*)(?P<item>{_ITEM})", re.DOTALL)
_ITEMS = rf"\s*(?:{_ITEM}(?:[\s,]*{_ITEM})*)?\s*,?\s*"
_LIST = re.compile(rf"\[{_ITEMS}\]", re.DOTALL)
_TUPLE = re.compile(rf"\((?={_ITEM}\s*,){_ITEMS}\)", re.DOTALL)
_SET = re.compile(rf"\{{\s*{_ITEM}(?:\s*,\s*{_ITEM})*\s*\}}", re.DOTALL)
_ARRAY = re.compile(r"(?:array|Index|list)\((?P<inside>\[.*\])(?:,\s*(?:dtype|shape|name)=[^()]*)*\)", re.DOTALL)
_SERIES = re.compile(r"\n(?:Name: .*, )?(?:Length: \d+, )?dtype: [\w\[\], ]+$")
_BROKEN = re.compile(r"""\[[\[\s]*(?:np\.str_\()?[uUbB]?['"]|array\(\[|Index\(\[""")


class NoListError(ValueError):
    """A cell that starts as a list but cannot be read as one; the message says why."""


def list_in(cell: str) -> list[object] | None:
    """
    The entries of a list in a cell.

    Returns:
        The entries, of whatever type JSON has; None if the cell is no list but a text.

    Raises:
        NoListError: if it is the beginning, or something like a list, that is no list of texts.

    Example:
    ```python
    >>> list_in("['a dog barks' 'rain falls']"), list_in('["a dog", "rain"]'), list_in("[applause] and cheers")
    (['a dog barks', 'rain falls'], ['a dog', 'rain'], None)

    ```
    """
    text = cell.strip()
    array = _ARRAY.fullmatch(text)
    inside = array["inside"] if array else text
    if inside.startswith("["):
        from_json = _json_list(inside)
        if from_json is not None:
            return from_json
        if _LIST.fullmatch(inside):
            return _items(inside[1:-1])
    if _TUPLE.fullmatch(text):
        return _items(text[1:-1])
    _refuse(text)
    return None


def is_bracketed(cell: str) -> bool:
    """Whether all of a text stands in one pair of brackets, as `[applause]` does and `[applause] [cheers]` does not."""
    text = cell.strip()
    return text.startswith("[") and text.endswith("]") and "[" not in text[1:] and "]" not in text[:-1]


def _json_list(text: str) -> list[object] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def _items(inside: str) -> list[object]:
    """Quoted texts with commas between all of them, as Python writes them, or none, as numpy does."""
    parts = list(_PART.finditer(inside))
    between = [part["between"] for part in parts[1:]]
    commas = [sign.count(",") for sign in between]
    if any(count != 1 for count in commas) and any(commas):
        raise NoListError("some of its texts have a comma between them, and some have none or several")
    if not all(between):
        raise NoListError("two of its texts have nothing between them")
    items = [part["item"] for part in parts]
    return [_unquoted(item[len("np.str_(") : -1] if item.startswith("np.str_(") else item) for item in items]


def _unquoted(item: str) -> str:
    try:
        # a literal, which the pattern has checked to be one quoted text
        return str(ast.literal_eval(item.strip().lstrip("uU").replace("\r", "\\r").replace("\n", "\\n")))
    except (ValueError, SyntaxError, MemoryError) as error:
        raise NoListError(f"{item[:40]} is no text ({error})") from None


def _refuse(text: str) -> None:
    """Raises for what is no list and no plain text either."""
    if _SET.fullmatch(text):
        raise NoListError("it is a set, which has no order; write a list, `[...]`")
    if text.startswith("{") and _is_json(text):
        raise NoListError("it is an object; expected a text or a list")
    if _SERIES.search(text):
        raise NoListError("it is a column as pandas prints it; write a list, `[...]`")
    whole = _LIST.match(text)
    if whole is not None and whole.end() > 2 and text[whole.end() :].strip():
        return  # `["Hello"] she says`: a text
    if _BROKEN.match(text):
        reason = "numpy left out entries (`...`)" if "..." in text else "its quotation marks or its end do not fit"
        raise NoListError(reason)
    if is_bracketed(text) and not re.search(r"[^\W\d_]", re.sub(r"\b(?:nan|NaN|None|null|NULL)\b", "", text)):
        raise NoListError("it holds no texts")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def all_texts(items: Sequence[object]) -> bool:
    """Whether these are texts, none of them blank, missing, or with half a character (a lone surrogate) in it."""
    return bool(items) and all(isinstance(item, str) and _is_text(item) for item in items)


def _is_text(item: str) -> bool:
    return item.strip() not in MISSING | {""} and re.search("[\ud800-\udfff]", item) is None


__all__ = ["MISSING", "NO_TEXT", "NoListError", "all_texts", "is_bracketed", "list_in"]
