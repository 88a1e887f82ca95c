"""Windows of a stream are those of the whole clip, however it comes in parts, and hold nothing but what is heard."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afm_hf.audio.audio_windows import cut_windows, every_window, heard_share

RATE = 10  # so that the shortest clip, 0.1 s, is one sample


def plain(clip, length, hop, trim):
    """The windows of a clip that is there as a whole."""
    if len(clip) > length:
        heard = np.flatnonzero(clip)
        if trim:
            clip = clip[heard[0] : heard[-1] + 1] if len(heard) else clip[:0]
        surplus = len(clip) - length
        starts = [*range(0, surplus, hop), surplus] if surplus > 0 else [0]
        windows = [clip[start : start + length] for start in starts]
    else:
        windows = [clip]
    return [window.tolist() for window in windows if window.any()]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 40)), min_size=1, max_size=8),
    st.integers(1, 9),
    st.integers(1, 14),
    st.integers(1, 50),
    st.booleans(),
)
def test_a_stream_gives_the_windows_of_the_whole(stretches, length, hop, block, trim):
    clip = np.concatenate([np.full(size, float(sound), np.float32) for sound, size in stretches])
    clip *= np.arange(1, len(clip) + 1, dtype=np.float32)  # every sample is told apart
    parts = [clip[start : start + block] for start in range(0, len(clip), block)]
    got = [window.tolist() for window in cut_windows(parts, length, hop, RATE, trim=trim)]
    assert got == plain(clip, length, hop, trim)


def test_where_silence_counts_nothing_is_left_out():
    clip = np.array([0, 0, 1, 0, 0, 0, 0, 0], np.float32)
    got = [window.tolist() for window in cut_windows([clip], 3, 3, RATE, silence=0.0)]
    assert got == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert heard_share(np.zeros((2, 30), np.float32), 1000, silence=0.0).tolist() == [1, 1]


def test_a_click_alone_keeps_a_tenth_of_a_second():
    clip = np.zeros(10_000, np.float32)
    clip[4_000] = 0.5
    (window,) = cut_windows([clip], 5_000, 5_000, 1_000)
    assert len(window) == 100 and window[0] == 0.5 and not window[1:].any()


@pytest.mark.parametrize("silence_s", [0, 600])
def test_what_is_held_does_not_grow_with_the_clip(silence_s):
    """Every window is a view of what is held: its base must stay small."""
    rate, length = 1_000, 500

    def blocks():
        yield np.full(700, 0.1, np.float32)
        for _ in range(silence_s or 600):
            yield np.full(rate, 0.0 if silence_s else 0.1, np.float32)
        yield np.full(700, 0.1, np.float32)

    sizes = [
        window.base.size if window.base is not None else window.size
        for window in cut_windows(blocks(), length, length, rate)
    ]
    assert len(sizes) == (4 if silence_s else 1203)
    assert max(sizes) < 5 * rate


def test_the_share_that_is_heard_goes_by_time():
    windows = np.zeros((3, 1_000), np.float32)
    windows[0] = 0.1
    windows[1, :250] = 0.1 * (-1.0) ** np.arange(250)
    windows[2, 500] = 1.0
    np.testing.assert_allclose(heard_share(windows, 1_000), [1, 0.25, 0.01])


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 90), st.integers(1, 9), st.integers(1, 9), st.integers(1, 50))
def test_every_window_knows_where_it_begins(size, length, hop, block):
    hop = min(hop, length)
    clip = np.arange(size, dtype=np.float32)
    got = list(every_window((clip[start : start + block] for start in range(0, size, block)), length, hop))
    surplus = max(0, size - length)
    assert [start for start, _ in got] == [*range(0, surplus, hop), surplus]
    for start, window in got:
        assert window.tolist() == clip[start : start + length].tolist()
