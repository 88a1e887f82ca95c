"""Puts the helpers of the evaluations' tests on the path; a folder of labelled tones, and a tiny CLAP."""

import csv
import sys
from pathlib import Path

import pytest
import soundfile
from tiny_models import RATE, tiny_clap, tone

sys.path.insert(0, str(Path(__file__).parents[1]))


def write_clips(folder, rows):
    """Clips of tones with `metadata.csv`: `file_name` and the columns of the rows."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["file_name", *rows[0]])
        writer.writeheader()
        for number, row in enumerate(rows):
            name = f"{number:02d}.wav"
            soundfile.write(folder / name, tone(150 * (number + 1), seed=number), RATE, subtype="PCM_16")
            writer.writerow({"file_name": name, **row})
    return folder


@pytest.fixture(scope="session")
def clap(tmp_path_factory):
    return tiny_clap(tmp_path_factory.mktemp("models") / "ear")


@pytest.fixture(scope="session")
def labelled(tmp_path_factory):
    """Twelve clips of three labels."""
    rows = [{"label": ("dog", "rain", "engine")[number % 3]} for number in range(12)]
    return write_clips(tmp_path_factory.mktemp("data") / "labelled", rows)
