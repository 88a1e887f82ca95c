"""`afm-hf experiment shots`: a few labelled clips, mean and deviation over draws."""

from enum import Enum
from typing import Annotated

import typer

from ..common import errors_for_users
from .common import GOES_ON, DatasetOption, OutputOption, Running, with_running

COLUMNS = {
    "method": "method",
    "shots": "clips of each class",
    "none_text": "none (%)",
    "text": "with them (%)",
    "classes": "classes",
    "clips": "judged",
    "repeats": "draws",
}


class Method(str, Enum):
    """How is learned from a few; as `METHODS` of the experiment."""

    LINEAR_PROBE = "linear-probe"
    LORA = "lora"
    MAPPER = "mapper"


@with_running
def shots(
    dataset: DatasetOption,
    output: OutputOption,
    method: Annotated[
        Method, typer.Option(help="linear-probe and lora of a CLAP; mapper (SELM) of a model that answers.")
    ] = Method.LINEAR_PROBE,
    model: Annotated[
        str | None, typer.Option(help="For the method.", show_default="clap-small, or pengi-small")
    ] = None,
    clips: Annotated[
        list[int] | None, typer.Option(min=1, help="Clips of each class; repeat it.", show_default="1, 2, 4, 8")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Draws of them.")] = 5,
    steps: Annotated[
        int | None, typer.Option(min=1, help="For lora and mapper: of each training.", show_default="50")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=1e-9, help="For lora and mapper.", show_default="0.001, or 0.0001")
    ] = None,
    *,
    running: Running,
) -> None:
    """Learn from a few clips of each class and judge all others: mean and deviation over draws.

    Beside each stands what there is without any clip, on the same clips. Classes with too few clips are left out, and
    said. Each draw is kept: the same command goes on where it was stopped.
    """
    with errors_for_users(GOES_ON):
        from ...evaluation.experiments.shots import SHOTS, few_shot_table

        (data,) = running.data([dataset])
        how = running.options(steps=steps, learning_rate=learning_rate)
        found = few_shot_table(data, output, method.value, model, clips or SHOTS, repeats, **how)
        running.show(found, COLUMNS, output)
