"""What the small Pengi, ADIFF and Mellow are asked and should answer: the papers' prompts, answers of labels and facts.

`PengiTasks`, `AdiffTasks` and `MellowTasks` draw examples from a `Bank` of clips. What cannot be known from the clip
is asked, too, and answered with `UNKNOWN`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from answers_facts import FACTS, Bank
from torch.nn import functional as F

CAPTION, EVENT, METADATA = "generate audio caption", "this is a sound of", "generate metadata"
WHAT = (
    "what is the sound?",
    "what do you hear?",
    "which sound is this?",
    "what makes this sound?",
    "what is this?",
    "what can be heard?",
    "what sound is it?",
    "what is heard in the audio?",
)
IS_THERE = (
    "is there {} in the audio?",
    "can you hear {}?",
    "does the audio contain {}?",
    "is this {}?",
    "is it {}?",
    "do you hear {}?",
    "is {} present?",
    "does this sound like {}?",
)
IS_IT = ("is the sound {}?", "is it {}?", "is this a {} sound?", "does it sound {}?")
UNKNOWN = "i cannot tell"
NOT_HEARD = (
    "who is speaking?",
    "what language is it?",
    "where was this recorded?",
    "how many people are there?",
    "what is the name of the song?",
    "what happens next?",
    "what time of day is it?",
    "how old is the speaker?",
    "what colour is it?",
    "what is being said?",
    "who wrote this?",
    "in which key is it?",
    "when was this recorded?",
    "which brand is it?",
    "how far away is it?",
    "why does it sound so?",
    "how much does it cost?",
    "how does the person feel?",
    "which country is this?",
    "what is the weather like?",
)
NOT_HEARD_ASIDE = (
    "who sings?",
    "which city is this?",
    "what is the speaker's name?",
    "how old is it?",
)  # never trained
TIERS = (
    "explain the difference in few words",
    "explain the difference in a sentence",
    "explain the difference in detail",
)
POSITIONS = ("caption the first audio", "caption the second audio", "caption both audios")
MELLOW_CAPTION = "caption the audio."
MELLOW_EVENT = "what is the primary sound present in the audio?"
MELLOW_TIERS = (
    "explain the difference between the two audios in few words.",
    "explain the difference between the two audios in one extended sentence.",
    "explain the difference between the two audios in detail.",
)
FIRST = ("which sound comes first?", "what is heard first?", "what comes first?", "what is the first sound?")
LAST = ("which sound comes last?", "what is heard last?", "what comes second?", "what is the second sound?")
BEFORE = ("does {} come before {}?", "is {} heard before {}?")
YES_OR_NO = " answer yes or no"


@dataclass
class Example:
    """One question: of what kind, about which clips of the bank, prompt and answer."""

    kind: str
    clips: tuple[int, ...]
    prompt: str
    answer: str


def described(label: str, words: Sequence[str]) -> str:
    """A clip in words: "cow mooing, a low and steady sound"."""
    if not words:
        return label
    article = "an" if words[0][0] in "aeiou" else "a"
    return f"{label}, {article} {' and '.join(words)} sound"


def difference(tier: int, labels: Sequence[str], words: Sequence[Sequence[str]], more: Sequence[str]) -> str:
    """The answer to the prompt of a tier (0, 1 or 2); `more` are sentences of comparison."""
    if tier == 0:
        return f"the first is {labels[0]}, the second is {labels[1]}."
    first, second = (described(label, each) for label, each in zip(labels, words, strict=True))
    text = f"the first audio is {first}, while the second audio is {second}."
    return " ".join([text, *more]) if tier == 2 else text


def in_words(k: int, is_high: bool) -> str:
    """A fact in a word: "loud"."""
    return FACTS[k].high if is_high else FACTS[k].low


def options(choices: Sequence[str]) -> str:
    """Choices as Mellow's prompts name them: " a) rain b) wind"."""
    return "".join(f" {letter}) {choice}" for letter, choice in zip("abcdefgh", choices, strict=False))


