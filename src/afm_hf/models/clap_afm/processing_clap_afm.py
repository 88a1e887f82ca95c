"""Processor of CLAP: audio through the feature extractor, text through the tokenizer."""

from collections.abc import Sequence
from typing import Any

from transformers.feature_extraction_utils import BatchFeature
from transformers.processing_utils import ProcessingKwargs, ProcessorMixin

from ...audio.audio_folders import names_audio
from ..common.batch_afm import AfmBatchFeature
from ..common.processing_afm import with_audio_apart
from ..common.repo_code_afm import OwnCode


class ClapAfmProcessor(OwnCode, ProcessorMixin):
    r"""Joins a [`ClapAfmFeatureExtractor`] and a tokenizer.

    The tokenizer of a converted or bundled checkpoint already appends what its text tower needs (` <|endoftext|>` for
    GPT-2), so captions go in as they are.

    Example:
    ```python
    >>> import numpy as np
    >>> from afm_hf import bundled_model
    >>> from transformers import AutoProcessor

    >>> processor = AutoProcessor.from_pretrained(bundled_model("clap-small"))
    >>> hiss = np.random.default_rng(0).normal(scale=0.1, size=16000)
    >>> inputs = processor(audio=[hiss], text=["hiss"], sampling_rate=16000, return_tensors="pt")
    >>> sorted(inputs)
    ['attention_mask', 'input_features', 'input_features_mask', 'input_ids']

    ```
    """

    def __init__(self, feature_extractor: Any, tokenizer: Any) -> None:
        super().__init__(feature_extractor, tokenizer)

    def __call__(self, text: str | Sequence[str] | None = None, audio: Any = None, **kwargs: Any) -> BatchFeature:
        r"""Makes the inputs of a model from texts, audio, or both.

        Args:
            text (`str` or `list[str]`, *optional*): One text or several.
            audio (*optional*): One clip or a list of clips; see [`AfmFeatureExtractor`] for what a clip may be.
            kwargs (*optional*):
                `sampling_rate`, `max_length_s`, `channels`, `resampler`, `generator` and `device` go to the feature
                extractor. `padding` and `truncation` go to the tokenizer, or to the feature extractor if they are words
                that only it knows (`"repeat"`, `"windows"`, ...). `max_length` and the like go to the tokenizer,
                `return_tensors` to both. `text_kwargs` and `audio_kwargs` are dictionaries for one side,
                `common_kwargs` for both.

        Returns:
            [`BatchFeature`] with what the tokenizer and the feature extractor give.

        Raises:
            ValueError: if neither text nor audio is given, a setting is unknown or given twice, or a text is the name
                of a recording.
        """
        _refuse_recordings(text)
        arguments, generator = with_audio_apart(kwargs)
        inputs: dict[str, Any] = {}
        if text is not None or audio is None:
            inputs.update(super().__call__(text=text, **arguments))
        if audio is not None:
            defaults = self.tokenizer.init_kwargs
            merged = self._merge_kwargs(ProcessingKwargs, tokenizer_init_kwargs=defaults, **arguments)
            inputs.update(self.feature_extractor(audio, generator=generator, **merged["audio_kwargs"]))
        return AfmBatchFeature(inputs)

    def prepare_inputs_layout(self, audio: Any = None, **kwargs: Any) -> tuple[Any, Any, Any, Any]:
        """As everywhere, but for audio: files are left to the feature extractor, which decodes and resamples them."""
        images, text, videos, _ = super().prepare_inputs_layout(**kwargs)
        return images, text, videos, audio


def _refuse_recordings(text: Any) -> None:
    """Who tells clips from words by the ending of a string, as sentence-transformers does, knows only some endings."""
    for index, one in enumerate([text] if isinstance(text, str) else text or ()):
        if isinstance(one, str) and names_audio(one):
            raise ValueError(
                f"text[{index}] is {one!r}, the name of a recording: its letters would be embedded, and not its sound. "
                "Give it as `audio` (to sentence-transformers as {'audio': ...}). If there is no such file, look at "
                "the path."
            )


__all__ = ["ClapAfmProcessor"]
