"""Pictures of the page: a clip as the model gets it, scores of segments, and the course of an entropy."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from ..evaluation.report.figures import BLUE, GREY, PALE, new_figure, plain
from .clips import Clip

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 5.2  # inches; wider, and a phone makes the words too small to read
DPI = 200  # sharp on screens with several dots a pixel
SHOWN_S = 30.0  # of a long clip; more would be a smear
TICKS_HZ = (100, 500, 1000, 2000, 4000, 8000, 16000)
MOST_ROWS = 20  # labels of a timeline


def band_frequencies(extractor: Any) -> npt.NDArray[np.float64]:
    """
    Centres of the mel bands in Hz, `(mels,)`: the mean of the frequencies that go into each.

    They are on the scale of the audio, also where the mel bank was built for another rate.
    """
    bank = extractor.mel_bank().double().numpy()  # (n_fft / 2 + 1, mels)
    frequencies = np.arange(len(bank)) * extractor.sampling_rate / extractor.n_fft
    weight = bank.sum(axis=0)
    centres = frequencies @ bank / np.where(weight > 0, weight, 1.0)
    # Where a narrow band holds no bin at all, it lies between its neighbours.
    full = np.flatnonzero(weight > 0)
    return np.interp(np.arange(len(weight)), full, centres[full])


def drawn_front_end(extractor: Any) -> Any:
    """What is drawn of a feature extractor: itself, or, where several ears hear, that of the highest rate."""
    ears = extractor.front_ends() if hasattr(extractor, "front_ends") else [extractor]
    return max(ears, key=lambda ear: ear.sampling_rate)


def clip_picture(clip: Clip, extractor: Any, truncation: str | None = None) -> "Figure":
    """
    Waveform and log-mel of a clip; what the model does not hear of a long one is grey.

    Args:
        clip ([`Clip`]): The clip.
        extractor ([`AfmFeatureExtractor`]):
            Makes the log-mel, as for the model; before repeating and cutting. Of several ears that of the highest rate.
        truncation (`str`, *optional*): What of a long clip the model hears; `None` is the extractor's own setting.
    """
    shown = clip.samples[: round(SHOWN_S * clip.rate)]
    seconds = len(shown) / clip.rate
    peak = 1.05 * float(np.abs(shown).max()) or 1.0
    start, stop = heard_part(extractor, clip.seconds, truncation)
    figure = _page_figure(3.6)
    wave, mel = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.6))
    wave.plot(np.arange(len(shown)) / clip.rate, shown, color=BLUE, linewidth=0.5)
    wave.set(ylabel="amplitude", xlim=(0, seconds), ylim=(-peak, peak))
    wave.set_title(_title(clip, seconds, stop - start), fontsize="medium")
    ear = drawn_front_end(extractor)
    least = ear.n_fft  # the transform needs at least this much
    samples = torch.from_numpy(np.pad(shown, (0, max(0, least - len(shown)))))
    log_mel = ear.log_mel(samples[None])[0].numpy().T  # (mels, frames)
    end = log_mel.shape[1] * ear.hop_length / ear.sampling_rate
    image = mel.imshow(
        log_mel,
        origin="lower",
        aspect="auto",
        extent=(0, end, -0.5, len(log_mel) - 0.5),
        vmin=max(log_mel.min(), log_mel.max() - 80),
        cmap="magma",
    )
    _frequency_axis(mel, band_frequencies(ear))
    mel.set(xlabel="time (s)", ylabel="frequency (Hz)", xlim=(0, seconds))
    figure.colorbar(image, ax=mel, label="log-mel")
    for left, right, edge in ((0.0, start, start), (stop, clip.seconds, stop)):
        if left < right:
            for axis in (wave, mel):
                axis.axvspan(left, right, color="white" if axis is mel else "grey", alpha=0.4)
                axis.axvline(edge, color=GREY, linestyle="--", linewidth=1)
    return figure


def heard_part(extractor: Any, seconds: float, truncation: str | None = None) -> tuple[float, float]:
    """Start and end in s of what is heard of a clip of `seconds`; all of it for windows, and where chance decides."""
    place = {"first": 0.0, "center": 0.5}.get(truncation or extractor.truncation)
    if place is None or seconds <= extractor.max_length_s:
        return 0.0, seconds
    start = place * (seconds - extractor.max_length_s)
    return start, start + extractor.max_length_s


def segment_picture(scores: list[float], segment_s: float, seconds: float) -> "Figure":
    """Score of each segment over time; segments are `segment_s` long, and the last ends with the clip of `seconds`."""
    starts = [min(index * segment_s, max(0.0, seconds - segment_s)) for index in range(len(scores))]
    figure = _page_figure(2.4)
    axis = figure.subplots()
    for start, score in zip(starts, scores, strict=True):
        axis.plot(
            [start, min(start + segment_s, seconds)], [score, score], color=BLUE, linewidth=4, solid_capstyle="butt"
        )
    axis.set(xlabel="time (s)", ylabel="score", xlim=(0, seconds), ylim=(0, 1.02))
    axis.set_title("score of each segment", fontsize="medium")
    axis.grid(alpha=0.3)
    return figure


def timeline_picture(result: dict[str, Any], name: str) -> "Figure":
    """
    Scores over time, a row for each label, dark where it is high, and grey where nothing is heard.

    Args:
        result (`dict`): Of one clip, as the pipeline gives it with `timestamps=True`.
        name (`str`): What the clip is called.
    """
    chunks = result["chunks"]
    labels = [entry["label"] for entry in result["labels"]]
    highest = {label: max((chunk["scores"].get(label, 0.0) for chunk in chunks), default=0.0) for label in labels}
    shown = sorted(highest, key=lambda label: -highest[label])[:MOST_ROWS]
    edges, columns = [0.0], []
    for chunk in chunks:
        start, end = chunk["timestamp"]
        if start > edges[-1]:  # dead air
            columns.append([np.nan] * len(shown))
            edges.append(start)
        columns.append([chunk["scores"].get(label, np.nan) for label in shown])
        edges.append(end)
    figure = _page_figure(1.4 + 0.3 * len(shown))
    axis = figure.subplots()
    places = np.arange(len(shown) + 1) - 0.5
    scores = np.ma.masked_invalid(np.reshape(columns, (-1, len(shown)))).T
    image = axis.pcolormesh(edges, places, scores, cmap="Blues", vmin=0, vmax=1)
    axis.set_facecolor(PALE)
    figure.colorbar(image, ax=axis, label="score")
    axis.set_yticks(range(len(shown)), [plain(label, 30) for label in shown])
    more = f" ({len(shown)} of {len(highest)} labels)" if len(shown) < len(highest) else ""
    axis.set(xlabel="time (s)", xlim=(0, edges[-1]), ylim=(len(shown) - 0.5, -0.5))
    axis.set_title(f"{plain(name, 40)}{more}", fontsize="medium")
    return figure


def entropy_picture(entropies: list[float], labels: int) -> "Figure":
    """Entropy before each step and after the last, in nats; the title says what a guess among `labels` labels has."""
    figure = _page_figure(2.6)
    axis = figure.subplots()
    axis.plot(range(len(entropies)), entropies, color=BLUE, marker="o", markersize=4)
    axis.set(
        xlabel="step",
        ylabel="entropy (nats)",
        ylim=(0, max(1e-3, 1.15 * max(entropies))),
    )
    axis.set_title(
        f"entropy of the prediction (a guess among {labels} labels: {np.log(labels):.2f})", fontsize="medium"
    )
    axis.locator_params(axis="x", integer=True)
    axis.grid(alpha=0.3)
    return figure


def _page_figure(height: float) -> "Figure":
    figure = new_figure(WIDTH, height)
    figure.set_dpi(DPI)
    return figure


def _title(clip: Clip, seconds: float, heard_s: float) -> str:
    part = f"first {seconds:.0f} of {clip.seconds:.1f} s" if seconds < clip.seconds else f"{clip.seconds:.2f} s"
    heard = f", {heard_s:.2f} s of it heard" if heard_s < clip.seconds else ""
    return f"{plain(clip.name, 40)}\n{part} at {clip.rate} Hz{heard}"


def _frequency_axis(axis: Any, centres: npt.NDArray[np.float64]) -> None:
    """Ticks at round frequencies, each where it lies between the bands."""
    ticks = [hertz for hertz in TICKS_HZ if centres[0] <= hertz <= centres[-1]]
    axis.set_yticks(np.interp(ticks, centres, np.arange(len(centres))), [str(hertz) for hertz in ticks])
