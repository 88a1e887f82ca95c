"""
PAM: how good a recording sounds, without a reference.

Deshmukh et al., "PAM: Prompting Audio-Language Models for Audio Quality Assessment" (Interspeech 2024, arXiv
2402.00282), as released in soham97/PAM: CLAP 2023 compares the audio with two opposite prompts, and the score is the
probability of the first. Long audio is scored in segments of the clip length, the last one aligned to the end, and
their mean is the score of the file. Differences to the released code: channels are averaged (`channels="concat"` of the
feature extractor puts them one after the other), batches.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers.feature_extraction_utils import BatchFeature
from transformers.pipelines.base import Pipeline

from .modeling_afm_common import flatten_windows
from .pipeline_audio_inputs import as_inputs
from .pipeline_zero_shot_audio_classification import (
    ZeroShotAudioClassificationPipeline,
    embed_audio,
    extract_features,
    logit_scale,
)

PROMPTS = ("the sound is clear and clean.", "the sound is noisy and with artifacts.")
SEGMENTS = {"all": "windows", "first": "first"}


class AudioQualityAssessmentPipeline(ZeroShotAudioClassificationPipeline):
    """
    Quality of audio between 0 and 1, with a [`ClapAfmModel`]; the paper's figures are of CLAP 2023.

    Example:
    ```python
    >>> import numpy as np
    >>> from transformers import pipeline
    >>> import afm_hf

    >>> assess = pipeline("audio-quality-assessment", model=str(afm_hf.bundled_model("clap-tiny")))
    >>> hiss = np.random.default_rng(0).normal(scale=0.1, size=16000)
    >>> sorted(assess(hiss))
    ['score', 'segment_scores']

    ```
    """

    def __call__(self, audios: Any, **kwargs: Any) -> Any:
        """
        Scores clips.

        Args:
            audios: One clip or several, as for [`ZeroShotAudioClassificationPipeline`].
            prompts (`tuple[str, str]`, *optional*):
                What good and what bad audio is like; those of the paper if not given.
            segments (`str`, *optional*, defaults to `"all"`):
                `"all"` scores the whole clip, as the released code does; `"first"` its first segment only, as in the
                paper.
            sampling_rate (`int`, *optional*): Rate in Hz of bare arrays; the feature extractor's if not given.
            batch_size, num_workers (`int`, *optional*): Clips per forward pass; processes that decode.

        Returns:
            For one clip `{"score": float, "segment_scores": [float, ...]}`; for several in a list such a dictionary
            each; for a dataset or generator an iterator over these.

        Raises:
            AudioDecodeError: (a `ValueError`) a clip cannot be used; the message names it.
            ValueError: there are not two prompts, or `segments` is unknown.
        """
        if "candidate_labels" not in self._forward_params:
            kwargs.setdefault("prompts", PROMPTS)
        inputs, eager = as_inputs(audios)
        outputs = Pipeline.__call__(self, inputs, **kwargs)
        return list(outputs) if eager else outputs

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        unknown = sorted(kwargs.keys() - {"prompts", "segments", "sampling_rate"})
        if unknown:
            raise ValueError(f"Unknown arguments: {unknown}. Known are 'prompts', 'segments' and 'sampling_rate'.")
        preprocess = {"sampling_rate": kwargs["sampling_rate"]} if "sampling_rate" in kwargs else {}
        if "segments" in kwargs:
            if kwargs["segments"] not in SEGMENTS:
                raise ValueError(f"`segments` is {kwargs['segments']!r}; expected 'all' or 'first'.")
            preprocess["segments"] = kwargs["segments"]
        forward = {"candidate_labels": _pair(kwargs["prompts"])} if "prompts" in kwargs else {}
        return preprocess, forward, {}

    def preprocess(self, audio: Any, sampling_rate: int | None = None, segments: str = "all") -> BatchFeature:  # type: ignore[override]
        """The segments of one clip, `input_features` `(1, segments, 1, frames, mels)`."""
        features = extract_features(self.feature_extractor, audio, sampling_rate, SEGMENTS[segments])
        if segments == "first":
            features["input_features"] = features["input_features"][:, None]
            features["input_features_mask"] = torch.ones(1, 1, dtype=torch.long)
        return features.to(self.dtype)

    def _forward(  # type: ignore[override]
        self, model_inputs: Mapping[str, Any], candidate_labels: tuple[str, ...]
    ) -> dict[str, torch.Tensor]:
        """Scores `(batch, segments)`, NaN in the places of segments that only fill the batch."""
        scale = logit_scale(self.model)
        if scale is None:
            raise ValueError(f"{type(self.model).__name__} has no two towers and scale, which PAM needs; take a CLAP.")
        mask = model_inputs["input_features_mask"].bool()
        windows, _ = flatten_windows(model_inputs["input_features"], mask)  # (all segments, 1, frames, mels)
        texts = self.label_embeddings(candidate_labels, ("{}",))  # (2, dim)
        audio = embed_audio(self.model, {"input_features": windows})
        logits = scale.float().exp() * audio @ texts.to(audio.device).t()  # (all segments, 2)
        scores = torch.full(mask.shape, float("nan"), device=logits.device)
        scores[mask] = logits.softmax(dim=-1)[:, 0]
        return {"scores": scores}

    def postprocess(self, model_outputs: Mapping[str, torch.Tensor]) -> dict[str, Any]:  # type: ignore[override]
        """`(1, segments)` -> the mean and all of them."""
        scores = model_outputs["scores"][0]
        scores = scores[~scores.isnan()]
        return {"score": scores.mean().item(), "segment_scores": scores.tolist()}

    def classify_features(self, features: Mapping[str, torch.Tensor], **kwargs: Any) -> Any:
        """Not for this task.

        Raises:
            NotImplementedError: always; call the pipeline.
        """
        raise NotImplementedError("This pipeline scores quality; call it with clips.")


def _pair(prompts: Sequence[str]) -> tuple[str, ...]:
    """The checked prompts."""
    is_pair = isinstance(prompts, list | tuple) and len(prompts) == 2
    if not is_pair or not all(isinstance(prompt, str) and prompt.strip() for prompt in prompts):
        raise ValueError(f"`prompts` is {prompts!r}; expected two texts, of good audio and of bad audio.")
    return tuple(prompts)


__all__ = ["AudioQualityAssessmentPipeline"]
