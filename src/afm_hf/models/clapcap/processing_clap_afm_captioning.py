"""Processor of CLAPCAP."""

from ..prefix_lm.processing_afm_prefix_lm import AfmPrefixLMProcessor


class ClapAfmCaptioningProcessor(AfmPrefixLMProcessor):
    r"""
    Joins a [`ClapAfmFeatureExtractor`] and GPT-2's tokenizer; see [`AfmPrefixLMProcessor`].

    CLAPCAP reads no prompt: `text` (or `add_text`) is what the caption begins with.
    """


__all__ = ["ClapAfmCaptioningProcessor"]
