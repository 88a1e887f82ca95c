"""Figures of matplotlib: imported when one is drawn, and made outside of pyplot."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, GREY, PALE = "#2563a8", "#6b7280", "#e5e7eb"
COLOURS = ("#9db7d5", "#2563a8", "#e08a1e", "#2e8b57", "#8a5aa8", "#b3423a", "#6b7280")
_LONGEST = 46  # letters of a name


@dataclass(frozen=True)
class Point:
    """
    A figure in a picture.

    Args:
        value (`float`): The figure.
        low, high (`float`, *optional*): Ends of its interval.
    """

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def reach(self) -> tuple[float, float]:
        """How far the interval goes below and above the figure; nothing where there is none."""
        if self.low is None or self.high is None:
            return 0.0, 0.0
        return max(0.0, self.value - self.low), max(0.0, self.high - self.value)


def new_figure(width: float, height: float) -> "Figure":
    """
    A figure outside of pyplot, which is not made for threads.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Pictures need matplotlib (the extra `demo`): run `pip install matplotlib`.") from error
    return Figure(figsize=(width, height), layout="constrained", dpi=100)


def plain(name: str, longest: int = _LONGEST) -> str:
    """Of no more letters than that, and no formula, which a dollar sign would begin."""
    return (name if len(name) <= longest else f"{name[: longest - 3]}...").replace("$", r"\$")


def grouped_bars(
    groups: Sequence[tuple[str, str, Mapping[str, Point]]], title: str, *, y_name: str = "per cent"
) -> "Figure":
    """
    Upright bars side by side, as the slides have them; groups of one heading stand together below it.

    Args:
        groups: Heading, name and the figures of each group, by the name of the bar.
        title (`str`): Of the picture.
        y_name (`str`): What the height is.

    Raises:
        ValueError: there is nothing to draw.
        ImportError: matplotlib is not installed.
    """
    names = list(dict.fromkeys(name for _, _, bars in groups for name in bars))
    if not names:
        raise ValueError(f"There is nothing to draw in {title!r}.")
    figure = new_figure(max(6.0, 1.6 + 0.32 * len(groups) * (len(names) + 1)), 4.4)
    axis = figure.subplots()
    wide = 0.84 / len(names)
    for place, name in enumerate(names):
        at = [i + wide * (place - (len(names) - 1) / 2) for i, (_, _, bars) in enumerate(groups) if name in bars]
        points = [bars[name] for _, _, bars in groups if name in bars]
        reach = list(zip(*(point.reach for point in points), strict=True))
        colour = COLOURS[place % len(COLOURS)]
        axis.bar(at, [point.value for point in points], wide * 0.94, color=colour, label=plain(name))
        axis.errorbar(at, [point.value for point in points], reach, fmt="none", ecolor="#24292f", elinewidth=1)
    turned: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if len(groups) > 4 else {}
    axis.set_xticks(range(len(groups)), [plain(name) for _, name, _ in groups], **turned)
    _headings(axis, [heading for heading, _, _ in groups])
    axis.set_title(_wrapped(title, figure), pad=22)
    axis.set(ylabel=y_name, xlim=(-0.6, len(groups) - 0.4))
    _finish(axis, "y")
    figure.legend(loc="outside lower center", ncols=min(4, len(names)), frameon=False)
    return figure


