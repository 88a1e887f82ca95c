"""
Speed of CLAP on this machine: encoder, front-end, text tower and the whole way from samples to embeddings.

    python benchmarks/clap.py [--threads 1 2] [--json FILE]

Every figure stands beside a reference measured in the same run: the encoder beside the machine's matrix-product peak,
the front-end beside torchlibrosa's convolutional STFT (what the official code uses; `pip install torchlibrosa`), the
text tower beside padding to 77 tokens. Best of several runs after a warm-up; weights are random, which does not change
the work.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from typing import Any

import torch
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

CLIP_SECONDS, RATE = 7.0, 44100


def best_seconds(work: Callable[[], Any], repeats: int = 7) -> float:
    """Shortest of `repeats` runs, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def matmul_peak(dtype: torch.dtype, size: int = 2048) -> float:
    """Best rate of a large matrix product, in GFLOP/s."""
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    return 2 * size**3 / best_seconds(lambda: a @ b, repeats=15) / 1e9


@torch.inference_mode()
def encoder(threads: int, results: list[dict[str, Any]]) -> None:
    """HTSAT, full size: clips/s and share of the peak."""
    model = AfmHtsatModel(AfmHtsatConfig()).eval()
    log_mel = torch.randn(8, 1, 965, 64) * 20 - 30
    with FlopCounterMode(display=False) as counter:
        model(log_mel[:1])
    gflop = counter.get_total_flops() / 1e9
    for dtype in (torch.float32, torch.bfloat16):
        model.to(dtype)
        for batch in (1, 8):
            inputs = log_mel[:batch]
            # The peak is taken right before and after: other work on the machine slows both.
            before = matmul_peak(dtype)
            seconds = best_seconds(lambda inputs=inputs: model(inputs))
            peak = max(before, matmul_peak(dtype))
            rate = gflop * batch / seconds
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
        ours = best_seconds(lambda clips=clips: extractor.log_mel(clips)) / batch
        row: dict[str, Any] = {"ms_per_clip": ours * 1e3}
        if reference is None:
            row["torchlibrosa"] = "not installed"
        else:
            theirs = best_seconds(lambda clips=clips: reference(clips)) / batch
            row |= {"torchlibrosa_ms_per_clip": theirs * 1e3, "times_faster": theirs / ours}
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
    short = torch.randint(1, 50000, (8, 12))
    long = torch.cat([short, torch.zeros(8, 65, dtype=torch.long)], dim=1)
    mask = torch.cat([torch.ones_like(short), torch.zeros(8, 65, dtype=torch.long)], dim=1)
    ours = best_seconds(lambda: model(short)) / 8
    padded = best_seconds(lambda: model(long, mask), repeats=3) / 8
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
    for dtype in (torch.float32, torch.bfloat16):
        model.to(dtype)
        for batch in (1, 8):

            def embed(batch: int = batch) -> None:
                features = extractor(clips[:batch], sampling_rate=RATE, return_tensors="pt")
                model.get_audio_features(**features)

            seconds = best_seconds(embed, repeats=5)
            extract = best_seconds(
                lambda batch=batch: extractor(clips[:batch], sampling_rate=RATE, return_tensors="pt")
            )
            show(
                results,
                "samples to embedding",
                threads=threads,
                dtype=str(dtype)[6:],
                batch=batch,
                clips_per_s=batch / seconds,
                times_real_time=batch * CLIP_SECONDS / seconds,
                share_of_feature_extractor=extract / seconds,
            )


def show(results: list[dict[str, Any]], what: str, **figures: Any) -> None:
    """Prints one line and keeps it."""
    results.append({"what": what, **figures})
    cells = (
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in figures.items()
    )
    print(f"{what:21s}" + "  ".join(cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", help="file for the figures")
    arguments = parser.parse_args()
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "load_average": os.getloadavg()[0],
    }
    print("  ".join(f"{name} {value}" for name, value in machine.items()))
    if machine["load_average"] > 0.5:
        print("Other work is running on this machine: the figures will be too low.")
    results: list[dict[str, Any]] = []
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        for part in (encoder, front_end, text_tower, whole_way):
            part(threads, results)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"machine": machine, "results": results}, file, indent=2)


if __name__ == "__main__":
    main()
