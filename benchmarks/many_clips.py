"""
A hundred thousand small clips embedded from the command line, killed on the way, gone on with, searched and updated.

    python benchmarks/many_clips.py [--clips 100000] [--kills 2] [--model NAME] [--ray] [--folder FOLDER] [--json FILE]

The clips are links to one second of each sound of `examples/sounds`, loud and soft, and some broken files among them.
This is about what lies around the model, so the model is a tiny one of random weights, which costs about as much as
reading a clip; with `--model` another.
`afm-hf embed` is killed without warning (SIGKILL) as often as asked, at equal parts of the work, and run again each
time. Then every clip must have one row, links to the same sound the same vector, the broken ones their reason, and
memory must not have grown with the rows. At last some clips are removed, others added or changed, and the same command
must embed just these. With `--ray` a cluster of two nodes on this machine embeds the same folder by `--engine ray`, and
its vectors are compared. Anything that is not so ends the run with an error.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile
import torch
from transformers import AutoTokenizer, BertConfig

import afm_hf
from afm_hf.retrieval import ClipStore

SOUNDS = Path(__file__).resolve().parent.parent / "examples" / "sounds"
LEVELS = {"loud": 0.9, "soft": 0.1}
SECONDS, FOLDER_SIZE, BROKEN, CHANGED = 1.0, 1000, 5, 100
COMMAND = [sys.executable, "-c", "from afm_hf.cli import app; app()"]


def write_sources(folder: Path) -> list[Path]:
    """One second of every sound at each level, 16-bit WAV."""
    folder.mkdir(parents=True)
    made = []
    for path in sorted(SOUNDS.glob("*.ogg")):
        samples, rate = soundfile.read(path, frames=int(SECONDS * soundfile.info(path).samplerate), always_2d=True)
        mono = samples.mean(1) / max(float(np.abs(samples).max()), 1e-4)
        for level, gain in LEVELS.items():
            made.append(folder / f"{path.stem}-{level}.wav")
            soundfile.write(made[-1], gain * mono, rate, "PCM_16")
    return made


def link(folder: Path, sources: list[Path], numbers: range) -> None:
    """Clip i is a link to source i modulo their number, a thousand in a folder."""
    for number in numbers:
        place = folder / f"{number // FOLDER_SIZE:04d}" / f"{number:07d}.wav"
        place.parent.mkdir(parents=True, exist_ok=True)
        os.link(sources[number % len(sources)], place)


def write_tiny_model(folder: Path) -> str:
    """A CLAP of random weights that hears one second, with the words of clap-small."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(afm_hf.bundled_model("clap-small"))
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    words = BertConfig(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **sizes)
    ears = afm_hf.AfmCnn14Config(num_mel_bins=32, block_channels=[4, 8], pool_sizes=[2, 2], hidden_size=64)
    model = afm_hf.ClapAfmModel(
        afm_hf.ClapAfmConfig(
            audio_config=afm_hf.ClapAfmAudioConfig(encoder_config=ears, projection_dim=64),
            text_config=afm_hf.ClapAfmTextConfig(encoder_config=words, projection_dim=64, pooling="mean"),
        )
    )
    with torch.no_grad():  # as initialised, all embeddings are alike
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    rate = 16_000
    front_end = afm_hf.ClapAfmFeatureExtractor(
        feature_size=32, sampling_rate=rate, mel_sampling_rate=rate, n_fft=512, hop_length=320, fmin=50, fmax=8000,
        max_length_s=SECONDS,
    )  # fmt: skip
    model.save_pretrained(folder)
    afm_hf.ClapAfmProcessor(front_end, tokenizer).save_pretrained(folder)
    return str(folder)


