"""
PAM: how good a recording sounds, without a reference.

Deshmukh et al., "PAM: Prompting Audio-Language Models for Audio Quality Assessment" (Interspeech 2024, arXiv
2402.00282), as released in soham97/PAM: CLAP 2023 compares the audio with two opposite prompts, and the score is the
probability of the first. Long audio is scored in segments of the clip length, the last one aligned to the end, and
their mean is the score of the file. Differences to the released code: segments in which nothing is heard are left out,
channels are averaged (`channels="concat"` of the feature extractor puts them one after the other), batches.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers.feature_extraction_utils import BatchFeature
from transformers.pipelines.base import Pipeline

from ..models.clap_afm.embedding_clap_afm import embed_audio, extract_features, logit_scale
from ..models.common.modeling_afm_common import flatten_windows
from ..models.common.results_afm import AfmResult, settings_of
from .pipeline_audio_inputs import as_inputs
from .pipeline_zero_shot_audio_classification import ZeroShotAudioClassificationPipeline

PROMPTS = ("the sound is clear and clean.", "the sound is noisy and with artifacts.")
SEGMENTS = {"all": "segments", "first": "first"}
SEGMENTS_PER_FORWARD = 64  # an hour of audio has hundreds of segments: its memory stays that of these

Pair = tuple[str, str]


@dataclasses.dataclass(kw_only=True)
class AudioQuality(AfmResult):
    """
    How good a clip sounds.

    Args:
        score (`float`): Probability of the good prompt, 0 to 1: the mean over the segments.
        segment_scores (`list[float]`):
            That of each segment in which something is heard, in order; the last segment ends with the clip.
    """

    score: float
    segment_scores: list[float]


class AudioQualityAssessmentPipeline(ZeroShotAudioClassificationPipeline):
    """
    Quality of audio between 0 and 1, with a [`ClapAfmModel`]; the paper's figures are of CLAP 2023.

    Example:
    ```python
    >>> import numpy as np
    >>> from transformers import pipeline
    >>> import afm_hf

    >>> assess = pipeline("audio-quality-assessment", model=str(afm_hf.bundled_model("clap-small")))
    >>> hiss = np.random.default_rng(0).normal(scale=0.1, size=16000)
    >>> result = assess(hiss)
    >>> 0 <= result.score <= 1, result["score"] == result.score
    (True, True)
    >>> result.settings["prompts"]
    [['the sound is clear and clean.', 'the sound is noisy and with artifacts.']]

    ```
    """

    def __call__(self, audios: Any, **kwargs: Any) -> Any:
        """
        Scores clips.

        Args:
            audios: One clip or several, as for [`ZeroShotAudioClassificationPipeline`].
            prompts (`tuple[str, str]` or a list of such pairs, *optional*):
                What good and what bad audio is like; those of the paper if not given. Of several pairs, the mean of
                their scores is taken (this package's own rule: the paper has one pair).
            segments (`str`, *optional*, defaults to `"all"`):
                `"all"` scores the whole clip, as the released code does; `"first"` its first segment only, as in the
                paper.
            sampling_rate (`int`, *optional*): Rate in Hz of bare arrays; the feature extractor's if not given.
            batch_size, num_workers (`int`, *optional*): Clips per forward pass; processes that decode.

        Returns:
            For one clip an [`AudioQuality`]; for several in a list one each; for a dataset or generator an iterator
            over these.

        Raises:
            AudioDecodeError: (a `ValueError`) a clip cannot be used; the message names it.
            ValueError: prompts do not come in pairs, or `segments` is unknown.
        """
        inputs, eager = as_inputs(audios)
        outputs = Pipeline.__call__(self, inputs, **kwargs)
        return list(outputs) if eager else outputs

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        unknown = sorted(kwargs.keys() - {"prompts", "segments", "sampling_rate"})
        if unknown:
            raise ValueError(f"Unknown arguments: {unknown}. Known are 'prompts', 'segments' and 'sampling_rate'.")
        preprocess: dict[str, Any] = {name: kwargs[name] for name in ("segments", "sampling_rate") if name in kwargs}
        if preprocess.get("segments", "all") not in SEGMENTS:
            raise ValueError(f"`segments` is {kwargs['segments']!r}; expected 'all' or 'first'.")
        forward = {"prompts": as_pairs(kwargs["prompts"])} if kwargs.get("prompts") is not None else {}
        postprocess = {name: preprocess[name] for name in ("segments",) if name in preprocess}
        return preprocess, forward, {**forward, **postprocess}

    def preprocess(self, audio: Any, sampling_rate: int | None = None, segments: str = "all") -> BatchFeature:  # type: ignore[override]
        """The segments of one clip, `input_features` `(1, segments, 1, frames, mels)`."""
        return extract_features(self.feature_extractor, audio, sampling_rate, SEGMENTS[segments]).to(self.dtype)

    def _forward(self, model_inputs: Mapping[str, Any], prompts: tuple[Pair, ...] = (PROMPTS,)) -> dict[str, Any]:  # type: ignore[override]
        """Scores `(batch, segments)`, NaN in the places of segments that only fill the batch."""
        scale = logit_scale(self.model)
        if scale is None:
            raise ValueError(f"{type(self.model).__name__} has no two towers and scale, which PAM needs; take a CLAP.")
        windows, owners = flatten_windows(*_as_segments(model_inputs))  # (all segments, 1, frames, mels)
        split = windows.split(SEGMENTS_PER_FORWARD) if isinstance(windows, torch.Tensor) else windows
        flat = tuple(prompt for pair in prompts for prompt in pair)
        texts = self.label_embeddings(flat, ("{}",))  # (2 * pairs, dim)
        parts = [embed_audio(self.model, {"input_features": part.to(self.model.device)}) for part in split]
        logits = scale.float().exp() * torch.cat(parts) @ texts.to(parts[0].device).t()  # (all segments, 2 * pairs)
        good = logits.view(-1, len(prompts), 2).softmax(dim=-1)[..., 0].mean(dim=-1)  # (all segments,)
        counts = owners.rows.bincount().tolist() if owners is not None else [1] * len(good)
        return {"scores": pad_sequence(good.split(counts), batch_first=True, padding_value=float("nan"))}

    def postprocess(  # type: ignore[override]
        self, model_outputs: Mapping[str, torch.Tensor], prompts: tuple[Pair, ...] = (PROMPTS,), segments: str = "all"
    ) -> AudioQuality:
        """`(1, segments)` -> the mean and all of them."""
        scores = model_outputs["scores"][0]
        scores = scores[~scores.isnan()]
        clip_s = getattr(self.feature_extractor, "max_length_s", None)
        settings = settings_of(self.model, prompts=list(map(list, prompts)), segments=segments, segment_s=clip_s)
        return AudioQuality(score=scores.mean().item(), segment_scores=scores.tolist(), settings=settings)

    def score_features(self, features: Mapping[str, torch.Tensor], **kwargs: Any) -> Iterator[AudioQuality]:
        """
        Scores a batch of the feature extractor's output, for those who decode themselves.

        Args:
            features: `input_features` and `input_features_mask`, `(batch, ...)` each.
            kwargs (*optional*): `prompts` and `segments`, as of a call. `segments` only says how the features were
                made.
        """
        _, forward, postprocess = self._sanitize_parameters(**kwargs)
        scores = self.forward(self._cast(features), **{**self._forward_params, **forward})[
            "scores"
        ]  # (batch, segments)
        options = {**self._postprocess_params, **postprocess}
        for row in scores:
            yield self.postprocess({"scores": row[None]}, **options)

    def classify_features(self, features: Mapping[str, torch.Tensor], **kwargs: Any) -> Any:
        """
        Not for this task.

        Raises:
            NotImplementedError: always; take `score_features`.
        """
        raise NotImplementedError("This pipeline scores quality: take `score_features`, or call it with clips.")


def _as_segments(inputs: Mapping[str, Any]) -> tuple[Any, torch.Tensor | None]:
    """Features, of clips or of their segments, and which segments are real: all that are heard at all."""
    mask = inputs.get("input_features_mask")
    return inputs["input_features"], None if mask is None else mask.bool()


def as_pairs(prompts: Any) -> tuple[Pair, ...]:
    """
    Checked prompts: one pair, or several.

    Raises:
        ValueError: they are not two texts each.
    """
    pairs = [prompts] if _is_pair(prompts) else prompts
    if not isinstance(pairs, Sequence) or isinstance(pairs, str) or not pairs or not all(map(_is_pair, pairs)):
        raise ValueError(
            f"`prompts` is {prompts!r}; expected two texts, of good audio and of bad audio, or a list of such pairs."
        )
    return tuple((good, bad) for good, bad in pairs)


def _is_pair(pair: Any) -> bool:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        return False
    return all(isinstance(text, str) and text.strip() for text in pair)


__all__ = ["AudioQuality", "AudioQualityAssessmentPipeline"]
