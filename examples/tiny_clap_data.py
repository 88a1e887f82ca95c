"""Training clips of the tiny CLAP: which ones may be used, and their log-mels.

`prepare` is called by train_tiny_clap.py. It keeps the test clips apart by package, looks for copies of test clips by
cross-correlation, and stores the log-mels of every clip at five speeds. `Batches` draws augmented training batches.
"""

import csv
import json
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from safetensors.torch import load_file, save_file

from afm_hf import ClapAfmFeatureExtractor

RATE = 16000  # Hz
SECONDS = 2.5  # what the model sees
SPEEDS = (1.0, 0.8, 0.9, 1.12, 1.25)  # playback speeds: time and pitch together
LONGEST_S = 12.0  # of a long file, the loudest stretch of this length is used
PROBE_RATE = 4000  # Hz, of the search for copies
COPY = 0.6  # correlation above which a training clip counts as a copy of a test clip


def feature_extractor() -> ClapAfmFeatureExtractor:
    """The model's front-end: 16 kHz, 64 mel bands, a frame every 25 ms, clips of 2.5 s."""
    return ClapAfmFeatureExtractor(
        sampling_rate=RATE,
        mel_sampling_rate=RATE,
        n_fft=512,
        hop_length=400,
        feature_size=64,
        fmin=50.0,
        fmax=8000.0,
        max_length_s=SECONDS,
        padding="repeat",
        truncation="first",
    )


def read_rows(folder: Path) -> list[dict[str, str]]:
    """Rows of folder/metadata.csv, each with the absolute `file`."""
    with (folder / "metadata.csv").open(newline="") as file:
        return [row | {"file": str(folder / row["file_name"])} for row in csv.DictReader(file)]


def training_rows(fetched: Path, sounds: Path) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """(training rows, test rows), disjoint by source.

    A clip is left out of training if it is marked as a near-duplicate, if it is a test clip, or if a test clip of the
    same label comes from the same package. Cut-outs of a fetched clip (sounds/train) give way to the clip.
    """
    test = read_rows(sounds / "test")
    test_clips = {(row["source"], row["source_path"]) for row in test}
    test_sources = {(row["source"], row["label"]) for row in test}
    rows, seen = [], set()
    for row in [*read_rows(fetched), *read_rows(sounds / "train")]:
        key = (row["source"], row["source_path"])
        apart = key not in test_clips and (row["source"], row["label"]) not in test_sources
        if apart and key not in seen and not row.get("split", "").startswith("drop"):
            seen.add(key)
            rows.append(row)
    return rows, test


