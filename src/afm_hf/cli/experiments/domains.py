"""`afm-hf experiment domains`: zero-shot against supervised, domain by domain."""

from enum import Enum
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

COLUMNS = {
    "domain": "domain",
    "dataset": "dataset",
    "way": "way",
    "model": "model",
    "metric": "metric",
    "value": "figure",
    "gap": "points over zero-shot",
}


class Way(str, Enum):
    """How clips are classified; as `WAYS` of the experiment."""

    ZERO_SHOT = "zero-shot"
    LINEAR_PROBE = "linear-probe"
    FINE_TUNE = "fine-tune"


def domains(
    dataset: DatasetsOption,
    output: OutputOption,
    model: Annotated[
        list[str] | None,
        typer.Option(help="A CLAP, repeat it for several: the gaps side by side.", show_default="clap-small"),
    ] = None,
    way: Annotated[
        list[Way] | None, typer.Option(help="Only these ways; repeat it.", show_default="zero-shot, linear-probe")
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(min=0.01, help="For fine-tune: of each training.", show_default="30")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=1e-9, help="For fine-tune: of all weights.", show_default="0.0001")
    ] = None,
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
    """Compare zero-shot with a linear probe and with fine-tuning, over the domains of the papers.

    All ways are judged on the same clips by one metric that all of them have; the gap to zero-shot has a paired
    interval. `--way fine-tune` trains the encoder for every fold, which takes its time. Stopped at any moment, the same
    command goes on.
    """
    with errors_for_users(GOES_ON):
        from ...evaluation.experiments.domains import zero_shot_against_supervised

        how = running(
            bootstrap,
            seed,
            overwrite,
            batch_size=batch_size,
            num_workers=num_workers,
            truncation=truncation and truncation.value,
            epochs=epochs,
            learning_rate=learning_rate,
        )
        ways = [each.value for each in way or (Way.ZERO_SHOT, Way.LINEAR_PROBE)]
        data = data_of(dataset, split, limit)
        found = zero_shot_against_supervised(data, output, model or ["clap-small"], ways, device=device, **how)
        show(found, output_format, COLUMNS, output)
