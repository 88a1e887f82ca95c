"""`afm-hf experiment scaling`: classifiers on parts of the training set."""

from enum import Enum
from typing import Annotated

import typer

from ..common import errors_for_users
from .common import (
    GOES_ON,
    ClapOption,
    DatasetOption,
    EpochsOption,
    LearningRateOption,
    OutputOption,
    Running,
    with_running,
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


@with_running
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
    epochs: EpochsOption = None,
    learning_rate: LearningRateOption = None,
    *,
    running: Running,
) -> None:
    """Train classifiers on parts of the training set, and say from how many clips on they beat zero-shot.

    Each part is drawn several times with other seeds, label by label, with at least one clip of each. All clips are
    judged at every part. The figure is the mean over the draws; its interval is over the clips, the deviation over the
    draws. Stopped at any moment, the same command goes on.
    """
    with errors_for_users(GOES_ON):
        from ...evaluation.experiments.scaling import FRACTIONS, data_scaling

        ways = [each.value for each in way or (Learner.LINEAR_PROBE,)]
        parts = [each / 100 for each in part] if part else FRACTIONS
        (data,) = running.data([dataset])
        how = running.options(epochs=epochs, learning_rate=learning_rate)
        found = data_scaling(data, output, model, ways, parts, repeats, **how)
        running.show(found, COLUMNS, output)