class Tasks:
    """
    Draws examples.

    Args:
        bank ([`Bank`]): Clips.
        seed (`int`): Of all draws.
    """

    shares: dict[str, float]  # of the kinds of examples
    early: dict[str, float] = {}  # the same of what is learned first, if anything
    told = 0.0  # share of the truth in the class scores that are heard
    mixes = False  # whether what is heard may come from different clips
    yes_or_no = ""  # what is put behind a question of yes or no

    def __init__(self, bank: Bank, seed: int) -> None:
        self.bank = bank
        self.rng = np.random.default_rng(seed)

    def one(self, kind: str) -> Example | None:
        """An example of a kind, or None if the drawn clip has none."""
        raise NotImplementedError

    def draw(self, size: int, told: float = 0.0) -> list[Example]:
        """`size` examples; while something is told (see `told_at`), of the kinds that are learned first."""
        self.told = told if self.early else 0.0
        chosen = self.early if self.told else self.shares
        kinds, shares = list(chosen), np.array(list(chosen.values()))
        drawn: list[Example] = []
        while len(drawn) < size:
            example = self.one(kinds[self.rng.choice(len(kinds), p=shares / shares.sum())])
            if example is not None:
                drawn.append(example)
        return drawn

    def heard(self, drawn: list[Example]) -> torch.Tensor:
        """What is heard in the clips of the examples: `(examples, dim)`, or `(examples, 2, dim)` for pairs."""
        return self.bank.heard[torch.tensor([example.clips for example in drawn]).squeeze(-1)]

    def pick(self, values: Sequence[Any]) -> Any:
        """One of several wordings, or clips."""
        return values[self.rng.integers(len(values))]

    def clip(self) -> int:
        """Any clip."""
        return int(self.rng.integers(len(self.bank)))

    def other_label(self, label: str) -> str:
        """Another label."""
        while (other := self.pick(self.bank.names)) == label:
            pass
        return other

    def other_labels(self, label: str, count: int) -> list[str]:
        """Distinct other labels."""
        others = [name for name in self.bank.names if name != label]
        return [others[i] for i in self.rng.choice(len(others), count, replace=False)]

    def is_there(self, label: str) -> tuple[str, str]:
        """A question for a label that is there, or is not, and its answer."""
        there = self.rng.random() < 0.5
        return self.pick(IS_THERE).format(label if there else self.other_label(label)), "yes" if there else "no"

    def fact(self, index: int) -> tuple[int, bool] | None:
        """A fact of a clip that is clearly low or high, and which."""
        k = int(self.rng.integers(len(FACTS)))
        value = self.bank.facts[index, k]
        return (k, bool(value > 0)) if value else None

    def is_it(self, fact: tuple[int, bool]) -> tuple[str, str]:
        """A yes-or-no question about a fact, and its answer."""
        k, is_high = fact
        asked_high = self.rng.random() < 0.5
        question = self.pick(IS_IT).format(FACTS[k].high if asked_high else FACTS[k].low)
        return question.replace("this a a", "this an a"), "yes" if asked_high == is_high else "no"

    def question(self, kind: str, index: int, label: str) -> tuple[str, str] | None:
        """A question about one clip and its answer; None if the clip has no such fact."""
        if kind == "what":
            return self.pick(WHAT), label
        if kind == "unknown":
            return self.pick(NOT_HEARD), UNKNOWN
        if kind == "is there":
            question, answer = self.is_there(label)
            return question + self.yes_or_no, answer
        fact = self.fact(index)
        if fact is None:
            return None
        if kind == "is it":
            question, answer = self.is_it(fact)
            return question + self.yes_or_no, answer
        return self.pick(FACTS[fact[0]].questions), in_words(*fact)

    def comparisons(self, first: int, second: int) -> list[tuple[int, bool]]:
        """Facts in which two clips differ clearly, and whether the first has more."""
        facts = self.bank.facts
        return [(k, facts[first, k] > 0) for k in range(len(FACTS)) if facts[first, k] * facts[second, k] == -1]

    def difference(self, tier: int, first: int, second: int) -> str:
        """The answer to the prompt of a tier, about two clips; at most two comparisons."""
        more = [
            f"the {'first' if is_first else 'second'} {'sounds' if k == 0 else 'is'} {FACTS[k].more}."
            for k, is_first in self.comparisons(first, second)[:2]
        ]
        labels = [self.bank.label(first), self.bank.label(second)]
        return difference(tier, labels, [self.bank.words(first), self.bank.words(second)], more)


