"""
Speed of CLAP on this machine: encoder, front-end, text tower and the whole way from samples to embeddings.

    python benchmarks/clap.py [--threads 1 2] [--json FILE]

Every figure stands beside a reference measured in the same run: the encoder beside the machine's matrix-product peak,
the front-end beside torchlibrosa's convolutional STFT (what the official code uses; `pip install torchlibrosa`), the
text tower beside padding to 77 tokens. Best of several runs after a warm-up; weights are random, which does not change
the work.
"""

import argparse
import functools
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from figures import Figure
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPT2Config

from afm_hf import (
    AfmHtsatConfig,
    AfmHtsatModel,
    ClapAfmConfig,
    ClapAfmFeatureExtractor,
    ClapAfmModel,
    ClapAfmTextConfig,
    ClapAfmTextModel,
)

CLIP_SECONDS, RATE, TEXTS = 7.0, 44100, 8


def best_seconds(*works: Callable[[], Any], repeats: int = 9, limit_s: float = 15.0) -> list[float]:
    """Shortest run of each, of `repeats` rounds after one that is not counted; fewer rounds if they take too long.

    In turns, so that other work on the machine meets all of them alike and their ratios hold.
    """
    best = [float("inf")] * len(works)
    began = time.perf_counter()
    for round_ in range(repeats + 1):
        if round_ > 2 and time.perf_counter() - began > limit_s:
            break
        for index, work in enumerate(works):
            start = time.perf_counter()
            work()
            if round_:
                best[index] = min(best[index], time.perf_counter() - start)
    return best


def matrix_product(dtype: torch.dtype, size: int = 2048) -> tuple[Callable[[], Any], float]:
    """A large matrix product, whose rate is the machine's peak, and its GFLOP."""
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    return lambda: a @ b, 2 * size**3 / 1e9


def precisions() -> list[torch.dtype]:
    """fp32, and bf16 where the processor has instructions for it (without, it is some fifty times slower)."""
    products = [matrix_product(dtype, 512) for dtype in (torch.float32, torch.bfloat16)]
    single, half = (gflop / best_seconds(work)[0] for work, gflop in products)
    if half > single / 2:
        return [torch.float32, torch.bfloat16]
    print(f"bfloat16 left out: this processor makes {half:.3g} GFLOP/s of it, and {single:.3g} of float32.")
    return [torch.float32]


def processor_name() -> str:
    """As the kernel calls it, with what decides about speed."""
    try:
        with open("/proc/cpuinfo") as file:
            name = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


@torch.inference_mode()
def encoder(threads: int, results: list[dict[str, Any]]) -> None:
    """HTSAT, full size: clips/s and share of the peak."""
    model = AfmHtsatModel(AfmHtsatConfig()).eval()
    log_mel = torch.randn(8, 1, 965, 64) * 20 - 30
    model.set_attn_implementation("eager")  # the counter does not know the fused attention of CPUs
    with FlopCounterMode(display=False) as counter:
        model(log_mel[:1])
    model.set_attn_implementation("sdpa")
    gflop = counter.get_total_flops() / 1e9
    for dtype in precisions():
        model.to(dtype)
        product, product_gflop = matrix_product(dtype)
        for batch in (1, 4, 8):
            inputs = log_mel[:batch]
            seconds, product_s = best_seconds(functools.partial(model, inputs), product, repeats=15)
            rate, peak = gflop * batch / seconds, product_gflop / product_s
            show(
                results,
                "encoder",
                threads=threads,
                dtype=str(dtype)[6:],
                batch=batch,
                clips_per_s=batch / seconds,
                gflop_per_clip=gflop,
                gflops=rate,
                matmul_peak_gflops=peak,
                share_of_peak=rate / peak,
            )


@torch.inference_mode()
def front_end(threads: int, results: list[dict[str, Any]]) -> None:
    """Log-mels of 7 s clips against torchlibrosa's convolutional STFT."""
    extractor = ClapAfmFeatureExtractor()
    reference = torchlibrosa_front_end()
    for batch in (1, 8):
        clips = torch.randn(batch, extractor.clip_samples(CLIP_SECONDS)) * 0.1
        works: list[Callable[[], Any]] = [functools.partial(extractor.log_mel, clips)]
        if reference is not None:
            works.append(functools.partial(reference, clips))
        ours, *theirs = best_seconds(*works, repeats=20)
        row: dict[str, Any] = {"ms_per_clip": ours / batch * 1e3}
        if reference is None:
            row["torchlibrosa"] = "not installed"
        else:
            row |= {"torchlibrosa_ms_per_clip": theirs[0] / batch * 1e3, "times_faster": theirs[0] / ours}
            row["largest_difference_db"] = float((reference(clips)[:, 0] - extractor.log_mel(clips)).abs().max())
        show(results, "front-end", threads=threads, batch=batch, **row)


