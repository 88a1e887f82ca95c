"""Where in a clip a CLAP hears what: an embedding for every short step in time, made while the clip is read.

An encoder whose embedding of a clip is the mean of those of its steps (YAMNet, aiSFX, ears with one of them) gives an
embedding for each step, which goes through the projection alone. Of all others a window of the clip's length is moved
over the audio: what Cnn14 pools over time is no mean, and each of HTSAT's last tokens has attended to the whole clip,
so that their steps do not say when a sound is there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, pairwise
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from transformers.feature_extraction_utils import BatchFeature

from ...audio.audio_ahead import made_ahead
from ...audio.audio_checks import Waveform, describe_source
from ...audio.audio_samples import clip_of_row
from ...audio.audio_streaming import stream_audio
from ...audio.audio_windows import SILENCE, every_window
from ..common.window_streams_afm import MOST_PARTS, WINDOWS_AT_A_TIME
from ..encoders.configuration_afm_encoders import STEPPING, AfmEarsConfig
from .embedding_clap_afm import extract_features

TIMELINE = "timeline"

# ---------------------------------------------------------------------------------------------------------------------
# Which steps a model has
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TimelinePlan:
    """
    How the steps of a clip are cut.

    Attributes:
        length: samples of a window, at the feature extractor's rate.
        hop: from the beginning of one window to that of the next.
        steps: where in a window each step begins and ends; the whole window where the encoder has no steps.
        step_hop: samples from one step to the next.
        by_encoder: whether the steps are the encoder's own.
    """

    length: int
    hop: int
    steps: tuple[tuple[int, int], ...]
    step_hop: int
    by_encoder: bool


def plan_timeline(model: Any, extractor: Any, hop_s: float | None = None) -> TimelinePlan:
    """
    The steps in time of a CLAP.

    Args:
        model ([`ClapAfmModel`]): The model.
        extractor ([`AfmFeatureExtractor`]): Its feature extractor.
        hop_s (`float`, *optional*):
            Seconds from one step to the next; then a step is a whole window. The encoder's own steps if not given, or,
            where it has none, `window_hop_s` of an extractor whose windows overlap, or a quarter of the clip length.

    Raises:
        ValueError: the model or its extractor is not of this package, or `hop_s` is not between a sample and a window.
    """
    audio_config: Any = getattr(getattr(model, "config", None), "audio_config", None)
    if not hasattr(extractor, "window_hop_s") or not hasattr(audio_config, "encoder_config"):
        raise ValueError(
            f"A timeline needs a CLAP of this package with its feature extractor; these are a {type(model).__name__} "
            f"and a {type(extractor).__name__}. Leave `timestamps` out."
        )
    length = extractor.clip_samples(extractor.max_length_s)
    if hop_s is None:
        steps, step_hop = _steps(audio_config.encoder_config, extractor, length)
        if len(steps) > 1:
            return TimelinePlan(length, min(length, len(steps) * step_hop), steps, step_hop, True)
        own = extractor.window_hop_s
        hop_s = own if own and own < extractor.max_length_s else extractor.max_length_s / 4
    hop = extractor.clip_samples(hop_s) if np.isfinite(hop_s) else 0
    if not 0 < hop <= length:
        raise ValueError(
            f"`timestamp_hop_s` is {hop_s} s; expected more than 0 and at most {extractor.max_length_s} s, the length "
            "of a window of this model: what lies between two windows would not be heard."
        )
    return TimelinePlan(length, hop, ((0, length),), hop, False)


def _steps(config: Any, extractor: Any, length: int) -> tuple[tuple[tuple[int, int], ...], int]:
    """Where the encoder's steps lie in a window, and samples from one to the next; none if it has no steps."""
    if config.model_type == AfmEarsConfig.model_type:
        count = config.num_steps()
        ears = zip(config.configs(), config.frames, extractor.front_ends(), strict=True)
        found = ((ear, front) for ear, frames, front in ears if _num_steps(ear, frames) == count)
        stepping, front = next(found, (None, extractor))
    else:
        stepping, front = (config if config.model_type in STEPPING else None), extractor
        count = 0 if stepping is None else _num_steps(config, extractor.log_mel(torch.zeros(1, length)).shape[1])
    if stepping is None:
        return (), 0
    frames, frame_hop = stepping.step_frames
    frame = getattr(front, "win_length", front.n_fft)
    hop_s = frame_hop * front.hop_length / front.sampling_rate
    size_s = ((frames - 1) * front.hop_length + frame) / front.sampling_rate
    at = [extractor.clip_samples(hop_s * step) for step in range(count)]
    return tuple((begin, min(length, begin + extractor.clip_samples(size_s))) for begin in at), round(
        hop_s * extractor.sampling_rate
    )


