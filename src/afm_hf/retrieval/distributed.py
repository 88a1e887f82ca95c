"""Embedding on more than one machine, with Ray Data.

The driver lists the files and looks at what the table holds. Ray's actors do the rest: some read files, singly or out
of tar shards, by fsspec URI, and turn them into features; others hold the model and embed, clips of one length
together; the driver appends the rows to the table as they come. So a killed worker costs its batch, which Ray gives to
another, and a killed driver what it had not appended: the same call goes on. Rows are those of a single process.
"""

import importlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import safetensors.torch

from ..audio.audio_checks import AudioDecodeError
from ..models.clap_afm.embedding_clap_afm import extract_features
from ..models.clap_afm.timeline_clap_afm import TimelinePlan, extract_with_timeline
from ..models.common.window_streams_afm import StreamedWindows
from ..pipelines.audio_files import FeatureBatch, FileState, in_batches, reason_of
from ..pipelines.pipeline_audio_inputs import collate_features
from .embedder import ClapEmbedder
from .embedding_steps import check_names, none_usable, progress_bar, report
from .formats import convert_index
from .index import AudioIndex
from .lance_tables import Span, import_lancedb, is_lance
from .remote_files import Unit, find_units, is_tar, read_clips
from .store import ClipStore
from .store_embedding import (
    StoreWriter,
    Update,
    finish,
    job_of_embedder,
    open_or_create,
    rows_of_batch,
    window_plan,
)
from .user_columns import Metadata, UserColumns

Columns: TypeAlias = dict[str, Any]  # of a block of rows, as Ray Data hands them on

_UNITS_AT_A_TIME = 100_000  # one run of Ray Data; the driver's memory does not grow with more
_UNITS_PER_TASK = 32
_BLOCK_BYTES = 16 << 20  # of features, after which they go on to be embedded


