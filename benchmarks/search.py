"""
Search in an index of many vectors: time, recall and memory of the approximate index against comparing with every row.

    python benchmarks/search.py [--rows 1000000] [--dim 512] [--folder FOLDER] [--json FILE]

The vectors are made at random, as embeddings lie: around two thousand centres, in a subspace of some dozens of
dimensions, with noise in all of them. (Vectors without any order are no benchmark: all rows are then equally far away,
and there is nothing to be near to.) Queries are drawn in the same way and are no rows. Each way to search runs in a
process of its own, of which the memory at its peak is reported, less that of the same process before it opens the
index. Ten million rows of 512 numbers need 21 GB of disk.

Where all vectors fit into memory, one more process searches one query after the other in all ways in turns, and beside
them in faiss's exact index of inner products (`pip install faiss-cpu`) and in a plain product with numpy: those ratios
are of processor time, which counts the work of every thread.
"""

import argparse
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from figures import GOALS, Figure, in_turns, ratios, say
from peak_memory import peak_mb, peak_mb_from_now_on

from afm_hf.retrieval import AudioIndex, ClipStore, FileState
from afm_hf.retrieval.approximate import exact_neighbours
from afm_hf.retrieval.index import Job

CENTRES, SUBSPACE, SPREAD, NOISE = 2000, 48, 0.6, 0.3
ROWS_AT_A_TIME, TOP_K, MOST_IN_MEMORY, EXACT_QUERIES = 20_000, 10, 6e9, 10
NAMES = {"approximate": "table with its index", "exact": "table, exact", "memory": "index in memory, exact"}
Vectors = npt.NDArray[np.float32]


def vectors(count: int, dim: int, seed: int) -> Vectors:
    """Random rows of length 1, `(count, dim)`; the centres are the same for every seed."""
    fixed, generator = np.random.default_rng(0), np.random.default_rng(seed)
    centres = fixed.standard_normal((CENTRES, SUBSPACE), np.float32)
    basis = fixed.standard_normal((SUBSPACE, dim), np.float32) / SUBSPACE**0.5
    inner = centres[generator.integers(0, CENTRES, count)]
    inner = inner + SPREAD * generator.standard_normal((count, SUBSPACE), np.float32)
    rows = inner @ basis + NOISE * generator.standard_normal((count, dim), np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def parts(rows: int, dim: int) -> Iterator[tuple[npt.NDArray[np.int64], Vectors]]:
    """Numbers and vectors of all rows, some at a time, the same ones each time."""
    for start in range(0, rows, ROWS_AT_A_TIME):
        count = min(ROWS_AT_A_TIME, rows - start)
        yield np.arange(start, start + count), vectors(count, dim, seed=1 + start)


def make(place: Path, rows: int, dim: int) -> ClipStore:
    """The table, without an index of its vectors."""
    store = ClipStore.create(place, Job("random", "0" * 64), dim, overwrite=True)
    schema = store.table.schema
    for numbers, made in parts(rows, dim):
        own = {
            "path": pa.array([f"/{number}.wav" for number in numbers]),
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(made.reshape(-1)), dim),
        }
        arrays = [own.get(field.name, pa.nulls(len(numbers), field.type)) for field in schema]
        store.add([pa.table(arrays, schema=schema)])
    return store


def search(place: Path, how: str, queries: Vectors) -> dict[str, Any]:
    """Searches in this process: milliseconds, numbers of the rows found, growth of the memory at its peak."""
    before = peak_mb_from_now_on()
    if how == "memory":
        index: Any = AudioIndex(*in_memory(place), "random", "0" * 64)
        ask = lambda query: index.search(query[None], TOP_K)[0]  # noqa: E731
    else:
        store = ClipStore.load(place)
        ask = lambda query: store.search(query[None], TOP_K, exact=how == "exact")[0]  # noqa: E731
    began = time.perf_counter()
    ask(queries[0])
    first = time.perf_counter() - began
    times, found = [], []
    for query in queries:
        began = time.perf_counter()
        hits = ask(query)
        times.append(time.perf_counter() - began)
        found.append([int(hit.path[1:-4]) for hit in hits])
    ms = [seconds * 1e3 for seconds in times]
    return {"first_ms": first * 1e3, "ms": ms, "found": found, "memory_mb": peak_mb() - before}


def beside_peers(place: Path, queries: Vectors) -> dict[str, Any]:
    """Processor seconds of each query in every way, in turns in this process; `None` for what is not installed."""
    rows, files = in_memory(place)
    index, store = AudioIndex(rows, files, "random", "0" * 64), ClipStore.load(place)

    def plain(query: Vectors) -> Any:
        scores = rows @ query
        best = np.argpartition(-scores, TOP_K)[:TOP_K]
        return best[np.argsort(-scores[best])]

    ask: dict[str, Callable[[Vectors], Any]] = {
        "approximate": lambda query: store.search(query[None], TOP_K),
        "exact": lambda query: store.search(query[None], TOP_K, exact=True),
        "memory": lambda query: index.search(query[None], TOP_K),
        "numpy": plain,
    }
    try:
        import faiss
    except ImportError:
        pass
    else:
        flat = faiss.IndexFlatIP(rows.shape[1])
        flat.add(rows)
        ask["faiss"] = lambda query: flat.search(query[None], TOP_K)
    following = {way: itertools.cycle(queries) for way in ask}
    works = {way: lambda way=way: ask[way](next(following[way])) for way in ask}
    return {"faiss": None, **in_turns(works, len(queries) - 1)}


