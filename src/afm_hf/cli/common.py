"""What the commands share: options, formats, errors for users."""

import contextlib
import os
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130  # exit codes


class OutputFormat(str, Enum):
    """How results are written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


class Truncation(str, Enum):
    """What of a long clip is heard."""

    FIRST = "first"
    CENTER = "center"
    WINDOWS = "windows"


class Dtype(str, Enum):
    """Number format of the model."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


ModelOption = Annotated[str, typer.Option("--model", help="A bundled model, a folder, or a Hub id.")]
TruncationOption = Annotated[
    Truncation | None, typer.Option(help="What of a long clip is heard.", show_default="the model's own")
]
BatchOption = Annotated[int, typer.Option(min=1, help="Files per forward pass.")]
DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda, ...", show_default="a GPU if there is one")]
WorkersOption = Annotated[int, typer.Option(min=0, help="Processes that decode.")]
FormatOption = Annotated[OutputFormat, typer.Option("--format", help="How results are written to stdout.")]


def short_path(name: str) -> str:
    """A path below the working directory as it is seen from there; anything else as it is."""
    inside = os.path.isabs(name) and Path(name).is_relative_to(Path.cwd())
    return os.path.relpath(name) if inside else name


@contextlib.contextmanager
def errors_for_users(if_interrupted: str = "Interrupted.") -> Iterator[None]:
    """Turns errors into one line and an exit code; with AFM_HF_TRACEBACK=1 in the environment they stay as they are."""
    if os.environ.get("AFM_HF_TRACEBACK") == "1":
        yield
        return
    try:
        _quieten()
        yield
    except KeyboardInterrupt:
        typer.echo(if_interrupted, err=True)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(FAILED) from None
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        if isinstance(error, typer.Exit):
            raise
        typer.echo(f"afm-hf: {error}", err=True)
        raise typer.Exit(WRONG_USE) from None


def _quieten() -> None:
    """Keep the libraries' notes and loading bars off the terminal; errors and the bars of downloads stay."""
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import enable_progress_bars
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()  # of both libraries
    if constants.HF_HUB_DISABLE_PROGRESS_BARS is None:  # else the user has decided
        enable_progress_bars()
