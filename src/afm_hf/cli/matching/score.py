"""`afm-hf score`: how well audio fits the text that it was made for."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..common import (
    FAILED,
    BatchOption,
    DeviceOption,
    DtypeOption,
    FormatOption,
    ModelOption,
    OutputFormat,
    Truncation,
    csv_text,
    dtype_for,
    errors_for_users,
    is_quiet,
    note,
    short_path,
)

if TYPE_CHECKING:
    from ...evaluation.metrics.clap_score import ClapScore

FILE_COLUMNS = ("file_name", "audio", "path", "file")
TEXT_COLUMNS = ("text", "caption", "prompt")


def score(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE...", help="With --text: audio files, or folders of them.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="The text that all files were made for.")] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            help="A table (CSV, JSON Lines, ...) with a row a pair: file_name, from the table's folder, and text, "
            "caption or prompt."
        ),
    ] = None,
    model: ModelOption = "clap-small",
    truncation: Annotated[Truncation, typer.Option(help="What of a long clip is heard.")] = Truncation.WINDOWS,
    batch_size: BatchOption = 16,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    output_format: FormatOption = OutputFormat.TABLE,
) -> None:
    """Score how well audio fits its text, from -1 to 1 (CLAP score): of each pair, their mean and its interval.

    Only scores of one model can be compared. Files that cannot be used are named on stderr and skipped; the exit code
    is then 1.
    """
    with errors_for_users():
        from ...evaluation.metrics.clap_score import clap_score
        from ...hub.loading import pick_device
        from ...retrieval import ClapEmbedder

        paths, texts = _of_text(files or [], text) if table is None else _of_table(table, files or [], text)
        embedder = ClapEmbedder(model, device, dtype_for(dtype, pick_device(device)))
        result = clap_score(
            texts, paths, embedder, truncation=truncation.value, batch_size=batch_size, progress=not is_quiet()
        )
        for place, reason in result.skipped.items():
            typer.echo(f"skipped {short_path(paths[place])}: {reason}", err=True)
        _write(result, paths, texts, output_format)
        if result.skipped:
            typer.echo(f"{len(result.skipped)} of {len(paths)} files could not be used.", err=True)
            raise typer.Exit(FAILED)


def _of_text(files: list[Path], text: str | None) -> tuple[list[str], list[str]]:
    """Paths, and the one text for each."""
    from ...pipelines.audio_files import find_audio

    if not files or text is None:
        raise ValueError('Give audio files and --text "what they should sound like", or --table FILE with pairs.')
    paths = find_audio(files)
    if not paths:
        raise ValueError("There are no audio files in the folders given.")
    return paths, [text] * len(paths)


def _of_table(table: Path, files: list[Path], text: str | None) -> tuple[list[str], list[str]]:
    """Paths and texts of the rows."""
    from ...data.tables import read_rows

    if files or text is not None:
        raise ValueError("--table has the files and their texts: leave out FILE and --text.")
    paths, texts = [], []
    for row in read_rows(table):
        columns = [next((name for name in names if name in row.fields), None) for names in (FILE_COLUMNS, TEXT_COLUMNS)]
        if None in columns:
            raise ValueError(
                f"{row.source}: the columns are {', '.join(row.fields)}; expected one of {', '.join(FILE_COLUMNS)}, "
                f"and one of {', '.join(TEXT_COLUMNS)}."
            )
        name, said = (row.needed(str(column)) for column in columns)
        paths.append(os.path.join(table.absolute().parent, name))
        texts.append(said)
    if not paths:
        raise ValueError(f"{table} has no rows.")
    return paths, texts


def _write(result: "ClapScore", paths: list[str], texts: list[str], output_format: OutputFormat) -> None:
    pairs = [
        {"file": short_path(path), "text": text, "score": score}
        for path, text, score in zip(paths, texts, result.scores, strict=True)
    ]
    chance = "" if result.mismatched is None else f"; texts of other clips: {result.mismatched:.3f}"
    said = f"CLAP score {result.score:.3f} [{result.low:.3f}, {result.high:.3f}], {result.count} pairs{chance}"
    if output_format is OutputFormat.JSON:
        about = {name: value for name, value in result.to_dict().items() if name not in ("scores", "skipped")}
        typer.echo(json.dumps({**about, "pairs": pairs}, indent=2))
        return
    if output_format is OutputFormat.JSONL:
        for pair in pairs:
            typer.echo(json.dumps(pair))
    elif output_format is OutputFormat.CSV:
        typer.echo(csv_text(list(pairs[0]), [list(pair.values()) for pair in pairs]))
    else:
        for pair in pairs:
            value = "     -" if pair["score"] is None else f"{pair['score']:6.3f}"
            typer.echo(f"{value}  {pair['file']}  {pair['text']}")
        typer.echo(said)
        return
    note(said)
