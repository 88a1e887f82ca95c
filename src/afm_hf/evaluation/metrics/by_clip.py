"""
What metrics are given, clip by clip: lists in one order, generators, or dictionaries by clip as pycocoevalcap has them.

A dictionary taken for a list would be its ids, which fit themselves perfectly; a text taken for a list, its letters.
"""

from collections.abc import Iterable, Mapping
from typing import Any

_SHOWN = 3


def by_clip(**given: Any) -> dict[str, list[Any]]:
    """
    Arguments as lists of one length and order.

    Args:
        given: Lists (or generators, arrays, columns) of one entry a clip, or dictionaries `{clip: entry}`: of one kind.

    Returns:
        The same names with lists; dictionaries in the order of the first one's clips.

    Raises:
        ValueError: if one is a text or a set, some are dictionaries and some are not, or their clips differ.

    Example:
    ```python
    >>> by_clip(said={"b": 1, "a": 2}, true={"a": "x", "b": "y"})
    {'said': [1, 2], 'true': ['y', 'x']}

    ```
    """
    for name, entries in given.items():
        if isinstance(entries, str | bytes | set | frozenset) or not isinstance(entries, Iterable):
            kind = "one text" if isinstance(entries, str | bytes) else f"a {type(entries).__name__}"
            raise ValueError(f"`{name}` is {kind}; expected a list with one entry for each clip, or a dictionary.")
    dictionaries = [name for name, entries in given.items() if isinstance(entries, Mapping)]
    if not dictionaries:
        return {name: list(entries) for name, entries in given.items()}
    if len(dictionaries) < len(given):
        other = next(name for name in given if name not in dictionaries)
        raise ValueError(f"`{dictionaries[0]}` is a dictionary by clip, `{other}` is not; expected the same of all.")
    first, *others = given.items()
    for name, entries in others:
        _check_clips(first[0], first[1], name, entries)
    return {name: [entries[clip] for clip in first[1]] for name, entries in given.items()}


def one_text(entry: Any, what: str) -> str:
    """
    The text of a candidate: itself, or what holds it and nothing else, as `["a dog"]` and `[{"caption": "a dog"}]`.

    Raises:
        ValueError: if it is none, or there are several.
    """
    texts = several_texts(entry, what)
    if len(texts) != 1:
        raise ValueError(f"{what} is {_short(entry)}; expected one text, as `'a dog'`, `['a dog']`.")
    return texts[0]


def several_texts(entry: Any, what: str) -> list[str]:
    """
    The texts of a clip: a text, or a list of texts or of `{"caption": text}`.

    Raises:
        ValueError: if it is something else.
    """
    alone = isinstance(entry, str | bytes | Mapping | set | frozenset) or not isinstance(entry, Iterable)
    texts = []
    for each in [entry] if alone else entry:
        text = each.get("caption") if isinstance(each, Mapping) else each
        if not isinstance(text, str):
            raise ValueError(
                f"{what} is {_short(each)}; expected a text. For a clip without an answer give '', or leave it out."
            )
        texts.append(text)
    return texts


def _check_clips(first: str, ours: Mapping[Any, Any], name: str, theirs: Mapping[Any, Any]) -> None:
    lacking = [(where, [clip for clip in there if clip not in here]) for where, here, there in (
        (name, theirs, ours), (first, ours, theirs))]  # fmt: skip
    said = [
        f"`{where}` lacks {len(clips)} ({', '.join(map(repr, clips[:_SHOWN]))}{', ...' * (len(clips) > _SHOWN)})"
        for where, clips in lacking
        if clips
    ]
    if said:
        raise ValueError(
            f"`{first}` has {len(ours)} clips and `{name}` {len(theirs)}, which are not the same: {'; '.join(said)}."
        )


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:80]}..."


__all__ = ["by_clip", "one_text", "several_texts"]
