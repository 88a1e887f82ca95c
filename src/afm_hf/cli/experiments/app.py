"""`afm-hf experiment ...`: the experiments of the thesis that take more than one evaluation."""

from collections.abc import Callable

import typer

from ..common import with_log_level
from .control import control
from .deduction import cannot_tell, stop_words
from .domains import domains
from .nearest_text import nearest_text
from .prompts import prompts
from .ratings import rating_agreement, rating_sheet
from .scaling import scaling
from .shots import shots

experiment = typer.Typer(
    name="experiment",
    help="The thesis' experiments: each gives a table (JSON, CSV) and a picture.",
    no_args_is_help=True,
    add_completion=False,
)

COMMANDS: dict[str, Callable[..., None]] = {
    "cannot-tell": cannot_tell,
    "control": control,
    "domains": domains,
    "nearest-text": nearest_text,
    "prompts": prompts,
    "rating-agreement": rating_agreement,
    "rating-sheet": rating_sheet,
    "scaling": scaling,
    "shots": shots,
    "stop-words": stop_words,
}

for _name, _command in COMMANDS.items():
    experiment.command(_name)(with_log_level(_command))
