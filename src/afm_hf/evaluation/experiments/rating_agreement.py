"""What raters said: how far they agree, and how each system was rated, with intervals over the items."""

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..bootstrap import bootstrap_interval, paired_bootstrap
from ..metrics.agreement import agreement, by_rater_and_item
from ..report.figures import Point, grouped_bars
from .rating_sheet import CRITERIA, MOST
from .results import ExperimentResult, Row, check_output, write_experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "rating-agreement"
NAMES = tuple(each[0] for each in CRITERIA)


@dataclass(frozen=True)
class Rating:
    """
    A number that a rater gave.

    Args:
        rater, criterion (`str`): Who, and for what.
        text, item, system (`str`): The text by its name on the sheet; what it is about, and who wrote it.
        value (`int`): 1 to 5.
    """

    rater: str
    criterion: str
    text: str
    item: str
    system: str
    value: int


def rating_agreement(
    sheets: Sequence[str | os.PathLike[str]],
    key: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    level: str = "ordinal",
    draws: int = 1000,
    seed: int = 0,
) -> ExperimentResult:
    """
    Agreement and mean ratings of filled sheets.

    Args:
        sheets: The raters' CSV files, as the page saves them or filled in by hand; of one sheet.
        key: Its `key.csv`.
        folder: Gets table and picture.
        level (`str`): What the ratings are for Krippendorff's alpha, see [`krippendorff_alpha`].
        draws, seed (`int`): Of the bootstrap over the items.

    Returns:
        A row for each criterion and system: `value`, the mean from 1 to 5 with its interval; `change` from the first
        system on the same items; `alpha` of the criterion with its interval.

    Raises:
        ValueError: a file is no filled sheet or of another one, a rating is no whole number from 1 to 5, a rater or a
            text comes twice, or nothing is rated.
        ImportError: matplotlib is not installed.
    """
    check_output(folder)
    texts = _read_key(key)
    rated = [each for path in sheets for each in _read_sheet(Path(path), texts)]
    raters = list(dict.fromkeys(each.rater for each in rated))
    if not rated:
        raise ValueError(f"There is no rating in {', '.join(map(str, sheets))}.")
    result = ExperimentResult(experiment=NAME, rows=[], settings={"level": level, "draws": draws, "seed": seed})
    result.settings |= {"raters": raters, "sheet": next(iter(texts.values()))["sheet"]}
    systems = list(dict.fromkeys(entry["system"] for entry in sorted(texts.values(), key=lambda one: one["system"])))
    for criterion in NAMES:
        own = [each for each in rated if each.criterion == criterion]
        if own:
            result.rows += _rows(criterion, own, systems, level, draws, seed, result)
    _say_how_much_is_missing(rated, texts, raters, result)
    write_experiment(result, folder, lambda: picture(result))
    return result


def _rows(
    criterion: str, rated: Sequence[Rating], systems: Sequence[str], level: str, draws: int, seed: int,
    result: ExperimentResult,
) -> list[Row]:  # fmt: skip
    found: dict[str, Any] = {"alpha": None, "alpha_low": None, "alpha_high": None}
    if len({each.rater for each in rated}) > 1:
        _, _, table = by_rater_and_item([(each.rater, each.text, each.value) for each in rated])
        if (np.isfinite(table).sum(axis=0) > 1).any():
            agreed = agreement(table, level, resamples=draws, seed=seed)
            found = {"alpha": agreed.alpha, "alpha_low": agreed.low, "alpha_high": agreed.high}
            found = {name: value if np.isfinite(value) else None for name, value in found.items()}
            alpha = "not defined, all ratings are the same" if found["alpha"] is None else f"{agreed.alpha:.3f}"
            spread = "" if found["alpha_low"] is None else f" [{agreed.low:.3f}, {agreed.high:.3f}]"
            result.said.append(
                f"{criterion}: Krippendorff's alpha ({level}) {alpha}{spread}; {agreed.raters} raters, {agreed.count} "
                f"texts rated by two or more; the same {100 * agreed.exact:.0f} %, at most 1 apart "
                f"{100 * agreed.near:.0f} %"
            )
    rows, first = [], None
    for system in systems:
        means = _means(rated, system)
        if not means:
            continue
        values = list(means.values())
        row: Row = {"criterion": criterion, "system": system, "metric": f"mean, 1 to {MOST}"}
        row |= {"value": float(np.mean(values)), "low": None, "high": None}
        row |= {"items": len(values), "ratings": sum(each.system == system for each in rated), **found}
        if len(values) > 1 and draws:
            interval = bootstrap_interval(values, resamples=draws, seed=seed)
            row |= {"low": interval.low, "high": interval.high}
        if first is None:
            first = means
        else:
            row |= _change(means, first, draws, seed)
        rows.append(row)
    return rows


