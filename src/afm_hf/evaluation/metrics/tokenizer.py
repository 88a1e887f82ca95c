r"""
Words of a caption as the caption metrics of the literature see them, without Java.

The numbers of papers come from pycocoevalcap, which cuts captions with Stanford's `PTBTokenizer` (3.4.1, `-lowerCase`)
and drops some punctuation. The rules below were written from what that program prints. Where they differ from it is
told in the documentation of the metrics. What follows from the program and may surprise:

* contractions are two words (`don't` -> `do n't`, `dog's` -> `dog 's`, `cannot` -> `can not`);
* brackets stay as words (`(`, `)` -> `-lrb-`, `-rrb-`), as the list of punctuation has them in upper case only;
* so do `?!`, `/`, `#`, `%` and smileys; `and/or`, `dog-like` and `stops.The` are one word each.
"""

import functools
import re

# What pycocoevalcap takes out after tokenization. It compares lower-cased words with `-LRB-`, so brackets stay.
_DROPPED = frozenset(
    ["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";", "..", '"', "“", "”", "–", "—", "…"]
)
_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_NORMALISED = str.maketrans(
    {"’": "'", "‘": "'", "£": "#", "€": "$", "\u200b": " ", "½": " 1/2 ", "¼": " 1/4 ", "¾": " 3/4 "}
)
_LETTER, _SIGN = r"[^\W\d_]", r"[^\W_]"
_ABBREVIATIONS = (
    "alex|aug|ave|co|corp|dec|dr|etc|feb|gen|inc|jan|jr|ltd|mr|mrs|ms|nov|oct|prof|rev|sen|sept|sr|st|vs"  # one a dot
)
# Tried in this order at each place of a chunk (text between blanks).
_TOKEN = re.compile(
    rf"""
  (?:https?://|www\.)[^\s"<>()]+[\w/]                                    # web addresses
| [\w.+-]+@(?:\w+\.)+\w+                                                 # mail addresses
| [:;=]['-]?[()DPp](?!\w)                                                # smileys
| (?i:can(?=not\b)|gon(?=na\b)|got(?=ta\b)|wan(?=na\b)|gim(?=me\b)|lem(?=me\b))
| (?i:n't\b) | (?:{_SIGN}|-)+?(?=(?i:n't\b)) | [mM]a'am\b                 # do|n't
| '[tT](?=(?:is|was)\b)                                                  # 't|is
| '(?:em|til|cause|n|\d\ds?)\b                                           # words that begin with an apostrophe
| '(?i:s|m|d|re|ve|ll)\b                                                 # it|'s
| (?i:{_ABBREVIATIONS})\.
| (?:{_LETTER}\.)+(?!{_SIGN})                                            # e.g. U.S.
| [dDlLoO]'{_LETTER}+(?:-{_SIGN}+)*                                      # o'clock
| [A-Z]+(?:&[A-Z]+)+                                                     # R&B
| [CFcf]\#
| \d+(?:[.,]\d+)+(?:-{_SIGN}+)* | \d*(?:[.:,]\d+)+                       # 3.5 3.5-4 1,000 0:12 .5
| (?:{_SIGN}|_)+(?:(?:[/_]|\.(?={_LETTER})){_SIGN}+)*(?:-(?:{_SIGN}|_)+(?:/(?:{_SIGN}|_)+)*)*  # words
| [-+]\d*(?:[.:,]\d+)+ | [-+]\d+                                         # numbers with a sign
| [?!]+ | \*+ | -{{2,}} | \.{{2,}} | .
""",
    re.VERBOSE,
)


def ptb_words(text: str) -> list[str]:
    """
    The words of a caption: lower case, cut as the Penn Treebank's, without punctuation.

    Args:
        text: Any text; line breaks count as blanks.

    Returns:
        The words; none if there is nothing but punctuation.

    Example:
    ```python
    >>> ptb_words("A dog's bark (loud), and it doesn't stop.")
    ['a', 'dog', "'s", 'bark', '-lrb-', 'loud', '-rrb-', 'and', 'it', 'does', "n't", 'stop']

    ```
    """
    words: list[str] = []
    for chunk in text.translate(_NORMALISED).split():
        words.extend(_chunk_words(chunk))
    return words


@functools.lru_cache(maxsize=1 << 16)  # the same words come again and again: this is what makes it fast
def _chunk_words(chunk: str) -> tuple[str, ...]:
    found = (match.group().lower() for match in _TOKEN.finditer(chunk))
    return tuple(_written(word) for word in found if word not in _DROPPED and word.strip("-."))


def _written(word: str) -> str:
    """Brackets in the Treebank's writing, alone or in a smiley."""
    if word[-1] in _BRACKETS:
        return word[:-1] + _BRACKETS[word[-1]]
    return word


__all__ = ["ptb_words"]