class PengiTasks(Tasks):
    """Prompts and answers about single clips."""

    shares = {
        "caption": 0.18,
        "event": 0.12,
        "metadata": 0.05,
        "what": 0.12,
        "is there": 0.23,
        "fact": 0.15,
        "is it": 0.1,
        "unknown": 0.05,
    }

    def one(self, kind: str) -> Example | None:
        index = self.clip()
        label, words = self.bank.label(index), self.bank.words(index)
        if kind == "caption":
            return Example(kind, (index,), CAPTION, described(label, words))
        if kind == "event":
            return Example(kind, (index,), EVENT, label)
        if kind == "metadata":
            return Example(kind, (index,), METADATA, ", ".join([label, *words]))
        question = self.question(kind, index, label)
        return question and Example(kind, (index,), f"question: {question[0]}", question[1])


class AdiffTasks(Tasks):
    """Prompts and answers about pairs of clips."""

    shares = {"tier 0": 0.25, "tier 1": 0.25, "tier 2": 0.25, "position": 0.25}

    def one(self, kind: str) -> Example | None:
        pair = (self.clip(), self.clip())
        if kind != "position":
            tier = int(kind[-1])
            return Example(kind, pair, TIERS[tier], self.difference(tier, *pair))
        position = int(self.rng.integers(3))
        first, second = (described(self.bank.label(i), self.bank.words(i)) for i in pair)
        texts = (
            f"the audio 1 is {first}",
            f"the audio 2 is {second}",
            f"the audio 1 is {first}. the audio 2 is {second}",
        )
        return Example(kind, pair, POSITIONS[position], f"{texts[position]}.")


