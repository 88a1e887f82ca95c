"""`afm-hf experiment ...`: the experiments of the thesis that take more than one evaluation."""

from collections.abc import Callable

import typer

from ..common import with_log_level
from .domains import domains
from .prompts import prompts
from .scaling import scaling

experiment = typer.Typer(
    name="experiment",
    help="The thesis' experiments: each gives a table (JSON, CSV) and a picture.",
    no_args_is_help=True,
    add_completion=False,
)

COMMANDS: dict[str, Callable[..., None]] = {"domains": domains, "prompts": prompts, "scaling": scaling}

for _name, _command in COMMANDS.items():
    experiment.command(_name)(with_log_level(_command))
