"""
PAM against human ratings: scores of audio files, and how they go together with what listeners said.

The correlation study of Deshmukh et al., "PAM" (Interspeech 2024, arXiv 2402.00282). Its ratings come as `scores.csv`
with the columns Model, File Name, OVL (overall quality) and REL (relevance to the text), beside one folder of WAV files
for each model; the released script prints Pearson's correlation for each model. Added are Spearman, Kendall, intervals,
all files together, and the means of the systems.
"""

import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...data.tables import TableRow, header, read_rows
from ...models.common.results_afm import AfmResult
from ...pipelines.audio_files import AUDIO_SUFFIXES, in_batches, read_batches
from ...pipelines.pipeline_audio_quality_assessment import SEGMENTS, AudioQuality, AudioQualityAssessmentPipeline
from ..metrics.correlation import Correlation, correlate

RATINGS = ("OVL", "REL")
FILE, SYSTEM = "File Name", "Model"


@dataclass(frozen=True)
class RatedClip:
    """
    A clip and what people think of it.

    Attributes:
        file: Its absolute path.
        system: What made it; None if that is not known.
        ratings: Mean rating by name.
    """

    file: str
    system: str | None
    ratings: dict[str, float]


@dataclass(kw_only=True)
class QualityEvaluation(AfmResult):
    """
    Scores and ratings.

    Args:
        correlations (`list[dict]`):
            For every rating a row over all `"clips"`, over the means of the `"systems"`, and over the clips of each
            system: `{"rating", "over", "system", "correlation"}`. Fewer than three pairs make no row.
        clips (`list[dict]`): `{"file", "system", "score", "ratings"}` of each clip that could be used.
        skipped (`dict[str, str]`): Path and reason of the others.
    """

    correlations: list[dict[str, Any]]
    clips: list[dict[str, Any]]
    skipped: dict[str, str]

    def correlation(self, rating: str, over: str = "clips", system: str | None = None) -> Correlation:
        """
        One of the correlations.

        Raises:
            KeyError: there is none like it.
        """
        for row in self.correlations:
            if (row["rating"], row["over"], row["system"]) == (rating, over, system):
                return row["correlation"]
        known = sorted({row["rating"] for row in self.correlations})
        raise KeyError(f"There is no correlation of {rating!r} over {over!r} (system {system!r}); ratings are {known}.")


def score_files(
    assess: AudioQualityAssessmentPipeline,
    paths: Sequence[str],
    *,
    prompts: Any = None,
    segments: str = "all",
    batch_size: int = 8,
    num_workers: int = 0,
) -> Iterator[tuple[str, AudioQuality | str]]:
    """
    Each file with its quality, in order; for a file that cannot be used the reason stands in its place.

    Args:
        assess: The pipeline.
        paths: The files.
        prompts, segments: As of the pipeline.
        batch_size, num_workers: Files per forward pass; processes that decode.
    """
    if segments not in SEGMENTS:
        raise ValueError(f"`segments` is {segments!r}; expected 'all' or 'first'.")
    batches = in_batches(paths, batch_size)
    read = read_batches(assess.feature_extractor, batches, SEGMENTS[segments], num_workers)
    for asked, batch in zip(batches, read, strict=True):
        options = {"prompts": prompts, "segments": segments}
        scored = assess.score_features(batch.features, **options) if batch.features is not None else iter(())
        for path in asked:
            yield path, (batch.failures[path] if path in batch.failures else next(scored))


def read_ratings(
    path: str | os.PathLike[str],
    audio: str | os.PathLike[str] | None = None,
    *,
    file_column: str = FILE,
    system_column: str = SYSTEM,
    rating_columns: Sequence[str] | None = None,
) -> list[RatedClip]:
    """
    Rated clips of a CSV file (or JSON, JSON Lines).

    A name in the table is looked for as `system/name`, then as `name`, with `.wav` added where it has no suffix of an
    audio format; a clip that lies nowhere is kept, so that the evaluation can name it. A clip in several rows (one
    for each listener) gets the mean of its ratings.

    Args:
        path: The table.
        audio: Folder of the clips; the table's own if not given.
        file_column, system_column: Columns with the clip's name and what made it (the latter may be absent).
        rating_columns: Columns with ratings; those of `"OVL"` and `"REL"` that there are, if not given.

    Raises:
        ValueError: a column is absent, or a rating is no number; the message names the line.
    """
    table = Path(path)
    columns = header(table)
    wanted = list(rating_columns or [name for name in RATINGS if name in columns])
    if not wanted:
        raise ValueError(
            f"{table} has the columns {columns}, but none of the usual ratings {list(RATINGS)}. Name those that hold "
            "ratings (`rating_columns`, --rating)."
        )
    needed = [file_column, *wanted] + ([system_column] if system_column != SYSTEM else [])
    folder = Path(audio) if audio is not None else table.parent
    found: dict[tuple[str, str | None], list[dict[str, float]]] = {}
    for row in read_rows(table, needed):
        system = row.text(system_column) or None
        file = _find_clip(folder, system, row.needed(file_column))
        found.setdefault((file, system), []).append({name: _number(row, name) for name in wanted})
    if not found:
        raise ValueError(f"{table} holds no ratings.")
    return [
        RatedClip(file, system, {name: math.fsum(row[name] for row in rows) / len(rows) for name in wanted})
        for (file, system), rows in found.items()
    ]


