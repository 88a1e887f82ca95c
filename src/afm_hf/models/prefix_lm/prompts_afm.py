"""
How each model is asked: the prompts that CLAPCAP, Pengi, ADIFF and Mellow were trained with, by task.

The words are those of the papers' data files and released examples. Small models understand little else: another
wording may cost much.
"""

import re
from collections.abc import Sequence

from .letters_afm import named_letters

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TIERS = ("concise", "brief", "detailed")

# Those of CLAPCAP are None: it reads no prompt. ADIFF and Mellow caption the first of their two clips.
CAPTION_PROMPTS = {
    "clap_afm_captioning": None,
    "afm_pengi": "generate audio caption",
    "afm_mellow": "caption the audio.",
    "afm_adiff": "caption the first audio",
}
CLASS_PROMPTS = {
    "clap_afm_captioning": None,
    "afm_pengi": "this is a sound of",
    "afm_mellow": "what is the primary sound present in the audio?",
    "afm_adiff": "caption the first audio",
}
DIFFERENCE_PROMPTS = {
    # from the `input` column of the authors' data files
    "afm_adiff": (
        "explain the difference in few words",
        "explain the difference in a sentence",
        "explain the difference in detail",
    ),
    "afm_mellow": (
        "explain the difference between the two audios in few words.",
        "explain the difference between the two audios in one extended sentence.",
        "explain the difference between the two audios in detail.",
    ),
}
_BEHIND_LETTER = re.compile(r"^\W*[a-z](?=\W*[)\].:*\n-])\W+")  # what stands behind it
_DENIED = re.compile(r"(?:\b(?:not|no|never|without|neither|nor)|n['’]t)\s+(?:[\w)(]+\s+){0,2}$")
# Their captions were trained as sentences about one of two clips.
CAPTION_BEGINNING = re.compile(r"^\s*the audio 1 is\s+", re.IGNORECASE)


def question_prompt(model_type: str, question: str, choices: Sequence[str] = ()) -> str:
    """
    A question as the model was trained to read it.

    Pengi: `question: ...`; it never saw options, so they are not named. Others, like Mellow: all in lower case, then
    `answer yes or no`, or the options as `a) ... b) ...`.
    """
    question = question.strip()
    if model_type == "afm_pengi":
        return f"question: {question}"
    if choices and question[-1].isalnum():
        question += "?"
    if is_yes_or_no(choices):
        question += " answer yes or no"
    elif choices:
        question += "".join(f" {choice}" for choice in scored_answers(model_type, choices))
    return question.lower()


def scored_answers(model_type: str, choices: Sequence[str]) -> list[str]:
    """The answers whose likelihood is compared: the choices, behind their letters where the model names those."""
    if model_type == "afm_pengi" or is_yes_or_no(choices):
        return list(choices)
    return [f"{letter}) {choice}" for letter, choice in zip(LETTERS, choices, strict=False)]


def is_yes_or_no(choices: Sequence[str]) -> bool:
    """Whether the choices are yes and no, in whatever order."""
    return sorted(choice.lower() for choice in choices) == ["no", "yes"]


def letter_of(answer: str, choices: Sequence[str]) -> str | None:
    """
    The letter of the choice that a generated answer names, or None: nothing is guessed.

    A letter that is set apart, as in `b) rain` (see [`named_letters`]), unless the words behind it are another choice;
    else the choice itself, whole or (if it is the only one, and not denied) as words within the answer.
    """
    words = [choice.strip().lower() for choice in choices]
    said = answer.strip().lower().rstrip(".")
    named = named_letters(answer, LETTERS[: len(choices)])
    whole = {LETTERS[place] for place, word in enumerate(words) if word in (said, _BEHIND_LETTER.sub("", said))}
    found = named | whole
    if not found:
        found = {LETTERS[place] for place, word in enumerate(words) if is_said(word, said)}
    return found.pop() if len(found) == 1 else None


def is_said(words: str, answer: str) -> bool:
    """Whether words stand in an answer that does not deny them, as `it is not rain` does."""
    place = re.search(rf"(?<!\w){re.escape(words)}(?!\w)", answer)
    return place is not None and not _DENIED.search(answer[: place.start()])


__all__ = ["is_said", "letter_of", "question_prompt", "scored_answers"]