def in_memory(place: Path) -> tuple[Vectors, list[FileState]]:
    """All vectors in one array, without a second copy of them; and their files."""
    store = ClipStore.load(place)
    rows, filled = np.empty((len(store), store.width), np.float32), 0
    files = []
    for batch in store.table.search().select(["path", "embedding"]).to_batches(ROWS_AT_A_TIME):
        column = batch.column("embedding")
        rows[filled : filled + len(column)] = column.flatten().to_numpy().reshape(len(column), -1)
        filled += len(column)
        files += [FileState(path, 0, 0) for path in batch.column("path").to_pylist()]
    return rows, files


def in_process(place: Path, how: str, queries: Vectors) -> dict[str, Any]:
    """What `search` or `beside_peers` gives, in a process of its own."""
    np.save(place.parent / "queries.npy", queries)
    command = [sys.executable, __file__, "--search", how, "--folder", str(place.parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--kind", default="ivf-rq", help="the approximate index: ivf-rq, ivf-pq or hnsw-sq")
    parser.add_argument("--folder", type=Path, help="where the table is made, and left; by default a temporary one")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--search", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.search:
        place, queries = options.folder / "random.lance", np.load(options.folder / "queries.npy")
        print(
            json.dumps(
                beside_peers(place, queries) if options.search == "peers" else search(place, options.search, queries)
            )
        )
        return
    found = say(searches(options.rows, options.dim, options.queries, options.kind, options.folder))
    figures = [figure.as_json() for figure in found]
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def searches(
    rows: int, dim: int = 512, count: int = 50, kind: str = "ivf-rq", folder: Path | None = None
) -> Iterator[Figure]:
    """The figures of a table of so many rows, made in `folder`, or in one that is removed again."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield from measure(folder / "random.lance", rows, dim, count, kind)
        return
    made = Path(tempfile.mkdtemp(prefix="search-benchmark-"))
    try:
        yield from measure(made / "random.lance", rows, dim, count, kind)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def measure(place: Path, rows: int, dim: int, count: int, kind: str) -> Iterator[Figure]:
    """Makes the table and its index, searches in all ways."""
    queries, of = vectors(count, dim, seed=0), f"of {rows:,} x {dim}"
    began = time.perf_counter()
    store = make(place, rows, dim)
    yield Figure(f"writing a table {of}", "", [time.perf_counter() - began], "s")
    nearest = exact_neighbours(parts(rows, dim), queries, [-1] * count, TOP_K)
    began = time.perf_counter()
    built = store.build_approximation(kind)
    yield Figure(f"building and measuring its index, {built.kind}", "", [time.perf_counter() - began], "s")
    size = sum(index.size_bytes for index in store.table.list_indices()) / 1e6
    yield Figure("size of the index", "", [size], "MB")
    fits = 4 * rows * dim < MOST_IN_MEMORY
    for how in ("memory", "exact", "approximate") if fits else ("exact", "approximate"):
        some = queries if how == "approximate" else queries[:EXACT_QUERIES]
        yield from own_process(place, how, some, nearest.tolist(), rows)
    if not fits:
        gigabytes = 4 * rows * dim / 1e9
        yield Figure("search", "faiss, exact", unmeasured=f"its vectors would take {gigabytes:.0f} GB of memory")
        return
    spent = in_process(place, "peers", queries[: EXACT_QUERIES + 1])
    for peer, name in (("faiss", "faiss, exact (IndexFlatIP)"), ("numpy", "a product with numpy")):
        for how in NAMES:
            if spent[peer] is None:
                yield Figure(f"search, {NAMES[how]}", name, unmeasured="faiss is not installed")
            else:
                yield Figure(f"search, {NAMES[how]}", name, ratios(spent[peer], spent[how]))


def own_process(place: Path, how: str, queries: Vectors, nearest: list[list[int]], rows: int) -> Iterator[Figure]:
    """Time, recall and memory of one way; the goals are of ten million rows."""
    result, what = in_process(place, how, queries), f"search, {NAMES[how]}"
    has_goal = how == "approximate" and rows >= 10_000_000

    def goal(about: str) -> Any:
        return GOALS["search", f"10 million vectors, {about}"] if has_goal else None

    shared = [len(set(a) & set(b)) / TOP_K for a, b in zip(result["found"], nearest, strict=False)]
    yield Figure(f"{what}, first query", "", [result["first_ms"]], "ms")
    yield Figure(f"{what}, by the clock", "", result["ms"], "ms", goal("time"))
    yield Figure(f"{what}, recall@{TOP_K}", "", [float(np.mean(shared))], "", goal(f"recall@{TOP_K}"))
    yield Figure(f"{what}, memory", "", [result["memory_mb"]], "MB", goal("memory"))


if __name__ == "__main__":
    main()
