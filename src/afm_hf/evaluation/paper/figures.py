"""What the papers report, as data: `paper_results.json` beside this file holds every figure of the result tables.

The tables are those of the thesis slides, of the two CLAP papers and of the leaderboards in the authors' repositories;
`docs/paper_results.md` shows them all. Each figure says where it is printed and what is doubtful about it.
"""

import dataclasses
import difflib
import functools
import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, Literal

Unit = Literal["fraction", "percent"]

NAMES = ("system", "variant", "task", "dataset", "subset", "split", "metric")  # what a figure can be looked up by
_ALIASES = {
    "clap2022": "clap22",
    "clap2023": "clap23",
    "us8k": "urbansound8k",
    "dcase17": "dcase17task4",
    "dcase17t4": "dcase17task4",
    "tut17": "tut2017",
    "acc": "accuracy",
}
_LARGEST = {"CIDEr": 10.0, "CIDEr-D": 10.0, "SPIDEr": 5.5}  # largest fraction of a metric; 1 for the others


@dataclasses.dataclass(frozen=True)
class Source:
    """A table that is printed somewhere.

    Args:
        title (`str`): What the table is about.
        where (`str`): Where it is printed: slide, table of a paper or README.
    """

    title: str
    where: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class PaperFigure:
    """One reported number.

    Args:
        id (`str`): Stable name, made of the fields below.
        system (`str`): Model or metric, as `"CLAP 23"`.
        variant (`str`, *optional*): Which form of it; `None` is the form that the authors released or put forward.
        size (`str`, *optional*): Parameters, as printed (`"167M"`).
        task (`str`): As `"zero-shot"`, `"captioning"`, `"mcq"`.
        dataset (`str`): As `"ESC-50"`; `"Average"` is over several of them.
        subset (`str`, *optional*): Part of the dataset, as `"sound"` of MMAU or `"tier 3"` of ACD.
        split (`str`, *optional*): `None` where it is not stated.
        metric (`str`): As `"accuracy"`.
        unit (`"fraction"` or `"percent"`): Whether the metric's whole is 1 or 100.
        value (`float`): As printed.
        higher_is_better (`bool`): Direction of the metric.
        sources (`tuple[Source, ...]`): The tables that print the figure.
        doubts (`tuple[str, ...]`): What to know before comparing with it.
    """

    id: str
    system: str
    variant: str | None
    size: str | None
    task: str
    dataset: str
    subset: str | None
    split: str | None
    metric: str
    unit: Unit
    value: float
    higher_is_better: bool
    sources: tuple[Source, ...]
    doubts: tuple[str, ...]

    @property
    def printed(self) -> str:
        """The value with its unit, as `0.826` or `48.4 %`."""
        return f"{self.value:g} %" if self.unit == "percent" else f"{self.value:g}"

    def to_row(self) -> dict[str, Any]:
        """All fields in plain Python, as JSON can hold them."""
        row = dataclasses.asdict(self)
        return {**row, "sources": [source.where for source in self.sources], "doubts": list(self.doubts)}


@dataclasses.dataclass(frozen=True)
class PaperDifference:
    """A measured number beside the reported one; all numbers in the unit of the figure.

    Args:
        figure (`PaperFigure`): What is reported.
        measured (`float`): What was measured.
        difference (`float`): Measured minus reported.
    """

    figure: PaperFigure
    measured: float
    difference: float

    @property
    def is_better(self) -> bool:
        """Whether what was measured is better than what is reported, whatever the direction of the metric."""
        return self.difference > 0 if self.figure.higher_is_better else self.difference < 0

    def __str__(self) -> str:
        figure = self.figure
        data = " ".join(part for part in (figure.dataset, figure.subset, figure.split) if part)
        mark = " %" if figure.unit == "percent" else ""
        system = ", ".join(filter(None, (figure.system, figure.variant)))
        return (
            f"{data}, {figure.metric}: reported {figure.printed} ({system}), "
            f"measured {self.measured:.4g}{mark}, difference {self.difference:+.4g}{mark}"
        )


@functools.cache
def load() -> tuple[PaperFigure, ...]:
    """All figures, sorted by id.

    Example:
    ```python
    >>> figures = load()
    >>> [figure.printed for figure in figures if figure.id == "clap-23/zero-shot/esc-50/all-folds/accuracy"]
    ['0.939']

    ```
    """
    data = _data()
    tables, doubts = dict(zip(data["sources"], sources(), strict=True)), data["doubts"]
    return tuple(
        PaperFigure(
            **{
                **figure,
                "sources": tuple(tables[key] for key in figure["sources"]),
                "doubts": tuple(doubts[key] for key in figure["doubts"]),
            }
        )
        for figure in data["figures"]
    )