def _means(rated: Sequence[Rating], system: str) -> dict[str, float]:
    """Of each item the mean over the raters."""
    by_item: dict[str, list[int]] = {}
    for each in rated:
        if each.system == system:
            by_item.setdefault(each.item, []).append(each.value)
    return {item: float(np.mean(values)) for item, values in by_item.items()}


def _change(means: dict[str, float], first: dict[str, float], draws: int, seed: int) -> Row:
    both = [item for item in means if item in first]
    if len(both) < 2 or not draws:
        return {}
    pair = ([means[item] for item in both], [first[item] for item in both])
    found = paired_bootstrap(*pair, resamples=draws, seed=seed)
    return {"change": found.difference, "change_low": found.low, "change_high": found.high, "p_value": found.p_value}


def _say_how_much_is_missing(
    rated: Sequence[Rating], texts: dict[str, dict[str, str]], raters: Sequence[str], result: ExperimentResult
) -> None:
    wanted = len(texts) * len(NAMES)
    for rater in raters:
        lacking = wanted - sum(each.rater == rater for each in rated)
        if lacking:
            result.notes.append(f"{rater} has left {lacking} of {wanted} ratings out")


def _read_key(path: str | os.PathLike[str]) -> dict[str, dict[str, str]]:
    rows = _read_rows(Path(path))
    needed = {"sheet", "id", "system", "item"}
    if not rows or not needed <= set(rows[0]):
        raise ValueError(f"{path} is no key of a sheet: expected the columns {', '.join(sorted(needed))}.")
    return {row["id"]: {name: _as_written(row[name] or "") for name in needed} for row in rows}


def _read_sheet(path: Path, texts: dict[str, dict[str, str]]) -> list[Rating]:
    rows = _read_rows(path)
    needed = ["sheet", "rater", "id", *NAMES]
    if not rows or not set(needed) <= set(rows[0]):
        raise ValueError(f"{path} is no filled sheet: expected the columns {', '.join(needed)}.")
    known = next(iter(texts.values()))["sheet"]
    found: list[Rating] = []
    seen: set[str] = set()
    for number, row in enumerate(rows, 2):
        where = f"{path}, line {number}"
        text = (row["id"] or "").strip()
        if (row["sheet"] or "").strip() != known or text not in texts:
            raise ValueError(f"{where}: the text {text!r} of sheet {row['sheet']!r} is not in the key, of {known!r}.")
        if text in seen:
            raise ValueError(f"{where}: the text {text!r} comes twice.")
        seen.add(text)
        rater = _as_written((row["rater"] or "").strip()) or path.stem
        about = texts[text]
        for criterion in NAMES:
            value = (row[criterion] or "").strip()
            if value:
                given = _number(value, f"{where}, {criterion}")
                found.append(Rating(rater, criterion, text, about["item"], about["system"], given))
    return found


def _number(value: str, where: str) -> int:
    if value not in {str(number) for number in range(1, MOST + 1)}:
        raise ValueError(f"{where}: the rating is {value!r}; expected a whole number from 1 to {MOST}, or nothing.")
    return int(value)


def _as_written(cell: str) -> str:
    """Without the mark that keeps a spreadsheet from reading a formula."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in ("=", "+", "-", "@") else cell


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a CSV, with commas or semicolons, as spreadsheets write them."""
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no CSV in UTF-8; save it as one.") from None
    first = content.partition("\n")[0]
    sign = ";" if first.count(";") > first.count(",") else ","
    return list(csv.DictReader(content.splitlines(keepends=True), delimiter=sign))


def picture(result: ExperimentResult) -> "Figure":
    """Bars of the systems side by side, criterion by criterion."""
    groups: dict[str, dict[str, Point]] = {}
    for row in result.rows:
        groups.setdefault(row["criterion"], {})[row["system"]] = Point(row["value"], row["low"], row["high"])
    people = len(result.settings["raters"])
    title = f"Ratings of {people} rater{'s' * (people > 1)}, 95 % interval over the items"
    return grouped_bars([("", name, bars) for name, bars in groups.items()], title, y_name=f"mean rating, 1 to {MOST}")


__all__ = ["Rating", "picture", "rating_agreement"]
