"""`afm-hf make-shards`: data sets as tar files that stream, one, or all that a paper trained on."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from ..common import errors_for_users, note, progress_bar

_STOPPED = "Interrupted. Shards that are whole are kept: the same command goes on."


def make_shards(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the shards; the same command goes on.")],
    data: Annotated[Path | None, typer.Option(help="Folder or file of one data set.")] = None,
    dataset: Annotated[str, typer.Option(help="Layout of --data, as folder, table, clotho.")] = "folder",
    split: Annotated[
        str | None, typer.Option(help="An official part of --data.", show_default="what is trained on")
    ] = None,
    composition: Annotated[
        str | None, typer.Option(help="In place of --data, all that a paper trained on: clap-2022 or pengi.")
    ] = None,
    part: Annotated[
        list[str] | None, typer.Option(help="With --composition: PART=PATH, as clotho=./clotho; repeat it.")
    ] = None,
    audio_dir: Annotated[
        list[str] | None,
        typer.Option(help="Folder of the clips; with --composition PART=FOLDER.", show_default="that of the table"),
    ] = None,
    check: Annotated[str, typer.Option(help="How far clips are looked at: exists, header or decode.")] = "header",
    rows_per_shard: Annotated[int, typer.Option(min=1, help="Rows in a tar file.")] = 1000,
    held_out: Annotated[float, typer.Option(min=0, max=0.99, help="Share of the clips kept for evaluation.")] = 0.0,
    shuffle: Annotated[bool, typer.Option(help="Put rows in a random order, as streams want it.")] = True,
    seed: Annotated[int, typer.Option(help="Of the order, and of what is held out.")] = 0,
) -> None:
    """Write WebDataset shards, which the training recipes read with `--dataset shards --data FOLDER`.

    A row is a JSON file and the clip as it is, undecoded; a clip that cannot be read is reported and left out. With
    --composition the parts that are given are put together, and what is missing of the paper's is said.
    """
    with errors_for_users(_STOPPED):
        from ...data.mixtures import write_shards

        rows, columns = _composed(composition, part or [], audio_dir or [], check) if composition else (None, [])
        if rows is None:
            rows, columns = _read(data, dataset, split, part, audio_dir, check)
        elif data is not None or split is not None:
            raise ValueError(
                "`--composition` knows its layouts: give `--part NAME=PATH`, and no `--data` or `--split`."
            )
        made = write_shards(
            rows,
            columns,
            output,
            rows_per_shard=rows_per_shard,
            held_out=held_out,
            seed=seed,
            shuffle=shuffle,
            progress=_bar,
        )
        for name in ("train", "held_out"):
            found = made[name]
            left = f", {found['left_out']} left out" if found["left_out"] else ""
            if found["shards"]:
                typer.echo(f"{name}: {found['rows']} rows in {len(found['shards'])} shards{left}")


def _bar(shards: Iterable[Any], total: int) -> Any:
    return progress_bar(shards, total, unit="shard")


def _read(
    data: Path | None,
    dataset: str,
    split: str | None,
    part: list[str] | None,
    audio_dir: list[str] | None,
    check: str,
) -> tuple[Any, list[str]]:
    from ...data.mixtures import read_layout

    if data is None:
        raise ValueError("What is to be written? Give `--data`, or `--composition` with `--part NAME=PATH`.")
    if part or len(audio_dir or []) > 1:
        raise ValueError("`--part`, and several `--audio-dir`, are for `--composition`.")
    found, report = read_layout(dataset, data, split, audio_dir[0] if audio_dir else None, check)
    note(str(report))
    return found, found.column_names


def _composed(name: str, parts: list[str], audio_dirs: list[str], check: str) -> tuple[Any, list[str]]:
    from ...data.mixtures import compose

    made = compose(name, _named(parts, "--part"), _named(audio_dirs, "--audio-dir"), check)
    for part, reports in made.reports.items():
        for report in reports:
            note(f"{part}: {report}")
    typer.echo(str(made))
    return made.rows, made.columns


def _named(words: list[str], option: str) -> dict[str, str]:
    found = {}
    for word in words:
        name, sign, path = word.partition("=")
        if not sign or not name or not path:
            raise ValueError(f"`{option}` is {word!r}; expected NAME=PATH, as clotho=./clotho.")
        if name in found:
            raise ValueError(f"`{option}` names {name!r} twice.")
        found[name] = path
    return found


__all__ = ["make_shards"]