def _num_steps(config: Any, frames: int) -> int:
    return int(config.num_steps(frames)) if config.model_type in STEPPING else 0


# ---------------------------------------------------------------------------------------------------------------------
# The steps of a clip
# ---------------------------------------------------------------------------------------------------------------------


@dataclass
class TimelinePart:
    """
    Some windows of a clip.

    Attributes:
        features: `(windows, 1, frames, mels)`, only of windows in which something is heard; None if there are none.
        places: window and step of each row; None for a row in whose midst nothing is heard.
        spans: samples of the clip from which to which each row hears, as far as the clip goes.
        end: samples of the clip up to here.
    """

    features: torch.Tensor | None = None
    places: list[tuple[int, int] | None] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    end: int = 0


class TimelineStream(Iterator[TimelinePart]):
    """
    The steps of a clip from its first sample to its last, some windows at a time.

    Channels that the extractor would put one after the other are averaged here, so that times are those of the clip.

    Args:
        extractor ([`AfmFeatureExtractor`]): Of the model.
        audio: The clip.
        plan ([`TimelinePlan`]): Of [`plan_timeline`].
        sampling_rate (`int`, *optional*): Rate in Hz of bare samples; the extractor's if not given.
    """

    def __init__(self, extractor: Any, audio: Any, plan: TimelinePlan, sampling_rate: int | None = None) -> None:
        self.extractor, self.plan = extractor, plan
        self.silence = 0.0 if extractor.allow_silence else SILENCE
        blocks = stream_audio(
            audio,
            extractor.sampling_rate,
            channels="mean" if extractor.channels == "concat" else extractor.channels,
            resampler=extractor.resampler,
            source_sampling_rate=sampling_rate,
            max_values=extractor.max_values,
            name=describe_source(audio),
        )
        self._parts = self._cut(every_window(blocks, plan.length, plan.hop))

    def __next__(self) -> TimelinePart:
        windows, part = next(self._parts)
        if windows:
            part.features = self.extractor.log_mel(torch.stack(windows)).unsqueeze(1)
        return part

    def skip(self) -> None:
        """Read the rest without making anything of it: what is wrong with the clip comes to light."""
        for _ in self._parts:
            pass

    def _cut(self, all_windows: Iterator[tuple[int, Waveform]]) -> Iterator[tuple[list[torch.Tensor], TimelinePart]]:
        """Samples of some windows, `(length,)` each, and the rows that they give."""
        windows: list[torch.Tensor] = []
        part = TimelinePart()
        newest = -1  # where the newest row begins: the last window may overlap the one before it more than others do
        for start, samples, is_last in _with_end(all_windows):
            rows = self._rows(start, len(samples), newest)
            places: list[tuple[int, int] | None] = []
            for step, first, last in rows:
                ends = is_last and step == rows[-1][0]
                heard = self._hears(samples, first - start, last - start, begins=not first, ends=ends)
                places.append((len(windows), step) if heard else None)
                part.spans.append((first, last))
                newest = first
            part.places += places
            part.end = start + len(samples)
            if any(place is not None for place in places):
                windows.append(self.extractor.fill(torch.from_numpy(samples), self.plan.length, self.extractor.padding))
            if is_last or len(windows) == WINDOWS_AT_A_TIME:
                yield windows, part
                windows, part = [], TimelinePart()

    def _rows(self, start: int, length: int, newest: int) -> list[tuple[int, int, int]]:
        """The steps of a window that are new, and the samples of the clip at which each begins and ends."""
        # A step of a filled-up clip whose middle lies behind its end would hear a repetition.
        return [
            (step, start + first, start + last)
            for step, (first, last) in enumerate(self.plan.steps)
            if start + first > newest and (not step or first + last < 2 * length)
        ]

    def _hears(self, samples: Waveform, first: int, last: int, *, begins: bool, ends: bool) -> bool:
        """Whether anything is heard where no other step's middle is nearer; the outermost reach to the clip's ends."""
        middle, half = (first + last) // 2, self.plan.step_hop // 2
        low, high = (0 if begins else max(0, middle - half)), (len(samples) if ends else middle + half + 1)
        return bool((np.abs(samples[low:high]) >= self.silence).any())


def _with_end(windows: Iterator[tuple[int, Waveform]]) -> Iterator[tuple[int, Waveform, bool]]:
    """Each window, and whether it is the last."""
    before = next(windows)
    for window in windows:
        yield *before, False
        before = window
    yield *before, True