class MellowTasks(Tasks):
    """
    Questions about one clip, about one sound after another, and about pairs of clips.

    Args:
        sequences ([`Bank`]): Clips with one sound after another; their indices follow those of `bank`.
        steps (`int`): For how many steps of a clip class scores are heard.
        seed (`int`): Of all draws.
    """

    yes_or_no = YES_OR_NO
    mixes = True  # embeddings and class scores of different clips, as training wants it
    early = {"what": 0.1, "is there": 0.2, "choice": 0.3, "order": 0.15, "order choice": 0.1, "before": 0.15}
    shares = {
        "caption": 0.08,
        "event": 0.06,
        "what": 0.06,
        "is there": 0.14,
        "choice": 0.26,
        "fact": 0.08,
        "fact choice": 0.04,
        "is it": 0.05,
        "unknown": 0.04,
        "order": 0.06,
        "order choice": 0.04,
        "before": 0.04,
        "tier 0": 0.04,
        "tier 1": 0.03,
        "tier 2": 0.03,
        "which has": 0.05,
    }

    def __init__(self, bank: Bank, sequences: Bank, steps: int, seed: int) -> None:
        super().__init__(bank, seed)
        self.scores = steps * len(bank.names)
        # The label at each step of each clip: of one sound after another first the one, then the other.
        alone = np.repeat(bank.labels[:, None], steps, axis=1)
        after = np.repeat(sequences.labels, [steps // 2, steps - steps // 2], axis=1)
        self.label_at = torch.from_numpy(np.concatenate([alone, after]))
        self.sequences = sequences
        self.everything = torch.cat([bank.heard, sequences.heard])
        self.alike = alike(bank, 0) + alike(sequences, len(bank))

    def heard(self, drawn: list[Example]) -> torch.Tensor:
        """
        What is heard in both clips, `(examples, 2, width + scores)`.

        A single clip is heard twice, or beside any other clip, as in the paper's training. The ears' embedding, from
        which a model would know the training clips again and take their labels for granted, comes from another clip
        with the same facts: what is there has to be learned from the class scores. At first these are the truth.
        """
        second = [e.clips[1] if len(e.clips) == 2 else self.beside(e.clips[0]) for e in drawn]
        clips = torch.tensor([[e.clips[0], other] for e, other in zip(drawn, second, strict=True)])
        others = clips
        if self.mixes:
            others = torch.tensor([[self.pick(self.alike[i]) for i in pair] for pair in clips.tolist()])
        width = self.everything.shape[1] - self.scores
        scores = self.in_part_told(self.everything[clips][..., width:], clips)
        return torch.cat([self.everything[others][..., :width], scores], dim=-1)

    def in_part_told(self, scores: torch.Tensor, clips: torch.Tensor) -> torch.Tensor:
        """Class scores of clips, mixed with those of a perfect ear."""
        if not self.told:
            return scores
        truth = F.one_hot(self.label_at[clips], len(self.bank.names)).flatten(-2)
        return (1 - self.told) * scores + self.told * truth

    def beside(self, index: int) -> int:
        """The second clip where only one is asked about."""
        return index if self.rng.random() < 0.7 else self.clip()

    def one(self, kind: str) -> Example | None:
        if kind in ("order", "order choice", "before"):
            return self.sequence(kind)
        if kind.startswith("tier"):
            pair, tier = (self.clip(), self.clip()), int(kind[-1])
            return Example(kind, pair, MELLOW_TIERS[tier], self.difference(tier, *pair))
        if kind == "which has":
            return self.which()
        index = self.clip()
        label = self.bank.label(index)
        if kind == "caption":
            return Example(kind, (index,), MELLOW_CAPTION, described(label, self.bank.words(index)))
        if kind == "event":
            return Example(kind, (index,), MELLOW_EVENT, label)
        question = self.question(kind, index, label)
        return question and Example(kind, (index,), *question)

    def question(self, kind: str, index: int, label: str) -> tuple[str, str] | None:
        """Also questions with lettered choices."""
        if kind == "choice":
            wrong = int(self.rng.integers(1, 3 if self.told else 5))
            return self.choice(self.pick(WHAT), label, self.other_labels(label, wrong))
        if kind == "fact choice":
            fact = self.fact(index)
            return fact and self.choice(
                self.pick(FACTS[fact[0]].questions), in_words(*fact), [in_words(fact[0], not fact[1])]
            )
        return super().question(kind, index, label)

    def choice(self, question: str, right: str, wrong: list[str]) -> tuple[str, str]:
        """A question with lettered choices, and the right one behind its letter."""
        choices = [right, *wrong]
        self.rng.shuffle(choices)
        return question + options(choices), f"{'abcdefgh'[choices.index(right)]}) {right}"

    def sequence(self, kind: str) -> Example:
        """A question about the order of two sounds."""
        index = int(self.rng.integers(len(self.sequences)))
        first, second = (self.sequences.names[i] for i in self.sequences.labels[index])
        clip = (len(self.bank) + index,)
        if kind == "before":
            asked = [(first, second), (second, first)][self.rng.integers(2)]
            answer = "yes" if asked[0] == first else "no"
            return Example(kind, clip, self.pick(BEFORE).format(*asked) + YES_OR_NO, answer)
        is_first = self.rng.random() < 0.5
        question = self.pick(FIRST if is_first else LAST)
        right, wrong = (first, second) if is_first else (second, first)
        if kind == "order choice":
            return Example(kind, clip, *self.choice(question, right, [wrong]))
        return Example(kind, clip, question, right)

    def which(self) -> Example | None:
        """Which of two clips has a sound, or more of something."""
        pair = (self.clip(), self.clip())
        labels = [self.bank.label(i) for i in pair]
        if labels[0] == labels[1]:
            return None
        if self.rng.random() < 0.5:
            wanted = int(self.rng.integers(2))
            return Example("which has", pair, f"which audio has {labels[wanted]}?", ("the first", "the second")[wanted])
        known = self.comparisons(*pair)
        if not known:
            return None
        k, is_first = known[self.rng.integers(len(known))]
        return Example("which has", pair, f"which audio is {FACTS[k].more}?", "the first" if is_first else "the second")


def told_at(step: int, steps: int, whole: float, until: float) -> float:
    """Share of the truth in what is heard: all of it for a part `whole` of the steps, then less and less."""
    return min(1.0, max(0.0, (until - step / steps) / max(1e-9, until - whole)))


def alike(bank: Bank, offset: int) -> list[np.ndarray]:
    """For each clip, the clips of the bank (itself among them) with the same facts and the same words for them."""
    groups: dict[tuple, list[int]] = {}
    keys = [(*bank.facts[i].tolist(), *bank.words(i)) for i in range(len(bank))]
    for i, key in enumerate(keys):
        groups.setdefault(key, []).append(i + offset)
    arrays = {key: np.array(group) for key, group in groups.items()}
    return [arrays[key] for key in keys]


def texts_of(tasks: Tasks, size: int = 20000) -> Iterator[str]:
    """Prompts and answers for making a tokenizer."""
    for text, count in Counter(text for e in tasks.draw(size) for text in (e.prompt, e.answer)).items():
        yield from [text] * min(count, 20)
