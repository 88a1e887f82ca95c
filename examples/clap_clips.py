"""Training clips of the small CLAP: which ones may be used.

Test clips are kept apart by package, and copies of test clips are looked for by cross-correlation. Labels come from
file names; see examples/debian-sounds.csv.
"""

import csv
import json
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch

LONGEST_S = 12.0  # of a long file, the loudest stretch of this length is used
PROBE_RATE = 4000  # Hz, of the search for copies
COPY = 0.6  # correlation above which a training clip counts as a copy of a test clip


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
