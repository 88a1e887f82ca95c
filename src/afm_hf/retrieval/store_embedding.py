"""Embedding files into a Lance table, which grows while it works and is brought up to date by the same call.

A run looks at what the table holds. Files it lacks, or holds as they no longer are, are embedded; rows of files that
are gone from the folders that were given are removed; all others stay. So a run that was killed goes on, and a folder
that has grown costs what is new in it.
"""

import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch

from ..models.clap_afm.timeline_clap_afm import TIMELINE, TimelinePlan, plan_timeline
from ..models.common.writing_afm import check_folder
from ..pipelines.audio_files import FeatureBatch, FileState, find_audio, in_batches, read_batches
from .approximate import KINDS
from .embedder import ClapEmbedder, Embeddings, as_embedder, settings_of
from .embedding_steps import check_names, none_usable, progress_bar, report
from .index import Job
from .lance_tables import Place, Span, import_lancedb, rows_of_clips, rows_of_failures
from .store import ClipStore
from .user_columns import Metadata, UserColumns

Rows: TypeAlias = tuple[list[FileState], list[Span], Embeddings]

_ROWS_AT_A_TIME = 4096  # in memory before they are written, however short the time
_UPDATES_AT_A_TIME = 10_000
_ROW_BYTES = 200  # beside the embedding: path, size, time of change


def embed_into_store(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    model: str | os.PathLike[str] | ClapEmbedder = "clap-small",
    *,
    batch_size: int = 16,
    truncation: str | None = None,
    every_s: float | None = None,
    metadata: Metadata | None = None,
    device: str | None = None,
    dtype: str | None = None,
    num_workers: int = 0,
    progress: bool = False,
    checkpoint_s: float = 10.0,
    overwrite: bool = False,
    approximate: str = "auto",
    storage_options: Mapping[str, str] | None = None,
) -> ClipStore:
    """Embed audio files into a Lance table, or bring one up to date.

    Args:
        paths: files and folders, or one; see `find_audio`.
        output: the table, `clips.lance` or `s3://bucket/clips.lance`.
        model: a CLAP: name of a bundled checkpoint, folder, Hub id, or an embedder.
        batch_size: files per forward pass.
        truncation: what of a long clip is taken, see `embed_files`; not with `every_s`.
        every_s: make a row of every window of a file instead of one of the file: the windows have the model's clip
            length and begin every so many seconds; silent ones are left out.
        metadata: a table that says more about the files, see `UserColumns.read`. Its columns become the index's own.
        device: "cpu", "cuda", ...; None takes a GPU if there is one.
        dtype: number format of the model, see `embed_files`.
        num_workers: processes that decode; with 0 threads of this one do, while the model works.
        progress: show a progress bar on stderr, and name files there that cannot be used.
        checkpoint_s: seconds between two appends; what is not appended yet is lost by a kill.
        overwrite: start anew, whatever there is.
        approximate: the approximate index, see `ClipStore.build_approximation`.
        storage_options: keys and addresses of an object store, see `ClipStore.load`.

    Returns:
        The table; its `failures` names the files that could not be used. They are tried again by the next run.

    Raises:
        IndexMismatchError: the table was made by another model or with other settings.
        ValueError: there is no audio file, none can be used, a setting makes no sense, or the metadata does not fit.
        ImportError: LanceDB is missing.
        FileExistsError: something else lies there.
        WriteError: (an `OSError`) the table cannot be written. The same call goes on once it can.
    """
    import_lancedb()
    _check_approximate(approximate)
    place = Place.of(output)
    place.check_free()
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    files = find_audio(given)
    if not files:
        raise ValueError("There are no audio files in what was given.")
    check_names(files, "A Lance table")
    batches = in_batches(files, batch_size)
    folders = [os.path.abspath(path) for path in given if os.path.isdir(path)]
    columns = UserColumns.read(metadata, folders)
    columns.check_files(files)
    embedder = as_embedder(model, device, dtype)
    plan = window_plan(embedder, every_s, truncation)
    job = job_of_embedder(embedder, truncation, every_s)
    if place.folder is not None:
        place.folder.parent.mkdir(parents=True, exist_ok=True)
        check_folder(place.folder, "the index", 0)
    store = open_or_create(output, job, embedder.width, columns, storage_options, overwrite)
    update = Update.of(store, files, folders, _state)
    if place.folder is not None:
        check_folder(place.folder, "the index", len(update.todo) * (4 * embedder.width + _ROW_BYTES))
    store.delete(update.gone)
    writer = StoreWriter(store, update, columns, checkpoint_s)
    todo = [[path for path in batch if path in update.todo] for batch in batches]
    _embed(writer, [batch for batch in todo if batch], embedder, plan, truncation, num_workers, progress)
    finish(store, columns, embedder, approximate)
    if not len(store):
        raise none_usable(len(files), store.failures)
    return store


