"""What both ears of the small CLAP hear in every training clip, in several augmented variants; in every test clip once.

`prepare` is called by train_small_clap.py. The ears are frozen, so what they hear is computed once and kept: the head
is trained on them in a minute. Which clips may be used is decided by clap_clips.py.
"""

import json
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import torch
from answers_facts import measure
from clap_clips import load_clip, training_rows
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tqdm import tqdm
from transformers import AutoModel

from afm_hf import (
    AfmEarsConfig,
    AfmEarsFeatureExtractor,
    AfmEarsModel,
    AfmEffectsCnnFeatureExtractor,
    AfmYamnetFeatureExtractor,
    load_audio,
)

RATE = 44100  # Hz
BATCH = 16  # windows that are heard at once
SEQUENCES = 3072  # clips of one sound after another
SHARED: Any = None  # ears, YAMNet's classifier and the training clips, in the processes that hear them


def feature_extractor(truncation: str = "windows") -> AfmEarsFeatureExtractor:
    """The models' front-end: both ears over windows of 2.415 s, all of a long clip, a short one repeated."""
    ears = [AfmYamnetFeatureExtractor(), AfmEffectsCnnFeatureExtractor()]
    return AfmEarsFeatureExtractor(ears=ears, padding="repeat", truncation=truncation)


def load_ears(yamnet: Path, aisfx: Path) -> tuple[AfmEarsModel, torch.nn.Linear]:
    """The ears with their official weights, and YAMNet's classifier, which the model itself does without."""
    parts = [AutoModel.from_pretrained(folder, dtype=torch.float32).eval() for folder in (yamnet, aisfx)]
    classifier = parts[0].classifier
    without_classes = parts[0].config.to_dict() | {"use_class_head": False}
    for name in ("id2label", "label2id"):
        without_classes.pop(name)
    configs = [without_classes, parts[1].config]
    ears = AfmEarsModel(AfmEarsConfig(ears=configs, frames=feature_extractor().frames())).eval()
    for ear, part in zip(ears.ears, parts, strict=True):
        weights = {name: value for name, value in part.state_dict().items() if not name.startswith("classifier")}
        ear.load_state_dict(weights)
    return ears, classifier


