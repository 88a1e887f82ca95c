"""
What is not kept of what a language model wrote, and why: rules on words alone, each with a name for the report.

They find what is broken, empty or gives its answer away. Whether a text is *true* of a clip they cannot tell.
"""

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from .instructions import Instruction

REASONS = {
    "failed": "the model gave no answer",
    "unparsed": "no item can be read in the answer",
    "schema": "the item does not fit the JSON schema",
    "length": "a part is too short or too long",
    "repeats the caption": "a part is the caption again, or holds all of it",
    "repeats an example": "it is an example of the prompt, or half of what it says comes from there",
    "repeats itself": "a part says the same twice",
    "leaks the answer": "the answer can be told without listening",
    "no news": "what should be uncertain or false says what the caption says",
    "speaks of the text": "it speaks of a caption or description, which a listener does not have",
    "ungrounded": "it has no word in common with the caption, or with that of the clip it speaks of",
    "choices alike": "two choices are the same, or there are too few",
    "duplicate": "the same was made before",
}
_ALIKE = 0.85  # share of words in common, in order, from which two texts are one
_CONTAINED = 5  # words of a caption from which a text that holds all of them is a copy
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_TEXT = re.compile(
    r"\b(captions?|descriptions?|described (?:above|here)|the text|hypothesis|premise|entail\w*|contradict\w*)\b", re.I
)
_FIRST_AND_SECOND = re.compile(r"((?:(?!second).)*\bfirst\b(?:(?!second).)*)(\bsecond\b.*)", re.I | re.DOTALL)
_NEGATIONS = frozenset(_WORD.findall("no not never none nothing nobody cannot without"))
_EMPTY = frozenset(
    _WORD.findall(
        """
        a about also an and any are as at be been being both but by can could did do does each for from had has
        have he hear heard hears her here his how i if in into is it its like made make makes making may more
        most of off on one only or other our out over she so some sound sounds audio clip first second recording
        recorded such than that the their them then there these they this those to two up very was we were what
        when where which while who why will with would you your yes no not difference different whereas
        """
    )
)


def words(text: str) -> list[str]:
    """The words of a text, without capitals."""
    return [word.replace("’", "'") for word in _WORD.findall(text.casefold())]


def content(text: str) -> set[str]:
    """The stems of the words that say something."""
    return {_stem(word) for word in words(text) if word not in _EMPTY}


def fault(
    instruction: Instruction, item: Mapping[str, Any], captions: Sequence[str], with_examples: bool = True
) -> str:
    """
    Why an item is not kept, as a name of [`REASONS`]; empty if it is. Duplicates are found by [`Seen`].

    Args:
        instruction: What was to be written.
        item: What was, as its schema has it.
        captions: Of the clip, or of both.
        with_examples: Whether the model was shown the instruction's examples, and may repeat them.
    """
    texts = {name: value if isinstance(value, list) else [value] for name, value in item.items()}
    lengths = {**instruction.words, **({"wrong": instruction.words["answer"]} if "wrong" in item else {})}
    every = [text for several in texts.values() for text in several]
    for name, (least, most) in lengths.items():
        if not all(least <= len(words(text)) <= most for text in texts[name]):
            return "length"
    if with_examples and _is_of_examples(instruction, item, captions):
        return "repeats an example"
    if any(_repeats(text, caption) for text in every for caption in captions):
        return "repeats the caption"
    if any(map(_repeats_itself, every)):
        return "repeats itself"
    if any(_TEXT.search(text) for text in every):
        return "speaks of the text"
    if "wrong" in item and len({" ".join(words(text)) for text in [item["answer"], *item["wrong"]]}) < 4:
        return "choices alike"
    if _leaks(instruction, item, captions):
        return "leaks the answer"
    if instruction.kind in ("neutral", "contradiction") and content(item["hypothesis"]) <= content(captions[0]):
        return "no news"
    if not _is_grounded(instruction, item, captions):
        return "ungrounded"
    return ""


