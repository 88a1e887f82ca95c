"""
Controls: the same questions, but the model hears something else. What it still gets right, it does not hear.

Gaussian noise is the control of the Mellow paper on MMAU (arXiv 2503.08540). It is as long and as loud as the clip it
stands for, so that neither tells anything. Swapped clips are harder to beat: they are sounds, only of another truth.
"""

import hashlib
import os
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
from tqdm.auto import tqdm

from ..audio.audio_loading import load_audio
from ..models.common.writing_afm import AGAIN, check_folder, replaced
from .degradations import rms
from .runner import CONTROLS
from .task import Item

RATE = 32_000  # Hz; above the 14 kHz up to which the papers' encoders hear
FOLDER = "control-audio"
TRUTHS = ("label", "labels", "answer", "answers", "captions")  # what tells clips apart, the first that there is
LEARNING = ("linear-probe", "fine-tune", "entailment-probe", "adaptation", "quality")  # they learn from the clips


def controlled_items(
    task: str,
    items: Sequence[Item],
    control: str,
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    progress: bool = True,
) -> list[Item]:
    """
    The same items with other audio.

    Args:
        task (`str`): What they are for: those that learn from the clips have no control.
        items: The items; of pairs both clips are replaced.
        control (`str`): `"noise"`, `"silence"` or `"swapped"`, see [`CONTROLS`].
        folder: Where the audio of noise and silence is written, in `control-audio/`, 64 kB a second; what is there
            already stays. A clip that cannot be read stays as it is, so that the run says so.
        seed (`int`): Of noise and choice.
        progress (`bool`): Show a bar while audio is written.

    Raises:
        ValueError: an unknown control, a task that learns from clips, or all items are of one truth.
        WriteError: (an `OSError`) the audio cannot be written.
    """
    if control not in CONTROLS:
        raise ValueError(f"`control` is {control!r}; expected one of {', '.join(CONTROLS)}.")
    if task in LEARNING:
        raise ValueError(f"There is no control of {task!r}, which learns from the clips or measures them themselves.")
    if control == "swapped":
        return swapped(items, seed)
    place = check_folder(Path(folder) / FOLDER, "the audio of the control")
    paths = dict.fromkeys(clip for item in items for clip in clips_of(item))
    make = _noise if control == "noise" else _next_to_silence
    made = {}
    for path in tqdm(paths, desc=f"writing {control}", unit="clip", disable=not progress):
        made[path] = _written(path, control, make, place, seed)
    return [_with_clips(item, [made[clip] for clip in clips_of(item)]) for item in items]


def swapped(items: Sequence[Item], seed: int) -> list[Item]:
    """
    Each item with the audio of another one that has another truth (label, answer or captions) and another clip.

    Args:
        items: All items.
        seed (`int`): Of the choice.

    Raises:
        ValueError: an item has no other of another truth.
    """
    generator = random.Random(seed)
    return [_with_clips(item, clips_of(_other(item, items, generator))) for item in items]


def clips_of(item: Item) -> list[Any]:
    """The clips of an item, one or two."""
    return list(item.audio) if isinstance(item.audio, tuple) else [item.audio]


def truth_of(item: Item) -> tuple[str, ...]:
    """What tells an item from others: its label or labels, answer, or captions."""
    for name in TRUTHS:
        value = item.truth.get(name)
        if value not in (None, "", []):
            return tuple(map(str, value)) if isinstance(value, list | tuple) else (str(value),)
    return (item.id,)


def _other(item: Item, items: Sequence[Item], generator: random.Random) -> Item:
    """Mostly one of a few draws; where other truths are rare, one of all that there are."""

    def fits(each: Item) -> bool:
        own = clips_of(item)
        return len(clips_of(each)) == len(own) and clips_of(each) != own and truth_of(each) != truth_of(item)

    drawn: Iterable[Item] = (generator.choice(items) for _ in range(50))
    found = next((each for each in drawn if fits(each)), None)
    if found is None:
        others = [each for each in items if fits(each)]
        if not others:
            raise ValueError(f"{item.id}: there is no other clip of another truth to swap with.")
        found = generator.choice(others)
    return found


def _written(path: Any, control: str, make: Callable[..., Any], folder: Path, seed: int) -> Any:
    """A file with what stands for a clip; the clip's own path where it cannot be read."""
    name = hashlib.sha256(f"{control} {seed} {path}".encode()).hexdigest()[:20]
    file = folder / f"{control}-{name}.wav"
    if file.is_file():
        return str(file)
    try:
        clip = load_audio(path, RATE)
    except (ValueError, OSError):
        return path
    samples = make(clip, np.random.default_rng(int(name, 16)))
    with replaced(file, "the audio of the control", AGAIN) as unfinished:
        soundfile.write(unfinished, samples, RATE, format="WAV", subtype="PCM_16")
    return str(file)


def _noise(clip: npt.NDArray[np.float32], generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """White noise of the clip's length and RMS, in full scale at most."""
    noise = generator.standard_normal(len(clip)) * rms(clip.astype(np.float64))
    return np.clip(noise, -1.0, 1.0)


def _next_to_silence(clip: npt.NDArray[np.float32], generator: np.random.Generator) -> npt.NDArray[np.int16]:
    """Noise that is just loud enough not to be refused as silence (0.0001 of full scale)."""
    return generator.integers(-4, 5, len(clip)).astype(np.int16)


def _with_clips(item: Item, clips: Sequence[Any]) -> Item:
    return Item(item.id, clips[0] if len(clips) == 1 else tuple(clips), item.truth)


__all__ = ["controlled_items", "swapped", "truth_of"]
