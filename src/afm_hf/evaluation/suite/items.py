"""Questions, pairs and controls, made by rule from clips of which only the label (and perhaps a caption) is known."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ..task import Item
from ..tasks.linear_probe import with_folds

WHAT = "what is the sound?"
IS_THERE = "is there {} in the audio?"
CHOICES, YES_OR_NO = "one of four labels", "yes or no"
HYPOTHESIS, PLACES = (
    "This is a sound of {}.",
    ("in Spain", "on a Sunday", "behind a wall", "at night", "in a large city"),
)
NAMED = "the first is {}, the second is {}."


def label_of(item: Item) -> str:
    """The label of a clip; `sound` where `label` is that of a sentence."""
    return str(item.truth.get("sound") or item.truth["label"])


def labelled(items: Sequence[Item]) -> list[Item]:
    """
    The clips with a label, which is what everything here is made of.

    Raises:
        ValueError: fewer than two labels.
    """
    kept = [item for item in items if item.truth.get("label")]
    names = {label_of(item) for item in kept}
    if len(names) < 2:
        raise ValueError(f"The clips have {len(names)} labels; two or more are needed, in the column 'label'.")
    return kept


def captioned(items: Sequence[Item], *, once: bool = False) -> list[Item]:
    """
    The clips with captions; with `once`, only the first clip of each caption, so that each caption has one right clip.

    Raises:
        ValueError: there are none, or, with `once`, fewer than two.
    """
    kept, seen = [], set()
    for item in items:
        captions = tuple(caption for caption in item.truth.get("captions") or () if caption.strip())
        if captions and not (once and captions in seen):
            seen.add(captions)
            kept.append(item)
    if len(kept) < (2 if once else 1):
        raise ValueError(f"{len(kept)} clips have captions of their own; more are needed, in the column 'caption'.")
    return kept


def questions(items: Sequence[Item], seed: int) -> list[Item]:
    """
    For each clip "what is the sound?" with four labels to choose from, and "is there ...?" of its label and of another.

    Args:
        items: Labelled clips.
        seed (`int`): Of wrong answers, and of the order of the choices.
    """
    rng, names = random.Random(seed), sorted({label_of(item) for item in items})
    asked = []
    for item in items:
        label = label_of(item)
        others = [name for name in names if name != label]
        choices = [label, *rng.sample(others, min(3, len(others)))]
        rng.shuffle(choices)
        rows = [{"kind": CHOICES, "question": WHAT, "choices": choices, "answer": label}]
        for name, answer in ((label, "yes"), (rng.choice(others), "no")):
            question = IS_THERE.format(name)
            rows.append({"kind": YES_OR_NO, "question": question, "choices": ["yes", "no"], "answer": answer})
        for i, row in enumerate(rows):
            asked.append(Item(f"{item.id}?{i}", item.audio, {"label": label, **row}))
    return asked


def hypotheses(items: Sequence[Item], seed: int) -> list[Item]:
    """
    For each clip a sentence that follows from its label, one with a detail that nobody can hear, and one of another.

    Args:
        items: Labelled clips.
        seed (`int`): Of details and wrong labels.
    """
    rng, names = random.Random(seed), sorted({label_of(item) for item in items})
    asked = []
    for item in items:
        label = label_of(item)
        texts = {
            "entailment": label,
            "neutral": f"{label} {rng.choice(PLACES)}",
            "contradiction": rng.choice([name for name in names if name != label]),
        }
        for name, text in texts.items():
            truth = {"sound": label, "hypothesis": HYPOTHESIS.format(text), "label": name, "kind": name}
            asked.append(Item(f"{item.id}?{name}", item.audio, truth))
    return asked


def pairs(items: Sequence[Item], seed: int, most: int = 100) -> list[Item]:
    """
    Pairs of clips of two labels, with the difference in words.

    Args:
        items: Labelled clips.
        seed (`int`): Of the pairs.
        most (`int`): As many pairs, fewer where there are fewer clips.
    """
    rng = random.Random(seed)
    made: dict[str, Item] = {}
    possible = sum(label_of(a) != label_of(b) for a in items for b in items)
    while len(made) < min(most, possible):
        a, b = rng.sample(list(items), 2)
        labels = [label_of(a), label_of(b)]
        if labels[0] != labels[1]:
            name = f"{a.id} / {b.id}"
            made[name] = Item(name, (a.audio, b.audio), {"labels": labels, "answer": NAMED.format(*labels)})
    return list(made.values())


def learnable(items: Sequence[Item]) -> list[Item]:
    """
    Clips of labels that have two or more, dealt to folds.

    Raises:
        ValueError: there are fewer than two such labels.
    """
    counts = Counter(label_of(item) for item in items)
    kept = [item for item in items if counts[label_of(item)] > 1]
    if len({label_of(item) for item in kept}) < 2:
        raise ValueError("Fewer than two labels have two clips or more; a classifier cannot be trained and tested.")
    return with_folds([Item(item.id, item.audio, {"label": label_of(item)}) for item in kept])


def other_audio(items: Sequence[Item], seed: int) -> list[Item]:
    """The same questions about the audio of a clip that is neither of their label nor of one that they name."""
    rng = random.Random(seed)
    return [Item(item.id, _other(item, items, rng).audio, item.truth) for item in items]


def backwards(items: Sequence[Item], seed: int) -> list[Item]:
    """The same pairs with first and second clip exchanged."""
    return [Item(item.id, tuple(reversed(item.audio)), item.truth) for item in items]


def _other(item: Item, items: Sequence[Item], rng: random.Random) -> Item:
    named = f"{item.truth.get('question') or item.truth.get('hypothesis')} {' '.join(item.truth.get('choices') or ())}"
    fits: Callable[[Item], bool] = lambda each: label_of(each) != label_of(item) and label_of(each) not in named  # noqa: E731
    for _ in range(100):
        drawn = rng.choice(items)
        if fits(drawn):
            return drawn
    others = [each for each in items if label_of(each) != label_of(item)]
    if not others:
        raise ValueError(f"All clips have the label {label_of(item)!r}; the control needs another one.")
    return next((each for each in others if fits(each)), rng.choice(others))


def commonest(values: Sequence[Any]) -> Any:
    """The most frequent value; of several the first."""
    return Counter(values).most_common(1)[0][0]
