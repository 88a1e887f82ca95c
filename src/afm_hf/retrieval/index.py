"""An index of embedded audio files: search, and files that remember by which weights it was made."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..hub.precision import precision_of
from ..models.clap_afm.background_clap_afm import relative_scores
from ..models.common.writing_afm import AGAIN, replaced
from ..pipelines.audio_files import FileState
from .embedder import ClapEmbedder, Embeddings

INDEX_VERSION = 1
LENGTH_TOLERANCE = 0.05  # of embeddings, whose length is 1: half precision rounds it
_LONG_VERSION = 2  # of a safetensors file whose header could not hold all paths
_METADATA = "afm_hf"  # safetensors writes several keys in no fixed order; one holds everything, as JSON
_HEADER_LIMIT = 99_000_000  # safetensors refuses to read headers above 100 MB, and writes them all the same


class IndexMismatchError(ValueError):
    """An index was made by another model, or with other settings, than the ones now in use."""


@dataclass(frozen=True)
class Hit:
    """A found file, or a window of it.

    Attributes:
        path: the file.
        score: cosine similarity with the query, -1 to 1.
        row: its row in the index; of a Lance table the row's number there, which changes when the table is tidied up.
        start_s, end_s: from when to when in the file the window lies; None where the whole file was embedded as one.
        columns: what a metadata table said of the file.
        relevance: 0 to 1, see `relevance_of`; None unless it was asked for.
    """

    path: str
    score: float
    row: int
    start_s: float | None = None
    end_s: float | None = None
    columns: dict[str, Any] = field(default_factory=dict)
    relevance: float | None = None


@dataclass
class AudioIndex:
    """Embeddings of audio files, and by which model they were made.

    Attributes:
        embeddings: float32 `(files, dim)`, L2-normalised.
        files: the files, row by row.
        model: name of the model: of a bundled checkpoint, a folder or a Hub id.
        fingerprint: of the model, see `fingerprint`.
        settings: what else the embeddings depend on: `truncation` (None: the feature extractor's own).
        failures: path and reason of files that could not be used.
    """

    embeddings: Embeddings
    files: list[FileState]
    model: str
    fingerprint: str
    settings: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.embeddings.ndim != 2 or len(self.embeddings) != len(self.files):
            raise ValueError(
                f"An index needs one embedding per file, but has embeddings of shape {self.embeddings.shape} and "
                f"{len(self.files)} files."
            )
        lengths = np.linalg.norm(self.embeddings, axis=1)
        wrong = np.flatnonzero(~(np.abs(lengths - 1) < LENGTH_TOLERANCE))  # also NaN
        if wrong.size:
            raise ValueError(
                f"An index needs embeddings of length 1, but that of {self.files[wrong[0]].path} has length "
                f"{lengths[wrong[0]]:g} ({wrong.size} of {len(self.files)} are wrong)."
            )
        self._lengths, self._measured = lengths, self.embeddings

    def __len__(self) -> int:
        return len(self.files)

    @property
    def paths(self) -> list[str]:
        """The files' paths, row by row."""
        return [file.path for file in self.files]

    def search(
        self,
        queries: Embeddings,
        top_k: int = 10,
        *,
        min_score: float | None = None,
        everyday: Embeddings | None = None,
    ) -> list[list[Hit]]:
        """The files nearest to each query, best first.

        Args:
            queries: `(queries, dim)`, of the model that made the index, of any length: they are normalised.
            top_k: how many to return; fewer if the index has fewer.
            min_score: the least cosine similarity.
            everyday: embeddings of everyday sounds, `ClapEmbedder.embed_everyday()`, to say the relevance of hits.

        Raises:
            ValueError: the queries have another width than the index, one of them has no direction (zeros, NaN or
                infinity), or `top_k` is below 1.
        """
        directions = as_directions(queries, self.embeddings.shape[1], top_k)
        scores = directions @ self.embeddings.T  # (queries, dim) @ (dim, files)
        if self._measured is not self.embeddings:  # others were put in their place: check and measure them
            self.__post_init__()
        scores /= self._lengths  # 1 but for the rounding of half precision
        order = [_best(line, top_k) for line in scores]
        least = -np.inf if min_score is None else min_score
        return [
            [
                Hit(
                    self.files[row].path,
                    float(line[row]),
                    int(row),
                    relevance=relevance_of(float(line[row]), self.embeddings[row], everyday),
                )
                for row in rows
                if line[row] >= least
            ]
            for line, rows in zip(scores, order, strict=True)
        ]

    def check_model(self, embedder: ClapEmbedder) -> None:
        """Raise `IndexMismatchError` unless this model made the index."""
        check_model(self.model, self.fingerprint, embedder)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to `*.safetensors` or `*.parquet`, whole or not at all.

        Raises:
            ValueError: the name ends otherwise.
            ImportError: pyarrow is missing, for Parquet.
            WriteError: (an `OSError`) it cannot be written.
        """
        write = _write_parquet if check_output(path) == ".parquet" else _write_safetensors
        with replaced(path, "the index", AGAIN) as unfinished:
            write(self, unfinished)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "AudioIndex":
        """Read an index.

        Raises:
            ValueError: the file is no index, is damaged, or was written by a newer release.
            FileNotFoundError: there is no such file.
            ImportError: pyarrow is missing, for Parquet.
        """
        source = Path(path)
        suffix = check_output(source)
        if not source.is_file():
            raise FileNotFoundError(f"There is no index {source}. Make one with `afm-hf embed DIR --output {source}`.")
        embeddings, files, metadata = (_read_parquet if suffix == ".parquet" else _read_safetensors)(source)
        if metadata.get("version") not in (INDEX_VERSION, _LONG_VERSION):
            raise ValueError(
                f"{source} is an index of version {metadata.get('version')}; this release reads the versions "
                f"{INDEX_VERSION} and {_LONG_VERSION}. Update afm-hf, or make the index anew."
            )
        kept = {name: metadata[name] for name in ("model", "fingerprint", "settings", "failures")}
        return cls(embeddings, [FileState(*file) for file in files], **kept)

    def _metadata(self) -> dict[str, Any]:
        return {
            "version": INDEX_VERSION,
            "model": self.model,
            "fingerprint": self.fingerprint,
            "settings": self.settings,
            "failures": self.failures,
        }


def _best(scores: npt.NDArray[np.float32], top_k: int) -> npt.NDArray[np.int64]:
    """Numbers of the highest scores, the best first, of equal ones the first; only those in question are sorted."""
    rows = np.arange(len(scores))
    if top_k < len(scores):
        rows = np.flatnonzero(scores >= np.partition(scores, -top_k)[-top_k])
    return rows[np.argsort(-scores[rows], kind="stable")][:top_k]


def relevance_of(score: float, embedding: Any, everyday: Embeddings | None) -> float | None:
    """
    How relevant a hit of words is, 0 to 1; None without everyday sounds.

    A cosine says little by itself: what words get for clips they do not fit differs from model to model, and clip to
    clip. So it is set against those of 111 everyday sounds for the same clip. Above 0.5 the words fit the clip better
    than nine of ten of these do; it is a place among sounds, and no probability.

    Args:
        score: cosine of the words with the clip.
        embedding: of the clip, `(dim,)`.
        everyday: embeddings of the everyday sounds, `(sounds, dim)`.
    """
    if everyday is None:
        return None
    clip = np.asarray(embedding, np.float32)
    cosines = torch.from_numpy(everyday @ (clip / np.linalg.norm(clip)))
    return float(relative_scores(torch.tensor([score]), cosines)[0])


def as_directions(queries: Any, width: int, top_k: int = 1) -> Embeddings:
    """Checked queries, float32 `(queries, width)`, of length 1.

    Raises:
        ValueError: they have another width, one has no direction (zeros, NaN or infinity), or `top_k` is below 1.
    """
    if top_k < 1:
        raise ValueError(f"`top_k` is {top_k}; expected 1 or more.")
    rows = np.asarray(queries, np.float32)
    if rows.ndim != 2 or rows.shape[1] != width:
        raise ValueError(f"The queries have shape {rows.shape}; expected (queries, {width}), the width of the index.")
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    wrong = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if wrong.size:
        raise ValueError(
            f"Query {wrong[0]} has no direction: its length is {lengths[wrong[0], 0]:g}. Does it hold zeros or NaN?"
        )
    return (rows / lengths).astype(np.float32)


def check_model(made_by: str, fingerprint: str, embedder: ClapEmbedder) -> None:
    """Raise `IndexMismatchError` unless the model of this fingerprint is the embedder's."""
    if embedder.fingerprint != fingerprint:
        raise IndexMismatchError(
            f"The index was made by {made_by} (fingerprint {fingerprint[:12]}), but the model given is "
            f"{embedder.name} (fingerprint {embedder.fingerprint[:12]}, in {precision_of(embedder.model)}): their "
            "embeddings cannot be compared. Use the model that made the index, in the number format (`dtype`) that "
            "made it, or make the index anew."
        )


@dataclass(frozen=True)
class Job:
    """What decides about the rows of an index.

    Attributes:
        model: name of the model: of a bundled checkpoint, a folder or a Hub id.
        fingerprint: of the model, see `fingerprint`.
        settings: what else the embeddings depend on.
    """

    model: str
    fingerprint: str
    settings: dict[str, Any] = field(default_factory=dict)

    def check(self, found: "Job", what: str) -> None:
        """Raise `IndexMismatchError` where `what` was made by another model, or with other settings."""
        if (found.fingerprint, found.settings) != (self.fingerprint, self.settings):
            raise IndexMismatchError(
                f"{what} was made by {found.model} (fingerprint {found.fingerprint[:12]}, settings {found.settings}), "
                f"but this run uses {self.model} (fingerprint {self.fingerprint[:12]}, settings {self.settings}). "
                "Write to another output, or start anew with --overwrite (`overwrite=True`)."
            )


def check_output(path: str | os.PathLike[str]) -> str:
    """The suffix of an index file, lower case; `ValueError` for other suffixes, `ImportError` if pyarrow is missing."""
    suffix = Path(path).suffix.lower()
    if suffix == ".parquet":
        _pyarrow()
    elif suffix == ".lance":
        raise ValueError(f"{os.fspath(path)!r} is a Lance table, no file: see `embed_into_store` and `ClipStore`.")
    elif suffix != ".safetensors":
        raise ValueError(
            f"The name of an index ends in .lance, .safetensors or .parquet, but {os.fspath(path)!r} was given."
        )
    return suffix


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError("Parquet needs pyarrow: run `pip install pyarrow`, or write a .safetensors file.") from error
    return pyarrow


def _write_safetensors(index: AudioIndex, path: Path) -> None:
    """The header says everything about the files, as JSON; where that is too long for it, a tensor of bytes does."""
    tensors = {"embeddings": np.ascontiguousarray(index.embeddings)}
    about = {**index._metadata(), "files": [list(asdict(file).values()) for file in index.files]}
    text = json.dumps(about)
    within = len(text) + text.count('"') + text.count("\\")  # a text in JSON has a backslash before each of these
    if within > _HEADER_LIMIT:
        tensors[_METADATA] = np.frombuffer(text.encode("ascii"), np.uint8)
        text = json.dumps({"version": _LONG_VERSION})
    save_file(tensors, path, metadata={_METADATA: text})


def _read_safetensors(path: Path) -> tuple[Embeddings, list[Any], dict[str, Any]]:
    try:
        with safe_open(path, "np") as file:
            metadata = json.loads((file.metadata() or {})[_METADATA])
            if metadata.get("version") == _LONG_VERSION:
                metadata = {**json.loads(file.get_tensor(_METADATA).tobytes()), **metadata}
            return file.get_tensor("embeddings"), metadata.get("files", []), metadata
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not an index of afm-hf, or is damaged ({error}).") from error


def _write_parquet(index: AudioIndex, path: Path) -> None:
    arrow = _pyarrow()
    rows, dim = index.embeddings.shape
    values = arrow.array(index.embeddings.reshape(rows * dim))
    table = arrow.table(
        {
            "path": arrow.array(index.paths, arrow.string()),
            "embedding": arrow.FixedSizeListArray.from_arrays(values, dim),
            "size": arrow.array([file.size for file in index.files], arrow.int64()),
            "mtime_ns": arrow.array([file.mtime_ns for file in index.files], arrow.int64()),
        }
    ).replace_schema_metadata({_METADATA: json.dumps(index._metadata())})
    arrow.parquet.write_table(table, path)


def _read_parquet(path: Path) -> tuple[Embeddings, list[Any], dict[str, Any]]:
    arrow = _pyarrow()
    try:
        table = arrow.parquet.read_table(path)
        metadata = json.loads(table.schema.metadata[_METADATA.encode()])
        column = table["embedding"].combine_chunks()
        embeddings = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), column.type.list_size)
        files = zip(*(table[name].to_pylist() for name in ("path", "size", "mtime_ns")), strict=True)
        return embeddings, list(files), metadata
    except (arrow.ArrowInvalid, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not an index of afm-hf, or is damaged ({error}).") from error


__all__ = [
    "AudioIndex",
    "Hit",
    "IndexMismatchError",
    "Job",
    "as_directions",
    "check_model",
    "check_output",
    "relevance_of",
]
