"""transformers' own `feature-extraction`, which reads words, and does not take a recording for its name.

It tokenises whatever string it is given: the path of a clip would be read as words, and their states returned as if
they were those of the sound.
"""

import os
from typing import Any

from transformers.pipelines.feature_extraction import FeatureExtractionPipeline as StockPipeline

from ..models.clap_afm.embedding_clap_afm import is_another_of_ours, logit_scale

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".aif", ".aiff", ".au", ".webm", ".wma")


class FeatureExtractionPipeline(StockPipeline):
    """As transformers' own, for all models; audio is refused for those of this package, with what to use instead."""

    def preprocess(self, inputs: Any, **tokenize_kwargs: Any) -> Any:
        """Tokens of a text.

        Raises:
            ValueError: it is a recording, and the model is one of this package.
        """
        if self._is_ours() and _is_recording(inputs):
            raise ValueError(
                f"`feature-extraction` reads words, but was given a recording, {_name(inputs)}. Embed recordings with "
                "`afm_hf.retrieval.ClapEmbedder(model).embed_audio([...])` or `afm-hf embed`; or call "
                "`model.get_audio_features(**feature_extractor([...], return_tensors='pt'))`."
            )
        return super().preprocess(inputs, **tokenize_kwargs)

    def _is_ours(self) -> bool:
        return is_another_of_ours(self.model) or logit_scale(self.model) is not None


def _is_recording(inputs: Any) -> bool:
    """Whether it is no string, or one that names a file; words that name none are words."""
    if isinstance(inputs, list | tuple) and all(isinstance(one, str) for one in inputs):
        return any(map(_is_recording, inputs))
    if not isinstance(inputs, str):
        return True
    return inputs.lower().endswith(SUFFIXES) or (len(inputs) < 4096 and os.path.isfile(inputs))


def _name(inputs: Any) -> str:
    return repr(inputs) if isinstance(inputs, str) else f"a {type(inputs).__name__}"


__all__ = ["FeatureExtractionPipeline"]
