"""`afm-hf experiment prompts`: how much the words of a zero-shot prompt matter."""

from typing import Annotated

import typer

from ..common import (
    BatchOption,
    DeviceOption,
    FormatOption,
    OutputFormat,
    TruncationOption,
    WorkersOption,
    errors_for_users,
)
from .common import (
    GOES_ON,
    ClapOption,
    DatasetsOption,
    DrawsOption,
    LimitOption,
    OutputOption,
    OverwriteOption,
    SeedOption,
    SplitOption,
    data_of,
    running,
    show,
)

COLUMNS = {"dataset": "dataset", "template": "template", "metric": "metric", "value": "figure", "change": "points more"}


def prompts(
    dataset: DatasetsOption,
    output: OutputOption,
    model: ClapOption = None,
    template: Annotated[list[str] | None, typer.Option(help="A further sentence with {}; repeat it.")] = None,
    split: SplitOption = None,
    limit: LimitOption = None,
    bootstrap: DrawsOption = 1000,
    seed: SeedOption = 0,
    truncation: TruncationOption = None,
    batch_size: BatchOption = 8,
    device: DeviceOption = None,
    num_workers: WorkersOption = 0,
    overwrite: OverwriteOption = False,
    output_format: FormatOption = OutputFormat.TABLE,
) -> None:
    """Classify the same clips with every stored template, and with all of them at once.

    Prints the figure of each, its difference from the benchmark's own template with a paired interval, the spread, and
    the ensemble (mean embedding of all templates). Clips are embedded once; the same command goes on where it stopped.
    """
    with errors_for_users(GOES_ON):
        from ...evaluation.experiments.prompts import prompt_sensitivity

        how = running(
            bootstrap, seed, overwrite, batch_size=batch_size, num_workers=num_workers,
            truncation=truncation and truncation.value,
        )  # fmt: skip
        data = data_of(dataset, split, limit)
        found = prompt_sensitivity(data, output, model, templates=template or (), device=device, **how)
        show(found, output_format, COLUMNS, output)
