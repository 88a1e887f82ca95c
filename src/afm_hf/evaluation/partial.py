"""
Whether what is evaluated is the whole of a benchmark.

Figures on twelve of fifty classes, or on the first hundred clips, look like those on all of them. Whatever is missing
is said beside the figures, and then no figure of a paper stands beside them.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ..data import ReadReport
from .task import Item

# The usual copies of some sets have a single damaged clip, which the papers' figures lack as well.
TOLERATED = 0.01


def labels_in(rows: Any) -> Counter[str]:
    """How many rows of a data set carry each label, of its column `label` or `labels`."""
    columns = getattr(rows, "column_names", None) or ()
    if "label" in columns:
        return Counter(str(label) for label in rows["label"] if label is not None)
    if "labels" in columns:
        return Counter(label for labels in rows["labels"] for label in labels or ())
    return Counter()


def labels_in_items(items: Iterable[Item]) -> set[str]:
    """The labels of items."""
    truths = [item.truth for item in items]
    single = {str(truth["label"]) for truth in truths if truth.get("label") is not None}
    return single or {label for truth in truths for label in truth.get("labels") or ()}


def check_labels(name: str, data_dir: str, found: Mapping[str, int], known: Collection[str]) -> None:
    """
    Checks that rows carry no labels but those that their data set has.

    Raises:
        ValueError: if some do: it is another data set, or a changed one.
    """
    strange = sorted(set(found) - set(known))
    if strange:
        shown = ", ".join(map(repr, strange[:5])) + (", ..." if len(strange) > 5 else "")
        raise ValueError(
            f"{sum(found[label] for label in strange)} rows of {data_dir} carry labels that {name!r} does not have: "
            f"{shown}. Is it that data set, unchanged? Your own clips are evaluated by --dataset folder or "
            "label-folders."
        )


def lacking_labels(found: Collection[str], known: Collection[str]) -> list[str]:
    """What to say of labels without a clip."""
    there = len(set(known) & set(found))
    return [f"{there} of {len(known)} labels occur"] if there < len(known) else []


def lacking_clips(report: ReadReport, wanted: int | None = None) -> list[str]:
    """
    What to say of clips that are not there.

    Args:
        report: Of the reader, before a task leaves out rows that it has no use for.
        wanted: How many clips the data set has, if that is known.
    """
    lost = sum(clip.rows for clip in (*report.missing, *report.broken))
    listed = report.kept + lost
    said = [f"{lost} of {listed} rows have no clip that can be used"] if lost > TOLERATED * listed else []
    rows = report.kept + report.skipped
    if wanted is not None and abs(rows - wanted) > TOLERATED * wanted:
        said.append(f"{rows} clips, of a data set that has {wanted}")
    return said


def lacking_predictions(count: int, failures: int) -> list[str]:
    """What to say of clips that could not be predicted."""
    every = count + failures
    return [f"{failures} of {every} clips could not be predicted"] if failures > TOLERATED * every else []


__all__ = [
    "check_labels",
    "labels_in",
    "labels_in_items",
    "lacking_clips",
    "lacking_labels",
    "lacking_predictions",
]