class ClipTimeline:
    """
    The steps of one clip, held or made anew; it stands in a list among the tensors of a batch.

    Args:
        plan ([`TimelinePlan`]): How they are cut.
        rate (`int`): Of their samples in Hz.
        again: Gives the parts.
    """

    def __init__(self, plan: TimelinePlan, rate: int, again: Callable[[], Iterable[TimelinePart]]) -> None:
        self.plan, self.rate, self.again = plan, rate, again

    @torch.no_grad()
    def score(self, model: Any, score: Callable[[torch.Tensor], Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """
        Scores of every row in which something is heard.

        Args:
            model ([`ClapAfmModel`]): Embeds the steps.
            score: Makes of embeddings, float32 `(rows, dim)`, L2-normalised, what is kept of them, `(rows, ...)` each.

        Returns:
            What `score` makes, and `times`, float64 `(rows, 4)` in seconds: from when to when a row stands for the
            clip, and from when to when it was heard for that.
        """
        kept: list[Mapping[str, torch.Tensor]] = []
        spans: list[tuple[int, int]] = []
        is_heard: list[bool] = []
        end = 0
        for part in made_ahead(self.again()):
            spans += part.spans
            is_heard += [place is not None for place in part.places]
            end = part.end
            if part.features is not None:
                kept.append(score(self._embed(model, part, part.features)))
        scores = {name: torch.cat([each[name] for each in kept]).cpu() for name in kept[0]} if kept else {}
        times = torch.tensor(self._times(spans, end), dtype=torch.float64)
        return {"times": times[torch.tensor(is_heard)], **scores}

    def _embed(self, model: Any, part: TimelinePart, features: torch.Tensor) -> torch.Tensor:
        outputs = model.get_audio_features(features.to(model.device), normalize=False)
        if self.plan.by_encoder:
            embeddings = model.audio_projection(outputs.last_hidden_state)  # -> (windows, steps, dim)
        else:
            embeddings = outputs.pooler_output[:, None]
        window, step = torch.tensor([place for place in part.places if place is not None]).T.to(embeddings.device)
        return F.normalize(embeddings[window, step].float(), dim=-1)  # (rows, dim)

    def _times(self, spans: list[tuple[int, int]], end: int) -> list[list[float]]:
        """A row stands for what no other row's middle is nearer to."""
        middles = [(first + last) / 2 for first, last in spans]
        edges = [0.0, *((a + b) / 2 for a, b in pairwise(middles)), float(end)]
        rows = zip(edges, edges[1:], spans, strict=False)
        return [[self._seconds(x) for x in (low, high, first, min(last, end))] for low, high, (first, last) in rows]

    def _seconds(self, samples: float) -> float:
        """Whole milliseconds, never behind the end of the clip."""
        return int(samples * 1000 // self.rate) / 1000


def extract_with_timeline(
    extractor: Any,
    audio: Any,
    plan: TimelinePlan,
    sampling_rate: int | None = None,
    truncation: str | None = None,
) -> BatchFeature:
    """
    What [`extract_features`] gives for a clip, of which all is heard unless told otherwise, and its steps in time.

    Args:
        extractor, audio, sampling_rate: As of [`extract_features`].
        plan ([`TimelinePlan`]): Of [`plan_timeline`].
        truncation (`str`, *optional*): What of a long clip is heard for the features; all `"windows"` if not given.

    Returns:
        The features, and under `"timeline"` a list of one [`ClipTimeline`].

    Raises:
        AudioDecodeError: the clip cannot be used; it has been read to its end.
    """
    if isinstance(audio, Mapping) and "audio" in audio and not audio.keys() & {"array", "raw", "path", "bytes"}:
        audio = clip_of_row(audio)
    if callable(getattr(audio, "read", None)):
        audio = audio.read()  # it is read twice
    features = extract_features(extractor, audio, sampling_rate, truncation or "windows")
    features[TIMELINE] = [_read_timeline(extractor, audio, plan, sampling_rate)]
    return features


def _read_timeline(extractor: Any, audio: Any, plan: TimelinePlan, sampling_rate: int | None) -> ClipTimeline:
    """The steps of a clip: held if they are few, else made anew while they are embedded."""
    again = partial(TimelineStream, extractor, audio, plan, sampling_rate)
    stream = again()
    parts = list(islice(stream, MOST_PARTS))
    if len(parts) < MOST_PARTS:
        return ClipTimeline(plan, extractor.sampling_rate, partial(tuple, parts))
    stream.skip()
    return ClipTimeline(plan, extractor.sampling_rate, again)


__all__ = ["TIMELINE", "ClipTimeline", "TimelinePlan", "TimelineStream", "extract_with_timeline", "plan_timeline"]
