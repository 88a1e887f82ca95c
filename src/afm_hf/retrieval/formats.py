"""The forms of an index, opened and turned into one another: Lance table, safetensors file, Parquet file."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from .index import AudioIndex, check_output
from .lance_tables import is_lance
from .store import ClipStore

Index: TypeAlias = AudioIndex | ClipStore

SUFFIXES = (".lance", ".safetensors", ".parquet")


def open_index(path: str | os.PathLike[str], storage_options: Mapping[str, str] | None = None) -> Index:
    """Open an index by its name: a `ClipStore` for `*.lance`, an `AudioIndex` for `*.safetensors` and `*.parquet`.

    Args:
        path: the index; a table may lie in an object store.
        storage_options: see `ClipStore.load`.

    Raises:
        FileNotFoundError: there is no such index.
        ValueError: it is none, is damaged, or was written by a newer release.
        ImportError: LanceDB or pyarrow is missing.
    """
    return ClipStore.load(path, storage_options) if is_lance(path) else AudioIndex.load(path)


def is_index(path: str | os.PathLike[str]) -> bool:
    """Whether a name is that of an index."""
    return os.fspath(path).rstrip("/").lower().endswith(SUFFIXES)


def convert_index(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    storage_options: Mapping[str, str] | None = None,
    *,
    overwrite: bool = False,
) -> Index:
    """Write an index in another form; nothing is embedded.

    A table becomes a file without the user's columns. What reads safetensors or Parquet files reads those that come of
    it; `embed_into_store` and `embed_files` go on from either.

    Args:
        source: the index that there is.
        target: the index that is to be, known by its suffix.
        storage_options: see `ClipStore.load`.
        overwrite: replace a target that is there.

    Raises:
        FileNotFoundError: there is no such index.
        FileExistsError: the target is there.
        ValueError: the source is no index, or its rows are windows, which files do not have.
        ImportError: LanceDB or pyarrow is missing.
        WriteError: (an `OSError`) the target cannot be written.
    """
    found = open_index(source, storage_options)
    index = found.to_index() if isinstance(found, ClipStore) else found
    if is_lance(target):
        return ClipStore.from_index(index, target, storage_options, overwrite=overwrite)
    check_output(target)
    if Path(target).exists() and not overwrite:
        raise FileExistsError(
            f"There is an index {target} already. Choose another name, or pass --overwrite (`overwrite=True`)."
        )
    index.save(target)
    return index


__all__ = ["Index", "convert_index", "is_index", "open_index"]
