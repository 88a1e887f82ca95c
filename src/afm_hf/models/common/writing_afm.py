"""
Files that appear whole or not at all, lines that survive a kill, and one sentence where a disk is full.

Whatever takes long asks [`check_folder`] or [`check_file`] before it begins, and writes through [`replaced`] or
[`JsonLines`]. So a run that was killed, or whose disk filled up, leaves nothing behind that stops the next one.
"""

import contextlib
import errno
import glob
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

AGAIN = "Free some space: the same call or command then goes on from here."
ELSEWHERE = "Free some space, or write to another disk."
_FULL = {errno.ENOSPC: "no space is left there", errno.EDQUOT: "your quota there is used up"}
_OF_WRITING = {*_FULL, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG, errno.ENAMETOOLONG}
_PROBE, _LEFT_BEHIND_S = 4096, 3600


class WriteError(OSError):
    """Something could not be written, or cannot be: the message says what, where, why and what to do."""

    def __init__(self, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.errno = number

    @property
    def is_full(self) -> bool:
        """Whether it is for want of space."""
        return self.errno in _FULL


# ---------------------------------------------------------------------------------------------------------------------
# Before the work
# ---------------------------------------------------------------------------------------------------------------------


def check_file(path: str | os.PathLike[str], what: str, needed: int = 0, *, make_folder: bool = False) -> Path:
    """
    Sees, before any work, that a file can be written.

    Args:
        path: The file. If it is there already it will be replaced.
        what (`str`): What it will hold, for messages: `"the index"`.
        needed (`int`): Bytes that it will have, as far as that is known.
        make_folder (`bool`): Whether a folder that is not there will be made, or is an error.

    Returns:
        The file as a path.

    Raises:
        WriteError: (an `OSError`) it is a folder, its folder is not there, nothing can be written there, or there is
            not enough space.
    """
    file = Path(path)
    if file.is_dir():
        raise WriteError(f"{_start(what)} is to be written to {file}, but that is a folder. Name a file in it.")
    if file.exists() and not file.is_file():
        raise WriteError(f"{_start(what)} is to be written to {file}, which is no ordinary file. Name another one.")
    if not make_folder and not file.resolve().parent.is_dir():
        raise WriteError(f"{_start(what)} is to be written to {file}, but the folder {file.parent} does not exist.")
    _try_to_write(file.resolve().parent, f"{what} cannot be written to {file}", needed)
    return file


def check_folder(path: str | os.PathLike[str], what: str, needed: int = 0) -> Path:
    """
    Sees, before any work, that files can be written into a folder, which need not be there yet.

    Args:
        path: The folder.
        what (`str`): What it will hold, for messages: `"the report"`.
        needed (`int`): Bytes that will be written, as far as that is known.

    Returns:
        The folder as a path.

    Raises:
        WriteError: (an `OSError`) it is a file, nothing can be written there, or there is not enough space.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise WriteError(f"{_start(what)} needs a folder, but {folder} is a file.")
    _try_to_write(folder.resolve(), f"{what} cannot be written to {folder}", needed)
    return folder


def _try_to_write(folder: Path, failure: str, needed: int) -> None:
    """Write a little into the folder, or into the one in which it would be made, and take it away again."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir():
        raise WriteError(f"{_start(failure)}: {there} is a file, and no folder.")
    probe = there / f".afm-hf-{os.getpid()}.tmp"
    try:
        with probe.open("wb", buffering=0) as file:
            _write_all(file, bytes(_PROBE))
    except OSError as error:
        raise _as_write_error(error, failure, there, ELSEWHERE) from error
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    usage = shutil.disk_usage(there)
    if usage.total and usage.free < needed:  # some file systems do not say
        raise WriteError(
            f"{_start(failure)}: it needs about {_size(needed)}, and {_size(usage.free)} are free there. {ELSEWHERE}",
            errno.ENOSPC,
        )


# ---------------------------------------------------------------------------------------------------------------------
# Writing
# ---------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def replaced(path: str | os.PathLike[str], what: str, again: str = ELSEWHERE) -> Iterator[Path]:
    """
    A name beside `path` to write to; the file takes its place once it is whole and on the disk, and never else.

    Args:
        path: The file. A link is followed. Its folder is made if it is not there.
        what (`str`): What it holds, for messages.
        again (`str`): What to do where the disk is full; [`AGAIN`] where the same call goes on.

    Raises:
        WriteError: (an `OSError`) it cannot be written; nothing has changed then.

    Example:
    ```python
    >>> import tempfile
    >>> from pathlib import Path
    >>> from afm_hf.models.common.writing_afm import replaced

    >>> folder = Path(tempfile.mkdtemp())
    >>> with replaced(folder / "answer.txt", "the answer") as name:
    ...     _ = name.write_text("42")
    >>> [file.name for file in folder.iterdir()]
    ['answer.txt']

    ```
    """
    target = Path(os.path.realpath(path))
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with explained(path, what, again):
        if target.exists() and not target.is_file():
            raise WriteError(f"{_start(what)} cannot be written to {path}, which is no ordinary file.")
        target.parent.mkdir(parents=True, exist_ok=True)
        _clear_away(target)
        try:
            yield unfinished
            _sync(unfinished)
            if target.exists():
                shutil.copymode(target, unfinished)
            os.replace(unfinished, target)
            sync_folder(target.parent)
        finally:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str, what: str, again: str = ELSEWHERE) -> None:
    """
    Writes a text file, whole or not at all; see [`replaced`].

    Raises:
        WriteError: (an `OSError`) it cannot be written; nothing has changed then.
    """
    with replaced(path, what, again) as unfinished:
        # The name of a file that is no UTF-8 is written as `\udc80`, which JSON reads back.
        unfinished.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextlib.contextmanager
