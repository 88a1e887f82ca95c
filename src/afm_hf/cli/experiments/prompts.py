"""`afm-hf experiment prompts`: how much the words of a zero-shot prompt matter."""

from typing import Annotated

import typer

from ..common import errors_for_users
from ..matching.labels import read_templates
from .common import GOES_ON, ClapOption, DatasetsOption, OutputOption, Running, with_running

COLUMNS = {"dataset": "dataset", "template": "template", "metric": "metric", "value": "figure", "change": "points more"}


@with_running
def prompts(
    dataset: DatasetsOption,
    output: OutputOption,
    model: ClapOption = None,
    template: Annotated[
        list[str] | None, typer.Option(help="A further sentence with {}, or a name of `afm-hf templates`; repeat it.")
    ] = None,
    *,
    running: Running,
) -> None:
    """Classify the same clips with every stored template, and with all of them at once.

    Prints the figure of each, its difference from the benchmark's own template with a paired interval, the spread, and
    the ensemble (mean embedding of all templates). Clips are embedded once; the same command goes on where it stopped.
    """
    with errors_for_users(GOES_ON):
        from ...evaluation.experiments.prompts import prompt_sensitivity

        data = running.data(dataset)
        found = prompt_sensitivity(data, output, model, templates=read_templates(template) or (), **running.options())
        running.show(found, COLUMNS, output)
