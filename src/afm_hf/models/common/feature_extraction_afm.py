"""Log-mel front-end of every model: decode, resample, bring to one length, STFT, mel, dB.

The STFT is `torch.stft` (torchlibrosa's convolutional STFT, which the official code uses, computes the same with some
80 times more work). The rate for which the mel bank is built is a setting of its own, apart from the sampling rate:
the official HTSAT models run a 32 kHz bank over 44.1 kHz audio.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers.feature_extraction_sequence_utils import SequenceFeatureExtractor
from transformers.feature_extraction_utils import BatchFeature
from transformers.utils import TensorType, logging

from ...audio.audio_checks import Waveform
from ...audio.audio_loading import AudioDecodeError, describe_source, load_audio
from ...audio.audio_processes import keep_to_one_thread_if_forked
from ...audio.audio_samples import is_many, own_rate, refuse_misnamed_rate
from ...audio.audio_sources import encoded
from ...audio.audio_streaming import stream_audio
from ...audio.audio_windows import SILENCE, cut_windows, heard_share
from ...audio.log_mel import log_mel_of_clips, mel_bank
from .batch_afm import AfmBatchFeature
from .window_streams_afm import (
    HeldWindows,
    StreamedWindows,
    WindowStream,
    held_or_streamed,
    stack_windows,
)

logger = logging.get_logger(__name__)

PADDINGS = ("repeat", "zero")
TRUNCATIONS = ("first", "center", "random", "windows", "segments")
IN_WINDOWS = ("windows", "segments")  # those that hear all of a clip
CHANNELS = ("mean", "concat", "first")
RESAMPLERS = ("soxr", "torchaudio")
# What a processor may pass to both sides and means the tokenizer.
TOKENIZER_ARGUMENTS = {"max_length", "pad_to_multiple_of", "return_attention_mask"}
TOKENIZER_WORDS = (
    *("longest", "max_length", "do_not_pad"),
    *("longest_first", "only_first", "only_second", "do_not_truncate"),
)

# Clips of up to so many seconds are held until it is known how long they are; of longer ones the samples are counted.
HELD_S = 60.0

# Decoding only the head of a long file needs a little more than the clip, or the resampler would ring at its end.
RESAMPLER_MARGIN_S = 0.25


@dataclass(frozen=True)
class _Reading:
    """How the clips of a call are read."""

    length: int  # samples
    padding: str
    truncation: str
    channels: str
    resampler: str
    sampling_rate: int | None
    silence: float  # the peak below which nothing is heard


class AfmFeatureExtractor(SequenceFeatureExtractor):
    r"""Turns audio into log-mel spectrograms of one fixed length.

    Audio may be a path, URL, bytes, file object, NumPy array, torch tensor, `{"array", "sampling_rate"}`, an item or
    decoder of `datasets`, or a list of these. As elsewhere in transformers, a bare 2-D array is a batch of mono clips;
    a stereo clip is a `(channels, samples)` array inside a list, or inside `{"array", "sampling_rate"}`.

    Args:
        feature_size (`int`, *optional*, defaults to 64):
            Mel bands.
        sampling_rate (`int`, *optional*, defaults to 44100):
            Rate in Hz to which audio is resampled.
        mel_sampling_rate (`int`, *optional*):
            Rate in Hz for which the mel filter bank is built; `sampling_rate` if not given. The official HTSAT models
            say 32000 whatever their sampling rate.
        n_fft (`int`, *optional*, defaults to 1024):
            Length of the FFT and of the periodic Hann window, in samples.
        hop_length (`int`, *optional*, defaults to 320):
            Step between frames, in samples.
        fmin, fmax (`float`, *optional*, default to 50 and 14000):
            Edges of the mel filter bank in Hz, on the scale of `mel_sampling_rate`.
        max_length_s (`float`, *optional*, defaults to 7.0):
            Length of a clip in seconds.
        padding (`str`, *optional*, defaults to `"repeat"`):
            What fills a clip that is too short: `"repeat"` tiles it (as the papers do), `"zero"` appends silence.
        truncation (`str`, *optional*, defaults to `"first"`):
            What is taken of a clip that is too long: its `"first"` or `"center"` part, a `"random"` one (for
            training; the official code does this in inference too), or all `"windows"`, whose embeddings the models
            average by how much is heard in each. They begin with the first sample that is heard and end with the last,
            and what is silent between them is left out. `"segments"` are the same from the first sample of the clip to
            its last, as the released code of PAM cuts them.
        window_hop_s (`float`, *optional*):
            Step between windows in seconds; `max_length_s` if not given. The last window always ends with the clip.
        channels (`str`, *optional*, defaults to `"mean"`):
            How several channels become one: their `"mean"`, the `"first"`, or `"concat"`, which puts them one after
            the other in time as the official wrappers do.
        resampler (`str`, *optional*, defaults to `"soxr"`):
            `"soxr"`, or `"torchaudio"` for the numerics of the official code.
        padding_value (`float`, *optional*, defaults to 0.0):
            Value of a silent sample.
        allow_silence (`bool`, *optional*, defaults to `False`):
            Whether silence (a peak below 1e-4 of full scale, -80 dB) is audio like any other. If not, a clip of nothing
            else is an error, for models answer it with something that nobody hears.
        max_values (`int`, *optional*):
            How many values (seconds x rate x channels, at `sampling_rate` or at the file's own rate if that is higher)
            a clip may unpack to before it is refused; 2**30, which are 4 GiB, if not given.
    """

    def __init__(
        self,
        feature_size: int = 64,
        sampling_rate: int = 44100,
        mel_sampling_rate: int | None = None,
        n_fft: int = 1024,
        hop_length: int = 320,
        fmin: float = 50.0,
        fmax: float = 14000.0,
        max_length_s: float = 7.0,
        padding: str = "repeat",
        truncation: str = "first",
        window_hop_s: float | None = None,
        channels: str = "mean",
        resampler: str = "soxr",
        padding_value: float = 0.0,
        allow_silence: bool = False,
        max_values: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(feature_size, sampling_rate, padding_value, **kwargs)
        self.allow_silence = allow_silence
        self.max_values = max_values
        self.mel_sampling_rate = mel_sampling_rate or sampling_rate
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.fmin = fmin
        self.fmax = fmax
        self.max_length_s = max_length_s
        self.padding = _one_of("padding", padding, PADDINGS)
        self.truncation = _one_of("truncation", truncation, TRUNCATIONS)
        self.window_hop_s = window_hop_s
        self.channels = _one_of("channels", channels, CHANNELS)
        self.resampler = _one_of("resampler", resampler, RESAMPLERS)
        if not 0 <= fmin < fmax <= self.mel_sampling_rate / 2:
            raise ValueError(
                f"The mel bank goes from `fmin` = {fmin} Hz to `fmax` = {fmax} Hz, which must rise and end at most "
                f"at {self.mel_sampling_rate / 2} Hz, half of `mel_sampling_rate`."
            )
        if window_hop_s is not None and not self.clip_samples(window_hop_s) > 0:
            raise ValueError(f"`window_hop_s` = {window_hop_s} s is less than a sample.")
        self._clip_length(max_length_s)

    @property
    def model_input_names(self) -> list[str]:
        """What a call returns: of clips in windows, also what part of each is heard."""
        return ["input_features", *(["input_features_mask"] if self.truncation in IN_WINDOWS else [])]

    def __call__(
        self,
        audio: Any,
        sampling_rate: int | None = None,
        return_tensors: str | TensorType | None = None,
        padding: bool | str | None = None,
        truncation: bool | str | None = None,
        max_length_s: float | None = None,
        channels: str | None = None,
        resampler: str | None = None,
        generator: torch.Generator | None = None,
        device: str | torch.device | None = None,
        allow_silence: bool | None = None,
        stream_windows: bool = False,
        **kwargs: Any,
    ) -> BatchFeature:
        r"""Makes the inputs of a model from one clip or a list of clips.

        Args:
            audio: One clip or a list of clips; see the class for what a clip may be.
            sampling_rate (`int`, *optional*):
                Rate in Hz of bare arrays, which are resampled if it is not the extractor's. Without it they are taken
                to be at the extractor's rate, with a warning. Files and `{"array", "sampling_rate"}` know their own.
            return_tensors (`str`, *optional*): `"pt"` for torch tensors, `"np"` or `None` for NumPy arrays.
            padding, truncation, max_length_s, channels, resampler, allow_silence (*optional*):
                Override the extractor's own settings for this call. Booleans and the tokenizers' padding names (a
                processor passes them to both sides) leave the setting as it is.
            generator (`torch.Generator`, *optional*):
                Source of the random crops; without it torch's global generator.
            device (`str` or `torch.device`, *optional*): Where the spectrograms are computed and returned.
            stream_windows (`bool`, *optional*, defaults to `False`):
                Of clips in windows, do not hold those of a long one (48 windows or more): if there is one,
                `input_features` is a [`StreamedWindows`], of which all models of this package make the windows while
                they encode them. The clip is read to its end here, so that what is wrong with it comes to light, and
                once more then. Only with `return_tensors="pt"`.

        Returns:
            [`BatchFeature`] with `input_features`, float32 dB: `(batch, 1, frames, mels)`, or with
            `truncation="windows"` `(batch, windows, 1, frames, mels)` and `input_features_mask` `(batch, windows)`,
            float32: what part of a window is heard, 1 mostly, and 0 for one that only fills the batch. Of torch
            tensors, an [`AfmBatchFeature`]: `to(dtype)` leaves all of it in fp32.

        Raises:
            AudioDecodeError: (a `ValueError`) for audio that is unreadable, empty, silent, ...; it names the
                clip.
            ValueError: for an unknown setting, an empty list, or rates that contradict each other.
        """
        keep_to_one_thread_if_forked()
        truncation = _setting("truncation", truncation, TRUNCATIONS, self.truncation)
        padding = _setting("padding", padding, PADDINGS, self.padding)
        channels = _setting("channels", channels, CHANNELS, self.channels)
        resampler = _setting("resampler", resampler, RESAMPLERS, self.resampler)
        length = self._clip_length(self.max_length_s if max_length_s is None else max_length_s)
        refuse_misnamed_rate(kwargs)
        if unknown := sorted(set(kwargs) - TOKENIZER_ARGUMENTS):
            logger.warning_once(f"{type(self).__name__} does not know {', '.join(unknown)}, and does without.")
        device = torch.device("cpu" if device is None else device)
        silent = self.allow_silence if allow_silence is None else allow_silence
        how = _Reading(length, padding, truncation, channels, resampler, sampling_rate, 0.0 if silent else SILENCE)
        clips = as_clips(audio)
        self._check_rates(clips, sampling_rate)
        named = [(clip, f"audio[{index}], {describe_source(clip)}") for index, clip in enumerate(clips)]
        if truncation in IN_WINDOWS:
            if not stream_windows:
                held = [list(self._windows(*clip, how, device)) for clip in named]
                return _to_batch(stack_windows(held), return_tensors)
            if return_tensors not in ("pt", TensorType.PYTORCH):
                raise ValueError(f'`stream_windows` needs `return_tensors="pt"`, but it is {return_tensors!r}.')
            return AfmBatchFeature(self._streamed(named, how, device))
        waveforms = torch.stack([self._crop(*clip, how, generator) for clip in named])  # (batch, samples)
        return _to_batch({"input_features": self.log_mel(waveforms, device).unsqueeze(1)}, return_tensors)

    def _crop(self, clip: Any, name: str, how: "_Reading", generator: torch.Generator | None) -> torch.Tensor:
        """The part of a clip that is heard, `(length,)`."""
        if how.truncation == "first" and how.channels != "concat":
            waveform = self._head(clip, name, how)
        else:
            waveform = self._part(_rereadable(clip), name, how, generator)
        part = self.fill(torch.as_tensor(waveform), how.length, how.padding)
        if float(part.abs().max()) < how.silence:
            raise _silence(name, how.truncation)
        return part

    def _head(self, clip: Any, name: str, how: "_Reading") -> Waveform:
        """The beginning of a clip, of which no more is decoded."""
        return load_audio(
            clip,
            self.sampling_rate,
            channels=how.channels,
            resampler=how.resampler,
            source_sampling_rate=how.sampling_rate,
            max_values=self.max_values,
            duration_s=how.length / self.sampling_rate + RESAMPLER_MARGIN_S,
            name=name,
        )[: how.length]

    def _part(self, clip: Any, name: str, how: "_Reading", generator: torch.Generator | None) -> Waveform:
        """
        A part of a clip whose place depends on its length, at most `(length,)`.

        Of a long clip the first pass only counts the samples, and a second one takes the part, so that its memory is
        that of a short one.
        """
        held: list[Waveform] = []
        seen = 0
        for samples in self._samples(clip, name, how):
            seen += len(samples)
            held = [*held, samples] if seen <= HELD_S * self.sampling_rate else []
        surplus = max(0, seen - how.length)
        start = {"first": 0, "center": surplus // 2}.get(how.truncation, 0)
        if how.truncation == "random" and surplus:
            start = int(torch.randint(surplus + 1, (), generator=generator))
        return _taken(held or self._samples(clip, name, how), start, how.length)

    def _samples(self, clip: Any, name: str, how: "_Reading") -> Iterator[Waveform]:
        """All samples of a clip, part after part."""
        return stream_audio(
            clip,
            self.sampling_rate,
            channels=how.channels,
            resampler=how.resampler,
            source_sampling_rate=how.sampling_rate,
            max_values=self.max_values,
            name=name,
        )

    def _streamed(self, named: list[tuple[Any, str]], how: "_Reading", device: torch.device) -> dict[str, Any]:
        """Of clips of which one or more is long the [`StreamedWindows`]; else features and mask."""
        clips = [(_rereadable(clip), name) for clip, name in named]
        found = [held_or_streamed(partial(self._windows, *clip, how, device)) for clip in clips]
        held = [windows for windows in found if isinstance(windows, list)]
        if len(held) == len(found):
            return dict(stack_windows(held))
        return {
            "input_features": StreamedWindows(
                [
                    HeldWindows(*map(torch.cat, zip(*windows, strict=True))) if isinstance(windows, list) else windows
                    for windows in found
                ]
            )
        }

    def _windows(self, clip: Any, name: str, how: "_Reading", device: torch.device) -> WindowStream:
        keep_to_one_thread_if_forked()
        hop = self.clip_samples(self.window_hop_s) if self.window_hop_s else how.length
        parts = self._to_whole_windows(self._samples(clip, name, how), how.length, hop)
        cut = cut_windows(parts, how.length, hop, self.sampling_rate, how.silence, trim=how.truncation == "windows")

        def make(waveforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            shares = torch.from_numpy(heard_share(waveforms.numpy(), self.sampling_rate, how.silence))
            return self.log_mel(waveforms, device).unsqueeze(1), shares.to(device)

        filled = (self.fill(torch.from_numpy(window), how.length, how.padding) for window in cut)
        return WindowStream(filled, make, _silence(name, how.truncation))

    def _to_whole_windows(self, parts: Iterator[Waveform], length: int, hop: int) -> Iterator[Waveform]:
        """The samples of a clip, before they are cut into windows; subclasses may fill up its end."""
        return parts

    def clip_samples(self, seconds: float) -> int:
        """Samples of `seconds` at the extractor's rate."""
        return round(seconds * self.sampling_rate)

    def _clip_length(self, seconds: float) -> int:
        """Samples of a clip, at least as many as the STFT's reflected borders need."""
        samples = self.clip_samples(seconds) if math.isfinite(seconds) else 0
        if samples <= self.n_fft // 2:
            raise ValueError(
                f"`max_length_s` = {seconds} s is {samples} samples at {self.sampling_rate} Hz; more than half a "
                f"window of {self.n_fft} samples is needed."
            )
        return samples

    def mel_bank(self, device: str | torch.device = "cpu") -> torch.Tensor:
        """The mel filter bank, float32 `(n_fft / 2 + 1, feature_size)`."""
        return mel_bank(
            self.n_fft,
            self.feature_size,
            self.mel_sampling_rate,
            float(self.fmin),
            float(self.fmax),
            torch.device(device),
        )

    def log_mel(self, waveforms: torch.Tensor, device: str | torch.device = "cpu") -> torch.Tensor:
        """Log-mel spectrograms of clips of one length.

        Args:
            waveforms (`torch.Tensor` of shape `(batch, samples)`): Audio at `sampling_rate`, full scale 1.
            device (`str` or `torch.device`): Where to compute.

        Returns:
            `torch.Tensor` of shape `(batch, 1 + samples // hop_length, feature_size)`, float32:
            `10 log10(max(mel power, 1e-10))` in dB.
        """
        device = torch.device(device)
        return log_mel_of_clips(waveforms.to(device), self.n_fft, self.hop_length, self.mel_bank(device))

    def fill(self, waveform: torch.Tensor, length: int, padding: str) -> torch.Tensor:
        """`(samples,)` of no more than `length` -> `(length,)`."""
        if padding == "repeat":
            return waveform.repeat(math.ceil(length / len(waveform)))[:length]
        return torch.nn.functional.pad(waveform, (0, length - len(waveform)), value=self.padding_value)

    def _check_rates(self, clips: list[Any], sampling_rate: int | None) -> None:
        """Raises if a clip's own rate contradicts `sampling_rate`."""
        for index, clip in enumerate(clips):
            own = None if sampling_rate is None else own_rate(clip, f"audio[{index}]")
            if own is not None and own != sampling_rate:
                raise ValueError(
                    f"audio[{index}] says that its sampling rate is {own} Hz, but `sampling_rate={sampling_rate}` was "
                    "given. Leave `sampling_rate` out where the clips know their own."
                )


def as_clips(audio: Any) -> list[Any]:
    """A list of clips from one clip or a batch.

    A list or tuple is a batch, unless it holds plain numbers; a bare 2-D array or tensor is a batch of mono clips.

    Raises:
        ValueError: if there is no clip, or for an array of more than two dimensions.
    """
    if isinstance(audio, np.ndarray | torch.Tensor):
        if audio.ndim > 2:
            raise ValueError(
                f"A bare array is one clip (samples,) or a batch of mono clips (batch, samples), but this one has "
                f"shape {tuple(audio.shape)}. Pass stereo clips as a list of (channels, samples) arrays."
            )
        clips = list(audio) if audio.ndim == 2 else [audio]
    elif is_many(audio):
        clips = list(audio)  # also a column of a `datasets.Dataset`
    else:
        clips = [audio]
    if not clips:
        raise ValueError("No audio was given: the list of clips is empty.")
    return clips


def _rereadable(clip: Any) -> Any:
    """A clip that can be read twice: of a file object, what it holds."""
    if not callable(getattr(clip, "read", None)):
        return clip
    return encoded(clip, describe_source(clip)).content


def _taken(parts: Iterable[Waveform], start: int, length: int) -> Waveform:
    """Samples `start` to `start + length` of a clip, as far as it goes; no more is read."""
    taken, at, end = [], 0, start + length
    for part in parts:
        taken.append(part[max(0, start - at) : max(0, end - at)])
        at += len(part)
        if at >= end:
            break
    return np.concatenate(taken)


def _silence(name: str, truncation: str) -> AudioDecodeError:
    part = "it is silent" if truncation in IN_WINDOWS else f"the part that is heard ({truncation!r}) is silent"
    hint = "" if truncation in IN_WINDOWS else 'Use `truncation="windows"` to hear all of it. '
    reason = f"{part} (no sample reaches {SILENCE:g} of full scale)"
    return AudioDecodeError(name, reason, f"{hint}Set `feature_extractor.allow_silence = True` if silence is meant")


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, allowed))}, but is {value!r}.")
    return value


def _setting(name: str, value: bool | str | None, allowed: tuple[str, ...], default: str) -> str:
    """The call's setting, or the extractor's where the call says nothing or speaks to the tokenizer."""
    if value is None or isinstance(value, bool) or value in TOKENIZER_WORDS:
        return default
    return _one_of(name, value, allowed)


def _to_batch(data: dict[str, torch.Tensor], return_tensors: str | TensorType | None) -> BatchFeature:
    if return_tensors in ("pt", TensorType.PYTORCH):
        return AfmBatchFeature(data)
    return BatchFeature({name: value.cpu().numpy() for name, value in data.items()}, tensor_type=return_tensors)


__all__ = ["AfmFeatureExtractor"]
