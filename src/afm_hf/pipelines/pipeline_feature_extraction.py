"""transformers' own `feature-extraction`, which here hears recordings, too.

The stock one tokenises whatever string it is given: the path of a clip would be read as words. For models of this
package a recording is decoded by the package's reader, without ffmpeg; what is no recording is words, as ever.
"""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from transformers import AutoTokenizer
from transformers.pipelines.feature_extraction import FeatureExtractionPipeline as StockPipeline
from transformers.pipelines.pt_utils import PipelineIterator

from ..audio.audio_samples import refuse_misnamed_rate
from ..models.clap_afm.embedding_clap_afm import (
    embed_audio,
    extract_features,
    is_another_of_ours,
    logit_scale,
    unit_rows,
)
from ..models.common.feature_extraction_afm import TRUNCATIONS
from .pipeline_audio_inputs import as_inputs, collate_features, load_batches

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".aif", ".aiff", ".au", ".webm", ".wma")
WORDS = "input_ids"


class FeatureExtractionPipeline(StockPipeline):
    """
    Features of words, as transformers' own gives them; for models of this package also those of recordings.

    Example:
    ```python
    >>> import afm_hf
    >>> from transformers import pipeline

    >>> embed = pipeline("feature-extraction", model=str(afm_hf.bundled_model("clap-small")))
    >>> clip, words = str(afm_hf.bundled_audio()[0]), "a sound"
    >>> tuple(embed(clip, return_tensors=True).shape), tuple(embed(words, return_tensors=True).shape)
    ((1, 384), (1, 384))

    ```
    """

    # What there is of the two: an encoder has no tokenizer, a model of words no feature extractor.
    _load_tokenizer = None
    _load_feature_extractor = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not self._is_ours():
            self.feature_extractor = None  # as in the stock one, which does not load it
            if kwargs.get("tokenizer") is None:
                self.tokenizer: Any = AutoTokenizer.from_pretrained(self.model.name_or_path)  # says why there is none

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """
        Features of recordings or of words.

        Args:
            args:
                One input, or several in a list, a `Dataset` or a generator. A recording is a path with the suffix of
                one or of an existing file, a URL, bytes, samples, `{"array", "sampling_rate"}`, a row or decoder of
                `datasets`; any other string is words. Models of others read words alone.
            truncation (`bool` or `str`, *optional*):
                What of a long recording is heard (`"first"`, `"center"`, `"random"` or all `"windows"`), or what the
                tokenizer takes.
            sampling_rate (`int`, *optional*): Rate in Hz of bare samples; the feature extractor's if not given.
            tokenize_kwargs (`dict`, *optional*): For the tokenizer.
            return_tensors (`bool`, *optional*): Tensors, not lists.
            batch_size, num_workers (`int`, *optional*): Inputs per forward pass; processes that decode.

        Returns:
            For each input a tensor, or nested list, with a first dimension of 1: of a CLAP the embedding in the space
            that audio and text share, `(1, projection_dim)`, L2-normalised, float32; of other models the last hidden
            states, `(1, steps, hidden)`, of their audio encoder or of the words.

        Raises:
            AudioDecodeError: (a `ValueError`) a clip cannot be used; the message names it.
            ValueError: the model has no feature extractor or tokenizer for what was given, or a batch mixes both.
        """
        if not self._is_ours():
            return super().__call__(*args, **kwargs)
        inputs, eager = as_inputs(args[0] if args else kwargs.pop("inputs"))
        outputs = super().__call__(inputs, *args[1:], **kwargs)
        return list(outputs) if eager else outputs

    def _sanitize_parameters(
        self, truncation: Any = None, sampling_rate: int | None = None, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        refuse_misnamed_rate(kwargs.keys())
        heard = truncation if isinstance(truncation, str) and truncation in TRUNCATIONS else None
        preprocess, forward, postprocess = super()._sanitize_parameters(
            truncation=None if heard else truncation, **kwargs
        )
        own = {"heard": heard, "sampling_rate": sampling_rate}
        return {**preprocess, **{name: value for name, value in own.items() if value is not None}}, forward, postprocess

    def preprocess(
        self, inputs: Any, heard: str | None = None, sampling_rate: int | None = None, **tokenize_kwargs: Any
    ) -> Any:
        """The model's inputs of a recording, or the tokens of words.

        Raises:
            ValueError: the model has not what it takes.
        """
        if not self._is_ours() or not _is_recording(inputs):
            if self.tokenizer is None:
                raise ValueError(f"{inputs!r} are words, but {type(self.model).__name__} has no tokenizer.")
            return super().preprocess(inputs, **tokenize_kwargs)
        if self.feature_extractor is None:
            raise ValueError(
                f"{_name(inputs)} is a recording, but there is no feature extractor to hear it: pass "
                "`feature_extractor=AutoFeatureExtractor.from_pretrained(...)` to `pipeline`."
            )
        return extract_features(self.feature_extractor, inputs, sampling_rate, heard).to(self.dtype)

    def _forward(self, model_inputs: Mapping[str, Any]) -> Any:
        if not self._is_ours():
            return super()._forward(model_inputs)
        inputs = dict(model_inputs)
        if logit_scale(self.model) is not None:
            words = WORDS in inputs
            found = unit_rows(self.model.get_text_features(**inputs)) if words else embed_audio(self.model, inputs)
        elif WORDS not in inputs and hasattr(self.model, "get_audio_features"):
            found = self.model.get_audio_features(**inputs).last_hidden_state
        else:
            found = self.model(**inputs)[0]
        return {"features": found}

    def postprocess(self, model_outputs: Any, return_tensors: bool = False) -> Any:
        """A tensor, or what it holds as nested lists."""
        if self._is_ours():
            model_outputs = (model_outputs["features"],)
        return super().postprocess(model_outputs, return_tensors)

    def get_iterator(
        self,
        inputs: Any,
        num_workers: int,
        batch_size: int,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> PipelineIterator:
        """As in the base class, but for the batching of clips of several windows."""
        arguments = (inputs, num_workers, batch_size, preprocess_params, forward_params, postprocess_params)
        if not self._is_ours():
            return super().get_iterator(*arguments)
        process = partial(self.preprocess, **preprocess_params)
        loader = load_batches(inputs, process, self._collate, batch_size, num_workers)
        batches = PipelineIterator(loader, self.forward, forward_params, loader_batch_size=batch_size)
        return PipelineIterator(batches, self.postprocess, postprocess_params)

    def _collate(self, items: Sequence[Any]) -> dict[str, Any]:
        of_words = {WORDS in item for item in items}
        if of_words == {False}:
            return collate_features(items)
        if of_words == {True, False}:
            raise ValueError("A batch holds recordings and words; give them apart, or with `batch_size=1`.")
        rows = [{name: row for name, (row,) in item.items()} for item in items]
        return dict(self.tokenizer.pad(rows, return_tensors="pt")) if len(rows) > 1 else dict(items[0])

    def _is_ours(self) -> bool:
        return is_another_of_ours(self.model) or logit_scale(self.model) is not None


def _is_recording(inputs: Any) -> bool:
    """Whether it is no string, or one that names a file or is a URL; words that name none are words."""
    if not isinstance(inputs, str):
        return True
    if inputs.lower().endswith(SUFFIXES) or (inputs.startswith(("https://", "http://")) and not inputs.count(" ")):
        return True
    return len(inputs) < 4096 and os.path.isfile(inputs)


def _name(inputs: Any) -> str:
    return repr(inputs) if isinstance(inputs, str) else f"A {type(inputs).__name__}"


__all__ = ["FeatureExtractionPipeline"]
