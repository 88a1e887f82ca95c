"""
Memory that an hour of audio takes, against a minute, wherever long clips are heard in windows.

    python benchmarks/long_clips.py [--minutes 60] [--ways embed caption ...] [--json FILE]

Every figure is of a process of its own: the most resident memory while the clip is heard, beyond what the process had
with its model loaded and warmed up by ten seconds of sound. The clip is noise, 16-bit stereo WAV of 44.1 kHz; an hour
of it is 605 MB. The models are the bundled ones.
`ratio_of_processes` is that of the whole processes, which is what a machine must have room for.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from clap import show
from figures import GOALS, Figure
from peak_memory import peak_mb, peak_mb_from_now_on
from transformers import AutoFeatureExtractor, pipeline

import afm_hf
from afm_hf.evaluation.metrics.mace import Mace
from afm_hf.retrieval import ClapEmbedder

RATE = 44_100
Hear = Callable[[str], Any]


def embed() -> Hear:
    """`afm-hf embed` and search."""
    embedder = ClapEmbedder()
    return lambda path: embedder.embed_audio([path], "windows")


def timeline() -> Hear:
    """`afm-hf classify --timeline`."""
    pipe = pipeline("zero-shot-audio-classification", model=str(afm_hf.bundled_model("clap-small")))
    return lambda path: pipe(path, candidate_labels=["rain", "a dog"], timestamps=True)


def classify() -> Hear:
    """A trained classifier."""
    folder = afm_hf.bundled_model("clap-small")
    model = afm_hf.ClapAfmForAudioClassification.from_pretrained(folder).eval()
    pipe = pipeline("audio-classification", model=model, feature_extractor=AutoFeatureExtractor.from_pretrained(folder))
    return lambda path: pipe(path, truncation="windows")


def quality() -> Hear:
    """PAM."""
    return pipeline("audio-quality-assessment", model=str(afm_hf.bundled_model("clap-small")))


def caption() -> Hear:
    """CLAPCAP or Pengi."""
    pipe = pipeline("audio-captioning", model=str(afm_hf.bundled_model("pengi-small")))
    return lambda path: pipe(path, truncation="windows", max_new_tokens=4)


def entail() -> Hear:
    """Audio entailment."""
    pipe = pipeline("audio-entailment", model=str(afm_hf.bundled_model("clap-small")))
    return lambda path: pipe({"audio": path, "hypothesis": "rain falls"}, truncation="windows", scoring="similarity")


def mace() -> Hear:
    """MACE."""
    metric = Mace("clap-small", mode="audio")
    return lambda path: metric(["rain falls"], audio=[path])


def crop() -> Hear:
    """The middle of a long file."""
    extractor = AutoFeatureExtractor.from_pretrained(afm_hf.bundled_model("clap-small"))
    return lambda path: extractor(path, truncation="center")


def official_audio() -> Hear:
    """Windows as the authors' code reads audio: torchaudio's resampler, channels one after the other."""
    embedder = ClapEmbedder()
    embedder.feature_extractor.resampler, embedder.feature_extractor.channels = "torchaudio", "concat"
    return lambda path: embedder.embed_audio([path], "windows")


WAYS = {
    each.__name__: each for each in (embed, timeline, classify, quality, caption, entail, mace, crop, official_audio)
}


@torch.inference_mode()
def measure(way: str, warm_up: str, path: str) -> dict[str, float]:
    """Memory in MB and processor seconds of one clip; runs in a process of its own."""
    torch.set_num_threads(1)
    hear = WAYS[way]()
    hear(warm_up)
    before, began = peak_mb_from_now_on(), time.process_time()
    hear(path)
    return {"whole_mb": peak_mb(), "more_mb": peak_mb() - before, "processor_s": time.process_time() - began}


def in_a_process(*arguments: str) -> dict[str, float]:
    """`measure` in a process that has done nothing yet."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def write_noise(path: Path, seconds: int) -> str:
    noise = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as file:
        for _ in range(seconds):
            file.write(noise.normal(scale=0.1, size=(RATE, 2)).astype(np.float32))
    return str(path)


def noises(folder: Path, minutes: int) -> list[str]:
    """Clips of ten seconds, a minute and so many minutes."""
    return [write_noise(folder / f"{seconds}.wav", seconds) for seconds in (10, 60, 60 * minutes)]


def against_a_minute(minutes: int) -> Iterator[Figure]:
    """`afm-hf embed` for `run_all.py`: a long clip against one of a minute."""
    with tempfile.TemporaryDirectory() as folder:
        ten_s, minute, long = noises(Path(folder), minutes)
        short, whole = in_a_process("embed", ten_s, minute), in_a_process("embed", ten_s, long)
    what, goal = f"afm-hf embed, {minutes} minutes", GOALS["memory", "an hour"] if minutes >= 60 else None
    against = "one minute, whole process"
    yield Figure(f"{what}, memory", against, [whole["whole_mb"] / short["whole_mb"]], goal=goal)
    yield Figure(f"{what}, beyond the loaded model", "", [whole["more_mb"]], "MB")
    yield Figure("one minute, beyond the loaded model", "", [short["more_mb"]], "MB")
    yield Figure(f"{what}, processor time", "one minute", [whole["processor_s"] / short["processor_s"]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60, help="length of the long clip; the other has one minute")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        ten_s, minute, long = noises(Path(folder), options.minutes)
        for way in options.ways:
            short, whole = in_a_process(way, ten_s, minute), in_a_process(way, ten_s, long)
            show(
                results,
                way,
                minutes=options.minutes,
                more_mb_of_a_minute=short["more_mb"],
                more_mb_of_the_long_clip=whole["more_mb"],
                ratio_of_processes=whole["whole_mb"] / short["whole_mb"],
                times_the_processor_time=whole["processor_s"] / short["processor_s"],
            )
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
