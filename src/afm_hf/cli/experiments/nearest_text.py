"""`afm-hf experiment nearest-text`: is it reasoning, or approximate retrieval?"""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ..common import errors_for_users
from .common import GOES_ON, DatasetOption, OutputOption, Running, data_of, with_running

COLUMNS = {"metric": "metric", "system": "system", "model": "model", "value": "figure", "change": "points more"}


class Answered(str, Enum):
    """What is answered with texts; as `JUDGES` of the experiment."""

    CAPTIONING = "captioning"
    QUESTION_ANSWERING = "question-answering"
    MULTIPLE_CHOICE = "multiple-choice"
    MMAU = "mmau"
    CLOTHO_AQA = "clotho-aqa"
    DIFFERENCE = "difference"


@with_running
def nearest_text(
    task: Annotated[Answered, typer.Option(help="What is answered.")],
    dataset: DatasetOption,
    output: OutputOption,
    train: Annotated[
        str | None,
        typer.Option(
            help="NAME=FOLDER of what is searched.",
            show_default="the data's training part, or the other clips of the set",
        ),
    ] = None,
    train_split: Annotated[str | None, typer.Option(help="Of --train.", show_default="its training part")] = None,
    clap: Annotated[str | None, typer.Option(help="The CLAP that searches.", show_default="clap-small")] = None,
    model: Annotated[str | None, typer.Option(help="A model that answers the same, to compare with.")] = None,
    against: Annotated[
        Path | None, typer.Option(help="In place of --model: the folder of its run of `afm-hf evaluate`.")
    ] = None,
    *,
    running: Running,
) -> None:
    """Answer with the text of the nearest training clip, and compare a model with that: reasoning, or retrieval?

    CLAP finds the clip (of questions: clip and question, of pairs: both clips) that is nearest, and its caption or
    answer is said; of choices the one that is most like it. The same metrics as for a model, on the same clips, with
    paired differences. Stopped at any moment, the same command goes on.
    """
    with errors_for_users(GOES_ON):
        from ...evaluation.experiments.nearest_text import nearest_text as look_up

        if model and against:
            raise ValueError("Both --model and --against are given; one system is compared with the baseline.")
        (data,) = running.data([dataset])
        training = data_of([train], train_split)[0] if train else None
        found = look_up(task.value, data, output, training, clap, model, against, **running.options())
        running.show(found, COLUMNS, output)