def import_ray() -> Any:
    """Ray with its data sets. Raises `ImportError`, with what to install, where it is missing."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    try:
        importlib.import_module("ray.data")
        return importlib.import_module("ray")
    except ImportError as error:
        raise ImportError(
            f'More than one machine needs Ray, which cannot be imported ({error}): run `pip install "afm-hf[ray]"`, on '
            "every machine of the cluster."
        ) from error


def embed_with_ray(
    inputs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    model: str | os.PathLike[str] = "clap-small",
    *,
    batch_size: int = 16,
    truncation: str | None = None,
    every_s: float | None = None,
    metadata: Metadata | None = None,
    device: str | None = None,
    dtype: str | None = None,
    embedders: int | None = None,
    decoders: int | None = None,
    progress: bool = False,
    checkpoint_s: float = 10.0,
    overwrite: bool = False,
    approximate: str = "auto",
    storage_options: Mapping[str, str] | None = None,
    file_options: Mapping[str, Any] | None = None,
) -> ClipStore | AudioIndex:
    """Embed clips on all machines of a Ray cluster; arguments that are not named here are those of `embed_into_store`.

    Ray is used as it is set up: a cluster that this process, or `RAY_ADDRESS`, knows; else it is begun on this machine.

    Args:
        inputs: files and folders of clips and of tar shards, as paths that all machines see, or as fsspec URIs
            (`s3://bucket/sounds`). The clips of a shard are called `SHARD/member`.
        output: a table `*.lance`, or a file `*.parquet`, made of a table beside it, `*.parquet.lance`, which stays for
            the next run.
        model: a CLAP, by a name that every machine knows: of a bundled checkpoint, a folder, a Hub id.
        batch_size: clips per forward pass.
        device: of the embedders; None takes "cuda" where the cluster has GPUs, one for each embedder.
        dtype: number format of the model, see `embed_files`; what "auto" is, this machine's processor decides for all.
        embedders: processes that hold the model. None: one for each GPU, or three quarters of the cores.
        decoders: processes that read and decode. None: the other cores but one, which Ray needs for itself.
        file_options: keys and addresses of the file system that is read, as fsspec calls them.

    Returns:
        The table, or the index in memory that was written as Parquet.

    Raises:
        ImportError: Ray or LanceDB is missing.
        ValueError, FileNotFoundError, IndexMismatchError, WriteError: as of `embed_into_store` and `find_units`.
    """
    ray = import_ray()
    import_lancedb()
    table = _table_of(output)
    given = [os.fspath(each) for each in ([inputs] if isinstance(inputs, str | os.PathLike) else inputs)]
    units, folders = find_units(given, file_options)
    if not units:
        raise ValueError("There are no audio files, and no tar shards, in what was given.")
    check_names([unit.path for unit in units], "A Lance table")
    in_batches([], batch_size)  # refuses what is below 1
    columns = UserColumns.read(metadata, [*folders, *(unit.path for unit in units if unit.is_shard)])
    if not any(unit.is_shard for unit in units):
        columns.check_files([unit.path for unit in units])
    # Here only texts are embedded, but what "auto" is must be known, and the same on every machine.
    embedder = ClapEmbedder(model, "cpu", dtype)
    plan = window_plan(embedder, every_s, truncation)
    job = job_of_embedder(embedder, truncation, every_s)
    if table is not output and not ClipStore.exists(table) and Path(output).is_file() and not overwrite:
        convert_index(output, table)
    store = open_or_create(table, job, embedder.width, columns, storage_options, overwrite)
    todo, update = _compared(store, units, folders)
    store.delete(update.gone)
    writer = StoreWriter(store, update, columns, checkpoint_s)
    if todo:
        if not ray.is_initialized():
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
        flow = Flow(
            str(model),
            embedder.dtype,
            batch_size,
            truncation,
            plan,
            device,
            embedders,
            decoders,
            dict(file_options or {}),
        )
        _embed(ray, flow, writer, todo, progress)
    finish(store, columns, embedder, approximate)
    if not len(store):
        raise none_usable(len(units), store.failures)
    return store if table is output else convert_index(table, output, overwrite=True)


def _table_of(output: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """The table that is written: the output itself, or one beside a Parquet file. Raises `ValueError` for others."""
    if is_lance(output):
        return output
    if os.fspath(output).lower().endswith(".parquet"):
        return f"{os.fspath(output)}.lance"
    raise ValueError(f"With Ray an index is *.lance or *.parquet, but {os.fspath(output)!r} was given.")


def _compared(
    store: ClipStore, units: Sequence[Unit], folders: Sequence[str]
) -> tuple[list[tuple[Unit, list[str]]], Update]:
    """Units to read, each with the members of a shard that are there already, and what becomes of old rows.

    A shard that has changed is read anew as a whole. One that has not is read through for members that are missing.
    """
    shards = {unit.path: unit for unit in units if unit.is_shard}
    now = {unit.path: (unit.size, unit.mtime_ns) for unit in units}
    members: dict[str, list[str]] = {path: [] for path in shards}
    changed = []
    wanted = [unit.path for unit in units if not unit.is_shard]
    for path, (size, mtime_ns, reason) in store.states().items():
        shard = shard_of(path)
        if shard not in shards:
            continue
        if path == shard or (size, mtime_ns) != now[shard]:  # of the shard itself there is a row if it was broken
            changed.append(path)
            continue
        wanted.append(path)
        now[path] = (size or 0, mtime_ns or 0)
        if reason is None:
            members[shard].append(path)
    update = Update.of(store, [*wanted, *shards], folders, now.get)
    update.gone = [*dict.fromkeys([*update.gone, *changed])]
    update.failed = {path: failure for path, failure in update.failed.items() if path not in shards}
    todo = [(unit, members.get(unit.path, [])) for unit in units if unit.is_shard or unit.path in update.todo]
    return todo, update


def shard_of(path: str) -> str | None:
    """The tar shard that a path lies in, itself for a shard; None for other paths."""
    parts = path.split("/")
    ends = (end for end, part in enumerate(parts, start=1) if is_tar(part))
    return next(("/".join(parts[:end]) for end in ends), None)


# ---------------------------------------------------------------------------------------------------------------------
# What Ray does
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Flow:
    """How units become rows; see `embed_with_ray`."""

    model: str
    dtype: str | None = None
    batch_size: int = 16
    truncation: str | None = None
    plan: TimelinePlan | None = None
    device: str | None = None
    embedders: int | None = None
    decoders: int | None = None
    file_options: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def items(units: Sequence[tuple[Unit, list[str]]]) -> list[Columns]:
        """Units, with the members of a shard that are not wanted, as rows of a data set."""
        return [{**vars(unit), "known": json.dumps(known)} for unit, known in units]

    def of(self, ray: Any, units: Sequence[tuple[Unit, list[str]]]) -> Iterator[Columns]:
        """Rows of units, block by block as they come."""
        pools = pool_sizes(ray.cluster_resources(), self.device, self.embedders, self.decoders)
        rows = self.items(units)
        pool, constructor = ray.data.ActorPoolStrategy, {"flow": self}
        data = ray.data.from_items(rows, override_num_blocks=max(1, -(-len(rows) // _UNITS_PER_TASK)))
        data = data.map_batches(
            Decoder,
            fn_constructor_kwargs=constructor,
            batch_size=_UNITS_PER_TASK,
            num_cpus=pools.cpus,
            compute=pool(size=pools.decoders),
        )
        data = data.map_batches(
            Embedder,
            fn_constructor_kwargs={**constructor, "device": pools.device},
            batch_size=4 * self.batch_size,  # among which clips of one length are found
            num_cpus=pools.cpus,
            num_gpus=1 if pools.device != "cpu" else None,
            compute=pool(size=pools.embedders),
        )
        yield from data.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=1)


@dataclass(frozen=True)
class Pools:
    """How many processes of each kind, and what share of a core each asks for."""

    embedders: int
    decoders: int
    cpus: float
    device: str


def pool_sizes(
    resources: Mapping[str, float], device: str | None, embedders: int | None = None, decoders: int | None = None
) -> Pools:
    """
    Processes for a cluster's cores and GPUs, such that a core is left: actors that take all of them starve Ray's own
    tasks, which then wait for ever.

    Args:
        resources: of the cluster, as `ray.cluster_resources()` says.
        device: of the embedders; None takes the GPUs, if there are any.
        embedders, decoders: if they are chosen.

    Raises:
        ValueError: a GPU is asked for, and the cluster has none; or a number is below 1.
    """
    cores, gpus = max(1, int(resources.get("CPU", 1))), int(resources.get("GPU", 0))
    for name, count in (("embedders", embedders), ("decoders", decoders)):
        if count is not None and count < 1:
            raise ValueError(f"`{name}` is {count}; expected 1 or more.")
    device = device or ("cuda" if gpus else "cpu")
    if device != "cpu" and not gpus:
        raise ValueError(
            f"The device is {device!r}, but the Ray cluster has no GPU. Leave it out, or start Ray with one."
        )
    free = max(1, cores - 1)
    first = embedders or (gpus if device != "cpu" else max(1, free * 3 // 4))
    second = decoders or max(1, free - first)
    share = min(1.0, (cores - 0.5 if cores == 1 else free) / (first + second))
    return Pools(first, second, int(share * 100) / 100, device)


class Decoder:
    """Reads units and makes features of their clips."""

    def __init__(self, flow: Flow) -> None:
        from ..hub.loading import resolve_model

        transformers = importlib.import_module("transformers")
        self.flow = flow
        self.extractor = transformers.AutoFeatureExtractor.from_pretrained(resolve_model(flow.model))

    def __call__(self, units: Columns) -> Iterator[Columns]:
        """Features of the clips of some units, a few at a time."""
        rows: list[Columns] = []
        held = 0
        for path, size, mtime_ns, known in zip(*(units[name] for name in units), strict=True):
            unit = Unit(str(path), int(size), int(mtime_ns))
            for clip in read_clips(unit, set(json.loads(known)), self.flow.file_options):
                rows.append(self._row(clip.file, clip.content, clip.reason))
                held += len(rows[-1]["features"]) + len(rows[-1]["content"])
                if held >= _BLOCK_BYTES:
                    yield _columns(rows)
                    rows, held = [], 0
        if rows:
            yield _columns(rows)

    def _row(self, file: FileState, content: bytes | None, reason: str) -> Columns:
        """Features of a clip; its bytes, where the embedder is to read them; or why there is neither."""
        features, kept = b"", b""
        if content is not None and self.flow.plan is not None:
            kept = content
        elif content is not None:
            try:
                made = extract_features(self.extractor, content, None, self.flow.truncation)
                if isinstance(made["input_features"], StreamedWindows):
                    kept = content
                else:
                    features = safetensors.torch.save({name: made[name].contiguous() for name in made})
            except (AudioDecodeError, OSError) as error:
                reason = reason_of(error)
        return {**vars(file), "features": features, "content": kept, "reason": reason}


class Embedder:
    """Holds the model and embeds."""

    def __init__(self, flow: Flow, device: str) -> None:
        import torch

        if device == "cpu":
            torch.set_num_threads(1)  # an embedder for each core
        self.flow = flow
        self.embedder = ClapEmbedder(flow.model, device, flow.dtype)

    def __call__(self, rows: Columns) -> Columns:
        """Rows of the table, in any order; those of files that could not be used have a reason, and zeros."""
        made: list[Columns] = []
        for file, _, content, reason in _clips(rows):
            if reason or content:
                made += self._read(file, content) if content else [self._failure(file, reason)]
        for files, items in _of_one_length(rows, self.flow.batch_size):
            made += self._rows(FeatureBatch(files, collate_features(items), {}))
        return _columns(made)

    def _read(self, file: FileState, content: bytes) -> list[Columns]:
        """A long clip, or one whose windows are rows: read here, a few windows at a time."""
        plan, extractor = self.flow.plan, self.embedder.feature_extractor
        try:
            if plan is None:
                features = extract_features(extractor, content, None, self.flow.truncation)
            else:
                features = extract_with_timeline(extractor, content, plan)
            rows = self._rows(FeatureBatch([file], collate_features([features]), {}))
            return rows or [self._failure(file, "nothing is heard in it")]
        except (AudioDecodeError, OSError) as error:
            return [self._failure(file, reason_of(error))]

    def _rows(self, batch: FeatureBatch) -> list[Columns]:
        rows = zip(*rows_of_batch(self.embedder, batch, self.flow.plan), strict=True)
        return [_row(file, span, embedding) for file, span, embedding in rows]

    def _failure(self, file: FileState, reason: str) -> Columns:
        return _row(file, (None, None), np.zeros(self.embedder.width, np.float32), reason)


def _row(file: FileState, span: tuple[float | None, float | None], embedding: Any, reason: str = "") -> Columns:
    start, end = (np.nan if time is None else time for time in span)
    return {**vars(file), "start_s": start, "end_s": end, "embedding": embedding, "reason": reason}


def _columns(rows: Sequence[Columns]) -> Columns:
    """Rows as columns; texts and bytes of any length as objects."""
    columns: Columns = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if isinstance(values[0], str | bytes):
            columns[name] = np.empty(len(values), object)
            columns[name][:] = values
        else:
            columns[name] = np.stack(values)
    return columns


def _clips(rows: Columns) -> Iterator[tuple[FileState, bytes, bytes, str]]:
    names = ("path", "size", "mtime_ns", "features", "content", "reason")
    for path, size, mtime_ns, features, content, reason in zip(*(rows[name] for name in names), strict=True):
        yield FileState(str(path), int(size), int(mtime_ns)), features, content, str(reason)


def _of_one_length(rows: Columns, batch_size: int) -> Iterator[tuple[list[FileState], list[dict[str, Any]]]]:
    """Clips whose features have one shape together, so that nothing is filled up; at most a batch of them."""
    groups: dict[Any, list[tuple[FileState, dict[str, Any]]]] = {}
    for file, features, _, _ in _clips(rows):
        if features:
            tensors = safetensors.torch.load(features)
            shape = tuple((name, tuple(tensors[name].shape)) for name in sorted(tensors))
            groups.setdefault(shape, []).append((file, tensors))
    for group in groups.values():
        for start in range(0, len(group), batch_size):
            files, features = zip(*group[start : start + batch_size], strict=True)
            yield list(files), list(features)


# ---------------------------------------------------------------------------------------------------------------------
# What the driver does with the rows
# ---------------------------------------------------------------------------------------------------------------------


def _embed(ray: Any, flow: Flow, writer: StoreWriter, todo: Sequence[tuple[Unit, list[str]]], progress: bool) -> None:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = _BLOCK_BYTES
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    bar = progress_bar(sum(not unit.is_shard for unit, _ in todo) or len(todo), 0) if progress else None
    try:
        for start in range(0, len(todo), _UNITS_AT_A_TIME):
            for block in flow.of(ray, todo[start : start + _UNITS_AT_A_TIME]):
                count, failures = _append(writer, block)
                if bar is not None:
                    report(bar, count, failures)
    finally:
        writer.flush()
        if bar is not None:
            bar.close()


def _append(writer: StoreWriter, block: Columns) -> tuple[int, dict[str, str]]:
    """Hand the rows of a block on; returns how many there are, and the failures."""
    files: list[FileState] = []
    spans: list[Span] = []
    kept, failures, states = [], {}, {}
    for number, (path, size, mtime_ns) in enumerate(
        zip(*(block[name] for name in ("path", "size", "mtime_ns")), strict=True)
    ):
        file, reason = FileState(str(path), int(size), int(mtime_ns)), str(block["reason"][number])
        if reason:
            failures[file.path], states[file.path] = reason, (file.size, file.mtime_ns)
            continue
        start, end = (float(block[name][number]) for name in ("start_s", "end_s"))
        files.append(file)
        spans.append((None, None) if np.isnan(start) else (start, end))
        kept.append(number)
    writer.add((files, spans, np.asarray(block["embedding"], np.float32)[kept]), failures, states)
    return len(files), failures


__all__ = ["Decoder", "Embedder", "Flow", "Pools", "embed_with_ray", "import_ray", "pool_sizes", "shard_of"]
