"""What visitors upload or record: read once, checked, and refused in words that they understand."""

import csv
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..audio.audio_loading import AudioDecodeError, load_audio
from ..audio.audio_windows import SILENCE
from ..hub.bundled import bundled_audio

MOST_CLIPS = 16
EXAMPLES = ("cow_mooing", "bell_ringing", "rain", "birds_singing", "snare_drum", "applause")


@dataclasses.dataclass(frozen=True)
class Clip:
    """
    A clip as a model gets it.

    Args:
        name (`str`): Name of the file, without folders.
        samples (`np.ndarray` of shape `(samples,)`): float32, full scale 1.
        rate (`int`): Their rate in Hz, that of the model.
    """

    name: str
    samples: npt.NDArray[np.float32]
    rate: int

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate

    @property
    def source(self) -> dict[str, Any]:
        """As pipelines take it; the name is for their messages."""
        return {"array": self.samples, "sampling_rate": self.rate, "path": self.name}


def read_clip(path: str | os.PathLike[str] | None, extractor: Any, max_duration_s: float = 120.0) -> Clip:
    """
    Reads a clip as a feature extractor would.

    Args:
        path: The file; `None` and `""` where nothing was given.
        extractor ([`AfmFeatureExtractor`]): Says at which rate, and how channels become one.
        max_duration_s (`float`, *optional*, defaults to 120): Seconds that a clip may have.

    Raises:
        ValueError: there is no clip.
        AudioDecodeError: (a `ValueError`) it is broken, empty, silent, too long, ...; the message has the file's name,
            not its folder.
    """
    if not path:
        raise ValueError("There is no clip yet. Upload one, record one, or take an example.")
    name = Path(path).name
    samples = load_audio(
        os.fspath(path),
        extractor.sampling_rate,
        channels=extractor.channels,
        resampler=extractor.resampler,
        max_duration_s=max_duration_s,
        name=name,
    )
    if float(np.abs(samples).max()) < SILENCE:
        raise AudioDecodeError(name, "it is silent", "Take one in which something is heard.")
    return Clip(name, samples, extractor.sampling_rate)


def read_clips(paths: Sequence[str] | str | None, extractor: Any, max_duration_s: float = 120.0) -> list[Clip]:
    """
    Reads several clips, 16 at most.

    Raises:
        ValueError: there are none or too many, or one cannot be used.
    """
    given = [paths] if isinstance(paths, str) else list(paths or [])
    if not given:
        raise ValueError("There are no clips yet. Upload some, or take the examples.")
    if len(given) > MOST_CLIPS:
        raise ValueError(f"These are {len(given)} clips; at most {MOST_CLIPS} are taken at once.")
    return [read_clip(path, extractor, max_duration_s) for path in given]


def message_for_visitors(error: Exception) -> str:
    """
    What is wrong, in a sentence or two, for somebody who sees only the page.

    Hints that speak of arguments in Python are left out.
    """
    if not isinstance(error, AudioDecodeError) or not error.reason:
        return str(error)
    of_python = error.hint is None or any(sign in error.hint for sign in "`{")
    hint = "" if of_python else f" {str(error.hint).rstrip('.')}."
    name = error.source.removeprefix("audio[0], ")
    return f"This clip cannot be used: {name}: {error.reason}.{hint}"


def example_clips() -> dict[str, str]:
    """Label -> path of some bundled clips."""
    found = {}
    for name in EXAMPLES:
        path = next((str(clip) for clip in bundled_audio() if clip.name.startswith(name)), None)
        if path is not None:
            found[name.replace("_", " ")] = path
    return found


def licence_line() -> str:
    """Who made the examples, and under which licences they may be used."""
    names = {Path(path).name for path in example_clips().values()}
    with (bundled_audio()[0].parent / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["file_name"] in names]
    parts = (f"{row['label']}: {row['attribution'].rstrip('.')} ({row['licence']})" for row in rows)
    return "Example clips: " + "; ".join(parts) + "."