def _check_approximate(kind: str) -> None:
    if kind not in ("auto", "none", *KINDS):
        raise ValueError(f"There is no approximate index {kind!r}; there are auto, none, {', '.join(KINDS)}.")


def window_plan(embedder: ClapEmbedder, every_s: float | None, truncation: str | None) -> TimelinePlan | None:
    """How the windows of a file are cut; None where a file is a row. Raises `ValueError` for settings without sense."""
    if every_s is None:
        return None
    longest = getattr(embedder.feature_extractor, "max_length_s", None)
    if longest is None:
        raise ValueError("`every_s` needs a CLAP of this package with its feature extractor. Leave it out.")
    if truncation is not None:
        raise ValueError(f"`truncation` is {truncation!r}, but with `every_s` all of a file is heard. Leave one out.")
    if not 0 < every_s <= longest:
        raise ValueError(
            f"`every_s` is {every_s} s; expected more than 0 and at most {longest} s, the length of a window of this "
            "model: what lies between two windows would not be heard."
        )
    return plan_timeline(embedder.model, embedder.feature_extractor, every_s)


def job_of_embedder(embedder: ClapEmbedder, truncation: str | None, every_s: float | None) -> Job:
    """What makes the rows of a table."""
    settings = settings_of(embedder, truncation)
    if every_s is not None:
        settings["every_s"] = float(every_s)
    return Job(embedder.name, embedder.fingerprint, settings)


def open_or_create(
    output: str | os.PathLike[str],
    job: Job,
    width: int,
    columns: UserColumns,
    storage_options: Mapping[str, str] | None,
    overwrite: bool,
) -> ClipStore:
    """The table of a job, with the user's columns.

    Raises:
        IndexMismatchError: it was made by another job.
        ValueError: a column has another type in it.
    """
    if overwrite or not ClipStore.exists(output, storage_options):
        return ClipStore.create(output, job, width, columns.columns, storage_options, overwrite=overwrite)
    store = ClipStore.load(output, storage_options)
    job.check(store.job, f"The index {output}")
    columns.check_kinds(store.columns)
    store.add_columns(columns.columns)
    return store


# ---------------------------------------------------------------------------------------------------------------------
# What there is to do
# ---------------------------------------------------------------------------------------------------------------------


@dataclass
class Update:
    """What a run has to do.

    Attributes:
        todo: files to embed.
        gone: files whose rows are to be removed.
        stale: files that have rows of an earlier state, or of a failure, which new rows replace.
        failed: size, time of change and reason of files that could not be used before.
    """

    todo: set[str] = field(default_factory=set)
    gone: list[str] = field(default_factory=list)
    stale: set[str] = field(default_factory=set)
    failed: dict[str, tuple[int | None, int | None, str]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        store: ClipStore,
        files: Sequence[str],
        folders: Sequence[str],
        state_of: Callable[[str], tuple[int, int] | None],
    ) -> "Update":
        """Compare a table with files.

        Args:
            store: the table.
            files: all that are wanted.
            folders: those that were searched; a file in one of them that was not found is gone.
            state_of: size and time of change of a file as it is now; None if it is not there.
        """
        update, wanted = cls(todo=set(files)), set(files)
        inside = tuple(folder.rstrip("/" + os.sep) + sep for folder in folders for sep in {"/", os.sep})
        for path, (size, mtime_ns, reason) in store.states().items():
            if path not in wanted:
                if path.startswith(inside):
                    update.gone.append(path)
            elif reason is not None:
                update.stale.add(path)
                update.failed[path] = (size, mtime_ns, reason)
            elif (size, mtime_ns) == state_of(path):
                update.todo.remove(path)
            else:
                update.stale.add(path)
        return update


def _state(path: str) -> tuple[int, int] | None:
    try:
        found = FileState.of(path)
    except OSError:
        return None
    return found.size, found.mtime_ns


# ---------------------------------------------------------------------------------------------------------------------
# Embedding and writing
# ---------------------------------------------------------------------------------------------------------------------


def rows_of_batch(embedder: ClapEmbedder, batch: FeatureBatch, plan: TimelinePlan | None) -> Rows:
    """The rows of the files of a batch that could be used: the file, from when to when, and the embedding of each."""
    if batch.features is None:
        return [], [], np.empty((0, embedder.width), np.float32)
    if plan is None:
        return batch.files, [(None, None)] * len(batch.files), embedder.embed_features(batch.features)
    files, spans, parts = [], [], []
    for file, timeline in zip(batch.files, batch.features[TIMELINE], strict=True):
        found = timeline.score(embedder.model, lambda embeddings: {"embedding": embeddings})
        times = found["times"][:, 2:].tolist()  # from when to when a window was heard
        files += [file] * len(times)
        spans += [(start, end) for start, end in times]
        parts.append(found["embedding"] if times else torch.empty(0, embedder.width))
    return files, spans, torch.cat(parts).float().numpy()