def curves(
    lines: Mapping[str, Sequence[tuple[float, Point]]],
    title: str,
    *,
    levels: Mapping[str, Point] | None = None,
    x_name: str = "",
    y_name: str = "per cent",
    log: bool = False,
) -> "Figure":
    """
    Lines with a band around them, and levels that are the same all along.

    Args:
        lines: Points `(x, figure)` of each line, by its name.
        title (`str`): Of the picture.
        levels: Figures that stand as dashed lines, by name.
        x_name, y_name (`str`): What the axes are.
        log (`bool`): Whether x grows by factors.

    Raises:
        ValueError: there is nothing to draw.
        ImportError: matplotlib is not installed.
    """
    if not any(lines.values()):
        raise ValueError(f"There is nothing to draw in {title!r}.")
    figure = new_figure(7.0, 4.4)
    axis = figure.subplots()
    for number, (name, points) in enumerate(lines.items()):
        colour = COLOURS[(number + 1) % len(COLOURS)]
        x, found = [at for at, _ in points], [point for _, point in points]
        axis.plot(x, [point.value for point in found], color=colour, marker="o", markersize=5, label=plain(name))
        low, high = ([point.value + sign * point.reach[end] for point in found] for end, sign in ((0, -1), (1, 1)))
        axis.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
    for number, (name, point) in enumerate((levels or {}).items()):
        axis.axhline(point.value, color=GREY, linestyle=("--", ":", "-.")[number % 3], label=plain(name))
    if log:
        axis.set_xscale("log")
        at = sorted({x for points in lines.values() for x, _ in points})
        axis.set_xticks(at, [f"{x:g}" for x in at])
        axis.minorticks_off()
    axis.set(title=_wrapped(title, figure), xlabel=x_name, ylabel=y_name)
    _finish(axis, "both")
    axis.legend(frameon=False)
    return figure


def dots(
    rows: Sequence[tuple[str, str, Point]], title: str, *, line: float | None = None, x_name: str = "per cent"
) -> "Figure":
    """
    A row for each figure with its interval; rows of one kind share a colour.

    Args:
        rows: Kind, name and figure, from top to bottom.
        title (`str`): Of the picture.
        line (`float`, *optional*): An upright line to compare with.
        x_name (`str`): What is measured.

    Raises:
        ValueError: there is nothing to draw.
        ImportError: matplotlib is not installed.
    """
    if not rows:
        raise ValueError(f"There is nothing to draw in {title!r}.")
    kinds = list(dict.fromkeys(kind for kind, _, _ in rows))
    figure = new_figure(8.0, 1.5 + 0.3 * len(rows))
    axis = figure.subplots()
    for number, kind in enumerate(kinds):
        own = [(place, point) for place, (each, _, point) in enumerate(rows) if each == kind]
        reach = list(zip(*(point.reach for _, point in own), strict=True))
        axis.errorbar(
            [point.value for _, point in own],
            [place for place, _ in own],
            xerr=reach,
            fmt="o",
            color=COLOURS[(number + 1) % len(COLOURS)],
            label=plain(kind) or None,
        )
    if line is not None:
        axis.axvline(line, color=GREY, linestyle="--", linewidth=1)
    axis.set_yticks(range(len(rows)), [plain(name) for _, name, _ in rows])
    axis.set(title=_wrapped(title, figure), xlabel=x_name, ylim=(len(rows) - 0.5, -0.5))
    _finish(axis, "x")
    if len(kinds) > 1:
        figure.legend(loc="outside lower center", ncols=min(4, len(kinds)), frameon=False)
    return figure


def per_cent(value: float, interval: Sequence[float] | None = None) -> Point:
    """A fraction as a figure in per cent, with its interval."""
    if not interval or not all(map(math.isfinite, interval)):
        return Point(100 * value)
    return Point(100 * value, 100 * interval[0], 100 * interval[1])


def _wrapped(title: str, figure: "Figure") -> str:
    """A title in lines that fit into the picture."""
    return textwrap.fill(plain(title, 200), max(30, round(8.5 * figure.get_figwidth())))


def _headings(axis: Any, headings: Sequence[str]) -> None:
    """A line and a name over the groups of each heading."""
    starts = [i for i, heading in enumerate(headings) if not i or heading != headings[i - 1]]
    for start, end in zip(starts, [*starts[1:], len(headings)], strict=True):
        if start:
            axis.axvline(start - 0.5, color=PALE)
        transform = axis.get_xaxis_transform()
        name = plain(headings[start], max(8, 13 * (end - start)))
        axis.text((start + end - 1) / 2, 1.02, name, transform=transform, ha="center", fontsize=8, color=GREY)


def _finish(axis: Any, grid: str) -> None:
    axis.grid(axis=grid, alpha=0.3)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


__all__ = ["BLUE", "GREY", "PALE", "Point", "curves", "dots", "grouped_bars", "new_figure", "per_cent", "plain"]
