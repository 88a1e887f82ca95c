"""Plots of a report as SVG text, drawn by hand: no library, no script, no network, and small enough to commit."""

import html
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

MARKS = {"trivial": "line", "shuffled audio": "cross"}  # all others are diamonds
_CHARACTER = 6.7  # px of 12 px text, on the safe side
_ROW, _WIDTH, _LONGEST = 22, 940, 44
_STYLE = """<style>
.afm-p{fill:#fff}.afm-t{fill:#24292f;font:12px system-ui,sans-serif}.afm-s{fill:#6a737d;font:11px system-ui,sans-serif}
.afm-b{fill:#4c8bd0}.afm-o{fill:#b4c0cc}.afm-w{stroke:#24292f;stroke-width:1.3;fill:none}.afm-g{stroke:#d8dee4;fill:none}
.afm-line{stroke:#c0392b;stroke-width:2.2}.afm-cross{stroke:#b8720a;stroke-width:2.2;fill:none}
.afm-diamond{fill:#2e8b57}.afm-l{stroke:#4c8bd0;stroke-width:2;fill:none}.afm-c{fill:#4c8bd0}
@media(prefers-color-scheme:dark){.afm-p{fill:#161b22}.afm-t{fill:#e6edf3}.afm-s{fill:#9198a1}.afm-w{stroke:#e6edf3}
.afm-g{stroke:#30363d}.afm-o{fill:#57606a}.afm-line{stroke:#ff7b72}.afm-cross{stroke:#e3a33b}.afm-diamond{fill:#56d364}}
</style>"""


@dataclass(frozen=True)
class Bar:
    """
    A row of [`bars`].

    Args:
        label (`str`): What it is.
        value (`float`): Length of the bar.
        interval (`tuple[float, float]`, *optional*): Ends of the whisker.
        marks (`dict[str, float]`): Other figures on the row, by name; see [`MARKS`] for their shapes.
        note (`str`): Small text after the figure.
        soft (`bool`): Paler, as what is compared with.
    """

    label: str
    value: float
    interval: tuple[float, float] | None = None
    marks: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    soft: bool = False


def clean(text: object) -> str:
    """One line of text without characters that XML forbids or that turn the direction of reading."""
    line = re.sub(r"\s+", " ", str(text)).strip()
    return re.sub("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]", "\ufffd", line)


def bars(rows: Sequence[Bar], title: str) -> str:
    """
    Horizontal bars with whiskers and marks, and a legend of the marks.

    Args:
        rows: The bars, from top to bottom.
        title (`str`): For readers who cannot see the plot.

    Raises:
        ValueError: there is no bar with a figure.
    """
    shown = [row for row in rows if math.isfinite(row.value)]
    if not shown:
        raise ValueError(f"The plot {title!r} has no row with a figure.")
    numbers = [n for row in shown for n in (row.value, *(row.interval or ()), *row.marks.values()) if math.isfinite(n)]
    low, high = min(0.0, *numbers), _above(max(numbers))
    left = 14 + _CHARACTER * max(len(_short(row.label)) for row in shown)
    right = _WIDTH - 70 - 6.2 * max(len(row.note) for row in shown)

    def x(number: float) -> float:
        return round(left + (right - left) * (number - low) / (high - low), 1)

    names = dict.fromkeys(name for row in shown for name in row.marks)
    top = 26 if names else 6
    bottom = top + _ROW * len(shown)
    parts = [_legend(names, left)] if names else []
    parts += [_tick(x(at), top, bottom, at) for at in _ticks(low, high)]
    for i, row in enumerate(shown):
        parts.append(_bar(row, x, top + _ROW * i, right))
    return _svg(_WIDTH, bottom + 20, "".join(parts), title)


def heatmap(labels: Sequence[str], matrix: Sequence[Sequence[float]], title: str) -> str:
    """
    A confusion matrix: rows are true labels, and each row is shaded by its shares.

    Args:
        labels: Names of rows and columns.
        matrix: `(labels, labels)`.
        title (`str`): For readers who cannot see the plot.

    Raises:
        ValueError: the matrix is not square or does not fit the labels.
    """
    if len(matrix) != len(labels) or any(len(row) != len(labels) for row in matrix):
        raise ValueError(
            f"The confusion matrix has {len(matrix)} rows for {len(labels)} labels; expected as many rows and columns."
        )
    cell = 26 if len(labels) <= 12 else 15
    margin = round(12 + _CHARACTER * max((len(_short(label)) for label in labels), default=1))
    size = cell * len(labels)
    parts = [f'<rect class="afm-g" x="{margin}" y="{margin}" width="{size}" height="{size}"/>']
    for i, (label, row) in enumerate(zip(labels, matrix, strict=True)):
        at, name = margin + cell * i + cell / 2, html.escape(_short(label))
        parts.append(f'<text class="afm-t" x="{margin - 6}" y="{at + 4}" text-anchor="end">{name}</text>')
        turned = f"translate({at + 4},{margin - 6}) rotate(-90)"
        parts.append(f'<text class="afm-t" transform="{turned}">{name}</text>')
        whole = sum(row)
        for j, count in enumerate(row):
            if count:
                place = (
                    f'x="{margin + cell * j + 1}" y="{margin + cell * i + 1}" width="{cell - 2}" height="{cell - 2}"'
                )
                said = html.escape(f"{clean(label)} taken for {clean(labels[j])}: {count:g} of {whole:g}")
                shade = max(0.15, count / whole)
                parts.append(f'<rect class="afm-c" {place} opacity="{shade:.2f}"><title>{said}</title></rect>')
    return _svg(margin + size + 12, margin + size + 12, "".join(parts), title)