def explained(
    path: str | os.PathLike[str], what: str, again: str = ELSEWHERE, *, only_full: bool = False
) -> Iterator[None]:
    """
    Makes one sentence of whatever a library raises because it cannot write, safetensors and torch among them.

    Args:
        path: File or folder that is written.
        what (`str`): What it holds, for messages.
        again (`str`): What to do where the disk is full.
        only_full (`bool`): Let everything pass but a full disk: where files are read, too, they may be what is closed.

    Raises:
        WriteError: (an `OSError`) in place of the library's exception. Others pass.
    """
    try:
        yield
    except WriteError:
        raise
    except Exception as error:
        if _number(error) not in (_FULL if only_full else _OF_WRITING):
            raise
        raise _as_write_error(error, f"{what} cannot be written to {path}", Path(path), again) from error


def _as_write_error(error: Exception, failure: str, place: Path, again: str) -> WriteError:
    number = _number(error) or 0
    if number not in _FULL:
        return WriteError(f"{_start(failure)}: {os.strerror(number)}.", number)
    there = next((folder for folder in (place, *place.resolve().parents) if folder.is_dir()), Path.cwd())
    free = _size(shutil.disk_usage(there).free)
    return WriteError(f"{_start(failure)}: {_FULL[number]} ({free} free). {again}", number)


def _number(error: Exception) -> int | None:
    """The number of the system's error; safetensors has it in the text, torch has another text altogether."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    if isinstance(error, RuntimeError) and "inline_container.cc" in str(error):
        return errno.ENOSPC
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


def _clear_away(target: Path) -> None:
    """Remove what runs that were killed while they wrote this file have left, unless it may be of one that runs."""
    for old in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - old.stat().st_mtime > _LEFT_BEHIND_S:
                old.unlink()


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Names of new files survive a power cut only after this; not every system lets folders be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _start(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _size(count: int) -> str:
    """Bytes as people say them."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


# ---------------------------------------------------------------------------------------------------------------------
# Lines
# ---------------------------------------------------------------------------------------------------------------------


class JsonLines:
    """
    Adds lines of JSON to a file, each at once. A line that was cut off, by a kill or a full disk, is taken away first.

    Args:
        path: The file, which need not be there.
        what (`str`): What it holds, for messages.
        again (`str`): What to do where the disk is full.
    """

    def __init__(self, path: str | os.PathLike[str], what: str, again: str = AGAIN) -> None:
        self.path, self.what, self.again = Path(path), what, again

    def __enter__(self) -> "JsonLines":
        with self._explained():
            self._file = self.path.open("ab", buffering=0)
            self._file.truncate(_end_of_lines(self.path))
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()

    def write(self, row: Mapping[str, Any]) -> None:
        """
        Add a line.

        Raises:
            WriteError: (an `OSError`) it cannot be written; the file ends with the line before then.
        """
        line = _encoded(row) + b"\n"
        end = self._file.seek(0, os.SEEK_END)
        with self._explained():
            try:
                _write_all(self._file, line)
            except OSError:
                with contextlib.suppress(OSError):
                    self._file.truncate(end)
                raise

    def _explained(self) -> contextlib.AbstractContextManager[None]:
        return explained(self.path, self.what, self.again)


def read_json_lines(path: str | os.PathLike[str]) -> list[Any]:
    """What [`JsonLines`] wrote; nothing if there is no file. A line without its end was cut off, and does not count."""
    if not os.path.exists(path):
        return []
    rows = []
    # `splitlines` would take letters within the texts for ends of lines.
    for line in Path(path).read_bytes().split(b"\n")[:-1]:
        with contextlib.suppress(ValueError):
            rows.append(json.loads(line.decode("utf-8")))
    return rows


def _encoded(row: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(row, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:  # the name of a file that is no UTF-8
        return json.dumps(row).encode("ascii")


def _end_of_lines(path: Path) -> int:
    """Bytes up to the end of the last whole line."""
    content = path.read_bytes()
    return content.rfind(b"\n") + 1


def _write_all(file: Any, content: bytes) -> None:
    """Write to a file without a buffer, which may take a part at a time."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


__all__ = [
    "AGAIN",
    "ELSEWHERE",
    "JsonLines",
    "WriteError",
    "check_file",
    "check_folder",
    "explained",
    "read_json_lines",
    "replaced",
    "sync_folder",
    "write_text",
]