class Seen:
    """Remembers what was kept: a clip is not asked the same twice, and one sentence does not stand for many clips."""

    def __init__(self) -> None:
        self._keys: set[tuple[str, ...]] = set()

    def is_new(self, instruction: Instruction, item: Mapping[str, Any], clips: Sequence[str]) -> bool:
        """Whether this was not kept before; remembers it then."""
        own = " ".join(words(item["question"] if "question" in item else " ".join(item.values())))
        keys = {(instruction.group, own, *clips)}
        if "question" not in item:
            keys.add((instruction.kind, own))
        if keys & self._keys:
            return False
        self._keys |= keys
        return True


def _is_of_examples(instruction: Instruction, item: Mapping[str, Any], captions: Sequence[str]) -> bool:
    """Whether a question is one of the prompt's, or half of what a sentence says is of the prompt and not of the clip.

    Questions and answers share words such as loud and short with all others; sentences need not.
    """
    if "question" in item:
        return any(
            [words(item[name]) for name in ("question", "answer")]
            == [words(example["item"][name]) for name in ("question", "answer")]
            for example in instruction.examples
        )
    said = content(" ".join(item.values()))
    shown: set[str] = set()
    for example in instruction.examples:
        parts = [text for name, text in example.items() if name.startswith("caption")]
        shown |= content(" ".join([*parts, *example["item"].values()]))
    foreign = (said & shown) - content(" ".join(captions))
    return bool(said) and 2 * len(foreign) >= len(said)


def _repeats(text: str, caption: str) -> bool:
    ours, theirs = words(text), words(caption)
    if SequenceMatcher(None, ours, theirs, autojunk=False).ratio() >= _ALIKE:
        return True
    return len(theirs) >= _CONTAINED and f" {' '.join(theirs)} " in f" {' '.join(ours)} "


def _repeats_itself(text: str) -> bool:
    """Whether a sentence stands twice, or the words that say something stand twice on average."""
    sentences = [words(sentence) for sentence in re.split(r"[.!?;]+", text)]
    long = [tuple(sentence) for sentence in sentences if len(sentence) > 3]
    if len(set(long)) < len(long):
        return True
    said = [_stem(word) for word in words(text) if word not in _EMPTY]
    return len(said) > 1 and len(set(said)) <= len(said) * (0.5 if len(said) <= 20 else 0.4)


def _leaks(instruction: Instruction, item: Mapping[str, Any], captions: Sequence[str]) -> bool:
    if "question" in item:
        answer = content(item["answer"])
        return bool(answer) and answer <= content(item["question"])
    # A sentence with a negation that the caption has not is known to be false without listening.
    return (
        instruction.kind == "contradiction"
        and any(map(_negates, words(item["hypothesis"])))
        and not any(_negates(word) for caption in captions for word in words(caption))
    )


def _negates(word: str) -> bool:
    return word in _NEGATIONS or word.endswith("n't")


def _is_grounded(instruction: Instruction, item: Mapping[str, Any], captions: Sequence[str]) -> bool:
    """Whether the item has something to do with every caption; hypotheses need not.

    Where a difference speaks of the first clip and then of the second, neither may be called by the other's words.
    """
    if instruction.group == "entailment":
        return True
    texts = [text for value in item.values() for text in (value if isinstance(value, list) else [value])]
    ours, told = content(" ".join(texts)), [content(caption) for caption in captions]
    if not all(not each or each & ours for each in told):
        return False
    both = _FIRST_AND_SECOND.fullmatch(item.get("difference", ""))
    if both is None:
        return True
    first, second = content(both[1]), content(both[2])
    return not ((first & told[1] and not first & told[0]) or (second & told[0] and not second & told[1]))


def _stem(word: str) -> str:
    """A word without its ending, roughly: barks, barked and barking are one."""
    for ending in ("'s", "ing", "ers", "ies", "ed", "er", "es", "ly", "s", "y", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word


__all__ = ["REASONS", "Seen", "content", "fault", "words"]
