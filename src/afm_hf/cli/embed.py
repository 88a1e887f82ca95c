"""`afm-hf embed`: an index of audio files, for `afm-hf search`."""

from pathlib import Path
from typing import Annotated

import typer

from .common import (
    FAILED,
    BatchOption,
    DeviceOption,
    ModelOption,
    TruncationOption,
    WorkersOption,
    errors_for_users,
    is_quiet,
    note,
)


def embed(
    inputs: Annotated[list[Path], typer.Argument(metavar="DIR|FILE...", help="Folders of audio files, or files.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The index: *.safetensors or *.parquet.")],
    model: ModelOption = "clap-small",
    batch_size: BatchOption = 16,
    truncation: TruncationOption = None,
    device: DeviceOption = None,
    num_workers: WorkersOption = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start anew, whatever there is.")] = False,
) -> None:
    """Embed audio files into an index for `afm-hf search`.

    It can be stopped at any moment: the same command goes on from there. Files that cannot be used are named on stderr,
    skipped, and listed in the index; the exit code is then 1.
    """
    with errors_for_users("Interrupted. The same command (without --overwrite) goes on from here."):
        from ..retrieval.embedding import embed_files

        index = embed_files(
            inputs,
            output,
            model,
            batch_size=batch_size,
            truncation=truncation.value if truncation else None,
            device=device,
            num_workers=num_workers,
            progress=not is_quiet(),
            overwrite=overwrite,
        )
        note(f"{len(index)} files embedded in {output}; {len(index.failures)} could not be used.")
        if index.failures:
            raise typer.Exit(FAILED)
