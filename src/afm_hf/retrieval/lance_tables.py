"""LanceDB's tables as this package uses them: where one lies, its columns, and rows for it."""

import importlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..pipelines.audio_files import FileState
from .embedder import Embeddings
from .index import IndexMismatchError, Job

EMBEDDING = "embedding"
OWN_COLUMNS = ("path", "size", "mtime_ns", "start_s", "end_s", EMBEDDING, "reason")
METADATA = "afm_hf"  # the key, in the table's metadata, of what made it
STORE_VERSION = 1

Span: TypeAlias = tuple[float | None, float | None]  # seconds of a file, from and to; None for the whole of it

_PARTS_OF_A_TABLE = {"data", "_versions", "_transactions", "_indices", "_deletions"}
_CACHE_BYTES, _METADATA_CACHE_BYTES = 1 << 30, 1 << 28  # what a search may keep in memory of an approximate index


def import_lancedb() -> Any:
    """LanceDB. Raises `ImportError`, with what to install, where it is missing."""
    os.environ.setdefault("LANCEDB_LOG", "error")  # its warnings speak of its own works
    os.environ.setdefault("LANCE_INCLUDE_VECTOR_CENTROIDS", "false")  # of statistics that nobody asks for
    try:
        return importlib.import_module("lancedb")
    except ImportError as error:
        raise ImportError(
            f"An index *.lance needs LanceDB, which cannot be imported ({error}): run `pip install "
            '"afm-hf[retrieval]"`, or name the index *.safetensors.'
        ) from error


def import_pyarrow() -> Any:
    """pyarrow, which LanceDB brings."""
    return importlib.import_module("pyarrow")


