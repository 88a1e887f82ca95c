"""`afm-hf experiment scaling`: classifiers on parts of the training set."""

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
    ClapOption,
    DatasetOption,
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
    "way": "way",
    "part": "part",
    "learned_from": "clips learned from",
    "metric": "metric",
    "value": "figure",
    "deviation": "± over draws",
    "repeats": "draws",
}


class Learner(str, Enum):
    """What learns; as `WAYS` of the experiment."""

    LINEAR_PROBE = "linear-probe"
    FINE_TUNE = "fine-tune"


def scaling(
    dataset: DatasetOption,
    output: OutputOption,
    model: ClapOption = None,
    way: Annotated[
        list[Learner] | None, typer.Option(help="What learns; repeat it.", show_default="linear-probe")
    ] = None,
    part: Annotated[
        list[float] | None,
        typer.Option(
            min=0.01, max=100, help="Per cent of the training set; repeat it.", show_default="1, 5, 10, 25, 50, 100"
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Draws of each part.")] = 5,
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
    """Train classifiers on parts of the training set, and say from how many clips on they beat zero-shot.

    Each part is drawn several times with other seeds, label by label, with at least one clip of each. All clips are
    judged at every part. The figure is the mean over the draws; its interval is over the clips, the deviation over the
    draws. Stopped at any moment, the same command goes on.
    """
    with errors_for_users(GOES_ON):
        from ...evaluation.experiments.scaling import FRACTIONS, data_scaling

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
        ways = [each.value for each in way or (Learner.LINEAR_PROBE,)]
        parts = [each / 100 for each in part] if part else FRACTIONS
        (data,) = data_of([dataset], split, limit)
        found = data_scaling(data, output, model, ways, parts, repeats, device=device, **how)
        show(found, output_format, COLUMNS, output)
