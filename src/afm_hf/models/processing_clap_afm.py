"""Processor of CLAP: audio through the feature extractor, text through the tokenizer."""

from typing import Any

from transformers.processing_utils import ProcessorMixin


class ClapAfmProcessor(ProcessorMixin):
    r"""Joins a [`ClapAfmFeatureExtractor`] and a tokenizer.

    The tokenizer of a converted or bundled checkpoint already appends what its text tower needs (` <|endoftext|>` for
    GPT-2), so captions go in as they are.

    Example:
    ```python
    >>> import numpy as np
    >>> from afm_hf import bundled_model
    >>> from transformers import AutoProcessor

    >>> processor = AutoProcessor.from_pretrained(bundled_model("clap-tiny"))
    >>> silence = np.zeros(16000, dtype=np.float32)
    >>> inputs = processor(audio=[silence], text=["silence"], sampling_rate=16000, return_tensors="pt")
    >>> sorted(inputs)
    ['attention_mask', 'input_features', 'input_ids']

    ```
    """

    def __init__(self, feature_extractor: Any, tokenizer: Any) -> None:
        super().__init__(feature_extractor, tokenizer)

    def prepare_inputs_layout(self, audio: Any = None, **kwargs: Any) -> tuple[Any, Any, Any, Any]:
        """As everywhere, but for audio: files are left to the feature extractor, which decodes and resamples them."""
        images, text, videos, _ = super().prepare_inputs_layout(**kwargs)
        return images, text, videos, audio


__all__ = ["ClapAfmProcessor"]
