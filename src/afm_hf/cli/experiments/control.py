"""`afm-hf experiment control`: noise, silence or other clips in place of the audio."""

from typing import Annotated

import typer

from ..common import errors_for_users
from ..evaluate import Control, TaskName
from .common import GOES_ON, DatasetOption, OutputOption, Running, with_running

COLUMNS = {"metric": "metric", "heard": "heard", "value": "figure", "change": "points more"}


@with_running
def control(
    task: Annotated[TaskName, typer.Option(help="What is asked; one that does not learn from the clips.")],
    dataset: DatasetOption,
    output: OutputOption,
    model: Annotated[
        str | None,
        typer.Option(help="A bundled model, a folder, or a Hub id.", show_default="the bundled one that fits"),
    ] = None,
    heard: Annotated[
        list[Control] | None,
        typer.Option(help="What stands in place of the clips; repeat it.", show_default="noise, silence, swapped"),
    ] = None,
    *,
    running: Running,
) -> None:
    """Ask the same with noise, next to silence, or other clips in place of the audio: what is right without listening.

    Noise is Gaussian, as long and as loud as the clip (Mellow's control on MMAU); other clips are of another truth.
    Differences from the clips themselves have a paired interval. Stopped at any moment, the same command goes on.
    """
    with errors_for_users(GOES_ON):
        from ...evaluation.experiments.control import hearing_control

        controls = [each.value for each in heard or Control]
        (data,) = running.data([dataset])
        found = hearing_control(task.value, data, output, model, controls, **running.options())
        running.show(found, COLUMNS, output)