class Watched:
    """A command whose memory is looked at while it runs."""

    def __init__(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        self.began = time.perf_counter()
        self.process = subprocess.Popen(command, env=environment)
        self.memory_mb: list[float] = []
        self.rows_at: list[int] = []

    def look(self, table: Path) -> int:
        """Rows of the table now; remembers them, and the memory."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.memory_mb.append(psutil.Process(self.process.pid).memory_info().rss / 2**20)
            self.rows_at.append(rows_of(table))
        return self.rows_at[-1] if self.rows_at else 0

    def until(self, table: Path, rows: float, every_s: float = 1.0) -> int:
        """Waits for so many rows, or for the end; the exit code, or -1 where it still runs."""
        while self.process.poll() is None:
            if self.look(table) >= rows:
                return -1
            time.sleep(every_s)
        return self.process.returncode

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began


def rows_of(table: Path) -> int:
    return len(ClipStore.load(table)) if ClipStore.exists(table) else 0


def embed_and_kill(command: list[str], table: Path, count: int, kills: int) -> dict[str, Any]:
    """The command until it ends, killed on the way; what each run did."""
    runs: list[dict[str, Any]] = []
    for part in range(1, kills + 2):
        before, run = rows_of(table), Watched(command)
        code = run.until(table, count * part / (kills + 1) if part <= kills else float("inf"))
        if part <= kills:
            expect(code == -1, f"run {part} ended by itself, with {code}, before it was killed")
            run.process.send_signal(signal.SIGKILL)
            run.process.wait()
        else:
            expect(code == 1, f"the last run ended with {code}; expected 1, since some files are broken")
        runs.append({"rows_before": before, "rows_after": rows_of(table), "seconds": run.seconds, **memory_of(run)})
        print(f"run {part}: {runs[-1]}", flush=True)
    return {"runs": runs}


def memory_of(run: Watched) -> dict[str, float]:
    """Most memory in the first fifth of the rows that a run made, and in all of it, MB."""
    made = [(rows - run.rows_at[0], mb) for rows, mb in zip(run.rows_at, run.memory_mb, strict=True)]
    early = [mb for rows, mb in made if rows <= max(made)[0] / 5]
    return {"early_mb": max(early), "peak_mb": max(run.memory_mb)}


def check_rows(table: Path, count: int, sources: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Every clip once, links of a sound alike, the broken ones named; the vectors in the order of the clips."""
    store = ClipStore.load(table)
    expect(len(store) == count, f"{len(store)} rows; expected {count}")
    expect(len(store.failures) == BROKEN, f"{len(store.failures)} failures; expected {BROKEN}")
    rows = np.full((count, store.width), np.nan, np.float32)
    for batch in store.table.search().where("reason IS NULL").select(["path", "embedding"]).to_batches(10_000):
        numbers = [int(Path(path).stem) for path in batch.column("path").to_pylist()]
        rows[numbers] = batch.column("embedding").flatten().to_numpy().reshape(len(numbers), -1)
    expect(bool(np.isfinite(rows).all()), "a clip has no row, and another two")
    apart = max(float(np.abs(rows[first::sources] - rows[first]).max()) for first in range(min(sources, count)))
    expect(apart < 1e-5, f"links to the same sound lie {apart} apart")
    print(f"{count} rows, each once; links to the same sound at most {apart:.1e} apart", flush=True)
    return rows


def search(table: Path, source: Path, number: int, sources: int) -> dict[str, Any]:
    """A search from the command line for clips like a source; they must be the links to it."""
    began = time.perf_counter()
    command = [*COMMAND, "search", "--audio", str(source), "--index", str(table), "--top-k", "10", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - began
    hits = json.loads(done.stdout)[0]["results"]
    found = [int(Path(hit["file"]).stem) % sources for hit in hits]
    expect(found == [number] * 10, f"a search for {source} found links to {found}")
    print(f"search: ten links to the sound that was asked for, {seconds:.1f} s with the start", flush=True)
    return {"search_s": seconds}


def update(command: list[str], clips: Path, table: Path, sources: list[Path], count: int) -> dict[str, Any]:
    """Some clips go, others come or change; the same command does no more than that."""
    for number in range(CHANGED):
        (clips / "0000" / f"{number:07d}.wav").unlink()
    link(clips, sources, range(count, count + CHANGED))
    for number in range(CHANGED, 2 * CHANGED):
        place = clips / "0000" / f"{number:07d}.wav"
        place.unlink()
        shutil.copyfile(sources[0], place)
    version = ClipStore.load(table).table.version
    run = Watched(command)
    code = run.until(table, float("inf"))
    expect(code == 1, f"the update ended with {code}; expected 1, since some files are broken")
    store = ClipStore.load(table)
    expect(len(store) == count, f"{len(store)} rows after the update; expected {count}")
    found = store.table.search().where(f"path LIKE '%/0000/{CHANGED:07d}.wav'").limit(1).to_list()
    first = store.table.search().where(f"path LIKE '%/{_like(sources, count):07d}.wav'").limit(1).to_list()
    apart = float(np.abs(np.subtract(found[0]["embedding"], first[0]["embedding"])).max())
    expect(apart < 1e-5, f"a clip that was changed lies {apart} from the sound that it holds now")
    print(f"{CHANGED} removed, {CHANGED} added, {CHANGED} changed in {run.seconds:.0f} s", flush=True)
    return {"update_s": run.seconds, "versions": store.table.version - version}


def _like(sources: list[Path], count: int) -> int:
    """A clip that is a link to the first source and was left alone."""
    return next(number for number in range(2 * CHANGED, count) if number % len(sources) == 0)


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """Two nodes of Ray on this machine, each with room for a reader and an embedder; their address."""
    from ray.cluster_utils import Cluster

    os.environ.update(RAY_worker_niceness="0")  # else every other process on the machine goes first
    node = {"num_cpus": 2, "object_store_memory": 200 << 20, "include_log_monitor": False}
    made = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False, "no_monitor": True})
    made.add_node(**node)
    try:
        yield made.address
    finally:
        made.shutdown()


