"""
Search in an index of many vectors: time, recall and memory of the approximate index against comparing with every row.

    python benchmarks/search.py [--rows 1000000] [--dim 512] [--folder FOLDER] [--json FILE]

The vectors are made at random, as embeddings lie: around two thousand centres, in a subspace of some dozens of
dimensions, with noise in all of them. (Vectors without any order are no benchmark: all rows are then equally far away,
and there is nothing to be near to.) Queries are drawn in the same way and are no rows. Each way to search runs in a
process of its own, of which the memory at its peak is reported, less that of the same process before it opens the
index. Ten million rows of 512 numbers need 21 GB of disk.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from afm_hf.retrieval import AudioIndex, ClipStore, FileState
from afm_hf.retrieval.approximate import exact_neighbours
from afm_hf.retrieval.index import Job

CENTRES, SUBSPACE, SPREAD, NOISE = 2000, 48, 0.6, 0.3
ROWS_AT_A_TIME, TOP_K = 20_000, 10
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
    before = memory_from_now_on()
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
    ms = {"first": first * 1e3, "median": float(np.median(times)) * 1e3, "max": max(times) * 1e3}
    return {"ms": ms, "found": found, "memory_mb": peak() - before, "process_mb": peak()}


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


def memory_from_now_on() -> float:
    """Memory that this process has, MB; where Linux lets it, its peak begins anew here."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        print("the peak of the memory holds what the imports took", file=sys.stderr)
    return peak()


def peak() -> float:
    """The most memory that this process has had, MB."""
    status = Path("/proc/self/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) / 1e3


def in_process(place: Path, how: str, queries: Vectors) -> dict[str, Any]:
    """What `search` gives, in a process of its own."""
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
        queries = np.load(options.folder / "queries.npy")
        print(json.dumps(search(options.folder / "random.lance", options.search, queries)))
        return
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="search-benchmark-"))
    try:
        figures = measure(folder / "random.lance", options)
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def measure(place: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Makes the table and its index, searches in all ways, prints."""
    rows, dim, count = options.rows, options.dim, options.queries
    queries = vectors(count, dim, seed=0)
    began = time.perf_counter()
    store = make(place, rows, dim)
    print(f"{rows:,} rows of {dim} numbers written in {time.perf_counter() - began:.0f} s", flush=True)
    nearest = exact_neighbours(parts(rows, dim), queries, [-1] * count, TOP_K)
    began = time.perf_counter()
    built = store.build_approximation(options.kind)
    size = sum(index.size_bytes for index in store.table.list_indices()) / 1e6
    built_s = time.perf_counter() - began
    print(f"{built} of {size:.0f} MB built and measured in {built_s:.0f} s on {os.cpu_count()} cores", flush=True)
    ways = {"approximate": count, "exact": min(count, 10)}
    if 4 * rows * dim < 6e9:
        ways["memory"] = min(count, 10)
    figures: dict[str, Any] = {"rows": rows, "dim": dim, "kind": options.kind, "built_s": built_s, "index_mb": size}
    print(f"{'search':12} {'first':>9} {'median':>9} {'max':>9}  recall@{TOP_K}  memory  against exact")
    for how, some in reversed(ways.items()):  # exact ones first: they are what the other is a ratio of
        result = in_process(place, how, queries[:some])
        found = result.pop("found")
        result["recall"] = float(
            np.mean([len(set(a) & set(b)) / TOP_K for a, b in zip(found, nearest[:some].tolist(), strict=True)])
        )
        figures[how] = result
        ms, base = result["ms"], figures.get("exact", result)["ms"]["median"]
        result["times_faster_than_exact"] = base / ms["median"]
        print(
            f"{how:12} {ms['first']:6.1f} ms {ms['median']:6.1f} ms {ms['max']:6.1f} ms  {result['recall']:9.3f} "
            f"{result['memory_mb']:4.0f} MB  {result['times_faster_than_exact']:.1f} x",
            flush=True,
        )
    return figures


if __name__ == "__main__":
    main()
