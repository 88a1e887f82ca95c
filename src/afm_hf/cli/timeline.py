"""`afm-hf classify --timeline`: when in a file what is heard, as a table, as events, as a picture."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from .common import OutputFormat, short_path

Results = Iterable[tuple[str, dict[str, Any]]]  # (file, what the pipeline says with `timestamps`, of all labels)

TimelineOption = Annotated[
    bool, typer.Option("--timeline", help="Say also when: the best labels of each step in time, all along the file.")
]
HopOption = Annotated[
    float | None,
    typer.Option(
        "--hop", help="With --timeline: seconds from step to step.", show_default="the encoder's, or 1/4 clip length"
    ),
]
EventsOption = Annotated[
    float | None,
    typer.Option(
        "--events",
        min=0,
        max=1,
        help="In place of the steps, where the score of a label is at least this: from when to when.",
    ),
]
PictureOption = Annotated[
    Path | None,
    typer.Option("--picture", help="Draw the timeline: a *.png file, or a folder for the pictures of several files."),
]


@dataclass(frozen=True)
class Wish:
    """What of a timeline is wanted.

    Attributes:
        hop_s: seconds from step to step, if chosen.
        events: the threshold, if events are wanted in place of steps.
        picture: the picture's file, or the folder of several.
        top_k: labels of each step; None for all.
    """

    hop_s: float | None
    events: float | None
    picture: Path | None
    top_k: int | None


def wish_of(
    timeline: bool, hop_s: float | None, events: float | None, picture: Path | None, top_k: int | None
) -> Wish | None:
    """The wish of the options, None if they ask for no timeline.

    Raises:
        ValueError: `--hop` without a timeline.
    """
    if timeline or events is not None or picture is not None:
        return Wish(hop_s, events, picture, top_k)
    if hop_s is not None:
        raise ValueError("--hop is for the steps of --timeline: give both.")
    return None


def as_row(result: dict[str, Any], wish: Wish) -> dict[str, Any]:
    """A result as it is written to JSON: `results` of the whole file, and `chunks` or `events`."""
    from ..pipelines.timeline_events import find_events

    row: dict[str, Any] = {"results": result["labels"][: wish.top_k]}
    if wish.events is not None:
        return {**row, "events": find_events(result, wish.events)}
    return {**row, "chunks": _best_chunks(result, wish)}


def write_timelines(results: Results, output_format: OutputFormat, wish: Wish) -> None:
    """Write timelines to stdout; all formats but the table and `json` file by file, as they come."""
    rows = ((short_path(path), as_row(result, wish)) for path, result in results)
    if output_format is OutputFormat.TABLE:
        _write_table(rows, wish)
    elif output_format is OutputFormat.JSON:
        typer.echo(json.dumps([{"file": name, **row} for name, row in rows], indent=2))
    elif output_format is OutputFormat.JSONL:
        for name, row in rows:
            typer.echo(json.dumps({"file": name, **row}))
    else:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["file", "start", "end", "label", "score"])
        for name, row in rows:
            writer.writerows(
                [name, f"{each['start']:.3f}", f"{each['end']:.3f}", each["label"], f"{each['score']:.6f}"]
                for each in _spans(row)
            )


def _best_chunks(result: dict[str, Any], wish: Wish) -> list[dict[str, Any]]:
    return [
        {**chunk, "scores": dict(list(chunk["scores"].items())[: wish.top_k])}  # the best come first
        for chunk in result["chunks"]
    ]


def _spans(row: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """`start`, `end`, `label` and `score` of each event, or of each label of each chunk."""
    from ..pipelines.timeline_events import timeline_rows

    return row["events"] if "events" in row else timeline_rows(row)


def _write_table(rows: Iterable[tuple[str, dict[str, Any]]], wish: Wish) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("file", overflow="fold")
    table.add_column("from", justify="right", no_wrap=True)
    table.add_column("to (s)", justify="right", no_wrap=True)
    table.add_column("label and score", overflow="fold")
    for name, row in rows:
        lines = _lines(row)
        if not lines:
            table.add_row(Text(name), "", "", Text(f"no label scores {wish.events:g} or more"))
        for number, (start, end, said) in enumerate(lines):
            table.add_row(Text("" if number else name), f"{start:.2f}", f"{end:.2f}", Text(said))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _lines(row: dict[str, Any]) -> list[tuple[float, float, str]]:
    if "events" in row:
        return [(each["start"], each["end"], f"{each['label']} {each['score']:.2f}") for each in row["events"]]
    return [
        (*chunk["timestamp"], ", ".join(f"{label} {score:.2f}" for label, score in chunk["scores"].items()))
        for chunk in row["chunks"]
    ]


# ---------------------------------------------------------------------------------------------------------------------
# Pictures
# ---------------------------------------------------------------------------------------------------------------------


def picture_files(wish: Wish, paths: list[str]) -> dict[str, Path]:
    """
    The picture of each file, by its path; none if none are wanted.

    Raises:
        ValueError: one picture is named for several files, or it is no *.png.
        WriteError: (an `OSError`) it cannot be written.
        ImportError: matplotlib is not installed.
    """
    from ..evaluation.report.figures import new_figure
    from ..models.common.writing_afm import check_file, check_folder

    if wish.picture is None:
        return {}
    new_figure(1, 1)  # if it cannot be drawn that is told before the work
    if wish.picture.suffix.lower() == ".png" and not wish.picture.is_dir():
        if len(paths) > 1:
            raise ValueError(
                f"--picture names one file, {wish.picture}, but there are {len(paths)} files to draw. Name a folder."
            )
        return {paths[0]: check_file(wish.picture, "the picture")}
    if wish.picture.suffix and not wish.picture.is_dir():
        raise ValueError(f"--picture is {str(wish.picture)!r}; expected a *.png file, or a folder.")
    folder, taken = check_folder(wish.picture, "the pictures"), set()
    files = {}
    for path in paths:
        stem, number = Path(path).stem, 1
        name = stem
        while name in taken:  # files of the same name in several folders
            number += 1
            name = f"{stem}-{number}"
        taken.add(name)
        files[path] = folder / f"{name}.png"
    return files


def with_pictures(results: Results, files: dict[str, Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same results, each drawn as it comes."""
    from ..demo.pictures import timeline_picture
    from ..models.common.writing_afm import replaced

    for path, result in results:
        if path in files:
            with replaced(files[path], "the picture") as unfinished:
                timeline_picture(result, Path(path).name).savefig(unfinished, format="png")
        yield path, result
