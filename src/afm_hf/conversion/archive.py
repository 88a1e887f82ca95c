"""Files inside of a wheel or another zip, or a folder that is there already."""

import contextlib
import fnmatch
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from .common import ConversionError

LARGEST = 1 << 30  # bytes of one unpacked file


@contextlib.contextmanager
def unpacked(source: str, patterns: Sequence[str]) -> Iterator[Path]:
    """
    The folder or file itself, or a temporary folder with the wanted files of a wheel.

    Args:
        source: A folder, a wheel (a zip), or another file.
        patterns: Names of the wanted files in the wheel, with `*`.

    Raises:
        OSError: there is no such file.
        ConversionError: a wheel holds none of the wanted files.
    """
    path = Path(source)
    if not path.exists():
        raise OSError(f"There is no file or folder {path}.")
    if path.suffix not in (".whl", ".zip"):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        _extract(path, patterns, Path(folder))
        yield Path(folder)


def _extract(path: Path, patterns: Sequence[str], folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            wanted = [
                each for each in archive.infolist() if any(fnmatch.fnmatch(each.filename, one) for one in patterns)
            ]
            if not wanted:
                raise ConversionError(f"{path} holds no {' or '.join(patterns)}.")
            for each in wanted:
                name = PurePosixPath(each.filename)
                if name.is_absolute() or ".." in name.parts or each.file_size > LARGEST:
                    raise ConversionError(f"{path}: {each.filename} is not unpacked: its place or size makes no sense.")
                archive.extract(each, folder)
    except zipfile.BadZipFile as error:
        raise ConversionError(f"{path} is no wheel, or is damaged: {error}") from error


__all__ = ["unpacked"]
