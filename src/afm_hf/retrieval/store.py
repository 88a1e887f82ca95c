"""An index that grows beyond memory: a LanceDB table in a folder or an object store.

A row is a file, or a window of one. Rows are appended while a job runs; each append is there whole or not at all, so a
job that is killed loses what it had not written yet and nothing else. A search reads the vectors from the disk, or an
approximate index of them, see `approximate.py`.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import numpy as np

from ..models.common.writing_afm import AGAIN, explained
from ..pipelines.audio_files import FileState, in_batches
from .approximate import Approximation, Queries, build, settings_of, tuned
from .embedder import ClapEmbedder, Embeddings
from .index import AudioIndex, Hit, Job, as_directions, check_model, relevance_of
from .lance_tables import (
    EMBEDDING,
    OWN_COLUMNS,
    Place,
    any_of,
    import_pyarrow,
    job_of,
    rows_of_clips,
    rows_of_failures,
    table_schema,
)

_PATHS_AT_A_TIME = 500  # in a condition
_KEPT = timedelta(hours=1)  # how long a version of the table stays that somebody may still be reading
_USABLE, _UNUSABLE = "reason IS NULL", "reason IS NOT NULL"


class ClipStore:
    """A Lance table of embedded audio files.

    Attributes:
        uri: where it lies: a folder `*.lance`, or `s3://bucket/clips.lance`, `gs://`, `az://`.
        table: LanceDB's own table, for all that this class does not do.
        model, fingerprint, settings: what made it, as of `AudioIndex`.
    """

    def __init__(self, uri: str, table: Any) -> None:
        self.uri, self.table = uri, table
        self._take(job_of(table.schema, uri))

    def _take(self, job: Job) -> None:
        self.model, self.fingerprint, self.settings = job.model, job.fingerprint, job.settings

    # -- opening ------------------------------------------------------------------------------------------------------

    @classmethod
    def exists(cls, uri: str | os.PathLike[str], storage_options: Mapping[str, str] | None = None) -> bool:
        """Whether there is a Lance table."""
        place = Place.of(uri)
        return _opened(place, place.connect(storage_options)) is not None

    @classmethod
    def load(cls, uri: str | os.PathLike[str], storage_options: Mapping[str, str] | None = None) -> "ClipStore":
        """Open a table.

        Args:
            uri: where it lies.
            storage_options: keys and addresses of an object store, as LanceDB calls them; those that stand in the
                environment (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`) need not be given.

        Raises:
            FileNotFoundError: there is no such table.
            ValueError: it is none of this package, or its name is none.
            ImportError: LanceDB is missing.
        """
        place = Place.of(uri)
        table = _opened(place, place.connect(storage_options))
        if table is None:
            raise FileNotFoundError(f"There is no index {uri}. Make one with `afm-hf embed DIR --output {uri}`.")
        return cls(place.uri, table)

    @classmethod
    def create(
        cls,
        uri: str | os.PathLike[str],
        job: Job,
        width: int,
        columns: Mapping[str, Any] | None = None,
        storage_options: Mapping[str, str] | None = None,
        *,
        overwrite: bool = False,
    ) -> "ClipStore":
        """Begin a table.

        Args:
            uri: where it is to lie.
            job: what makes its rows.
            width: numbers of an embedding.
            columns: the user's own, with their Arrow types.
            storage_options: as of `load`.
            overwrite: remove a table that is there.

        Raises:
            FileExistsError: something lies there, and `overwrite` is not set; or no table does.
            WriteError: (an `OSError`) it cannot be written.
        """
        place = Place.of(uri)
        place.check_free()
        data_base = place.connect(storage_options)
        with explained(uri, "the index", AGAIN):
            if _opened(place, data_base) is not None:
                if not overwrite:
                    raise FileExistsError(
                        f"There is an index {uri} already. Add to it, or pass --overwrite (`overwrite=True`)."
                    )
                data_base.drop_table(place.name)
            table = data_base.create_table(place.name, schema=table_schema(job, width, columns or {}))
        return cls(place.uri, table)

    # -- reading ------------------------------------------------------------------------------------------------------

    @property
    def job(self) -> Job:
        """What made it."""
        return Job(self.model, self.fingerprint, self.settings)

    @property
    def width(self) -> int:
        """Numbers of an embedding."""
        return int(self.table.schema.field(EMBEDDING).type.list_size)

    @property
    def columns(self) -> dict[str, Any]:
        """The user's own columns, with their Arrow types."""
        return {field.name: field.type for field in self.table.schema if field.name not in OWN_COLUMNS}

    def __len__(self) -> int:
        """Rows with an embedding."""
        return int(self.table.count_rows(_USABLE))

    @property
    def paths(self) -> list[str]:
        """The path of each row with an embedding, in the order of paths and times."""
        return [file.path for file in self.files]

    @property
    def files(self) -> list[FileState]:
        """The file of each row with an embedding, in the order of paths and times."""
        return _files(self._sorted(["path", "size", "mtime_ns"]))

    @property
    def embeddings(self) -> Embeddings:
        """All embeddings at once, float32 `(rows, dim)`, in the order of paths and times."""
        return _matrix(self._sorted([EMBEDDING]), self.width)

    @property
    def failures(self) -> dict[str, str]:
        """Path and reason of files that could not be used."""
        found = self.table.search().where(_UNUSABLE).select(["path", "reason"]).to_arrow().sort_by("path")
        return dict(zip(found["path"].to_pylist(), found["reason"].to_pylist(), strict=True))

    def _sorted(self, columns: Sequence[str]) -> Any:
        keys = ["path", "start_s"]
        found = self.table.search().where(_USABLE).select([*dict.fromkeys([*keys, *columns])]).to_arrow()
        return found.sort_by([(key, "ascending") for key in keys]).select(list(columns))

    def rows(self, columns: Sequence[str], where: str | None = None) -> Iterator[dict[str, Any]]:
        """Rows one by one, as dictionaries, a few thousand of them in memory at a time."""
        query = self.table.search().select(list(columns))
        for batch in (query.where(where) if where else query).to_batches(4096):
            yield from batch.to_pylist()

    def check_model(self, embedder: ClapEmbedder) -> None:
        """Raise `IndexMismatchError` unless this model made the index."""
        check_model(self.model, self.fingerprint, embedder)

    # -- searching ----------------------------------------------------------------------------------------------------

    def search(
        self,
        queries: Embeddings,
        top_k: int = 10,
        *,
        where: str | None = None,
        min_score: float | None = None,
        exact: bool = False,
        everyday: Embeddings | None = None,
    ) -> list[list[Hit]]:
        """The rows nearest to each query, best first.

        Args:
            queries: `(queries, dim)`, of the model that made the index, of any length: they are normalised.
            top_k: how many to return; fewer if there are fewer.
            where: a condition in SQL on the columns, as `"label = 'dog' AND start_s < 60"`; it is applied first.
            min_score: the least cosine similarity.
            exact: compare with every row, although there is an approximate index.
            everyday: embeddings of everyday sounds, `ClapEmbedder.embed_everyday()`, to say the relevance of hits.

        Raises:
            ValueError: the queries do not fit, see `AudioIndex.search`, or `where` is no condition on the columns.
        """
        directions = as_directions(queries, self.width, top_k)
        columns = ["path", "start_s", "end_s", *self.columns, "_distance"]
        columns += [] if everyday is None else [EMBEDDING]
        approximation = None if exact else self.approximation
        results = []
        for direction in directions:
            query = self.table.search(direction, vector_column_name=EMBEDDING).distance_type("dot").limit(top_k)
            query = query.select(columns).with_row_id(True)
            query = (
                query.bypass_vector_index()
                if approximation is None
                else tuned(query, approximation, top_k, bool(where))
            )
            with self._conditions(where):
                found = (query.where(where, prefilter=True) if where else query).to_list()
            hits = [_hit(row, everyday) for row in found]
            results.append([hit for hit in hits if min_score is None or hit.score >= min_score])
        return results

    @contextlib.contextmanager
    def _conditions(self, where: str | None) -> Iterator[None]:
        """Names the columns where LanceDB does not understand a condition."""
        try:
            yield
        except (ValueError, RuntimeError) as error:
            if where is None:
                raise
            said = str(error).split(", /")[0]  # what follows is a line of its source
            names = ", ".join(name for name in (*OWN_COLUMNS, *self.columns) if name != EMBEDDING)
            raise ValueError(
                f'`where` is {where!r}, which cannot be answered ({said}). It is a condition in SQL, as "label = '
                f"'dog'\", on the columns {names}."
            ) from None

    # -- writing ------------------------------------------------------------------------------------------------------

    def states(self) -> dict[str, tuple[int | None, int | None, str | None]]:
        """Size, time of change and, of one that could not be used, the reason, of every file."""
        names = ("size", "mtime_ns", "reason")
        return {row["path"]: (row["size"], row["mtime_ns"], row["reason"]) for row in self.rows(["path", *names])}

    def add(self, tables: Sequence[Any]) -> None:
        """Append rows, all of them or none.

        Args:
            tables: Arrow tables, as of `rows_of_clips`.

        Raises:
            WriteError: (an `OSError`) they cannot be written.
        """
        if tables:
            with explained(self.uri, "the index", AGAIN):
                self.table.add(import_pyarrow().concat_tables(tables))

    def delete(self, paths: Sequence[str]) -> None:
        """Remove all rows of files."""
        with explained(self.uri, "the index", AGAIN):
            for some in in_batches(paths, _PATHS_AT_A_TIME):
                self.table.delete(any_of("path", some))

    def add_columns(self, columns: Mapping[str, Any]) -> None:
        """Add columns of the user's own, empty, where they are not there yet; `columns` has their Arrow types."""
        arrow = import_pyarrow()
        new = [arrow.field(name, kind) for name, kind in columns.items() if name not in self.columns]
        if new:
            with explained(self.uri, "the index", AGAIN):
                self.table.add_columns(new)

    def fill_columns(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Set the user's own columns of all rows of some files: path -> column -> value, all of the same columns."""
        if not rows:
            return
        arrow = import_pyarrow()
        kinds = self.columns
        names = [name for name in kinds if name in next(iter(rows.values()))]
        values = {name: arrow.array([row[name] for row in rows.values()], kinds[name]) for name in names}
        source = arrow.table({"path": arrow.array(list(rows), arrow.string()), **values})
        with explained(self.uri, "the index", AGAIN):
            self.table.merge_insert("path").when_matched_update_all().execute(source)

    def tidy(self) -> None:
        """Join small files, take new rows into the approximate index, remove versions that are an hour old."""
        with explained(self.uri, "the index", AGAIN):
            self.table.optimize(cleanup_older_than=_KEPT)

    # -- approximate search -------------------------------------------------------------------------------------------

    @property
    def approximation(self) -> Approximation | None:
        """The approximate index, and how it is asked; None where every row is compared."""
        return settings_of(self.table)

    def build_approximation(
        self, kind: str = "auto", queries: Queries = None, recall: float = 0.95
    ) -> Approximation | None:
        """Build an approximate index, or none where it does not pay; measure its recall, and choose how it is asked.

        Args:
            kind: `"auto"`, one of `approximate.KINDS`, or `"none"`, which removes it.
            queries: `(queries, dim)`, what will be searched for, as embeddings of texts, or what makes them when they
                are needed; beside them a sample of the rows is asked for its neighbours.
            recall: the share of the ten nearest that must be found.

        Raises:
            ValueError: there is no such kind.
            WriteError: (an `OSError`) it cannot be written.
        """
        with explained(self.uri, "the index", AGAIN):
            return build(self.table, kind, queries, recall)

    # -- to and from files --------------------------------------------------------------------------------------------

    def to_index(self) -> AudioIndex:
        """All of it in memory, to be saved as `*.safetensors` or `*.parquet`.

        Raises:
            ValueError: its rows are windows, which those files do not have.
        """
        if "every_s" in self.settings:
            raise ValueError(
                f"The rows of {self.uri} are windows of files, which .safetensors and .parquet indices do not have. "
                "Its table can be written by LanceDB: `store.table.to_arrow()`."
            )
        return AudioIndex(self.embeddings, self.files, **asdict(self.job), failures=self.failures)

    @classmethod
    def from_index(
        cls,
        index: AudioIndex,
        uri: str | os.PathLike[str],
        storage_options: Mapping[str, str] | None = None,
        *,
        overwrite: bool = False,
    ) -> "ClipStore":
        """Make a table of an index that was read from a file; see `create` for what is raised."""
        job = Job(index.model, index.fingerprint, index.settings)
        store = cls.create(uri, job, index.embeddings.shape[1], None, storage_options, overwrite=overwrite)
        schema, count = store.table.schema, len(index)
        rows = rows_of_clips(schema, index.files, [(None, None)] * count, index.embeddings, [{}] * count)
        store.add([rows, rows_of_failures(schema, index.failures, {}, [{}] * len(index.failures))])
        return store


def _opened(place: Place, data_base: Any) -> Any:
    """LanceDB's table, or None."""
    if place.folder is not None and not place.folder.is_dir():
        return None
    try:
        return data_base.open_table(place.name)
    except (ValueError, FileNotFoundError) as error:
        if "not found" in str(error):
            return None
        raise


def _files(table: Any) -> list[FileState]:
    return [FileState(*row) for row in zip(*(table[name].to_pylist() for name in table.column_names), strict=True)]


def _matrix(table: Any, width: int) -> Embeddings:
    column = table[EMBEDDING].combine_chunks()
    return np.asarray(column.flatten().to_numpy(zero_copy_only=False), np.float32).reshape(len(table), width)


def _hit(row: dict[str, Any], everyday: Embeddings | None = None) -> Hit:
    own = ("path", "start_s", "end_s", EMBEDDING, "_distance", "_rowid")
    columns = {name: value for name, value in row.items() if name not in own}
    score = 1.0 - float(row["_distance"])  # Lance's distance is one less the product
    relevance = relevance_of(score, row.get(EMBEDDING), everyday)
    return Hit(row["path"], score, int(row["_rowid"]), row["start_s"], row["end_s"], columns, relevance)


__all__ = ["ClipStore"]