def with_ray(
    command: list[str], table: Path, count: int, sources: int, expected: np.ndarray[Any, Any]
) -> dict[str, Any]:
    """The same folder by `--engine ray` on two nodes, and how far its vectors are from those of one process."""
    with cluster() as address:
        run = Watched([*command, "--engine", "ray"], {**os.environ, "RAY_ADDRESS": address})
        code = run.until(table, float("inf"), 5.0)
    expect(code == 1, f"--engine ray ended with {code}; expected 1, since some files are broken")
    apart = float(np.abs(check_rows(table, count, sources) - expected).max())
    expect(apart < 1e-5, f"vectors of the cluster lie {apart} from those of one process")
    print(f"--engine ray on two nodes: {run.seconds:.0f} s, vectors at most {apart:.1e} apart", flush=True)
    return {"ray_s": run.seconds, "ray_apart": apart}


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SystemExit(f"error: {otherwise}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--model", help="a CLAP; by default a tiny one of random weights")
    parser.add_argument(
        "--ray", action="store_true", help='also on a cluster of two nodes; `pip install "afm-hf[ray]"`'
    )
    parser.add_argument("--folder", type=Path, help="where clips and tables are made, and left; else a temporary one")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    if options.clips < 3 * FOLDER_SIZE:
        parser.error(f"--clips is {options.clips}; at least {3 * FOLDER_SIZE} are needed, to kill and to update.")
    folder = options.folder or Path(tempfile.mkdtemp(prefix="many-clips-"))
    try:
        figures = measure(folder, options)
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All of it."""
    clips, table, count = folder / "clips", folder / "clips.lance", options.clips
    sources = write_sources(folder / "sources")
    link(clips, sources, range(count))
    for number in range(BROKEN):
        (clips / f"broken-{number}.wav").write_text("no audio")
    print(f"{count} links to {len(sources)} clips of {SECONDS} s, and {BROKEN} broken files", flush=True)
    model = options.model or write_tiny_model(folder / "model")
    figures: dict[str, Any] = {
        "clips": count,
        **embed_and_kill(embed(clips, table, model), table, count, options.kills),
    }
    last = figures["runs"][-1]
    grown = last["peak_mb"] / last["early_mb"]
    print(f"memory at its peak: {grown:.2f} times that of the first fifth of the last run's rows", flush=True)
    expect(grown < 1.25, "memory grows with the rows")
    rows = check_rows(table, count, len(sources))
    figures |= search(table, sources[7], 7, len(sources))
    if options.ray:
        other = folder / "ray.lance"
        figures |= with_ray(embed(clips, other, model), other, count, len(sources), rows)
    return {**figures, **update(embed(clips, table, model), clips, table, sources, count)}


def embed(clips: Path, table: Path, model: str) -> list[str]:
    """The command."""
    settings = ["--model", model, "--batch-size", "64", "--approximate", "none"]
    return [*COMMAND, "embed", str(clips), "--output", str(table), *settings]


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