# ---------------------------------------------------------------------------------------------------------------------
# Where a table lies
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where a Lance table lies.

    Attributes:
        uri: of the table, as it was given.
        parent: the folder, or the prefix in an object store, that LanceDB calls a data base.
        name: the table's name there, without `.lance`.
        folder: the table's own folder, None in an object store.
    """

    uri: str
    parent: str
    name: str
    folder: Path | None

    @classmethod
    def of(cls, uri: str | os.PathLike[str]) -> "Place":
        """Take apart `clips.lance`, `/data/clips.lance` or `s3://bucket/clips.lance`.

        Raises:
            ValueError: the name does not end in `.lance`, or LanceDB does not take it.
        """
        text = os.fspath(uri)
        if not is_lance(text):
            raise ValueError(f"The name of a Lance table ends in .lance, but {text!r} was given.")
        folder = None if "://" in text else Path(text).absolute()
        parent, _, last = str(folder or text).rstrip("/").rpartition("/")
        name = last[: -len(".lance")]
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
            raise ValueError(
                f"LanceDB takes letters from a to z, digits, '_', '-' and '.' for the name of a table, but {last!r} "
                "was given. Choose another name; folders above it are called as you like."
            )
        return cls(text, parent or "/", name, folder)

    def connect(self, storage_options: Mapping[str, str] | None = None) -> Any:
        """The data base, with caches of bounded size."""
        lancedb = import_lancedb()
        session = lancedb.Session(index_cache_size_bytes=_CACHE_BYTES, metadata_cache_size_bytes=_METADATA_CACHE_BYTES)
        return lancedb.connect(self.parent, storage_options=dict(storage_options or {}) or None, session=session)

    def check_free(self) -> None:
        """Raise `FileExistsError` if something else than a table, finished or begun, lies there."""
        if self.folder is None or not self.folder.exists():
            return
        if not self.folder.is_dir() or {entry.name for entry in self.folder.iterdir()} - _PARTS_OF_A_TABLE:
            raise FileExistsError(f"{self.folder} is there already, and is no Lance table. Choose another name.")


def is_lance(path: str | os.PathLike[str]) -> bool:
    """Whether a name is that of a Lance table."""
    return os.fspath(path).rstrip("/").lower().endswith(".lance")


# ---------------------------------------------------------------------------------------------------------------------
# Columns and rows
# ---------------------------------------------------------------------------------------------------------------------


def table_schema(job: Job, width: int, columns: Mapping[str, Any]) -> Any:
    """The columns of a table.

    Args:
        job: what makes its rows; kept in the table's metadata.
        width: numbers of an embedding.
        columns: the user's own, with their Arrow types.
    """
    arrow = import_pyarrow()
    own = [
        arrow.field("path", arrow.string(), False),
        *(arrow.field(name, arrow.int64()) for name in ("size", "mtime_ns")),  # bytes; nanoseconds
        *(arrow.field(name, arrow.float64()) for name in ("start_s", "end_s")),
        arrow.field(EMBEDDING, arrow.list_(arrow.float32(), width)),  # of length 1; null for a file that has none
        arrow.field("reason", arrow.string()),  # why a file could not be used; null for one that could
    ]
    about = json.dumps({"version": STORE_VERSION, **asdict(job)})
    return arrow.schema([*own, *(arrow.field(name, kind) for name, kind in columns.items())], {METADATA: about})


def job_of(schema: Any, uri: str) -> Job:
    """What made a table. Raises `ValueError` if it is not of this package, or of a newer release."""
    try:
        about = json.loads((schema.metadata or {})[METADATA.encode()])
        version = about.pop("version")
        job = Job(**about)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{uri} is a Lance table, but none that afm-hf made ({error!r}).") from None
    if version != STORE_VERSION:
        raise IndexMismatchError(
            f"{uri} is a table of version {version}; this release reads version {STORE_VERSION}. Update afm-hf, or "
            "make the index anew."
        )
    return job


def rows_of_clips(
    schema: Any,
    files: Sequence[FileState],
    spans: Sequence[Span],
    embeddings: Embeddings,
    columns: Sequence[Mapping[str, Any]],
) -> Any:
    """Rows of files, or of their windows, that could be used.

    Args:
        schema: the table's.
        files: the file of each row.
        spans: from when to when in the file each row lies.
        embeddings: float32 `(rows, dim)`.
        columns: the user's own, row by row.
    """
    arrow = import_pyarrow()
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    units = np.ascontiguousarray(embeddings / lengths, np.float32)  # half precision rounds the length
    return _rows(
        schema,
        {
            "path": [file.path for file in files],
            "size": [file.size for file in files],
            "mtime_ns": [file.mtime_ns for file in files],
            "start_s": [start for start, _ in spans],
            "end_s": [end for _, end in spans],
            EMBEDDING: arrow.FixedSizeListArray.from_arrays(arrow.array(units.reshape(-1)), units.shape[1]),
        },
        columns,
    )


def rows_of_failures(
    schema: Any,
    failures: Mapping[str, str],
    states: Mapping[str, tuple[int, int]],
    columns: Sequence[Mapping[str, Any]],
) -> Any:
    """Rows of files that could not be used.

    Args:
        schema: the table's.
        failures: path and reason.
        states: size and time of change of those that are there.
        columns: the user's own, row by row.
    """
    found = [states.get(path, (None, None)) for path in failures]
    own = {
        "path": list(failures),
        "size": [size for size, _ in found],
        "mtime_ns": [mtime_ns for _, mtime_ns in found],
        "reason": list(failures.values()),
    }
    return _rows(schema, own, columns)


def _rows(schema: Any, own: Mapping[str, Any], columns: Sequence[Mapping[str, Any]]) -> Any:
    arrow = import_pyarrow()
    count = len(own["path"])
    arrays = []
    for field in schema:
        is_own = field.name in OWN_COLUMNS
        values = own.get(field.name) if is_own else [row.get(field.name) for row in columns]
        array = arrow.nulls(count, field.type) if values is None else values
        arrays.append(array if isinstance(array, arrow.Array) else arrow.array(array, field.type))
    return arrow.table(arrays, schema=schema)


def any_of(column: str, values: Iterable[str]) -> str:
    """SQL: the column holds one of these texts."""
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"{column} IN ({quoted})"


__all__ = [
    "EMBEDDING",
    "OWN_COLUMNS",
    "Place",
    "Span",
    "any_of",
    "import_lancedb",
    "import_pyarrow",
    "is_lance",
    "job_of",
    "rows_of_clips",
    "rows_of_failures",
    "table_schema",
]