def load_clip(path: str) -> tuple[np.ndarray, int]:
    """Mono samples at the file's own rate, full scale at most 0.8; of a long file the loudest `LONGEST_S` seconds."""
    with soundfile.SoundFile(path) as file:
        rate = file.samplerate
        wave = file.read(min(len(file), 90 * rate), dtype="float32", always_2d=True).mean(axis=1)
    longest = int(LONGEST_S * rate)
    if len(wave) > longest:
        energy = np.concatenate([[0.0], np.cumsum(wave.astype(np.float64) ** 2)])
        starts = np.arange(0, len(wave) - longest, rate // 4)
        start = starts[np.argmax(energy[starts + longest] - energy[starts])]
        wave = wave[start : start + longest]
    return wave * (0.8 / max(1e-4, float(np.abs(wave).max()))), rate


class CopySearch:
    """Looks for copies of test clips: normalised cross-correlation at 4 kHz over all shifts.

    Args:
        tests (`list[np.ndarray]`): Test clips at `PROBE_RATE`.
    """

    def __init__(self, tests: list[np.ndarray]) -> None:
        self.lengths = [len(test) for test in tests]
        longest = max(self.lengths)
        self.tests = torch.stack([torch.from_numpy(np.pad(test, (0, longest - len(test)))) for test in tests])
        self.tests = torch.nn.functional.normalize(self.tests, dim=1)
        self.spectra: dict[int, torch.Tensor] = {}

    def __call__(self, clip: np.ndarray) -> np.ndarray:
        """Largest correlation of `clip` with each test clip, where the clip is not quiet (a 20th of its loudest)."""
        wave = torch.from_numpy(clip)
        longest = self.tests.shape[1]
        size = 1 << (len(wave) + longest - 1).bit_length()
        if size not in self.spectra:
            self.spectra[size] = torch.fft.rfft(self.tests, size).conj()
        products = torch.fft.irfft(torch.fft.rfft(wave, size) * self.spectra[size], size)  # (tests, shifts)
        squares = torch.nn.functional.pad(wave.double().square(), (longest, longest))
        energy = torch.nn.functional.pad(squares.cumsum(0), (1, 0))
        result = np.zeros(len(self.lengths))
        # What cannot reach 0.5 even where the clip is a 20th of its loudest is not looked at more closely.
        windows = energy[longest:] - energy[:-longest]
        near = products.abs().amax(1) > 0.5 * (windows.max().float() / 20).sqrt()
        for i, length in enumerate(self.lengths):
            if not near[i]:
                continue
            shifts = torch.arange(1 - length, len(wave))  # where the test clip starts in the clip
            there = (energy[shifts + longest + length] - energy[shifts + longest]).float()
            product = torch.cat([products[i, 1 - length :], products[i, : len(wave)]]) if length > 1 else products[i]
            loud = there > there.max() / 20
            result[i] = (product[loud] / there[loud].sqrt()).max().item()
        return result


def prepare(fetched: Path, sounds: Path, work: Path) -> None:
    """Write rows.json and mels.safetensors (training clips), test_rows.json and test.safetensors to `work`."""
    rows, test = training_rows(fetched, sounds)
    extractor = feature_extractor()
    features = extractor([row["file"] for row in test], return_tensors="pt")["input_features"]
    save_file({"mels": features}, work / "test.safetensors")

    kept, mels = [], {}
    samples = int(SECONDS * RATE)
    for row in rows:
        try:
            wave, rate = load_clip(row["file"])
            if len(wave) < 0.03 * rate or float(np.abs(wave).max()) < 1e-3:
                raise ValueError("too short or silent")
        except (soundfile.LibsndfileError, ValueError) as error:
            print(f"{row['file_name']}: left out ({error})", flush=True)
            continue
        for speed in SPEEDS:
            fast = soxr.resample(wave, rate * speed, RATE)
            if len(fast) < samples:  # short clips are repeated, as the extractor does, for twice the length
                fast = np.tile(fast, -(-2 * samples // len(fast)))[: 2 * samples]
            mels[f"{len(kept)}-{speed}"] = extractor.log_mel(torch.from_numpy(fast)[None])[0].half()
        kept.append(row | {"short": len(wave) / rate < SECONDS})
    save_file(mels, work / "mels.safetensors")
    (work / "rows.json").write_text(json.dumps(kept, indent=1))
    (work / "test_rows.json").write_text(json.dumps(test, indent=1))
    print(f"{len(kept)} clips of {len(rows)} are usable, {len({row['label'] for row in kept})} labels", flush=True)


def find_copies(work: Path) -> None:
    """Write copies.json to `work`: the training rows that resemble a test clip, with correlation and sources."""
    rows, test = (json.loads((work / name).read_text()) for name in ("rows.json", "test_rows.json"))

    def probe(row: dict) -> np.ndarray:
        wave, rate = load_clip(row["file"])
        return soxr.resample(wave, rate, PROBE_RATE)

    search = CopySearch([probe(row) for row in test])
    copies = {}
    for i, row in enumerate(rows):
        close = search(probe(row))
        if close.max() > COPY:
            match = test[int(close.argmax())]
            names = [f"{x['label']} ({x['source']}: {x['source_path']})" for x in (row, match)]
            copies[str(i)] = [round(float(close.max()), 3), *names]
    (work / "copies.json").write_text(json.dumps(copies, indent=1))
    print(f"{len(copies)} training clips dropped for a correlation above {COPY} with a test clip", flush=True)


class Batches:
    """Augmented training batches.

    Labels are drawn with the power 0.35 of their size, then a package with the power 0.5 of its size, then a clip: the
    many clips of speech, and of one large package, must not rule.

    Args:
        rows (`list[dict]`): Training rows, in the order of the log-mels.
        mels (`dict[str, torch.Tensor]`): Log-mels in dB, `(frames, 64)`, named "row-speed".
        index (`list[int]`): Rows that may be drawn.
        labels (`list[int]`): Label of each row.
        frames (`int`): Frames of an example.
        seed (`int`): Seed of all draws.
        strength (`float`): Scales how likely and how strong the augmentations are.
    """

    def __init__(
        self,
        rows: list[dict],
        mels: dict[str, torch.Tensor],
        index: list[int],
        labels: list[int],
        frames: int,
        seed: int,
        strength: float = 1.0,
    ) -> None:
        self.strength = strength
        self.rows, self.mels, self.frames = rows, mels, frames
        self.index, self.labels = np.array(index), np.array(labels)
        self.rng = np.random.default_rng(seed)
        groups: dict[int, dict[str, list[int]]] = {}
        for i in index:
            groups.setdefault(labels[i], {}).setdefault(rows[i]["source"], []).append(i)
        probability = dict.fromkeys(index, 0.0)
        for sources in groups.values():
            share = sum(map(len, sources.values())) ** 0.35
            total = sum(len(clips) ** 0.5 for clips in sources.values())
            for clips in sources.values():
                for i in clips:
                    probability[i] = share * len(clips) ** 0.5 / total / len(clips)
        weights = np.array([probability[i] for i in index])
        self.probability = weights / weights.sum()

    def crop(self, i: int) -> np.ndarray:
        """A random 2.5 s of clip `i` at a random speed, `(frames, 64)` dB; the louder of two places."""
        rng = self.rng
        speed = SPEEDS[rng.integers(1, len(SPEEDS))] if rng.random() < 0.6 * self.strength else 1.0
        mel = self.mels[f"{i}-{speed}"].numpy()
        surplus = len(mel) - self.frames
        if surplus <= 0 or (self.rows[i]["short"] and rng.random() < 0.5):
            return mel[: self.frames].astype(np.float32)  # a short clip from its start, as in use
        first, second = (mel[s : s + self.frames] for s in rng.integers(0, surplus + 1, 2))
        return (first if first.max() >= second.max() else second).astype(np.float32)

    def __call__(self, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """`(size, 1, frames, 64)` dB and labels `(size,)`."""
        rng = self.rng
        chosen = rng.choice(self.index, size, p=self.probability)
        batch = np.stack([self.crop(i) for i in chosen])  # (size, frames, 64)
        power = 10 ** (batch / 10)
        other = 10 ** (np.stack([self.crop(i) for i in rng.choice(self.index, size)]) / 10)
        below = rng.uniform(5, 30, size)  # dB: how far the other clip lies below this one
        level = power.mean((1, 2)) / np.maximum(other.mean((1, 2)), 1e-12) * 10 ** (-below / 10)
        level *= rng.random(size) < 0.4 * self.strength
        power = power + level[:, None, None] * other
        gain = rng.uniform(-15, 3, size)[:, None, None]  # dB
        tilt = rng.normal(0, 4 * self.strength, (size, 1, 1)) * np.linspace(-1, 1, 64)  # dB, from low to high bands
        batch = 10 * np.log10(np.maximum(power, 1e-10)) + gain + tilt
        floor = rng.uniform(-100, -60, size) - 100 * (rng.random(size) < 0.5)
        batch = 10 * np.log10(10 ** (batch / 10) + 10 ** (floor / 10)[:, None, None])
        for row in batch:
            shift = int(rng.integers(-2, 3))
            if shift > 0:
                row[:, shift:] = row[:, :-shift].copy()
            elif shift < 0:
                row[:, :shift] = row[:, -shift:].copy()
            if rng.random() < 0.15 * self.strength:
                row[:, rng.integers(44, 64) :] = -100.0  # a low-pass, as of audio at a low rate
        batch = np.maximum(batch, -100.0)
        return torch.from_numpy(batch.astype(np.float32))[:, None], torch.from_numpy(self.labels[chosen])


def load_prepared(work: Path) -> tuple[list[dict], dict[str, torch.Tensor], list[dict], torch.Tensor]:
    """(training rows, their log-mels, test rows, test log-mels); a copy of a test clip has `copy` true."""
    rows = json.loads((work / "rows.json").read_text())
    copies = json.loads((work / "copies.json").read_text())
    rows = [row | {"copy": str(i) in copies} for i, row in enumerate(rows)]
    test = json.loads((work / "test_rows.json").read_text())
    return rows, load_file(work / "mels.safetensors"), test, load_file(work / "test.safetensors")["mels"]
