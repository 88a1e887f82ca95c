"""
How Pengi and Mellow are asked for entailment, and what their answers mean.

A class comes from the words of an option, not from the place of its letter: the released code of Mellow interchanges
the names of b and c. An answer that names no option has no class; there it counts as entailment.
"""

import re
from collections.abc import Mapping, Sequence

from ..models.prefix_lm.letters_afm import named_letters
from ..models.prefix_lm.prompts_afm import scored_answers
from .entailment_labels import CONTRADICTION, ENTAILMENT, LABELS, NEUTRAL

LETTERS = "abcdefgh"

# What an answer means. `None` is an option that is no class: as in the released metric, where it is always wrong.
OPTIONS: dict[str, dict[str, str | None]] = {
    "afm_mellow": {
        "it is definitely true": ENTAILMENT,
        "it is definitely false": CONTRADICTION,
        "it is plausible": NEUTRAL,
        "i cannot determine": None,
    },
    # Pengi was trained without options: short answers of our choice.
    "afm_pengi": {"yes": ENTAILMENT, "no": CONTRADICTION, "i cannot tell": NEUTRAL},
}
# Without and with a caption. Mellow's first is that of its README; the others are ours.
PROMPTS = {
    "afm_mellow": ("{hypothesis} {options}", "caption: {caption} hypothesis: {hypothesis} {options}"),
    "afm_pengi": (
        "question: is it true that {hypothesis}?",
        "question: is it true that {hypothesis}? caption: {caption}",
    ),
}


def entailment_prompt(
    model_type: str,
    hypothesis: str,
    captions: Sequence[str] | None = None,
    template: str | None = None,
    options: Sequence[str] = (),
) -> str:
    """
    The question to a model, in lower case as these were trained.

    Args:
        model_type (`str`): Which model.
        hypothesis (`str`): The sentence.
        captions (`list[str]`, *optional*): Captions of the clip, if the model gets them.
        template (`str`, *optional*): Words with `{hypothesis}`, `{options}` and `{caption}`; the model's if not given.
        options (`list[str]`): What may be answered.

    Raises:
        ValueError: the model needs a template, or the template has no place for hypothesis or caption.
    """
    if template is None and model_type not in PROMPTS:
        raise ValueError(f"How to ask a {model_type!r} is not known; pass `prompt` and `options`.")
    template = template or PROMPTS[model_type][bool(captions)]
    places = ["hypothesis", *(["caption"] if captions else [])]
    if missing := [name for name in places if f"{{{name}}}" not in template]:
        raise ValueError(f"The prompt {template!r} has no place for {missing}; write it as {{{missing[0]}}}.")
    words = {
        "hypothesis": _in_sentence(hypothesis, template, "{hypothesis}"),
        "caption": _in_sentence(" ".join(captions or []), template, "{caption}"),
        "options": " ".join(scored_answers(model_type, list(options))),
    }
    # In one go, and without `format`: sentences may hold braces.
    return re.sub(r"\{(hypothesis|caption|options)\}", lambda place: words[place[1]], template).lower()


def as_options(options: Mapping[str, str | None]) -> dict[str, str | None]:
    """
    Checked options: what may be answered, and the label that it means, or None.

    Raises:
        ValueError: there are fewer than two, too many, one is blank, or a label is unknown.
    """
    if not isinstance(options, Mapping) or not 2 <= len(options) <= len(LETTERS):
        raise ValueError(f"`options` is {options!r}; expected 2 to {len(LETTERS)} answers with the label of each.")
    for text, label in options.items():
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"An option is {text!r}; expected words.")
        if label is not None and label not in LABELS:
            raise ValueError(f"The option {text!r} means {label!r}; expected one of {', '.join(LABELS)}, or None.")
    return dict(options)


def named_letter(answer: str, options: Sequence[str]) -> int | None:
    """Index of the option whose letter an answer names, as `b)`, `b` or `the answer is b`; None if not clearly one."""
    found = named_letters(answer, LETTERS[: len(options)])
    return LETTERS.index(found.pop()) if len(found) == 1 else None


def named_option(answer: str, options: Sequence[str]) -> int | None:
    """Index of the option whose words are the answer, or the only ones within it; a letter before them is ignored."""
    words = re.sub(r"^\s*\(?[a-z][).:]\s+", "", answer.strip().lower()).rstrip(".")
    known = [option.strip().lower() for option in options]
    if words in known:
        return known.index(words)
    found = [place for place, option in enumerate(known) if re.search(rf"(?<!\w){re.escape(option)}(?!\w)", words)]
    return found[0] if len(found) == 1 else None


def label_shares(shares: Sequence[float], options: Mapping[str, str | None]) -> dict[str, float]:
    """The shares of the labels: those of the options that mean them. The rest is of options without a label."""
    return {
        label: sum(share for share, means in zip(shares, options.values(), strict=True) if means == label)
        for label in LABELS
    }


def _in_sentence(text: str, template: str, place: str) -> str:
    """A sentence without its full stop where other words or a mark follow directly."""
    behind = template.partition(place)[2][:1]
    return text.strip().rstrip(".") if behind and not behind.isspace() else text.strip()


__all__ = ["entailment_prompt", "named_letter", "named_option"]
