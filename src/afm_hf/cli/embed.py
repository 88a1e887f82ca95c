"""`afm-hf embed`: an index of audio files, for `afm-hf search`."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import (
    FAILED,
    BatchOption,
    DeviceOption,
    DtypeOption,
    ModelOption,
    TruncationOption,
    WorkersOption,
    dtype_for,
    errors_for_users,
    is_quiet,
    note,
)

if TYPE_CHECKING:
    from ..retrieval import Index


class Approximate(str, Enum):
    """Approximate indices of a Lance table."""

    AUTO = "auto"
    NONE = "none"
    IVF_RQ = "ivf-rq"
    IVF_PQ = "ivf-pq"
    HNSW_SQ = "hnsw-sq"


class Engine(str, Enum):
    """What does the work."""

    LOCAL = "local"
    RAY = "ray"


def embed(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="DIR|FILE...",
            help="Folders of audio files, or files; or one index, to convert. With --engine ray also tar shards, and "
            "URIs as s3://bucket/sounds.",
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", help="The index: *.lance (a path, or s3://, gs://, az://), *.safetensors or *.parquet."
        ),
    ],
    model: ModelOption = "clap-small",
    batch_size: BatchOption = 16,
    truncation: TruncationOption = None,
    every: Annotated[
        float | None,
        typer.Option(
            help="*.lance: a row for each window of a file, beginning every so many seconds.",
            show_default="a row a file",
        ),
    ] = None,
    metadata: Annotated[
        Path | None,
        typer.Option(help="*.lance: a table (CSV, JSON Lines, Parquet) with file_name and columns to search by."),
    ] = None,
    approximate: Annotated[
        Approximate, typer.Option(help="*.lance: the approximate index; auto builds one from 50,000 rows on.")
    ] = Approximate.AUTO,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    num_workers: WorkersOption = 0,
    engine: Annotated[
        Engine, typer.Option(help="ray: all machines of the Ray cluster at RAY_ADDRESS, or all cores of this one.")
    ] = Engine.LOCAL,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start anew, whatever there is.")] = False,
) -> None:
    """Embed audio files into an index for `afm-hf search`.

    It can be stopped at any moment: the same command goes on from there. Files that cannot be used are named on stderr,
    skipped, and listed in the index; the exit code is then 1. A *.lance index, a LanceDB table, grows beyond memory:
    the same command later embeds what is new or has changed, and removes what is gone from the folders given. An index
    in place of the folders is written in the form that --output names.
    """
    with errors_for_users("Interrupted. The same command (without --overwrite) goes on from here."):
        from ..retrieval.formats import is_index
        from ..retrieval.lance_tables import is_lance

        if len(inputs) == 1 and is_index(inputs[0]):
            _convert(inputs[0], output, overwrite)
            return
        from ..hub.loading import pick_device

        options: dict[str, Any] = {
            "batch_size": batch_size,
            "truncation": truncation.value if truncation else None,
            "device": device,
            "dtype": dtype_for(dtype, pick_device(device)) if engine is Engine.LOCAL else dtype and dtype.value,
            "num_workers": num_workers,
            "progress": not is_quiet(),
            "overwrite": overwrite,
        }
        options_of_tables: dict[str, Any] = {"every_s": every, "metadata": metadata, "approximate": approximate.value}
        if engine is Engine.RAY:
            from ..retrieval.distributed import embed_with_ray

            options["decoders"] = options.pop("num_workers") or None
            _tell_of_table(embed_with_ray(inputs, output, model, **options, **options_of_tables), output, every)
            return
        remote = next((name for name in inputs if "://" in name), None)
        if remote:
            raise ValueError(
                f"{remote} is read with --engine ray; without it embed reads files and folders of this machine."
            )
        if is_lance(output):
            from ..retrieval.store_embedding import embed_into_store

            _tell_of_table(embed_into_store(inputs, output, model, **options, **options_of_tables), output, every)
            return
        if every is not None or metadata is not None or approximate is not Approximate.AUTO:
            raise ValueError(f"--every, --metadata and --approximate are for an index *.lance, and {output} is none.")
        from ..retrieval.embedding import embed_files

        index = embed_files(inputs, output, model, **options)
        _tell(len(index), "files", output, index.failures)


def _tell_of_table(index: "Index", output: str, every: float | None) -> None:
    found = getattr(index, "approximation", None)
    if found is not None:
        note(
            f"Approximate index {found.kind} of {found.rows} rows: it finds {found.recall:.1%} of the ten nearest "
            f"({found.queries} queries)."
        )
    _tell(len(index), "files" if every is None else "windows", output, index.failures)


def _tell(count: int, what: str, output: str, failures: dict[str, str]) -> None:
    note(f"{count} {what} embedded in {output}; {len(failures)} could not be used.")
    if failures:
        raise typer.Exit(FAILED)


def _convert(source: str, output: str, overwrite: bool) -> None:
    from ..retrieval.formats import convert_index

    index = convert_index(source, output, overwrite=overwrite)
    note(f"{len(index)} rows of {source} written to {output}.")
