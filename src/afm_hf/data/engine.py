"""
One engine under all readers: rows and names of clips in, a data set and a report out.

Columns have the same name and type in every data set, so that data sets can be put together with
`datasets.concatenate_datasets`; a data set has those that its reader fills.
"""

import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .clips import ClipFolder, Found
from .report import Note, ReadReport

# Column: type. Others are text.
COLUMNS = {
    "audio": "audio",
    "audio2": "audio",
    "captions": "texts",
    "labels": "texts",
    "choices": "texts",
    "answers": "texts",
    "confidences": "texts",
    "label_id": "int",
    "fold": "int",
    "start_time": "int",
}
_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True)
class Example:
    """
    A row before its clips are looked for.

    Attributes:
        source: Where it came from, `file.csv:12`.
        audio: Names that the clip may have, relative to the folder of clips; the official one first.
        audio2: The same for a second clip; empty if there is none.
        columns: All other columns.
        without_text: What the row lacks of the text that it is there for; empty if nothing.
        notes: What the report says if the row is kept.
    """

    source: str
    audio: Sequence[str]
    audio2: Sequence[str] = ()
    columns: dict[str, Any] = field(default_factory=dict)
    without_text: str = ""
    notes: Sequence[Note] = ()


@dataclass(frozen=True)
class Source:
    """
    What a reader knows.

    Attributes:
        name: Of the data set, for messages.
        columns: Those that its examples fill, besides `audio` and `source`.
        examples: Starts to read.
        origin: Where the clips are to be had.
        notes: What the report says whatever the rows are.
        unique_names: Whether a clip's name says which recording it is, wherever it lies: two files of it are then one
            recording in two formats, or two rates.
    """

    name: str
    columns: Sequence[str]
    examples: Callable[[], Iterable[Example]]
    origin: str = ""
    notes: Sequence[str] = ()
    unique_names: bool = False


def build(
    source: Source, audio_dir: Path, check: str, streaming: bool, num_threads: int | None = None
) -> tuple[Any, ReadReport]:
    """
    Reads a data set.

    Args:
        source: What to read.
        audio_dir: Folder of the clips.
        check: How far clips are looked at, see [`ClipFolder`].
        streaming: Whether to read while the data set is iterated, and nothing now.
        num_threads: Threads that decode, with the check `"decode"`, which shows a progress bar; by default one per
            core. A stream decodes in its own thread.

    Returns:
        A `datasets.Dataset` (`IterableDataset` if streaming) and the report, which fills up while a stream is read and
        starts anew with it.

    Raises:
        ImportError: without the `datasets` library.
        ValueError: if the files are not as expected, or no clip can be used (a stream: while it is read).
    """
    datasets = import_datasets()
    clips, report = ClipFolder(audio_dir, check, source.unique_names), ReadReport()
    features = _features(datasets, source.columns, streaming)
    if streaming:
        rows = _StreamedRows(source, clips, report)
        return datasets.IterableDataset.from_generator(rows, features=features), report
    if check == "decode":
        clips.decode_all((names for example in source.examples() for names in _clips_of(example)), num_threads)
    arrow = importlib.import_module("pyarrow")
    schema, chunks, chunk = features.arrow_schema, [], []
    for row in _rows(source, clips, report):
        chunk.append(row)
        if len(chunk) == _ROWS_AT_ONCE:
            chunks.append(arrow.Table.from_pylist(chunk, schema=schema))
            chunk = []
    chunks.append(arrow.Table.from_pylist(chunk, schema=schema))
    # Not `from_dict`: it encodes item by item, for which datasets wants torchcodec even where there is only a path.
    return datasets.Dataset(arrow.concat_tables(chunks)), report


def build_table(
    table: Path,
    audio_dir: str | os.PathLike[str] | None,
    columns: Sequence[str],
    examples: Callable[[], Iterable[Example]],
    origin: str,
    check: str,
    streaming: bool,
    num_threads: int | None = None,
) -> tuple[Any, ReadReport]:
    """
    Reads a data set that is one file, named by the caller; its clips lie below `audio_dir`, by default beside it.

    Raises:
        ValueError: if there is no such file, with where to get it; or as [`build`].
    """
    if not table.is_file():
        raise ValueError(f"There is no file {table}. Get it from {origin}.")
    folder = table.parent if audio_dir is None else Path(audio_dir)
    return build(Source(table.name, columns, examples, origin), folder, check, streaming, num_threads)


