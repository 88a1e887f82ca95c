"""`afm-hf experiment domains`: zero-shot against supervised, domain by domain."""

from enum import Enum
from typing import Annotated

import typer

from ..common import errors_for_users
from .common import GOES_ON, DatasetsOption, EpochsOption, LearningRateOption, OutputOption, Running, with_running

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


@with_running
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
    epochs: EpochsOption = None,
    learning_rate: LearningRateOption = None,
    *,
    running: Running,
) -> None:
    """Compare zero-shot with a linear probe and with fine-tuning, over the domains of the papers.

    All ways are judged on the same clips by one metric that all of them have; the gap to zero-shot has a paired
    interval. `--way fine-tune` trains the encoder for every fold, which takes its time. Stopped at any moment, the same
    command goes on.
    """
    with errors_for_users(GOES_ON):
        from ...evaluation.experiments.domains import zero_shot_against_supervised

        ways = [each.value for each in way or (Way.ZERO_SHOT, Way.LINEAR_PROBE)]
        data = running.data(dataset)
        how = running.options(epochs=epochs, learning_rate=learning_rate)
        found = zero_shot_against_supervised(data, output, model or ["clap-small"], ways, **how)
        running.show(found, COLUMNS, output)
