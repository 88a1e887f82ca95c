"""Exported CLAP towers against the model itself, in turns, on one thread: `python benchmarks/export.py [--small]`.

Random weights at the full size of CLAP 2023, or the bundled clap-small. Needs onnx, onnxscript and onnxruntime.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModel

from afm_hf import ClapAfmConfig, ClapAfmModel, bundled_model
from afm_hf.conversion.export import ExportedClap, export_clap

ROUNDS = 7


def seconds(call: Callable[[], object]) -> float:
    """Time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="clap-small instead of the full size")
    small = parser.parse_args().small
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = (AutoModel.from_pretrained(bundled_model("clap-small")) if small else ClapAfmModel(ClapAfmConfig())).eval()
    frames, words = (240, 6000) if small else (965, 50000)
    mels = model.config.audio_config.encoder_config.num_mel_bins
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        exported = ExportedClap.load(export_clap(model, Path(folder) / "onnx", frames), threads=1)
        print(f"export to ONNX: {time.perf_counter() - start:.0f} s")
        for batch in (1, 4):
            clips = torch.randn(batch, 1, frames, mels)
            ids = torch.randint(1, words, (batch, 12))
            inputs = {"audio": {"input_features": clips}, "text": {"input_ids": ids}}
            for name, given in inputs.items():
                method = f"get_{name}_features"
                ours, theirs = getattr(model, method), getattr(exported, method)
                apart = (ours(**given).pooler_output - theirs(**given).pooler_output).abs().max().item()
                times = [(seconds(lambda: ours(**given)), seconds(lambda: theirs(**given))) for _ in range(ROUNDS)]  # noqa: B023
                ratio = statistics.median(a for a, _ in times) / statistics.median(b for _, b in times)
                print(f"{name} tower, batch {batch}: onnxruntime {ratio:.2f} x as fast, embeddings apart {apart:.1e}")


if __name__ == "__main__":
    main()
