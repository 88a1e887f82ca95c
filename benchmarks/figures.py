"""
What a benchmark says: figures of some rounds, each beside the goal that it shall reach.

A figure is a ratio, time of a peer over ours, measured round by round in turns with it; or an amount (seconds,
megabytes, a share) where the goal is one. What could not be measured is a figure, too, with the reason.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

MODELS = ("Mellow", "CLAPCAP", "Pengi", "ADIFF")


@dataclass(frozen=True)
class Goal:
    """
    What the median of a figure shall reach.

    Attributes:
        part: of `run_all.py`.
        about: what it is of, in words; unique within its part.
        bound: the least ratio or amount, with `at_most` the largest.
    """

    part: str
    about: str
    bound: float
    unit: str = "x"
    at_most: bool = False

    def __str__(self) -> str:
        return f"{'at most' if self.at_most else 'at least'} {amount(self.bound, self.unit)}"


GOALS = {
    (goal.part, goal.about): goal
    for goal in (
        Goal("files", "float32 against ClapModel", 1.6),
        Goal("files", "float32 against msclap", 1.5),
        Goal("files", "int8 or bfloat16", 2.5),
        # Flat over batch sizes; a twentieth is left for what two batches of the same work differ by.
        Goal("files", "flat over batch sizes", 0.95),
        Goal("labels", "527 labels", 3.0),
        Goal("generation", "Mellow", 25.0),
        *(Goal("generation", name, 15.0) for name in MODELS[1:]),
        *(Goal("generation", f"{name}, batch of eight", 30.0) for name in MODELS),
        Goal("start", "loading CLAP 2023", 1.5, "s", at_most=True),
        Goal("start", "classify", 0.2, "s", at_most=True),
        Goal("search", "10 million vectors, time", 50.0, "ms", at_most=True),
        Goal("search", "10 million vectors, recall@10", 0.95, ""),
        Goal("search", "10 million vectors, memory", 2000.0, "MB", at_most=True),
        # What a minute costs, with a twentieth for what two processes differ by.
        Goal("memory", "an hour", 1.05, at_most=True),
        Goal("training", "a step", 1.0),
        # Data never waits; the trainer still has to take the batch that lies ready.
        Goal("training", "waiting for data", 0.02, "", at_most=True),
        Goal("all", "make bench", 20.0, "minutes", at_most=True),
    )
}


@dataclass(frozen=True)
class Figure:
    """
    One line of a benchmark.

    Attributes:
        what: what is measured.
        against: whose time stands over ours, with the unit `"x"`; else what the amount belongs to, or nothing.
        values: one for each round.
        goal: if there is one.
        unmeasured: the reason why there are no values.
    """

    what: str
    against: str = ""
    values: list[float] = field(default_factory=list)
    unit: str = "x"
    goal: Goal | None = None
    unmeasured: str = ""

    def __post_init__(self) -> None:
        if bool(self.values) == bool(self.unmeasured):
            raise ValueError(f"{self.what}: a figure has values, or the reason why it has none; this one has not one.")
        if self.goal is not None and self.goal.unit != self.unit:
            raise ValueError(f"{self.what} is in {self.unit or 'shares'}, but its goal in {self.goal.unit or 'shares'}")

    @property
    def met(self) -> bool | None:
        """Whether the median reaches the goal; None without goal or values."""
        if self.goal is None or not self.values:
            return None
        median = statistics.median(self.values)
        return median <= self.goal.bound if self.goal.at_most else median >= self.goal.bound

    @property
    def verdict(self) -> str:
        """Met, missed, not measured, or nothing where there is no goal."""
        if not self.values:
            return "not measured"
        return {None: "", True: "met", False: "MISSED"}[self.met]

    @property
    def amounts(self) -> str:
        """The median, with the least and the largest if there are several values; or why there is none."""
        if not self.values:
            return f"not measured: {self.unmeasured}"
        middle = amount(statistics.median(self.values), self.unit)
        if len(self.values) == 1:
            return middle
        return f"{middle} ({amount(min(self.values))} to {amount(max(self.values))})"

    def __str__(self) -> str:
        goal = f"   goal {self.goal}: {self.verdict}" if self.goal is not None else ""
        return f"{self.what:44s} {self.against:32s} {self.amounts}{goal}"

    def as_json(self) -> dict[str, Any]:
        """All of it, with what follows from it for those who read the file."""
        spread = {"minimum": min, "median": statistics.median, "maximum": max} if self.values else {}
        return {**asdict(self), **{name: of(self.values) for name, of in spread.items()}, "met": self.met}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> "Figure":
        """What `as_json` has made."""
        own = {name: said[name] for name in ("what", "against", "values", "unit", "unmeasured")}
        return cls(**own, goal=Goal(**said["goal"]) if said["goal"] else None)


def amount(value: float, unit: str = "") -> str:
    """Three digits and the unit."""
    shown = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
    if value and abs(value) < 0.1:
        shown = f"{value:.2g}"
    return f"{shown} {unit}".rstrip()


def in_turns(works: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Processor seconds of each work in each round, after one that is not counted.

    In turns, so that other work on the machine meets all of them alike and their ratios hold.
    """
    spent: dict[str, list[float]] = {name: [] for name in works}
    for round_ in range(rounds + 1):
        for name, work in works.items():
            start = time.process_time()
            work()
            if round_:
                spent[name].append(time.process_time() - start)
    return spent


def ratios(peer: Sequence[float], ours: Sequence[float]) -> list[float]:
    """How many times as long the peer took, round by round."""
    return [theirs / own for theirs, own in zip(peer, ours, strict=True)]


def say(figures: Iterable[Figure]) -> Iterator[Figure]:
    """Hands the figures on and prints each as soon as it is there."""
    for figure in figures:
        print(figure, flush=True)
        yield figure


def not_measured(part: str, figures: Iterable[Figure], reason: str) -> list[Figure]:
    """The goals of a part that none of its figures is beside, as figures without values."""
    named = {figure.goal for figure in figures}
    return [
        Figure(goal.about, goal=goal, unit=goal.unit, unmeasured=reason)
        for goal in GOALS.values()
        if goal.part == part and goal not in named
    ]