def import_datasets() -> Any:
    """
    The `datasets` library.

    Raises:
        ImportError: if it is not there, with the way to install it.
    """
    try:
        return importlib.import_module("datasets")
    except ImportError as error:
        raise ImportError(
            f"Reading data sets needs the `datasets` library ({error}). Install it with `pip install datasets`."
        ) from error


class _StreamedRows:
    """The rows of a stream, from the start at every call; counts them in the one report."""

    def __init__(self, source: Source, clips: ClipFolder, report: ReadReport) -> None:
        self.source, self.clips, self.report = source, clips, report

    def __call__(self) -> Iterator[dict[str, Any]]:
        self.report.clear()
        return _rows(self.source, self.clips, self.report)


def _clips_of(example: Example) -> list[Sequence[str]]:
    """The names of each clip whose row can be used otherwise."""
    return [] if example.without_text else [names for names in (example.audio, example.audio2) if names]


def _rows(source: Source, clips: ClipFolder, report: ReadReport) -> Iterator[dict[str, Any]]:
    """The rows whose clips can be used; the others go into the report."""
    for text in source.notes:
        report.note(text)
    for example in source.examples():
        if example.without_text:
            report.add(report.textless, example.audio[0], example.without_text, example.source)
            continue
        paths: dict[str, Any] = {}
        notes = list(example.notes)
        for column, names in (("audio", example.audio), ("audio2", example.audio2)):
            if column == "audio" or column in source.columns:
                found = _usable(names, example.source, clips, report) if names else None
                if names and found is None:
                    break
                notes += [found.note] if found is not None and found.note is not None else []
                # What `datasets.Audio(decode=False)` holds.
                paths[column] = None if found is None else {"bytes": None, "path": str(found.path)}
        else:
            report.kept += 1
            for note in notes:
                report.note(note.text, note.rows, note.example)
            yield {**paths, **example.columns, "source": example.source}
    if not report.kept:
        raise ValueError(_nothing(source, clips, report))


def _usable(names: Sequence[str], source: str, clips: ClipFolder, report: ReadReport) -> Found | None:
    found = clips.find(names)
    if found.path is None:
        report.add(report.missing, names[0], found.reason, source)
        return None
    fault = clips.fault(found.path)
    if fault:
        report.add(report.broken, str(found.path), fault, source)
        return None
    return found


def _nothing(source: Source, clips: ClipFolder, report: ReadReport) -> str:
    if not report.skipped:
        return f"{source.name} has no rows."
    first = [*report.missing, *report.broken, *report.textless][0]
    if not (report.missing or report.broken):
        return f"None of the {report.skipped} rows of {source.name} has a text to learn; the first is {first}."
    where = f" The clips are to be had from {source.origin}." if source.origin else ""
    return (
        f"None of the {report.skipped} rows of {source.name} has a clip that can be used below {clips.root}: "
        f"{len(report.missing)} clips are missing, {len(report.broken)} broken; the first is {first}. Pass the folder "
        f'of the clips as `audio_dir`.{where} To read the texts alone, pass `check="none"`.'
    )


def _features(datasets: Any, columns: Sequence[str], streaming: bool) -> Any:
    types = {
        "audio": lambda: datasets.Audio(decode=False),
        "texts": lambda: datasets.List(datasets.Value("string")),
        "int": lambda: datasets.Value("int64"),
        "text": lambda: datasets.Value("string"),
    }
    if streaming:
        # The same items; but datasets encodes the items of a stream, and to encode `Audio` it wants torchcodec.
        types["audio"] = lambda: {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    names = ["audio", *columns, "source"]
    return datasets.Features({name: types[COLUMNS.get(name, "text")]() for name in names})
