"""
Test-time adaptation as a pipeline: unlabelled clips and labels in, a domain vector and better (or worse) guesses out.

Deshmukh et al., "Domain Adaptation for Contrastive Audio-Language Models" (Interspeech 2024, arXiv 2402.09585); see
[`adapt`] for the method. Every view of a clip is encoded once, without gradients; only the texts are run at each step.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from transformers.feature_extraction_utils import BatchFeature
from transformers.pipelines.base import Pipeline

from ..adaptation.test_time.augmentation import AfmAugmentation
from ..adaptation.test_time.domain_vector import DomainVector, as_domain_vector
from ..adaptation.test_time.optimization import AdaptationResult, AdaptationSettings, adapt
from ..audio.audio_loading import AudioDecodeError, describe_source, load_audio
from ..audio.audio_samples import clip_of_row
from ..models.clap_afm.embedding_clap_afm import as_labels, embed_audio, extract_features
from .pipeline_audio_inputs import as_inputs, is_row
from .pipeline_zero_shot_audio_classification import ZeroShotAudioClassificationPipeline

SETTINGS = {field.name for field in dataclasses.fields(AdaptationSettings)}
VIEWS_PER_BATCH = 64


class TestTimeAdaptationPipeline(ZeroShotAudioClassificationPipeline):
    """
    Adapts a [`ClapAfmModel`] to unlabelled clips, without changing it.

    Example:
    ```python
    >>> from transformers import pipeline
    >>> import afm_hf

    >>> clap = str(afm_hf.bundled_model("clap-small"))
    >>> adapter = pipeline("test-time-adaptation", model=clap)
    >>> clips = [str(clip) for clip in afm_hf.bundled_audio()[:2]]
    >>> result = adapter(clips, candidate_labels=["rain", "applause", "bell ringing"], together=True, views=8, steps=2)
    >>> len(result.after), result.vector.kind
    (2, 'tokens')
    >>> classify = pipeline("zero-shot-audio-classification", model=clap)
    >>> guesses = classify(clips[0], candidate_labels=["rain", "applause"], domain_vector=result.vector)

    ```
    """

    __test__ = False  # no test of pytest's, whatever its name says

    def __call__(self, audios: Any, **kwargs: Any) -> Any:
        """
        Learns domain vectors.

        Args:
            audios: One clip or several, as for [`ZeroShotAudioClassificationPipeline`].
            candidate_labels (`list[str]` or `str`): The labels, two or more; a string is cut at its commas.
            together (`bool`, *optional*, defaults to `False`):
                Learn one vector from all clips (the paper's "five audio"), instead of one from each.
            domain_vector ([`DomainVector`] or path, *optional*): Where to go on from.
            sampling_rate (`int`, *optional*): Rate in Hz of bare arrays; the feature extractor's if not given.
            truncation (`str`, *optional*): What of a long clip the plain prediction hears; the views hear any part.
            batch_size, num_workers (`int`, *optional*): Clips per forward pass; processes that decode.
            kwargs (*optional*): `steps`, `learning_rate` and the other fields of [`AdaptationSettings`].

        Returns:
            For one clip, or with `together=True`, an [`AdaptationResult`]; for several in a list one each; for a
            dataset or generator an iterator over these.

        Raises:
            AudioDecodeError: (a `ValueError`) a clip cannot be used; the message names it.
            ValueError: labels or settings are missing or make no sense, or the vector is of another model.
        """
        if kwargs.get("candidate_labels", self._postprocess_params.get("candidate_labels")) is None:
            raise ValueError('No labels were given. Pass them as `candidate_labels=["rain", "a dog"]`.')
        inputs, eager = as_inputs(audios)
        if not self._together(kwargs):
            outputs = Pipeline.__call__(self, inputs, **kwargs)
            return list(outputs) if eager else outputs
        options = {**self._postprocess_params, **self._sanitize_parameters(**kwargs)[2]}
        clips = Pipeline.__call__(self, inputs, **kwargs)
        clips = [clips] if isinstance(clips, torch.Tensor) else list(clips)
        if not clips:
            raise ValueError("There are no clips to adapt to.")
        return self.adapt_to(clips, **{name: value for name, value in options.items() if name != "together"})

    def encode(self, audios: Any, **kwargs: Any) -> Any:
        """
        Embeds the views of clips, to adapt to several times with `adapt_to`.

        Args:
            audios: As for a call.
            kwargs (*optional*): `views`, `augmentation`, `seed`, `batch_size` and so on.

        Returns:
            `(views, dim)` for one clip, float32 and L2-normalised, the clip itself first; a list or iterator of these
            for several.
        """
        inputs, eager = as_inputs(audios)
        outputs = Pipeline.__call__(self, inputs, **kwargs, together=True)
        return list(outputs) if eager else outputs

    def adapt_to(
        self,
        views: list[torch.Tensor],
        candidate_labels: Any,
        settings: Mapping[str, Any] | None = None,
        domain_vector: Any = None,
    ) -> AdaptationResult:
        """
        Learns one vector for clips whose views are encoded.

        Args:
            views (`list[torch.Tensor]` of shape `(views, dim)` each): From `encode`.
            candidate_labels (`list[str]` or `str`): The labels.
            settings (`dict`, *optional*): Fields of [`AdaptationSettings`].
            domain_vector ([`DomainVector`] or path, *optional*): Where to go on from.
        """
        return adapt(
            self.model,
            self.tokenizer,
            views,
            as_labels(candidate_labels),
            AdaptationSettings(**(settings or {})),
            as_domain_vector(domain_vector),
            fingerprint=self._fingerprint(),
        )

    def _together(self, kwargs: Mapping[str, Any]) -> bool:
        together = kwargs.get("together", self._postprocess_params.get("together", False))
        if not isinstance(together, bool):
            raise ValueError(f"`together` is {together!r}; expected True or False.")
        return together

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        own = {"candidate_labels", "together", "domain_vector", "sampling_rate", "truncation"}
        unknown = sorted(kwargs.keys() - own - SETTINGS)
        if unknown:
            raise ValueError(f"Unknown arguments: {unknown}. Known are {sorted(own | SETTINGS)}.")
        preprocess: dict[str, Any] = {name: kwargs[name] for name in ("sampling_rate", "truncation") if name in kwargs}
        postprocess: dict[str, Any] = {name: kwargs[name] for name in ("together",) if name in kwargs}
        if kwargs.get("candidate_labels") is not None:
            postprocess["candidate_labels"] = as_labels(kwargs["candidate_labels"])
        if "domain_vector" in kwargs:
            postprocess["domain_vector"] = as_domain_vector(kwargs["domain_vector"])
        given = {name: kwargs[name] for name in SETTINGS & kwargs.keys()}
        if given:
            settings = {**getattr(self, "_postprocess_params", {}).get("settings", {}), **given}
            checked = AdaptationSettings(**settings)
            postprocess["settings"] = settings
            preprocess.update(views=checked.views, augmentation=checked.augmentation, seed=checked.seed)
        return preprocess, {}, postprocess

    def preprocess(  # type: ignore[override]
        self,
        audio: Any,
        sampling_rate: int | None = None,
        truncation: str | None = None,
        views: int | None = None,
        augmentation: AfmAugmentation | None = None,
        seed: int = 0,
    ) -> BatchFeature:
        """The clip as the model takes it, and `views` `(1, views - 1, 1, frames, mels)` if there are any."""
        extractor = self.feature_extractor
        if not hasattr(extractor, "window_hop_s"):
            raise ValueError(f"Adaptation needs a feature extractor of this package, not a {type(extractor).__name__}.")
        if is_row(audio) and not audio.keys() & {"array", "raw", "path", "bytes"}:
            audio = clip_of_row(audio)
        how = {name: getattr(extractor, name) for name in ("channels", "resampler", "max_values")}
        waveform = load_audio(audio, extractor.sampling_rate, source_sampling_rate=sampling_rate, **how)
        try:
            features = extract_features(extractor, waveform, extractor.sampling_rate, truncation)
        except AudioDecodeError as error:
            raise AudioDecodeError(describe_source(audio), error.reason, error.hint) from error
        more = (AdaptationSettings.views if views is None else views) - 1
        if more:
            made = (augmentation or AfmAugmentation()).views(torch.from_numpy(waveform), extractor, more, seed)
            features["views"] = made[None]  # (1, views - 1, 1, frames, mels)
        return features.to(self.dtype)

    def _forward(self, model_inputs: Mapping[str, Any]) -> dict[str, torch.Tensor]:  # type: ignore[override]
        """Embeddings of the clips and their views, `(batch, views, dim)`."""
        inputs = dict(model_inputs)
        views = inputs.pop("views", None)
        embeddings = embed_audio(self.model, inputs)[:, None]  # (batch, 1, dim)
        if views is not None:
            parts = views.flatten(0, 1).split(VIEWS_PER_BATCH)  # (batch * (views - 1), 1, frames, mels)
            others = torch.cat([embed_audio(self.model, {"input_features": part}) for part in parts])
            embeddings = torch.cat([embeddings, others.view(*views.shape[:2], -1)], dim=1)
        return {"embeddings": embeddings}

    def postprocess(  # type: ignore[override]
        self,
        model_outputs: Mapping[str, torch.Tensor],
        candidate_labels: tuple[str, ...] = (),
        together: bool = False,
        settings: Mapping[str, Any] | None = None,
        domain_vector: DomainVector | None = None,
    ) -> Any:
        """The views of one clip, `(1, views, dim)` -> what is learned from it, or the views where all wait for all."""
        views = model_outputs["embeddings"][0]
        return views if together else self.adapt_to([views], candidate_labels, settings, domain_vector)

    def classify_features(self, features: Mapping[str, torch.Tensor], **kwargs: Any) -> Any:
        """Not for this task.

        Raises:
            NotImplementedError: always; call the pipeline.
        """
        raise NotImplementedError("This pipeline adapts; call it with clips.")


__all__ = ["TestTimeAdaptationPipeline"]