class StoreWriter:
    """Appends rows to a table, some at a time.

    Args:
        store: the table.
        update: which rows are replaced.
        columns: what else is said of the files.
        checkpoint_s: seconds between two appends.
    """

    def __init__(self, store: ClipStore, update: Update, columns: UserColumns, checkpoint_s: float) -> None:
        self.store, self.update, self.columns, self.checkpoint_s = store, update, columns, checkpoint_s
        self._schema = store.table.schema
        self._tables: list[Any] = []
        self._replaced: list[str] = []
        self._saved_at = time.monotonic()

    def add(self, rows: Rows, failures: Mapping[str, str], states: Mapping[str, tuple[int, int]] | None = None) -> None:
        """Take in the rows of a batch, all of a file together; write if the last time is long enough ago.

        Args:
            rows: of files that could be used.
            failures: path and reason of the others.
            states: their size and time of change; looked up on this machine if not given.
        """
        files, spans, embeddings = rows
        if files:
            said = [self.columns.of(file.path) for file in files]
            self._tables.append(rows_of_clips(self._schema, files, spans, embeddings, said))
            self._replace(file.path for file in files)
        if states is None:
            states = {path: state for path in failures if (state := _state(path)) is not None}
        new = {path: reason for path, reason in failures.items() if not self._is_known(path, reason, states)}
        if new:
            said = [self.columns.of(path) for path in new]
            self._tables.append(rows_of_failures(self._schema, new, states, said))
            self._replace(new)
        due = time.monotonic() - self._saved_at >= self.checkpoint_s
        if due or sum(map(len, self._tables)) >= _ROWS_AT_A_TIME:
            self.flush()

    def _is_known(self, path: str, reason: str, states: Mapping[str, tuple[int, int]]) -> bool:
        return self.update.failed.get(path) == (*states.get(path, (None, None)), reason)

    def _replace(self, paths: Iterable[str]) -> None:
        self._replaced += [path for path in dict.fromkeys(paths) if path in self.update.stale]

    def flush(self) -> None:
        """Write what is not written yet.

        Old rows go first: a kill in between leaves a file without rows, which the next run embeds, never with those of
        two states.
        """
        if self._tables:
            self.store.delete(self._replaced)
            self.store.add(self._tables)
            self._tables, self._replaced = [], []
        self._saved_at = time.monotonic()


def _embed(
    writer: StoreWriter,
    batches: list[list[str]],
    embedder: ClapEmbedder,
    plan: TimelinePlan | None,
    truncation: str | None,
    num_workers: int,
    progress: bool,
) -> None:
    bar = progress_bar(sum(map(len, batches)), 0) if progress else None
    try:
        with warnings.catch_warnings():
            # LanceDB warns its users of forks; the processes that decode never call it.
            warnings.filterwarnings("ignore", "lancedb fork support", RuntimeWarning)
            for batch in read_batches(embedder.feature_extractor, batches, truncation, num_workers, plan):
                writer.add(rows_of_batch(embedder, batch, plan), batch.failures)
                if bar is not None:
                    report(bar, len(batch.files), batch.failures)
    finally:
        writer.flush()  # also when it ends in an error or by the user's hand
        if bar is not None:
            bar.close()


def finish(store: ClipStore, columns: UserColumns, embedder: ClapEmbedder | None, approximate: str) -> None:
    """Bring the user's columns up to date, tidy the table up, and build an approximate index where it pays."""
    changed: dict[str, dict[str, Any]] = {}
    for path, said in _changed(store, columns):
        changed[path] = said
        if len(changed) >= _UPDATES_AT_A_TIME:
            store.fill_columns(changed)
            changed = {}
    store.fill_columns(changed)
    store.tidy()
    store.build_approximation(approximate, partial(_everyday_texts, embedder) if embedder else None)


def _changed(store: ClipStore, columns: UserColumns) -> Iterator[tuple[str, dict[str, Any]]]:
    """Files of which the metadata table says something else than the index; one that it does not name stays."""
    names = list(columns.columns)
    if names:
        for row in store.rows(["path", *names]):
            if columns.names(row["path"]) and (said := columns.of(row["path"])) != {name: row[name] for name in names}:
                yield row["path"], said


def _everyday_texts(embedder: ClapEmbedder) -> Embeddings:
    """What people search for, to measure how much of it an approximate index finds."""
    from ..data.label_sets import ESC50_LABELS

    return embedder.embed_text(list(ESC50_LABELS))


__all__ = [
    "StoreWriter",
    "Update",
    "embed_into_store",
    "finish",
    "job_of_embedder",
    "open_or_create",
    "rows_of_batch",
    "window_plan",
]