def sources() -> tuple[Source, ...]:
    """All tables: CLAP first, then the models that came after it."""
    return tuple(Source(**source) for source in _data()["sources"].values())


def find(
    *,
    system: str | None = None,
    variant: str | None = None,
    task: str | None = None,
    dataset: str | None = None,
    subset: str | None = None,
    split: str | None = None,
    metric: str | None = None,
    missing_ok: bool = False,
) -> list[PaperFigure]:
    """The figures that fit every name given.

    Names are compared without case, spaces and signs (`"esc50"` is `"ESC-50"`); `""` stands for "none", so that
    `variant=""` gives the released form of a system and leaves its ablations out.

    Args:
        system, variant, task, dataset, subset, split, metric (`str`, *optional*):
            Names as in [`PaperFigure`]; `None` is any.
        missing_ok (`bool`, defaults to `False`):
            Give an empty list for a name that no figure has, as a long job wants it, instead of raising.

    Returns:
        `list[PaperFigure]`, sorted by id; empty when the names are known but no figure has them together.

    Raises:
        `ValueError`: for a name that no figure has, with those that come close.

    Example:
    ```python
    >>> [figure.value for figure in find(system="CLAP 23", task="zero-shot", dataset="esc50", metric="accuracy")]
    [0.939]
    >>> find(system="CLAP 32")
    Traceback (most recent call last):
    ...
    ValueError: No reported figure has the system 'CLAP 32'. Did you mean CLAP 23, ...

    ```
    """
    wanted = dict(zip(NAMES, (system, variant, task, dataset, subset, split, metric), strict=True))
    found = list(load())
    for field, name in wanted.items():
        if name is None:
            continue
        key = _key(name)
        if not missing_ok and key not in {_key(known) for known in _names(field)} | {""}:
            raise ValueError(_unknown(field, name))
        found = [figure for figure in found if _key(getattr(figure, field) or "") == key]
    return found


def difference(measured: float, row: PaperFigure, unit: Unit = "fraction") -> PaperDifference:
    """Compare a measured number with a reported one.

    Args:
        measured (`float`): The measured number.
        row (`PaperFigure`): The reported one.
        unit (`"fraction"` or `"percent"`, defaults to `"fraction"`):
            Unit of `measured`, which is brought to that of `row`.

    Raises:
        `ValueError`: for a number that cannot be one of the metric in that unit.

    Example:
    ```python
    >>> (row,) = find(system="Mellow", variant="", dataset="MMAU", subset="average", split="test")
    >>> print(difference(0.5, row))
    MMAU average test, accuracy: reported 52.11 % (Mellow), measured 50 %, difference -2.11 %

    ```
    """
    if unit not in ("fraction", "percent"):
        raise ValueError(f"The unit is {unit!r}; it has to be 'fraction' or 'percent'.")
    whole = _whole(unit)
    largest = _LARGEST.get(row.metric, 1.0) * whole
    # NaN fails the comparison too; the margin is for means that are a rounding step above the whole
    if not 0 <= measured <= largest * (1 + 1e-6):
        hint = " Is it in per cent? Then say unit='percent'." if unit == "fraction" and 0 <= measured <= 100 else ""
        raise ValueError(f"{measured} is no {row.metric}: as a {unit} it lies between 0 and {largest:g}.{hint}")
    same = measured if unit == row.unit else measured / whole * _whole(row.unit)
    # 12 digits: 0.939 - 0.826 shall be 0.113
    return PaperDifference(row, same, round(same - row.value, 12))


@functools.cache
def _data() -> dict[str, Any]:
    return json.loads((files(__package__) / "paper_results.json").read_text(encoding="utf-8"))


def _whole(unit: Unit) -> float:
    return 100.0 if unit == "percent" else 1.0


@functools.cache
def _key(name: str) -> str:
    plain = "".join(sign for sign in name.lower() if sign.isalnum())
    return _ALIASES.get(plain, plain)


def _names(field: str) -> list[str]:
    return sorted({name for figure in load() if (name := getattr(figure, field))})


def _unknown(field: str, name: str) -> str:
    known = _names(field)
    keys = {_key(other): other for other in known}
    near = [key for key in keys if _key(name) in key] or difflib.get_close_matches(_key(name), keys, 3)
    close = [keys[key] for key in near]
    hint = f"Did you mean {', '.join(close)}? " if close else ""
    return f"No reported figure has the {field} {name!r}. {hint}Known: {', '.join(known)}."


def common_doubts(figures: Iterable[PaperFigure]) -> list[str]:
    """The doubts that all the figures share, in their order."""
    all_doubts = [figure.doubts for figure in figures]
    return [doubt for doubt in all_doubts[0] if all(doubt in others for others in all_doubts)] if all_doubts else []