def torchlibrosa_front_end() -> torch.nn.Module | None:
    """The official front-end, or None where torchlibrosa is not installed."""
    try:
        from torchlibrosa.stft import LogmelFilterBank, Spectrogram
    except ImportError:
        return None
    return torch.nn.Sequential(
        Spectrogram(n_fft=1024, hop_length=320, win_length=1024, window="hann", center=True, pad_mode="reflect"),
        LogmelFilterBank(sr=32000, n_fft=1024, n_mels=64, fmin=50, fmax=14000, ref=1.0, amin=1e-10, top_db=None),
    ).eval()


@torch.inference_mode()
def text_tower(threads: int, results: list[dict[str, Any]]) -> None:
    """GPT-2 on 8 captions: padded to the longest against padded to 77 tokens, as the official code does."""
    model = ClapAfmTextModel(ClapAfmTextConfig(encoder_config=GPT2Config())).eval()
    short = torch.randint(1, 50000, (TEXTS, 12))
    long = torch.cat([short, torch.zeros(TEXTS, 65, dtype=torch.long)], dim=1)
    mask = torch.cat([torch.ones_like(short), torch.zeros(TEXTS, 65, dtype=torch.long)], dim=1)
    ours, padded = (seconds / TEXTS for seconds in best_seconds(lambda: model(short), lambda: model(long, mask)))
    show(
        results,
        "text",
        threads=threads,
        tokens=12,
        ms_per_caption=ours * 1e3,
        ms_padded_to_77=padded * 1e3,
        times_faster=padded / ours,
    )


@torch.inference_mode()
def whole_way(threads: int, results: list[dict[str, Any]]) -> None:
    """From arrays of samples to normalised embeddings, CLAP 2023's audio tower."""
    model = ClapAfmModel(ClapAfmConfig()).eval()
    extractor = ClapAfmFeatureExtractor()
    clips = [torch.randn(extractor.clip_samples(CLIP_SECONDS)).numpy() * 0.1 for _ in range(8)]
    for dtype in precisions():
        model.to(dtype)
        for batch in (1, 8):

            def embed(batch: int = batch) -> None:
                features = extractor(clips[:batch], sampling_rate=RATE, return_tensors="pt")
                model.get_audio_features(**features)

            def extract(batch: int = batch) -> None:
                extractor(clips[:batch], sampling_rate=RATE, return_tensors="pt")

            seconds, extractor_s = best_seconds(embed, extract)
            show(
                results,
                "samples to embedding",
                threads=threads,
                dtype=str(dtype)[6:],
                batch=batch,
                clips_per_s=batch / seconds,
                times_real_time=batch * CLIP_SECONDS / seconds,
                share_of_feature_extractor=extractor_s / seconds,
            )


def pieces(threads: int) -> Iterator[Figure]:
    """For `run_all.py`: front-end and text tower against their references, and the encoder against the peak."""
    torch.set_num_threads(threads)
    results: list[dict[str, Any]] = []
    for part in (front_end, text_tower, encoder):
        part(threads, results)
    for row in results:
        what = f"{row['what']}, batch of {row.get('batch', TEXTS)}"
        if row["what"] == "encoder":
            yield Figure(
                f"{what}, {row['dtype']}, share of the peak", "a product of 2048 x 2048", [row["share_of_peak"]], ""
            )
        elif "times_faster" in row:
            against = "torchlibrosa's convolutions" if row["what"] == "front-end" else "padded to 77 tokens"
            yield Figure(what, against, [row["times_faster"]])
        else:
            yield Figure(what, "torchlibrosa's convolutions", unmeasured="torchlibrosa is not installed")


def show(results: list[dict[str, Any]], what: str, **figures: Any) -> None:
    """Prints one line and keeps it."""
    results.append({"what": what, **figures})
    cells = (
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in figures.items()
    )
    print(f"{what:30s} " + "  ".join(cells), flush=True)


def run_parts(description: str | None, parts: Sequence[Callable[..., None]], threads: Sequence[int]) -> None:
    """The command line of a benchmark: runs its parts on each number of threads, names the machine, writes a file."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=list(threads))
    names = [part.__name__ for part in parts]
    parser.add_argument("--only", nargs="+", default=names, choices=names, help="parts to run")
    parser.add_argument("--json", help="file for the figures")
    arguments = parser.parse_args()
    machine: dict[str, Any] = {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "load_average": os.getloadavg()[0],
    }
    print("  ".join(f"{name} {value}" for name, value in machine.items()))
    if machine["load_average"] > 0.5:
        print("Other work is running on this machine: the figures will be too low.")
    results: list[dict[str, Any]] = []
    for count in arguments.threads:
        torch.set_num_threads(count)
        for part in parts:
            if part.__name__ in arguments.only:
                part(count, results)
    machine["load_average_at_the_end"] = os.getloadavg()[0]
    print(f"load average at the end: {machine['load_average_at_the_end']:.2f} (this run's own work included)")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"machine": machine, "results": results}, file, indent=2)


if __name__ == "__main__":
    run_parts(__doc__, (encoder, front_end, text_tower, whole_way), threads=(1, 2))