def curve(lines: Mapping[str, Sequence[tuple[float, float]]], title: str, *, x_name: str = "", y_name: str = "") -> str:
    """
    Points that are joined, as the entropy at each step.

    Args:
        lines: Points `(x, y)` of each line, by its name.
        title (`str`): For readers who cannot see the plot.
        x_name, y_name (`str`): What the axes are.

    Raises:
        ValueError: there are no points.
    """
    found = {name: [p for p in points if all(map(math.isfinite, p))] for name, points in lines.items()}
    every = [point for points in found.values() for point in points]
    if not every:
        raise ValueError(f"The plot {title!r} has no points.")
    (x_low, x_high), (y_low, y_high) = (_range([p[i] for p in every]) for i in (0, 1))
    left, top, width, height = 64, 14, _WIDTH - 380, 220

    def place(point: tuple[float, float]) -> tuple[float, float]:
        return (
            round(left + width * (point[0] - x_low) / (x_high - x_low), 1),
            round(top + height * (1 - (point[1] - y_low) / (y_high - y_low)), 1),
        )

    parts = []
    for at in _ticks(y_low, y_high):
        y = place((x_low, at))[1]
        parts.append(f'<path class="afm-g" d="M{left} {y}H{left + width}"/>')
        parts.append(f'<text class="afm-s" x="{left - 6}" y="{y + 4}" text-anchor="end">{at:g}</text>')
    for at in _ticks(x_low, x_high):
        x = place((at, y_low))[0]
        parts.append(f'<text class="afm-s" x="{x}" y="{top + height + 16}" text-anchor="middle">{at:g}</text>')
    for i, (name, points) in enumerate(found.items()):
        places = [place(point) for point in points]
        dash = f' stroke-dasharray="{2 + 3 * i} {3 * i}"' if i else ""
        way = "M" + "L".join(f"{x} {y}" for x, y in places)
        parts.append(f'<path class="afm-l" d="{way}"{dash}/>')
        parts += [f'<circle class="afm-c" cx="{x}" cy="{y}" r="3"/>' for x, y in places]
        if places:
            x, y = places[-1]
            parts.append(f'<text class="afm-t" x="{x + 8}" y="{y + 4}">{html.escape(_short(name, 26))}</text>')
    axes = html.escape(f"{clean(x_name)}  ·  up: {clean(y_name)}" if y_name else clean(x_name))
    parts.append(
        f'<text class="afm-s" x="{left + width / 2}" y="{top + height + 34}" text-anchor="middle">{axes}</text>'
    )
    return _svg(_WIDTH, top + height + 44, "".join(parts), title)


def _bar(row: Bar, x: Callable[[float], float], top: float, right: float) -> str:
    """One row: label, bar, whisker, marks, figure."""
    middle = top + _ROW / 2
    begin, end = sorted((x(0.0), x(row.value)))
    place = f'x="{begin}" y="{top + 5}" width="{max(1.0, end - begin):.1f}" height="{_ROW - 10}" rx="2"'
    parts = [
        f'<text class="afm-t" x="6" y="{middle + 4}">{html.escape(_short(row.label))}</text>',
        f'<rect class="afm-{"o" if row.soft else "b"}" {place}/>',
    ]
    if row.interval and all(map(math.isfinite, row.interval)):
        low, high = (x(end) for end in row.interval)
        ends = f"M{low} {middle - 4}v8M{high} {middle - 4}v8"
        parts.append(f'<path class="afm-w" d="M{low} {middle}H{high}{ends}"/>')
    for name, value in row.marks.items():
        if math.isfinite(value):
            parts.append(_mark(name, x(value), middle, value))
    note = f'<tspan class="afm-s"> {html.escape(clean(row.note))}</tspan>' if row.note else ""
    parts.append(f'<text class="afm-t" x="{right + 10:.1f}" y="{middle + 4}">{row.value:.3f}{note}</text>')
    return "".join(parts)


def _mark(name: str, x: float, y: float, value: float | None = None) -> str:
    """The sign of another figure; a mouse over it tells which."""
    shape = MARKS.get(name, "diamond")
    ways = {
        "line": f"M{x} {y - 9}v18",
        "cross": f"M{x - 4} {y - 4}l8 8m0 -8l-8 8",
        "diamond": f"M{x} {y - 5}l5 5l-5 5l-5 -5z",
    }
    said = "" if value is None else f"<title>{html.escape(clean(name))}: {value:.3f}</title>"
    return f'<path class="afm-{shape}" d="{ways[shape]}">{said}</path>'


def _legend(names: Iterable[str], left: float) -> str:
    parts = []
    for name in names:
        parts.append(_mark(name, left + 6, 12))
        parts.append(f'<text class="afm-s" x="{left + 16}" y="16">{html.escape(_short(name))}</text>')
        left += 34 + 6.2 * len(_short(name))
    return "".join(parts)


def _tick(x: float, top: float, bottom: float, at: float) -> str:
    text = f'<text class="afm-s" x="{x}" y="{bottom + 14}" text-anchor="middle">{at:g}</text>'
    return f'<path class="afm-g" d="M{x} {top}V{bottom}"/>{text}'


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers between the ends."""
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if (high - low) / (factor * step) <= 6)
    return [round(i * step, 10) for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _above(highest: float) -> float:
    """The end of an axis that starts at 0: 1 for fractions."""
    return 1.0 if highest <= 1 else highest * 1.05


def _range(values: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis, never the same."""
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _short(text: object, longest: int = _LONGEST) -> str:
    line = clean(text)
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _svg(width: float, height: float, body: str, title: str) -> str:
    """A whole picture, which can stand in a page or in a file of its own."""
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    name = html.escape(clean(title))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{name}">{_STYLE}'
        f'<rect class="afm-p" width="{width:g}" height="{height:g}"/>{body}</svg>'
    )
