"""
What embedding costs: processor time for a clip, clips for an hour of a core, core-hours for 100 million clips.

    python benchmarks/embedding_cost.py [--seconds 5] [--clips 24] [--model clap-small] [--json FILE]

Processor time, which other work on the machine hardly changes, of one thread: of reading and decoding a 16-bit WAV of
44.1 kHz with its log-mel, as Ray's decoders do, and of the model on batches of features, as the embedders do. Without
`--model` the model is CLAP 2023 in its full size with random weights, which cost as much as trained ones.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from afm_hf import ClapAfmConfig, ClapAfmFeatureExtractor, ClapAfmModel
from afm_hf.hub.loading import load_clap
from afm_hf.models.clap_afm.embedding_clap_afm import embed_audio, extract_features
from afm_hf.pipelines.pipeline_audio_inputs import collate_features

MANY = 100_000_000


def processor_s(work: Callable[[], Any], repeats: int) -> float:
    """The least processor time of some runs, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


@torch.inference_mode()
def measure(options: argparse.Namespace) -> dict[str, float]:
    """Processor seconds for a clip, of both steps."""
    torch.set_num_threads(1)
    if options.model:
        model, extractor, _ = load_clap(options.model)
    else:
        model, extractor = ClapAfmModel(ClapAfmConfig()).eval(), ClapAfmFeatureExtractor()
    noise = np.random.default_rng(0).standard_normal(round(44100 * options.seconds)).astype(np.float32) / 10
    with tempfile.TemporaryDirectory() as folder:
        clips = [Path(folder) / f"{number}.wav" for number in range(options.clips)]
        for clip in clips:
            soundfile.write(clip, noise, 44100)
        items = [extract_features(extractor, str(clip)) for clip in clips]
        decode = processor_s(lambda: [extract_features(extractor, str(clip)) for clip in clips], 3)
        batches = [collate_features(items[start : start + 8]) for start in range(0, len(items), 8)]
        embed = processor_s(lambda: [embed_audio(model, dict(batch)) for batch in batches], 3)
    return {"decode_s": decode / options.clips, "embed_s": embed / options.clips}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a clip")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument(
        "--model", help="a bundled model, a folder or a Hub id; CLAP 2023 with random weights if not given"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = measure(options)
    both = sum(found.values())
    found |= {"clips_per_core_hour": 3600 / both, "core_hours_for_100_million": MANY * both / 3600}
    print(
        f"decode {1e3 * found['decode_s']:.1f} ms, embed {1e3 * found['embed_s']:.1f} ms of processor time for a clip"
    )
    print(f"{found['clips_per_core_hour']:,.0f} clips for an hour of a core")
    print(f"{found['core_hours_for_100_million']:,.0f} core-hours for {MANY:,} clips")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
