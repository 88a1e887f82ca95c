"""
Which options an answer in words names by their letters.

`b) rain`, `**B** rain`, `(B rain`, `The answer is B.`, `Option B`: the letter is clear to any reader. `a dog`, `B flat`
and `not B` name none, `A or B` two. Nothing is guessed: a letter counts only where a sign sets it apart from words
(above all from the article `a`), or a phrase says that it is one.
"""

import re

# A letter that stands apart: in front brackets, quotes or emphasis, and behind it a sign, a line's end or a dash.
_OPEN = r"[\s\"“”'‘’`*_(\[{<•-]*"
_SIGN = r"(?:[ \t]*[)\]}>:\n–—]|[*\"”`]|['’_.,;](?!\w)|\s*$|[ \t]+-)"
_LEADING = re.compile(rf"^{_OPEN}([A-Za-z]){_SIGN}")
# `(B rain`: a bracket that is never closed. Not `(a rain`, where the letter may be an article.
_IN_BRACKET = re.compile(r"^\s*[(\[]\s*([B-Zb-z])\s+(?!(?:flat|sharp|major|minor)\b)", re.IGNORECASE)
_IS_RIGHT = re.compile(
    rf"^{_OPEN}(?:(?:option|choice|answer)\s+)?{_OPEN}([A-Za-z])[)\]*\"”]*\s+(?:is|would be|must be)\s+(?:the\s+)?"
    r"(?:most\s+\w+\s+|best\s+|right\s+|correct\s+)?(?:answer|option|choice|correct|right|best)\b",
    re.IGNORECASE,
)
_BE = r"(?:\s+(?:is|was|would\s+be|should\s+be|must\s+be))?\s*(?:[:=]|[–—-]\s)?\s*"
_NAMED_AS = r"(?:(?:option|choice|letter)\s+)?"
_PHRASE = re.compile(
    rf"\b(?:answer{_BE}{_NAMED_AS}|(?:option|choice|letter){_BE}|"
    rf"(?:choose|chose|pick|picked|select|selected|go\s+with|it\s+is|it's)\s+{_NAMED_AS})"
    rf"{_OPEN}([A-Za-z])(?={_SIGN})",
    re.IGNORECASE,
)
# `option b rain`; a small `a` may be an article.
_OPTION_AND_TEXT = re.compile(r"\b[Oo](?:PTION|ption)\s+([B-Zb-z]|A)\s+(?!(?:flat|sharp|major|minor)\b)")
# Any letter that a bracket or emphasis marks, wherever it stands; and one that `or`, `and`, `/` or a comma adds.
_MARKED = re.compile(r"(?<![\w'’])(?:[(\[]\s*([A-Za-z])\s*[)\]]|([A-Za-z])\)|\*\*([A-Za-z])\*\*)")
_ADDED = re.compile(
    rf"(?<![\w'’])[A-Za-z][)\].*\"”]*\s*(?:,\s*(?:or|and)?|/|&|\bor\b|\band\b|\bnor\b)\s*{_NAMED_AS}{_OPEN}"
    rf"([A-Za-z])(?={_SIGN})",
    re.IGNORECASE,
)
_NEGATED = re.compile(r"\b(?:not|neither|nor|never|except|instead\s+of|rather\s+than|wrong|incorrect)\b|n['’]t\b", re.I)
_DENIED = re.compile(r"^\W*(?:is|are|was|can|could|does)?\s*(?:not\b|n['’]t|cannot|wrong|incorrect|false)", re.I)


def named_letters(text: str, letters: str) -> set[str]:
    """
    The letters among `letters` (in lower case) that an answer names: none, the one that it means, or several.

    Example:
    ```python
    >>> [sorted(named_letters(text, "abcd")) for text in ("The answer is (B).", "a dog", "A or B")]
    [['b'], [], []]

    ```
    """
    first = _LEADING.match(text) or _IN_BRACKET.match(text) or _IS_RIGHT.match(text)
    found = ({first[1].lower()} if first else set()) | _by_phrase(text)
    if not found or not found <= set(letters):
        return set()
    marked = {next(filter(None, match.groups())) for match in _MARKED.finditer(text)}
    added = {match[1] for match in _ADDED.finditer(text)}
    return found | ({letter.lower() for letter in marked | added} & set(letters))


def _by_phrase(text: str) -> set[str]:
    """Letters that phrases name, such as `the answer is B`, unless they are denied."""
    found = set()
    for match in [*_PHRASE.finditer(text), *_OPTION_AND_TEXT.finditer(text)]:
        letter, behind = match[1], text[match.end(1) :]
        if letter == "a" and not behind.strip():
            continue  # `the answer is a`: perhaps cut off before its noun
        before = re.split(r"[.!?;\n]", text[: match.start()])[-1]
        if not _NEGATED.search(before) and not _DENIED.match(behind):
            found.add(letter.lower())
    return found


__all__ = ["named_letters"]