def evaluate_quality(
    assess: AudioQualityAssessmentPipeline,
    rated: Sequence[RatedClip],
    *,
    prompts: Any = None,
    segments: str = "all",
    batch_size: int = 8,
    num_workers: int = 0,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    progress: bool = False,
) -> QualityEvaluation:
    """
    Scores rated clips and correlates the scores with the ratings.

    Args:
        assess: The pipeline.
        rated: The clips; see [`read_ratings`].
        prompts, segments: As of the pipeline. `segments="first"` is the paper's set-up.
        batch_size, num_workers: Files per forward pass; processes that decode.
        resamples, confidence, seed: Of the bootstrap intervals; see [`correlate`].
        progress: Show a progress bar on stderr, and name files there that cannot be used.

    Raises:
        ValueError: fewer than three clips can be used.
    """
    from tqdm import tqdm

    clips: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    settings: dict[str, Any] = {}
    paths = list(dict.fromkeys(clip.file for clip in rated))
    how: dict[str, Any] = {
        "prompts": prompts,
        "segments": segments,
        "batch_size": batch_size,
        "num_workers": num_workers,
    }
    scores: dict[str, float] = {}
    with tqdm(total=len(paths), unit="file", desc="scoring", leave=False, disable=None if progress else True) as bar:
        for path, result in score_files(assess, paths, **how):
            bar.update()
            if isinstance(result, str):
                skipped[path] = result
                if progress:
                    bar.write(f"skipped {path}: {result}", file=sys.stderr)
                continue
            scores[path], settings = result.score, result.settings
    for clip in rated:
        if clip.file in scores:
            clips.append(
                {"file": clip.file, "system": clip.system, "score": scores[clip.file], "ratings": clip.ratings}
            )
    if len(clips) < 3:
        reasons = "; ".join(f"{path}: {reason}" for path, reason in list(skipped.items())[:3])
        raise ValueError(
            f"A correlation needs 3 clips or more, but {len(clips)} of {len(rated)} can be used ({reasons})."
        )
    bootstrap = {"resamples": resamples, "confidence": confidence, "seed": seed}
    return QualityEvaluation(
        correlations=_correlations(clips, bootstrap), clips=clips, skipped=skipped, settings={**settings, **bootstrap}
    )


def _correlations(clips: Sequence[Mapping[str, Any]], bootstrap: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows over clips, systems and within each system."""
    systems: dict[str, list[Mapping[str, Any]]] = {}
    for clip in clips:
        if clip["system"] is not None:
            systems.setdefault(clip["system"], []).append(clip)
    rows = []
    for rating in clips[0]["ratings"]:

        def add(over: str, system: str | None, pairs: list[tuple[float, float]], rating: str = rating) -> None:
            if len(pairs) >= 3:
                found = correlate(*zip(*pairs, strict=True), **bootstrap)
                rows.append({"rating": rating, "over": over, "system": system, "correlation": found})

        pairs = {name: _pairs(members, rating) for name, members in systems.items()}
        add("clips", None, _pairs(clips, rating))
        add("systems", None, [_mean_pair(members) for members in pairs.values()])
        for name, members in pairs.items():
            add("clips", name, members)
    return rows


def _pairs(clips: Sequence[Mapping[str, Any]], rating: str) -> list[tuple[float, float]]:
    return [(clip["score"], clip["ratings"][rating]) for clip in clips]


def _mean_pair(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return tuple(math.fsum(side) / len(pairs) for side in zip(*pairs, strict=True))  # type: ignore[return-value]


def _find_clip(folder: Path, system: str | None, name: str) -> str:
    """Where a clip of that name lies; where it should lie, if it lies nowhere."""
    names = [name] if Path(name).suffix.lower() in AUDIO_SUFFIXES else [f"{name}.wav", name]
    places = [folder / system, folder] if system else [folder]
    candidates = [place / name for place in places for name in names]
    return os.path.abspath(next((path for path in candidates if path.is_file()), candidates[0]))


def _number(row: TableRow, column: str) -> float:
    value = row.fields[column]
    try:
        number = float(str(value).strip())
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{row.source}: `{column}` is {value!r}; expected a number.")
    return number
