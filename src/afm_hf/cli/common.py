"""What the commands share: options, formats, errors for users."""

import contextlib
import csv
import errno
import functools
import inspect
import io
import logging
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

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

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    INT8 = "int8"


class LogLevel(str, Enum):
    """How much is said on stderr, from much to little."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


ModelOption = Annotated[str, typer.Option("--model", help="A bundled model, a folder, or a Hub id.")]
TruncationOption = Annotated[
    Truncation | None, typer.Option(help="What of a long clip is heard.", show_default="the model's own")
]
BatchOption = Annotated[int, typer.Option(min=1, help="Files per forward pass.")]
DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda, ...", show_default="a GPU if there is one")]
DtypeOption = Annotated[
    Dtype | None,
    typer.Option(
        "--dtype",
        help="Number format of the model; auto: bfloat16 where the machine has it, else float32; int8: on a CPU.",
        show_default="the checkpoint's",
    ),
]
WorkersOption = Annotated[int, typer.Option(min=0, help="Processes that decode; with 0 threads of this one do.")]
FormatOption = Annotated[OutputFormat, typer.Option("--format", help="How results are written to stdout.")]


LogLevelOption = Annotated[
    LogLevel,
    typer.Option("--log-level", envvar="AFM_HF_LOG_LEVEL", help="What is said on stderr: this, and what is graver."),
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Only errors on stderr: no notices, no progress bars.")]

_log_level: ContextVar[LogLevel] = ContextVar("log_level", default=LogLevel.WARNING)


def with_log_level(command: Callable[..., None]) -> Callable[..., None]:
    """The command with two options more, `--log-level` and `--quiet`."""

    @functools.wraps(command)
    def run(*args: Any, log_level: LogLevel, quiet: bool, **kwargs: Any) -> None:
        _log_level.set(LogLevel.ERROR if quiet else log_level)
        command(*args, **kwargs)

    added = {"log_level": (LogLevelOption, LogLevel.WARNING), "quiet": (QuietOption, False)}
    return declared(run, command, added)


def declared(
    run: Callable[..., None],
    command: Callable[..., None],
    added: Mapping[str, tuple[Any, Any]],
    in_place_of: str | None = None,
) -> Callable[..., None]:
    """
    `run` as typer is to read it: with the parameters of `command`, and with more, behind them.

    Args:
        run: What is called.
        command: What it wraps.
        added: Annotation and default of each further option.
        in_place_of: A parameter of `command` that `run` makes of them, and no option.
    """
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in added.items()
    ]
    signature = inspect.signature(command)
    own = [each for name, each in signature.parameters.items() if name != in_place_of]
    run.__signature__ = signature.replace(parameters=[*own, *more])  # type: ignore[attr-defined]
    kinds = {name: kind for name, kind in command.__annotations__.items() if name != in_place_of}
    run.__annotations__ = {**kinds, **{name: annotation for name, (annotation, _) in added.items()}}
    return run


def is_quiet() -> bool:
    """Whether nothing but errors is wanted on stderr."""
    return _log_level.get() is LogLevel.ERROR


def note(text: str) -> None:
    """A line on stderr that is no error; nothing where only errors are wanted."""
    if not is_quiet():
        typer.echo(text, err=True)


def dtype_for(dtype: Dtype | None, device: Any) -> str | None:
    """The number format by its name; what "auto" picks on the device is said on stderr."""
    from ..hub.precision import pick_dtype

    picked = pick_dtype(dtype and dtype.value, device)
    if dtype is Dtype.AUTO:
        note(f"Number format: {picked}.")
    return picked


def progress_bar(items: Iterable[Any], total: int, **options: Any) -> Any:
    """Tqdm on stderr, which shows itself on a terminal only, and not at all with `--quiet`."""
    from tqdm import tqdm

    return tqdm(items, total=total, file=sys.stderr, disable=is_quiet() or None, **options)


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as the text of a CSV file, without the last line's end."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return lines.getvalue().rstrip("\n")


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
        sys.stdout.flush()
        if _leads_to_a_full_disk():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except KeyboardInterrupt:
        typer.echo(if_interrupted, err=True)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:  # `| head` has seen enough
        _close_stdout()
        raise typer.Exit(FAILED) from None
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        if trouble := _trouble_of_stdout(error):
            typer.echo(f"afm-hf: stdout cannot be written: {trouble}.", err=True)
        elif isinstance(error, typer.Exit):
            raise
        else:
            typer.echo(f"afm-hf: {error}", err=True)
        raise typer.Exit(WRONG_USE) from None


def _trouble_of_stdout(error: Exception) -> str | None:
    """What keeps stdout from being written, as a full disk that it leads to; the error may be of something else."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _close_stdout()
        return None
    except OSError as failed:
        _close_stdout()
        return failed.strerror or str(failed)
    may_be_of_stdout = isinstance(error, typer.Exit) or (type(error) is OSError and error.filename is None)
    if not may_be_of_stdout or not _leads_to_a_full_disk():
        return None
    _close_stdout()
    return os.strerror(errno.ENOSPC)


def _leads_to_a_full_disk() -> bool:
    """Whether stdout does. Python does not notice that a write was cut short where it runs without buffers."""
    with contextlib.suppress(OSError, AttributeError):  # stdout is no file; there is no `fstatvfs` here
        kind = os.fstat(sys.stdout.fileno())
        if stat.S_ISREG(kind.st_mode):
            disk = os.fstatvfs(sys.stdout.fileno())
            return disk.f_blocks > 0 and (disk.f_bavail if os.geteuid() else disk.f_bfree) == 0
        return kind.st_rdev == os.stat("/dev/full").st_rdev
    return False


def _close_stdout() -> None:
    """Let it lead nowhere, so that Python does not fail once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _quieten() -> None:
    """Keeps the libraries' notes and loading bars off the terminal unless more was asked for; errors stay.

    The bars of downloads stay, too, except with `--quiet`.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars
    from transformers.utils import logging as libraries

    chosen = _log_level.get()
    level = int(getattr(logging, chosen.name))
    logging.getLogger("afm_hf").setLevel(level)
    libraries.set_verbosity(logging.ERROR if chosen is LogLevel.WARNING else level)
    libraries.disable_progress_bar()  # of both libraries
    if is_quiet():
        disable_progress_bars()
    elif constants.HF_HUB_DISABLE_PROGRESS_BARS is None:  # else the user has decided
        enable_progress_bars()
