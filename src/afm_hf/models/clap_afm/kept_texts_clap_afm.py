"""Embeddings of texts that are kept on disk, so that a long list of labels is embedded once and not at every start.

They lie in one SQLite file below `HF_HOME`, which several processes may use at a time. What an embedding follows from
is its key: the weights of the text side and its settings, hashed anew each time, and the tokens. The file is bounded:
what was used longest ago goes first. It is a cache: where it cannot be used, texts are embedded as if there were none.
"""

import contextlib
import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from huggingface_hub import constants
from transformers.utils import logging

logger = logging.get_logger(__name__)

SIZE_VARIABLE = "AFM_HF_TEXT_CACHE_MB"
DEFAULT_MB = 256
FEWEST_TEXTS = 256  # below, hashing the weights takes longer than embedding the texts
_BUSY_S = 10.0
_QUESTIONS = 500  # keys of a query: SQLite takes 999

Embedding = npt.NDArray[np.float32]


class KeptTexts:
    """
    Embeddings of texts in a file.

    Args:
        path: The file; made, with its folder, when something is kept.
        size_mb (`float`): Megabytes of embeddings that it holds at most.
    """

    def __init__(self, path: str | os.PathLike[str], size_mb: float = DEFAULT_MB) -> None:
        self.path, self.limit = Path(path), int(size_mb * 10**6)

    @classmethod
    def usual(cls) -> "KeptTexts | None":
        """The file below `HF_HOME`; None where `AFM_HF_TEXT_CACHE_MB` is 0. Raises `ValueError` if it is no number."""
        given = os.environ.get(SIZE_VARIABLE, str(DEFAULT_MB))
        try:
            size = float(given)
        except ValueError:
            size = -1.0
        if not size >= 0:
            raise ValueError(f"{SIZE_VARIABLE} is {given!r}; expected megabytes, as 256, or 0 to keep nothing.")
        return cls(Path(constants.HF_HOME) / "afm_hf" / "texts.sqlite", size) if size else None

    def find(self, model: str, keys: Sequence[bytes], width: int) -> dict[bytes, Embedding]:
        """
        Those of the embeddings that are kept, float32 `(width,)` each, by their keys.

        Args:
            model (`str`): What made them, see [`model_key`].
            keys (`Sequence[bytes]`): Of the texts, see [`text_key`].
            width (`int`): Numbers of an embedding.
        """
        found: dict[bytes, Embedding] = {}
        if not self.path.exists():
            return found
        with self._tolerated(), self._open() as file:
            for part in _parts(keys):
                where = f"model = ? AND text IN ({', '.join('?' * len(part))})"
                rows = file.execute(f"SELECT text, embedding FROM texts WHERE {where}", (model, *part)).fetchall()
                found.update((key, np.frombuffer(each, np.float32)) for key, each in rows if len(each) == 4 * width)
                file.execute(f"UPDATE texts SET used = ? WHERE {where}", (time.time(), model, *part))
        return found

    def keep(self, model: str, embeddings: Mapping[bytes, Embedding]) -> None:
        """Keeps embeddings, float32, by the keys of their texts; what was used longest ago makes room for them."""
        with self._tolerated(), self._open() as file:
            now = time.time()
            rows = ((model, key, now, each.astype(np.float32).tobytes()) for key, each in embeddings.items())
            file.executemany("INSERT OR REPLACE INTO texts VALUES (?, ?, ?, ?)", rows)
            (size,) = file.execute("SELECT COALESCE(SUM(LENGTH(embedding)), 0) FROM texts").fetchone()
            if size > self.limit:
                self._make_room(file, size)

    def _make_room(self, file: sqlite3.Connection, size: int) -> None:
        """Removes the oldest until a tenth is free."""
        gone = []
        for number, length in file.execute("SELECT rowid, LENGTH(embedding) FROM texts ORDER BY used, rowid"):
            if size <= self.limit * 0.9:
                break
            gone.append((number,))
            size -= length
        file.executemany("DELETE FROM texts WHERE rowid = ?", gone)

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One transaction."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(self.path, timeout=_BUSY_S)) as file, file:
            file.execute("BEGIN IMMEDIATE")
            columns = "model TEXT, text BLOB, used REAL, embedding BLOB, PRIMARY KEY (model, text)"
            file.execute(f"CREATE TABLE IF NOT EXISTS texts ({columns})")
            yield file

    @contextlib.contextmanager
    def _tolerated(self) -> Iterator[None]:
        """A file that cannot be used, or is damaged, is told of once, and done without."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            logger.warning_once(
                f"Embeddings of texts are not kept: {self.path} cannot be used ({error}). Delete it, or set "
                f"{SIZE_VARIABLE}=0."
            )


def text_key(tokens: Sequence[int]) -> bytes:
    """The key of a text: of its tokens, without padding."""
    return hashlib.sha256(np.asarray(tokens, np.int64).tobytes()).digest()


def _parts(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    return (keys[start : start + _QUESTIONS] for start in range(0, len(keys), _QUESTIONS))


__all__ = ["FEWEST_TEXTS", "KeptTexts", "text_key"]
