"""Clips and tables for the tests of the readers."""

import csv

import numpy as np
import soundfile


def write_clip(path, seconds=0.1, rate=8000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.sin(np.arange(round(seconds * rate)) / 5), rate)
    return path


def write_csv(path, columns, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns.split(","), *rows])
    return path


def paths(data, column="audio"):
    """The paths of a data set's clips."""
    return [item and item["path"] for item in data[column]]