def variant(waves: list[np.ndarray], index: int, number: int, samples: int, rng: np.random.Generator) -> np.ndarray:
    """`samples` of clip `index`: the first variant as it is, the others augmented."""
    wave = waves[index]
    if number:
        speed = rng.choice([0.85, 0.92, 1.0, 1.0, 1.09, 1.18])
        wave = wave if speed == 1 else soxr.resample(wave, RATE * speed, RATE, quality="MQ")
    if len(wave) < samples:  # short clips are repeated, as the extractor does
        start = int(rng.integers(len(wave))) if number and rng.random() < 0.5 else 0
        wave = np.tile(wave, -(-(samples + start) // len(wave)))[start:]
    starts = rng.integers(0, len(wave) - samples + 1, 2) if number else [0, 0]
    first, second = (wave[start : start + samples] for start in starts)
    chosen = first if np.abs(first).max() >= np.abs(second).max() else second
    if not number:
        return chosen
    chosen = chosen.copy()
    if rng.random() < 0.4:  # another clip, 5 to 25 dB below
        other = waves[rng.integers(len(waves))]
        other = np.tile(other, -(-samples // len(other)))[:samples]
        level = np.sqrt(np.square(chosen).mean() / max(np.square(other).mean(), 1e-10)) * 10 ** (
            -rng.uniform(5, 25) / 20
        )
        chosen += level.astype(np.float32) * other
    if rng.random() < 0.15:  # as of audio at a low rate
        low = int(rng.choice([8000, 11025, 16000]))
        narrow = soxr.resample(soxr.resample(chosen, RATE, low, quality="MQ"), low, RATE, quality="MQ")
        chosen = np.pad(narrow, (0, max(0, samples - len(narrow))))[:samples]
    chosen = chosen * 10 ** (rng.uniform(-20, 2) / 20)
    return chosen + rng.normal(size=samples) * 10 ** (rng.uniform(-90, -50) / 20)


@torch.inference_mode()
def hear(ears: AfmEarsModel, classifier: torch.nn.Linear, features: torch.Tensor) -> dict[str, torch.Tensor]:
    """What is heard in windows, `(windows, 1, frames, mels)`, by ears that are not standardised.

    `embeddings` `(windows, 1536)`; `steps` `(windows, 4, 1024)`, YAMNet's patches; `scores` `(windows, 521)`, its
    probabilities; `facts` `(windows, 5)`, see answers_facts.py.
    """
    heard = ears(features)
    patches = heard.last_hidden_state[..., : ears.ears[0].config.hidden_size]
    mels = features[:, :, : ears.config.frames[0], : ears.mels[0]]  # YAMNet's
    return {
        "embeddings": heard.pooler_output,
        "steps": patches,
        "scores": torch.sigmoid(classifier(patches)).mean(1),
        "facts": measure(decibels(mels[:, :, ::2])),  # 20 ms from frame to frame
    }


def decibels(mels: torch.Tensor) -> torch.Tensor:
    """YAMNet's `log(magnitude + 0.001)` in dB of the power."""
    return 20 * (mels.exp() - 0.001).clamp(min=1e-5).log10()


def hear_waves(ears: AfmEarsModel, classifier: torch.nn.Linear, waves: list[np.ndarray]) -> dict[str, torch.Tensor]:
    """What is heard in windows of one length."""
    extractor = feature_extractor()
    batch = torch.from_numpy(np.stack(waves).astype(np.float32))
    return hear(ears, classifier, extractor.log_mel(batch)[:, None])


def prepare(
    fetched: Path, sounds: Path, work: Path, yamnet: Path, aisfx: Path, variants: int, seed: int, jobs: int = 1
) -> None:
    """Write rows.json and heard.safetensors (training clips), test_rows.json and heard_test.safetensors to `work`."""
    start = time.time()
    ears, classifier = load_ears(yamnet, aisfx)
    samples = feature_extractor().clip_samples(feature_extractor().max_length_s)
    rows, test = training_rows(fetched, sounds)
    (work / "test_rows.json").write_text(json.dumps(test, indent=1))
    heard = [hear_file(ears, classifier, row["file"]) for row in tqdm(test, desc="test clips", disable=None)]
    save_file({"embeddings": torch.stack(heard)}, work / "heard_test.safetensors")

    kept, waves = [], []
    for row in rows:
        try:
            wave, rate = load_clip(row["file"])
            if len(wave) < 0.03 * rate or float(np.abs(wave).max()) < 1e-3:
                raise ValueError("too short or silent")
        except (soundfile.LibsndfileError, ValueError) as error:
            print(f"{row['file_name']}: left out ({error})", flush=True)
            continue
        waves.append(soxr.resample(wave, rate, RATE, quality="HQ").astype(np.float32))
        kept.append(row)
    (work / "rows.json").write_text(json.dumps(kept, indent=1))
    # One file each, so that a stopped run goes on with the next; forked processes share the samples.
    missing = [number for number in range(variants) if not (work / f"heard-{number}.safetensors").is_file()]
    with ProcessPoolExecutor(jobs, get_context("fork"), _share, (ears, classifier, waves)) as pool:
        for number in pool.map(hear_variant, missing, repeat(samples), repeat(seed), repeat(work)):
            print(f"variant {number}: {time.time() - start:.0f} s so far", flush=True)
        if not (work / "sequences.safetensors").is_file():
            pool.submit(hear_sequences, SEQUENCES, samples, seed, work, kept).result()


def _share(ears: AfmEarsModel, classifier: torch.nn.Linear, waves: list[np.ndarray]) -> None:
    """What each process works with."""
    global SHARED
    torch.set_num_threads(1)
    SHARED = (ears, classifier, waves)


def hear_variant(number: int, samples: int, seed: int, work: Path) -> int:
    """Write what the ears hear in one variant of every training clip."""
    ears, classifier, waves = SHARED
    chosen = np.random.default_rng((seed, number))
    parts: list[dict[str, torch.Tensor]] = []
    for begin in tqdm(range(0, len(waves), BATCH), desc=f"variant {number}", disable=None):
        indices = range(begin, min(begin + BATCH, len(waves)))
        parts.append(hear_waves(ears, classifier, [variant(waves, i, number, samples, chosen) for i in indices]))
    save_file(joined(parts), work / f"heard-{number}.safetensors")
    return number


def hear_sequences(count: int, samples: int, seed: int, work: Path, rows: list[dict]) -> None:
    """Write what the ears hear in `count` clips of one sound after another; `pairs` `(count, 2)` are their rows."""
    ears, classifier, waves = SHARED
    chosen = np.random.default_rng((seed, 1000))
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(row["label"], []).append(index)
    names = sorted(groups)
    parts: list[dict[str, torch.Tensor]] = []
    for _ in tqdm(range(0, count, BATCH), desc="one after another", disable=None):
        labels = [chosen.choice(len(names), 2, replace=False) for _ in range(BATCH)]
        pairs = [[int(chosen.choice(groups[names[label]])) for label in each] for each in labels]
        both = [[variant(waves, i, 1, samples, chosen) for i in pair] for pair in pairs]
        together = [np.concatenate([loudest(wave, samples // 2) for wave in pair]) for pair in both]
        padded = [np.pad(wave, (0, samples - len(wave))) for wave in together]
        parts.append(hear_waves(ears, classifier, padded) | {"pairs": torch.tensor(pairs)})
    save_file(joined(parts), work / "sequences.safetensors")


def loudest(wave: np.ndarray, length: int) -> np.ndarray:
    """The stretch of `length` samples with the most energy; all of a shorter clip."""
    if len(wave) <= length:
        return wave
    energy = np.concatenate([[0.0], np.cumsum(wave.astype(np.float64) ** 2)])
    start = int(np.argmax(energy[length:] - energy[:-length]))
    return wave[start : start + length]


def joined(parts: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """All batches; what is heard in half precision."""
    whole = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return {name: value if name in ("facts", "pairs") else value.half() for name, value in whole.items()}


def hear_file(ears: AfmEarsModel, classifier: torch.nn.Linear, file: str) -> torch.Tensor:
    """The embedding of a clip as it is: the mean over its windows."""
    extractor = feature_extractor()
    features = extractor([load_audio(file, RATE)], sampling_rate=RATE, return_tensors="pt")["input_features"][0]
    return hear(ears, classifier, features)["embeddings"].mean(0)


def load_heard(work: Path) -> tuple[list[dict], torch.Tensor, torch.Tensor, list[dict], torch.Tensor]:
    """(training rows, embeddings `(clips, variants, 1536)`, YAMNet's probabilities, test rows, test embeddings)."""
    test = json.loads((work / "test_rows.json").read_text())
    embeddings, scores = load_variants(work, "embeddings"), load_variants(work, "scores")
    return load_rows(work), embeddings, scores, test, load_file(work / "heard_test.safetensors")["embeddings"].float()


def load_rows(work: Path) -> list[dict]:
    """The training rows; a copy of a test clip has `copy` true."""
    rows = json.loads((work / "rows.json").read_text())
    copies = json.loads((work / "copies.json").read_text()) if (work / "copies.json").is_file() else {}
    return [row | {"copy": str(index) in copies} for index, row in enumerate(rows)]


def load_variants(work: Path, what: str) -> torch.Tensor:
    """One of the things that `hear` gives, of all variants of the training clips, `(clips, variants, ...)`."""
    parts = []
    for file in sorted(work.glob("heard-[0-9]*.safetensors"), key=lambda file: int(file.stem.split("-")[1])):
        with safe_open(file, "pt") as tensors:
            parts.append(tensors.get_tensor(what).float())
    return torch.stack(parts, dim=1)
