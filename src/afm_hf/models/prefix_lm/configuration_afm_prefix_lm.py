"""What the configurations of CLAPCAP, Pengi, ADIFF and Mellow have in common."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig
from transformers.configuration_utils import SubConfigSpec

from ..common.configuration_afm_common import AfmConfig
from ..encoders.configuration_afm_encoders import EncoderConfigSpec


@strict
class AfmPrefixLMConfig(AfmConfig):
    r"""
    Audio encoder, language model and the token between them.

    Args:
        audio_config (`dict` or `PreTrainedConfig`, *optional*): The audio encoder; HTSAT by default.
        text_config (`dict` or `PreTrainedConfig`, *optional*):
            The language model; GPT-2 by default. Its `vocab_size` counts the added placeholder row.
        audio_token_id (`int`, *optional*):
            Id of the placeholder that the prefix replaces; the last row of the vocabulary if not given.
        pad_token_id (`int`, *optional*): Padding of batches.
        tie_word_embeddings (`bool`, *optional*, defaults to `True`): Whether the head is the word table.
    """

    sub_configs_defaults = {
        "audio_config": EncoderConfigSpec(config_class=AutoConfig, model_type="afm_htsat"),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="gpt2", init_kwargs={"vocab_size": 50258}),
    }

    audio_config: Any = None
    text_config: Any = None
    audio_token_id: int | None = None
    pad_token_id: int | None = None
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if self.audio_token_id is None:
            self.audio_token_id = self.text_config.vocab_size - 1
        if not 0 <= self.audio_token_id < self.text_config.vocab_size:
            raise ValueError(
                f"`audio_token_id` is {self.audio_token_id}, but `text_config.vocab_size` is only "
                f"{self.text_config.vocab_size}."
            )

    @property
    def hidden_size(self) -> int:
        """Width of the language model, and so of a prefix vector."""
        return self.text_config.hidden_size

    @property
    def vocab_size(self) -> int:
        """Words of the language model and the placeholder."""
        return self.text_config.vocab_size

    @property
    def prefix_parts(self) -> dict[str, tuple[int, int]]:
        """What the prefix vectors stand for: the name of each part, its first vector and the one behind its last."""
        spans, start = {}, 0
        for name, length in self._part_lengths().items():
            spans[name] = (start, start + length)
            start += length
        return spans

    @property
    def num_placeholders(self) -> int:
        """Prefix vectors of an example, each of which takes the place of a placeholder."""
        return sum(self._part_lengths().values())

    def _part_lengths(self) -> dict[str, int]:
        """Vectors of each part of the prefix, in its order."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its prefix consists of.")


__all__ = ["AfmPrefixLMConfig"]
