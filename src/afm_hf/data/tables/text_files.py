"""Text files in the encoding that they say they have: UTF-8, or what a byte order mark names; all else is an error."""

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# The marks of UTF-32 begin with those of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@contextmanager
def text_lines(path: Path) -> Iterator[Iterator[str]]:
    """
    The lines of a text file with their ends, lazily; ends are newlines, carriage returns or both, nothing else.

    Raises:
        ValueError: if the file is in another encoding than it should be, with the line.
    """
    with path.open("rb") as file:
        start = file.read(4)
    encoding = next((name for mark, name in _MARKS if start.startswith(mark)), "utf-8")
    try:
        with path.open(encoding=encoding, newline="") as lines:
            yield _without_zeros(lines, path)
    except UnicodeDecodeError as error:
        raise ValueError(_foreign(path, encoding, error)) from None


def read_text(path: Path) -> str:
    """
    A text file as a whole.

    Raises:
        ValueError: as [`text_lines`].
    """
    with text_lines(path) as lines:
        return "".join(lines)


def read_lines(path: Path) -> list[str]:
    """
    The lines of a text file without their ends. Not by `str.splitlines`, which also parts at signs inside of a text.

    Raises:
        ValueError: as [`text_lines`].
    """
    with text_lines(path) as lines:
        return [line.rstrip("\r\n") for line in lines]


def _without_zeros(lines: Iterator[str], path: Path) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if "\0" in line:
            raise ValueError(
                f"{path.name}:{number} holds zero bytes: it is no text, or UTF-16 without a byte order mark. Save it "
                "as UTF-8."
            )
        yield line


def _foreign(path: Path, encoding: str, error: UnicodeDecodeError) -> str:
    """What is wrong with the bytes, and in which line."""
    if encoding not in ("utf-8", "utf-8-sig"):
        return f"{path} begins as {encoding.upper()} but is not ({error.reason}): save it as UTF-8."
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as here:
                byte = line[here.start]
                return (
                    f"{path} is not UTF-8 (line {number}, byte 0x{byte:02x}): save it as UTF-8. If it is of a "
                    "spreadsheet, it may be Latin-1 or Windows-1252."
                )
    return f"{path} is not UTF-8 ({error.reason}): save it as UTF-8."


__all__ = ["read_lines", "read_text", "text_lines"]
