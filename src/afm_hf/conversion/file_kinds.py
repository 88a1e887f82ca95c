"""What a file is, by its content and not by its name: a checkpoint, or one of the things that are taken for one."""

import enum
import json
import re
import zipfile
from pathlib import Path

START = 4096  # bytes that are looked at
LONGEST_HEADER = 100_000_000  # of safetensors, as its own library has it


class FileKind(enum.Enum):
    """The formats of checkpoints."""

    ZIP = "a zip archive of torch.save"
    LEGACY = "a file of torch.save before version 1.6"
    SAFETENSORS = "safetensors"


def kind_of(path: Path) -> FileKind:
    """
    The format of a checkpoint file.

    Raises:
        OSError: if it is none, or cannot be read; the message says what it is instead.
    """
    if path.is_dir():
        raise OSError(f"{path} is a folder; expected the official checkpoint file.")
    if not path.is_file():
        raise OSError(f"There is no checkpoint file {path}.")
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(START)
    if start.startswith(b"PK"):
        if _has_list(path):
            return FileKind.ZIP
        raise OSError(
            f"{path} is a zip archive whose list at the end is missing or damaged: it was cut off, at {size} bytes, or "
            "changed on its way. Fetch it again."
        )
    if start[:2] == b"\x80\x02":
        return FileKind.LEGACY
    if size > 8 and start[8:9] == b"{" and 0 < int.from_bytes(start[:8], "little") <= LONGEST_HEADER:
        return FileKind.SAFETENSORS
    raise OSError(f"{path} could not be read as a checkpoint of plain tensors: it is {_other(start, size)}.")


def _has_list(path: Path) -> bool:
    """Whether a zip archive ends with the list of its files."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return False


def _other(start: bytes, size: int) -> str:
    """In words, what a file that is no checkpoint is."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not size:
        return "empty. Fetch it again"
    if start.startswith(b"version https://git-lfs"):
        return _lfs_pointer(start)
    if re.match(rb"<(!doctype html|html|head|\?xml)", text, re.IGNORECASE):
        return "an HTML page, as a server sends instead of a file. Download the file itself"
    if text[:1] in (b"{", b"["):
        return (
            f"JSON, which begins {_beginning(text)}. Download the weights, not their index or an answer of the server"
        )
    if start[:1] == b"\x80":
        return (
            f"a pickle of protocol {start[1] if size > 1 else '?'}, not made by torch.save; it is never executed here"
        )
    for sign, place, name in (
        (b"\x1f\x8b", 0, "gzip"),
        (b"\xfd7zXZ", 0, "xz"),
        (b"7z\xbc\xaf", 0, "7z"),
        (b"ustar", 257, "tar"),
    ):
        if start[place:].startswith(sign):
            return f"a {name} archive. Unpack it first"
    if b"\0" not in start and text.isascii():
        return f"text, which begins {_beginning(text)}"
    return f"of an unknown format ({size} bytes, beginning with {start[:8].hex(' ')})"


def _lfs_pointer(start: bytes) -> str:
    size = re.search(rb"^size (\d+)", start, re.MULTILINE)
    stands_for = f", which stands for a file of {int(size[1]) / 1e6:,.0f} MB" if size else ""
    return f"a pointer of Git LFS{stands_for}. Fetch the file itself: `git lfs pull`"


def _beginning(text: bytes) -> str:
    return json.dumps(" ".join(text[:60].decode(errors="replace").split()), ensure_ascii=False)


__all__ = ["FileKind", "kind_of"]
