"""`afm-hf quality`: how good files sound (PAM), and how that goes together with human ratings."""

import csv
import json
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import (
    FAILED,
    BatchOption,
    DeviceOption,
    Dtype,
    DtypeOption,
    FormatOption,
    ModelOption,
    OutputFormat,
    WorkersOption,
    dtype_for,
    errors_for_users,
    is_quiet,
    progress_bar,
    short_path,
)
from .kept import KeptOption, KeptResults, OverwriteOption, interrupted, kept_results

if TYPE_CHECKING:
    from ..evaluation.tasks.quality import QualityEvaluation
    from ..pipelines.pipeline_audio_quality_assessment import AudioQuality, AudioQualityAssessmentPipeline

STATISTICS = ("pearson", "spearman", "kendall")


class Segments(str, Enum):
    """What of a clip is scored."""

    ALL = "all"
    FIRST = "first"


def quality(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE...", help="Audio files, or folders of them.")
    ] = None,
    model: ModelOption = "clap-small",
    good: Annotated[
        list[str] | None, typer.Option(help="What good audio is like; repeatable.", show_default="as in the paper")
    ] = None,
    bad: Annotated[
        list[str] | None, typer.Option(help="Its opposite, once for each --good.", show_default="as in the paper")
    ] = None,
    segments: Annotated[Segments, typer.Option(help="The whole clip, or the paper's first segment.")] = Segments.ALL,
    per_segment: Annotated[bool, typer.Option("--per-segment", help="Show each segment in tables and CSV.")] = False,
    ratings: Annotated[
        Path | None, typer.Option(help="A CSV file of human ratings: print how the scores go together with them.")
    ] = None,
    rating: Annotated[
        list[str] | None, typer.Option(help="A column with ratings; repeatable.", show_default="OVL and REL")
    ] = None,
    file_column: Annotated[str, typer.Option(help="The column with the clip's name.")] = "File Name",
    system_column: Annotated[str, typer.Option(help="The column with what made the clip.")] = "Model",
    resamples: Annotated[int, typer.Option(min=0, help="Bootstrap draws for the intervals.")] = 1000,
    confidence: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Of the bootstrap draws.")] = 0,
    batch_size: BatchOption = 8,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    num_workers: WorkersOption = 0,
    output_format: FormatOption = OutputFormat.TABLE,
    output: KeptOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Score how good files sound, from 0 to 1 (PAM).

    With --ratings FILE.csv the clips that it names are scored (they lie in the folder given, or beside the table) and
    the scores are correlated with the ratings. Files that cannot be used are named on stderr and skipped; the exit code
    is then 1. With --output the same command goes on where it was stopped; without it nothing is kept.
    """
    with errors_for_users(interrupted(output)):
        kept = kept_results(output, overwrite, output_format)
        how: dict[str, Any] = {"segments": segments.value, "batch_size": batch_size, "num_workers": num_workers}
        if good or bad:
            how["prompts"] = _pairs(good or [], bad or [])
        if ratings is None:
            paths = _find(files or [])
            results = _Scores(_load(model, device, dtype), how)
            if kept is None:
                _write(((short_path(path), score) for path, score in results.of(paths)), output_format, per_segment)
            else:
                _keep(results, paths, kept)
            failed, total = results.failed, len(paths)
        else:
            if kept is not None:
                raise ValueError(
                    "--output keeps scores, and --ratings gives none. `afm-hf evaluate --task quality` on a folder "
                    "with ratings in its table goes on where it was stopped."
                )
            from ..evaluation.tasks.quality import evaluate_quality, read_ratings

            columns: dict[str, Any] = {
                "file_column": file_column,
                "system_column": system_column,
                "rating_columns": rating,
            }
            rated = read_ratings(ratings, _folder(files or []), **columns)
            bootstrap: dict[str, Any] = {"resamples": resamples, "confidence": confidence, "seed": seed}
            report = evaluate_quality(_load(model, device, dtype), rated, progress=not is_quiet(), **how, **bootstrap)
            _write_report(report, output_format)
            failed, total = len(report.skipped), len({clip.file for clip in rated})
        if failed:
            typer.echo(f"{failed} of {total} files could not be used.", err=True)
            raise typer.Exit(FAILED)


def _pairs(good: list[str], bad: list[str]) -> list[tuple[str, str]]:
    if len(good) != len(bad):
        raise ValueError(f"There are {len(good)} --good and {len(bad)} --bad; give them in pairs.")
    return list(zip(good, bad, strict=True))


def _find(files: list[Path]) -> list[str]:
    from ..pipelines.audio_files import find_audio

    if not files:
        raise ValueError("Give audio files or folders of them, or --ratings FILE.csv.")
    paths = find_audio(files)
    if not paths:
        raise ValueError("There are no audio files in the folders given.")
    return paths


def _folder(files: list[Path]) -> Path | None:
    """The folder of rated clips."""
    if not files:
        return None
    if len(files) > 1 or not files[0].is_dir():
        raise ValueError(f"With --ratings give one folder, that of the clips, and not {', '.join(map(str, files))}.")
    return files[0]


def _load(model: str, device: str | None, dtype: Dtype | None) -> "AudioQualityAssessmentPipeline":
    from ..hub.loading import load_clap, pick_device
    from ..pipelines.pipeline_audio_quality_assessment import AudioQualityAssessmentPipeline

    place = pick_device(device)
    clap, extractor, tokenizer = load_clap(model, dtype_for(dtype, place), place)
    return AudioQualityAssessmentPipeline(model=clap, feature_extractor=extractor, tokenizer=tokenizer, device=place)


class _Scores:
    """Files with their scores, as they come; what cannot be used is named on stderr and counted."""

    def __init__(self, assess: "AudioQualityAssessmentPipeline", how: dict[str, Any]) -> None:
        self.assess, self.how = assess, how
        self.failed = 0

    def of(self, paths: list[str]) -> Iterator[tuple[str, "AudioQuality"]]:
        from ..evaluation.tasks.quality import score_files

        results = score_files(self.assess, paths, **self.how)
        bar = progress_bar(results, len(paths), unit="file", leave=False)
        for path, result in bar:
            if isinstance(result, str):
                self.failed += 1
                bar.write(f"skipped {short_path(path)}: {result}", file=sys.stderr)
            else:
                yield path, result


def _keep(results: _Scores, paths: list[str], kept: KeptResults) -> None:
    """Scores into the file of --output."""
    from ..evaluation.digests import weights_digest

    asked = {name: results.how.get(name) for name in ("segments", "prompts")}
    kept.claim({**asked, "weights of the model": weights_digest(results.assess.model)})
    left = kept.left([{"file": path} for path in paths])
    found = results.of([row["file"] for row in left])
    kept.fill(left, (({"file": path}, score.to_dict()) for path, score in found))


# ---------------------------------------------------------------------------------------------------------------------
# Output
# ---------------------------------------------------------------------------------------------------------------------


def _write(results: Iterator[tuple[str, "AudioQuality"]], output_format: OutputFormat, per_segment: bool) -> None:
    """Write scores to stdout; all formats but `table` and `json` line by line, as they come."""
    if output_format is OutputFormat.JSON:
        typer.echo(json.dumps([{"file": path, **result.to_dict()} for path, result in results], indent=2))
    elif output_format is OutputFormat.JSONL:
        for path, result in results:
            typer.echo(json.dumps({"file": path, **result.to_dict()}))
    else:
        columns = ["file", "segment", "score"] if per_segment else ["file", "score", "segments", "lowest", "highest"]
        rows = (row for path, result in results for row in _rows(path, result, per_segment))
        _write_rows(columns, rows, output_format)


def _rows(path: str, result: "AudioQuality", per_segment: bool) -> Iterator[list[Any]]:
    scores = result.segment_scores
    if per_segment:
        yield from ([path, number, score] for number, score in enumerate(scores, start=1))
    else:
        yield [path, result.score, len(scores), min(scores), max(scores)]


def _write_report(report: "QualityEvaluation", output_format: OutputFormat) -> None:
    if output_format is OutputFormat.JSON:
        typer.echo(report.to_json(indent=2))
    elif output_format is OutputFormat.JSONL:
        for row in report.to_dict()["correlations"]:
            typer.echo(json.dumps(row))
    else:
        ends = [f"{name}_{end}" for name in STATISTICS for end in ("low", "high")]
        columns = ["rating", "over", "system", "count", *STATISTICS, *ends]
        if output_format is OutputFormat.TABLE:
            columns = ["rating", "over", "count", *STATISTICS]
        rows = (_correlation_row(row, output_format) for row in report.correlations)
        _write_rows(columns, rows, output_format)


def _correlation_row(row: dict[str, Any], output_format: OutputFormat) -> list[Any]:
    found = row["correlation"]
    values = [found[name] for name in STATISTICS]
    intervals = [found[f"{name}_interval"] for name in STATISTICS]
    if output_format is OutputFormat.TABLE:
        shown = [_with_interval(value, interval) for value, interval in zip(values, intervals, strict=True)]
        over = f"{row['over']} of {row['system']}" if row["system"] else f"all {row['over']}"
        return [row["rating"], over, found.count, *shown]
    ends = [end for interval in intervals for end in (interval or (None, None))]
    return [row["rating"], row["over"], row["system"], found.count, *values, *ends]


def _with_interval(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return "none"
    return f"{value:.3f}" + (f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")


def _write_rows(columns: list[str], rows: Iterator[list[Any]], output_format: OutputFormat) -> None:
    if output_format is OutputFormat.CSV:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([f"{value:.6f}" if isinstance(value, float) else value for value in row] for row in rows)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, overflow="fold", justify="right" if index else "left")
    for row in rows:
        cells = (f"{value:.3f}" if isinstance(value, float) else str(value) for value in row)
        table.add_row(*map(Text, cells))
    Console(width=None if sys.stdout.isatty() else 200).print(table)
