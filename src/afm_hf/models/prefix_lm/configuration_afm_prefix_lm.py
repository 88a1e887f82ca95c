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
        vocab_size (`int`, *optional*): That of `text_config`, which keeps it.
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
        vocab_size = kwargs.pop("vocab_size", None)
        super().__post_init__(**kwargs)
        if vocab_size is not None:
            self.vocab_size = vocab_size
        if self.audio_token_id is None:
            self.audio_token_id = self.text_config.vocab_size - 1
        self.check_placeholder()

    def check_placeholder(self) -> None:
        """
        Whether the placeholder has a row in the vocabulary.

        Raises:
            ValueError: if not.
        """
        if self.audio_token_id is None or not 0 <= self.audio_token_id < self.text_config.vocab_size:
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

    @vocab_size.setter
    def vocab_size(self, value: int) -> None:
        self.text_config.vocab_size = value

    @property
    def max_position_embeddings(self) -> int | None:
        """Tokens that the language model has places for; `None` where its config says nothing."""
        places = getattr(self.text_config, "max_position_embeddings", None)
        return places if isinstance(places, int) and places > 0 else None

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
