"""An approximate index of a Lance table's vectors: built where it pays, its recall measured, asked accordingly.

Comparing a query with every row reads all vectors: some 2 GB for a million of 512 numbers. An approximate index parts
the vectors into groups by k-means (inverted file, IVF), keeps each of them compressed, compares a query with those of
the nearest groups, and reads the vectors of the best alone. What it misses is measured when it is built: the rows that
are truly nearest to some queries are found by comparing with all, and of the ways to ask, from quick to thorough, the
first is taken that finds as many of them as wanted.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .embedder import Embeddings
from .index import as_directions
from .lance_tables import EMBEDDING, import_lancedb

Queries: TypeAlias = Embeddings | Callable[[], Embeddings] | None  # or what makes them, where an index is built

KINDS = ("ivf-rq", "ivf-pq", "hnsw-sq")
PAYS_FROM = 50_000  # rows; below, comparing with all takes a fraction of a second
RECALL_AT = 10
_MEASURED_WITH = RECALL_AT + 1  # rows that are asked for: a row of the table finds itself, too

_SETTINGS = "afm_hf_search"  # the key, in the metadata of the vectors' column
_SAMPLE = 100  # rows that are asked for their neighbours
_GROWTH = 2  # a table that has grown so many times is parted anew
_ROWS_AT_A_TIME = 8192
# How an index is asked, from quick to thorough: groups compared, and how many times the wanted rows are compared anew
# with their whole vectors; for HNSW the length of its list of candidates stands for the groups.
_WAYS = ((10, 5), (20, 10), (40, 10), (40, 30), (100, 30), (200, 50), (400, 100), (1000, 200))
_WAYS_OF_HNSW = ((50, 2), (100, 5), (200, 10), (400, 20), (800, 40))


@dataclass(frozen=True)
class Approximation:
    """An approximate index, and how it is asked.

    Attributes:
        kind: `"ivf-rq"` (a bit or a few for each number, RaBitQ), `"ivf-pq"` (product quantisation) or `"hnsw-sq"` (a
            graph of neighbours with a byte for each number).
        rows: rows of the table when it was built.
        effort: groups that are compared; for HNSW the length of its list of candidates.
        refine: how many times the wanted rows are compared anew with their whole vectors.
        recall: the share of the ten truly nearest that it finds, of the worse of the two sets of queries.
        queries: how many queries that was measured with.
    """

    kind: str
    rows: int
    effort: int
    refine: int
    recall: float
    queries: int


def settings_of(table: Any) -> Approximation | None:
    """What is noted in a table."""
    said = (table.schema.field(EMBEDDING).metadata or {}).get(_SETTINGS.encode())
    return Approximation(**json.loads(said)) if said else None


def tuned(query: Any, settings: Approximation, top_k: int, has_condition: bool = False) -> Any:
    """LanceDB's query for `top_k` rows, told how to ask the index; with a condition it goes on where too few fulfil it.

    Where fewer rows are wanted than the recall was measured with, as many are compared anew as then.
    """
    query = query.refine_factor(math.ceil(settings.refine * _MEASURED_WITH / min(top_k, _MEASURED_WITH)))
    if settings.kind.startswith("hnsw"):
        return query.ef(settings.effort)
    if has_condition:
        return query.minimum_nprobes(settings.effort).maximum_nprobes(0)
    return query.nprobes(settings.effort)


def build(table: Any, kind: str, queries: Queries, recall: float) -> Approximation | None:
    """See `ClipStore.build_approximation`."""
    if kind not in ("auto", "none", *KINDS):
        raise ValueError(f"There is no approximate index {kind!r}; there are auto, none, {', '.join(KINDS)}.")
    rows, there = int(table.count_rows("reason IS NULL")), settings_of(table)
    if kind == "auto":
        if rows < PAYS_FROM or (there is not None and rows < _GROWTH * there.rows):
            return there
        kind = KINDS[0] if there is None else there.kind
    if kind == "none":
        _remove(table)
        return None
    _check_rows(rows, kind)
    table.create_index(EMBEDDING, config=_config(kind), replace=True)
    found = _measured(table, kind, rows, queries, recall)
    _note(table, json.dumps(asdict(found)))
    return found


def _check_rows(rows: int, kind: str) -> None:
    """LanceDB trains on 256 rows for each of 256 codes of product quantisation."""
    least = 256 if kind == "ivf-pq" else 2
    if rows < least:
        raise ValueError(f"An approximate index {kind} needs {least} rows or more; there are {rows}. Leave it out.")


def _config(kind: str) -> Any:
    import_lancedb()
    from lancedb import index

    makers = {"ivf-rq": index.IvfRq, "ivf-pq": index.IvfPq, "hnsw-sq": index.HnswSq}
    return makers[kind](distance_type="dot")


def _remove(table: Any) -> None:
    for index in table.list_indices():
        if index.columns == [EMBEDDING]:
            table.drop_index(index.name)
    _note(table, None)


def _note(table: Any, said: str | None) -> None:
    table.update_field_metadata({"path": EMBEDDING, "metadata": {_SETTINGS: said}})


# ---------------------------------------------------------------------------------------------------------------------
# Recall
# ---------------------------------------------------------------------------------------------------------------------


def _measured(table: Any, kind: str, rows: int, queries: Queries, wanted: float) -> Approximation:
    """The quickest way to ask that finds enough; the most thorough one if none does."""
    sample, own = _sample(table)
    sets = [sample]
    given = queries() if callable(queries) else queries
    if given is not None and len(given):
        sets.append(as_directions(given, sample.shape[1]))
    every = np.concatenate(sets)
    owners = np.concatenate([own, np.full(len(every) - len(own), -1)])  # a row is no neighbour of its own
    nearest = exact_neighbours(_batches(table), every, owners, RECALL_AT)
    found = None
    for effort, refine in _WAYS_OF_HNSW if kind.startswith("hnsw") else _WAYS:
        found = Approximation(kind, rows, effort, refine, 0.0, len(every))
        hits = np.array([_share(table, found, *each) for each in zip(every, owners, nearest, strict=True)])
        recall = min(float(part.mean()) for part in np.split(hits, [len(sample)]) if len(part))
        found = Approximation(kind, rows, effort, refine, round(recall, 4), len(every))
        if recall >= wanted:
            break
    return found  # type: ignore[return-value]  # there is a way


def _sample(table: Any) -> tuple[Embeddings, npt.NDArray[np.int64]]:
    """Embeddings of some rows, `(rows, dim)`, and their numbers in the table."""
    count = int(table.count_rows())
    places = np.random.default_rng(0).choice(count, min(count, _SAMPLE), replace=False)
    taken = table.take_offsets(sorted(int(place) for place in places)).select([EMBEDDING]).with_row_id().to_arrow()
    taken = taken.filter(taken[EMBEDDING].is_valid())
    return _matrix(taken[EMBEDDING].combine_chunks()), taken["_rowid"].to_numpy().astype(np.int64)


def _batches(table: Any) -> Iterator[tuple[npt.NDArray[np.int64], Embeddings]]:
    """Numbers and embeddings of all rows, some at a time."""
    query = table.search().where("reason IS NULL").select([EMBEDDING]).with_row_id(True)
    for batch in query.to_batches(_ROWS_AT_A_TIME):
        yield batch.column("_rowid").to_numpy().astype(np.int64), _matrix(batch.column(EMBEDDING))


def _matrix(column: Any) -> Embeddings:
    return np.asarray(column.flatten().to_numpy(zero_copy_only=False), np.float32).reshape(len(column), -1)


def exact_neighbours(
    batches: Iterator[tuple[npt.NDArray[np.int64], Embeddings]],
    queries: Embeddings,
    owners: Sequence[int] | npt.NDArray[np.int64],
    top_k: int,
) -> npt.NDArray[np.int64]:
    """
    The rows nearest to each query, by comparing with all, in one pass.

    Args:
        batches: numbers and embeddings of rows, `(rows,)` and `(rows, dim)`.
        queries: `(queries, dim)`, of length 1.
        owners: the row that each query is, which is left out; -1 for none.
        top_k: how many.

    Returns:
        Numbers of rows, `(queries, top_k)`, the nearest first; -1 where there are fewer.
    """
    best = np.full((len(queries), top_k), -np.inf, np.float32)
    names = np.full((len(queries), top_k), -1, np.int64)
    for numbers, rows in batches:
        scores = queries @ rows.T  # (queries, dim) @ (dim, rows)
        scores[np.asarray(owners)[:, None] == numbers[None, :]] = -np.inf
        scores = np.concatenate([best, scores], axis=1)
        every = np.concatenate([names, np.broadcast_to(numbers, (len(queries), len(numbers)))], axis=1)
        order = np.argpartition(-scores, top_k - 1, axis=1)[:, :top_k]
        best, names = np.take_along_axis(scores, order, 1), np.take_along_axis(every, order, 1)
    return np.take_along_axis(names, np.argsort(-best, axis=1, kind="stable"), 1)


def _share(table: Any, settings: Approximation, query: Embeddings, own: int, nearest: npt.NDArray[np.int64]) -> float:
    """What part of a query's nearest rows the index finds."""
    asked = table.search(query, vector_column_name=EMBEDDING).distance_type("dot").limit(_MEASURED_WITH)
    rows = (
        tuned(asked, settings, _MEASURED_WITH).select(["_distance"]).with_row_id(True).to_arrow()["_rowid"].to_pylist()
    )
    found = [row for row in rows if row != own][:RECALL_AT]
    wanted = set(nearest.tolist()) - {-1}
    return len(wanted & set(found)) / len(wanted) if wanted else 1.0


__all__ = ["KINDS", "PAYS_FROM", "Approximation", "Queries", "build", "exact_neighbours", "settings_of", "tuned"]
