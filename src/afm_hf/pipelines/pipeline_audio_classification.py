"""Audio classification with a trained classifier, for example [`ClapAfmForAudioClassification`].

transformers' own pipeline, whose files go through the ffmpeg program and whose other rates through torchaudio. For
models with a feature extractor of this package audio is decoded and resampled by that, in any form; for all others
everything is as it was.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from transformers.feature_extraction_utils import BatchFeature
from transformers.pipelines.audio_classification import AudioClassificationPipeline as StockPipeline
from transformers.pipelines.pt_utils import PipelineIterator
from transformers.utils import logging

from ..models.clap_afm.embedding_clap_afm import extract_features
from .pipeline_audio_inputs import as_inputs, collate_features, load_batches

logger = logging.get_logger(__name__)

OWN_ARGUMENTS = ("sampling_rate", "truncation")
FUNCTIONS = {"regression": "none", "multi_label_classification": "sigmoid"}  # by the config's problem_type
ARGUMENTS = (*OWN_ARGUMENTS, "top_k", "function_to_apply")


class AudioClassificationPipeline(StockPipeline):
    """
    Classes of clips with their scores.

    Example:
    ```python
    >>> import afm_hf
    >>> from afm_hf.adaptation.few_shot import fit_linear_probe
    >>> from transformers import AutoModel, AutoProcessor, pipeline

    >>> folder, clips = afm_hf.bundled_model("clap-small"), [str(clip) for clip in afm_hf.bundled_audio()[:4]]
    >>> model, processor = AutoModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    >>> fit = fit_linear_probe(model, processor, clips, ["indoors", "indoors", "outdoors", "outdoors"])
    >>> tell = pipeline("audio-classification", model=fit.model, feature_extractor=processor.feature_extractor)
    >>> sorted(entry["label"] for entry in tell(clips[0]))
    ['indoors', 'outdoors']

    ```
    """

    def __call__(self, inputs: Any, **kwargs: Any) -> Any:
        """
        Classifies clips.

        Args:
            inputs:
                One clip: a path, URL, bytes, file object, samples `(samples,)` or `(channels, samples)`,
                `{"array", "sampling_rate"}`, a decoder or item of `datasets`. Or several: a list of clips, a column of
                `datasets`, a `Dataset`, a generator. (What transformers' own feature extractors may be given, it says.)
            top_k (`int`, *optional*): How many of the best classes to return; all if not given.
            function_to_apply (`str`, *optional*):
                `"softmax"`, `"sigmoid"` or `"none"`; by default what the config's `problem_type` asks for, and none for
                a model of one output.
            sampling_rate (`int`, *optional*): Rate in Hz of bare arrays; the feature extractor's if not given.
            truncation (`str`, *optional*):
                What of a long clip is heard: `"first"`, `"center"`, `"random"` or all `"windows"`; the feature
                extractor's own setting if not given.
            batch_size, num_workers (`int`, *optional*): Clips per forward pass; processes that decode.

        Returns:
            For one clip a list of `{"score": float, "label": str}`, best first; for several in a list such a list per
            clip; for a dataset or generator an iterator over these.

        Raises:
            AudioDecodeError: (a `ValueError`) a clip cannot be used; the message names it.
            ValueError: a setting makes no sense.
        """
        if not self._decodes():
            return super().__call__(inputs, **kwargs)
        inputs, eager = as_inputs(inputs)
        outputs = super().__call__(inputs, **kwargs)
        return list(outputs) if eager else outputs

    def _decodes(self) -> bool:
        """Whether the feature extractor is one of this package, which takes audio in any form."""
        return hasattr(self.feature_extractor, "window_hop_s")

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        own = {name: kwargs.pop(name) for name in OWN_ARGUMENTS if name in kwargs}
        if own and not self._decodes():
            raise ValueError(
                f"{', '.join(f'`{name}`' for name in own)}: {type(self.feature_extractor).__name__} takes none; give "
                '`{"array": ..., "sampling_rate": ...}`.'
            )
        if unknown := sorted(kwargs.keys() - set(ARGUMENTS)):
            logger.warning(f"Ignoring the unknown arguments {unknown}; known are {sorted(ARGUMENTS)}.")
        preprocess, forward, postprocess = super()._sanitize_parameters(**kwargs)
        if kwargs.get("function_to_apply") is None:  # transformers 5.20 says softmax here, whatever the config says
            postprocess.pop("function_to_apply", None)
        return {**preprocess, **own}, forward, postprocess

    def preprocess(self, inputs: Any, sampling_rate: int | None = None, truncation: str | None = None) -> BatchFeature:
        """The model's inputs for one clip, in the model's dtype."""
        if not self._decodes():
            return super().preprocess(inputs)
        return extract_features(self.feature_extractor, inputs, sampling_rate, truncation).to(self.dtype)

    def postprocess(self, model_outputs: Any, top_k: int = 5, function_to_apply: str | None = None) -> Any:
        """Logits `(1, classes)` -> classes with scores, best first."""
        config = self.model.config
        if function_to_apply is None:
            # A softmax over one output says 1, whatever it is.
            usual = "none" if config.problem_type is None and config.num_labels == 1 else "softmax"
            function_to_apply = FUNCTIONS.get(config.problem_type, usual)
        return super().postprocess(model_outputs, top_k, function_to_apply)

    def get_iterator(
        self,
        inputs: Any,
        num_workers: int,
        batch_size: int,
        preprocess_params: Mapping[str, Any],
        forward_params: Mapping[str, Any],
        postprocess_params: Mapping[str, Any],
    ) -> PipelineIterator:
        """As in the base class, but for the batching of clips of several windows."""
        if not self._decodes():
            return super().get_iterator(
                inputs, num_workers, batch_size, preprocess_params, forward_params, postprocess_params
            )
        loader = load_batches(
            inputs, partial(self.preprocess, **preprocess_params), collate_features, batch_size, num_workers
        )
        batches = PipelineIterator(loader, self.forward, forward_params, loader_batch_size=batch_size)
        return PipelineIterator(batches, self.postprocess, postprocess_params)


__all__ = ["AudioClassificationPipeline"]
