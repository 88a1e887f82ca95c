"""Long audio in windows of one length, from a stream of its samples: what is heard, without the dead air around it."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from .audio_checks import Waveform

# Below this peak (-80 dB of full scale) there is nothing to hear: the noise of a dithered 16-bit file stays below it.
SILENCE = 1e-4

BLOCKS_PER_S = 100  # of which is said whether something is heard in them
SHORTEST_S = 0.1  # what is left of a clip by cutting off its silence: a click alone, repeated, would be a hum


def cut_windows(
    blocks: Iterable[Waveform], length: int, hop: int, rate: int, silence: float = SILENCE, trim: bool = True
) -> Iterator[Waveform]:
    """
    The windows of a clip in which something is heard, float32 `(length,)` each.

    A window begins every `hop` samples, and the last one ends with the clip. A clip that fits into one window is given
    as it is, also where it is shorter. No more is held in memory than a few windows, however long the clip.

    Args:
        blocks: The samples of the clip, in parts of any length.
        length, hop: Samples of a window, and from the beginning of one to that of the next.
        rate: Their rate in Hz.
        silence: The peak below which a sample is not heard; with 0 all is heard.
        trim: Whether the windows begin with the first sample that is heard and end with the last. What is then left, if
            it fits into one window, is given as if it were the clip.
    """
    seen, head = 0, np.empty(0, np.float32)
    held = head  # from the beginning of the last window on
    begin = end = 0  # where in it the next window begins, and where what is heard ends
    for block in blocks:
        seen += len(block)
        head = np.concatenate([head, block[: length - len(head)]])
        heard = _heard(block, silence)
        if trim and not len(held) and len(heard):
            block, heard = block[heard[0] :], heard - heard[0]
        elif trim and not len(held):
            continue
        end = len(held) + len(block) if not trim else len(held) + int(heard[-1]) + 1 if len(heard) else end
        held = np.concatenate([held, block])
        while begin + length < end:
            if len(_heard(held[begin : begin + length], silence)):
                yield held[begin : begin + length]
            held, end, begin = held[begin:], end - begin, hop
        held = _without_long_silence(held, end, length, hop)
    last = head if seen <= length else held[:end][-length:]
    if len(_heard(last, silence)):
        yield _padded(last, min(seen, round(SHORTEST_S * rate)))


def every_window(blocks: Iterable[Waveform], length: int, hop: int) -> Iterator[tuple[int, Waveform]]:
    """
    All windows of a clip, also silent ones, and at which of its samples each begins.

    A window begins every `hop` samples, and the last one ends with the clip. A clip that is shorter than a window is
    given as it is. No more is held in memory than a window and a block.

    Args:
        blocks: The samples of the clip, in parts of any length.
        length, hop: Samples of a window, and from the beginning of one to that of the next; `hop` is at most `length`.
    """
    held = np.empty(0, np.float32)  # from the beginning of the last window on
    begin, ahead = 0, 0  # where in the clip that is, and how far behind it the next window begins
    for block in blocks:
        held = np.concatenate([held, block])
        at = ahead
        while at + length <= len(held):
            yield begin + at, held[at : at + length]
            at += hop
        if at > ahead:  # the last window stays, for the end of the clip may need it
            held, begin, ahead = held[at - hop :], begin + at - hop, hop
    if not ahead or len(held) > length:
        tail = held[-length:]
        yield begin + len(held) - len(tail), tail


def heard_share(windows: npt.NDArray[np.float32], rate: int, silence: float = SILENCE) -> npt.NDArray[np.float32]:
    """What part of each window, by time, something is heard in: `(windows, samples)` -> `(windows,)`, 0 to 1."""
    count, length = windows.shape
    size = min(length, max(1, rate // BLOCKS_PER_S))
    blocks = np.abs(windows[:, : length // size * size]).reshape(count, -1, size)
    return (blocks.max(axis=-1) >= silence).mean(axis=-1, dtype=np.float32)


def _heard(samples: Waveform, silence: float) -> npt.NDArray[np.int64]:
    """Places of the samples that are heard."""
    return np.flatnonzero(np.abs(samples) >= silence)


def _without_long_silence(held: Waveform, end: int, length: int, hop: int) -> Waveform:
    """Takes whole hops out of silence in which no window would hear anything, so that it does not pile up."""
    hops = max(0, len(held) - end - 2 * length) // hop
    return np.concatenate([held[: end + length], held[end + length + hops * hop :]]) if hops else held


def _padded(samples: Waveform, least: int) -> Waveform:
    return np.pad(samples, (0, max(0, least - len(samples))))


__all__ = ["SILENCE", "cut_windows", "every_window", "heard_share"]
