"""`afm-hf difference`: how two files differ."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .answers import (
    PAIR,
    AnswererOption,
    Answers,
    LengthOption,
    TextFormat,
    TextFormatOption,
    given,
    read_pairs,
)
from .common import BatchOption, DeviceOption, DtypeOption, WorkersOption, errors_for_users
from .kept import KeptOption, OverwriteOption, interrupted, kept_results

PAIR_COLUMNS = {
    "first": ("first", "filepath1"),
    "second": ("second", "filepath2"),
}  # ours, and those of the authors' data files


class Tier(str, Enum):
    """How much is said about a difference."""

    CONCISE = "concise"
    BRIEF = "brief"
    DETAILED = "detailed"


def difference(
    first: Annotated[Path | None, typer.Argument(help="An audio file.", show_default=False)] = None,
    second: Annotated[Path | None, typer.Argument(help="The file to compare it to.", show_default=False)] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="A table of pairs (CSV, TSV, JSON, Parquet): columns `first` and `second`; paths from its folder."
        ),
    ] = None,
    tier: Annotated[Tier, typer.Option(help="How much to say.")] = Tier.CONCISE,
    prompt: Annotated[str | None, typer.Option(help="What to ask.", show_default="that of the tier")] = None,
    model: AnswererOption = None,
    max_new_tokens: LengthOption = None,
    batch_size: BatchOption = 4,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    num_workers: WorkersOption = 0,
    output_format: TextFormatOption = TextFormat.TEXT,
    output: KeptOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Say in words how two files differ.

    Pairs that cannot be used are named on stderr and skipped; the exit code is then 1. With --output the same command
    goes on where it was stopped; without it nothing is kept.
    """
    with errors_for_users(interrupted(output)):
        kept = kept_results(output, overwrite, output_format)
        if (None in (first, second)) if pairs is None else (first is not None):
            raise ValueError("Give two files, as `afm-hf difference first.wav second.wav`, or --pairs FILE.csv.")
        rows = (
            [{"first": str(first), "second": str(second)}] if pairs is None else read_pairs(pairs, PAIR_COLUMNS, PAIR)
        )
        options = given(tier=tier.value, prompt=prompt, max_new_tokens=max_new_tokens)
        answers = Answers("audio-difference", model, device, dtype, options, batch_size, num_workers)
        answers.write(rows, {"difference": "generated_text"}, output_format, "difference", kept)
