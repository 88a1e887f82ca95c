"""Configurations of Microsoft's CLAP: two encoders, each with its projection into one space."""

import math
import os
from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig
from transformers.configuration_utils import SubConfigSpec

from ..common.configuration_afm_common import AfmConfig
from ..encoders.configuration_afm_encoders import EncoderConfigSpec
from .sentence_files_clap_afm import write_sentence_files

PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")


@strict
class ClapAfmAudioConfig(AfmConfig):
    r"""Configuration of CLAP's audio tower.

    Args:
        encoder_config (`dict` or `PreTrainedConfig`, *optional*):
            The encoder: [`AfmHtsatConfig`] (the default, CLAP 2023), [`AfmCnn14Config`] (CLAP 2022), or another one
            whose model takes `input_features` and gives a `pooler_output`.
        projection_dim (`int`, *optional*, defaults to 1024):
            Width of the shared space.
        projection_dropout (`float`, *optional*, defaults to 0.5):
            Dropout in the projection.
    """

    model_type = "clap_afm_audio_model"
    base_config_key = "audio_config"
    sub_configs_defaults = {"encoder_config": EncoderConfigSpec(config_class=AutoConfig, model_type="afm_htsat")}

    encoder_config: Any = None
    projection_dim: int = 1024
    projection_dropout: float | int = 0.5

    @property
    def hidden_size(self) -> int:
        """Width of the encoder's embedding, before the projection."""
        return self.encoder_config.hidden_size

    @property
    def num_hidden_layers(self) -> int:
        """Stages or blocks of the encoder."""
        return self.encoder_config.num_hidden_layers


@strict
class ClapAfmTextConfig(AfmConfig):
    r"""Configuration of CLAP's text tower.

    Args:
        encoder_config (`dict` or `PreTrainedConfig`, *optional*):
            Any text encoder or decoder that `AutoModel` knows; GPT-2 (CLAP 2023) by default, BERT for CLAP 2022.
        pooling (`str`, *optional*, defaults to `"last_token"`):
            Which state is the sentence: `"last_token"`, the last one that the attention mask keeps (CLAP 2023);
            `"cls"`, the first one (CLAP 2022); `"mean"` of the kept ones; or `"last_nonzero_token"`, the official rule
            of CLAP 2023: position `count(input_ids != 0) - 1`. As id 0 is GPT-2's `!`, a caption with an exclamation
            mark is pooled too early by it.
        projection_dim (`int`, *optional*, defaults to 1024):
            Width of the shared space.
        projection_dropout (`float`, *optional*, defaults to 0.5):
            Dropout in the projection.
    """

    model_type = "clap_afm_text_model"
    base_config_key = "text_config"
    sub_configs_defaults = {"encoder_config": SubConfigSpec(config_class=AutoConfig, model_type="gpt2")}

    encoder_config: Any = None
    # Parity: the released code pools at "last_nonzero_token".
    pooling: Literal["last_token", "cls", "mean", "last_nonzero_token"] = "last_token"
    projection_dim: int = 1024
    projection_dropout: float | int = 0.5

    @property
    def hidden_size(self) -> int:
        """Width of the encoder's states, before the projection."""
        return self.encoder_config.hidden_size

    @property
    def num_hidden_layers(self) -> int:
        """Layers of the encoder."""
        return self.encoder_config.num_hidden_layers

    @property
    def vocab_size(self) -> int:
        """Tokens of the encoder's vocabulary."""
        return self.encoder_config.vocab_size

    @vocab_size.setter
    def vocab_size(self, value: int) -> None:
        self.encoder_config.vocab_size = value  # by `resize_token_embeddings`


@strict
class ClapAfmConfig(AfmConfig):
    r"""Configuration of a [`ClapAfmModel`].

    Args:
        audio_config (`dict` or [`ClapAfmAudioConfig`], *optional*): The audio tower.
        text_config (`dict` or [`ClapAfmTextConfig`], *optional*): The text tower.
        logit_scale_init_value (`float`, *optional*, defaults to ln(1 / 0.07)):
            Start of the learned temperature: similarities are multiplied by `exp(logit_scale)`. (The papers say
            "0.007"; the released code and weights say 0.07.)
        classifier_layers (`int`, *optional*, defaults to 1):
            Linear layers of [`ClapAfmForAudioClassification`]: 1 or 3, the papers' `Freeze_L1` and `Freeze_L3`.
        classifier_dropout (`float`, *optional*, defaults to 0.0):
            Dropout before each of these layers.
        problem_type (`str`, *optional*):
            Loss and scores of [`ClapAfmForAudioClassification`]: `"regression"`, `"single_label_classification"` or
            `"multi_label_classification"`. If not given, the first labels say.

    Example:
    ```python
    >>> from afm_hf import AfmCnn14Config, ClapAfmAudioConfig, ClapAfmConfig, ClapAfmTextConfig
    >>> from transformers import BertConfig

    >>> clap_2023 = ClapAfmConfig()
    >>> clap_2022 = ClapAfmConfig(
    ...     audio_config=ClapAfmAudioConfig(encoder_config=AfmCnn14Config()),
    ...     text_config=ClapAfmTextConfig(encoder_config=BertConfig(), pooling="cls"),
    ... )

    ```
    """

    model_type = "clap_afm"
    sub_configs_defaults = {
        "audio_config": SubConfigSpec(config_class=ClapAfmAudioConfig),
        "text_config": SubConfigSpec(config_class=ClapAfmTextConfig),
    }

    audio_config: Any = None
    text_config: Any = None
    logit_scale_init_value: float | int = math.log(1 / 0.07)
    classifier_layers: Literal[1, 3] = 1
    classifier_dropout: float | int = 0.0
    # `Trainer` must not gather the towers' outputs in evaluation, nor the logits: between a batch's own pairs alone,
    # they make no matrix of the whole set. The embeddings, which are left, do.
    keys_to_ignore_at_inference = ["text_model_output", "audio_model_output", "logits_per_audio", "logits_per_text"]

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        check_problem_type(self.problem_type)
        if self.audio_config.projection_dim != self.text_config.projection_dim:
            raise ValueError(
                "Both towers project into one space, but `audio_config.projection_dim` is "
                f"{self.audio_config.projection_dim} and `text_config.projection_dim` is "
                f"{self.text_config.projection_dim}."
            )

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """As everywhere; beside the config of a [`ClapAfmModel`], what sentence-transformers asks for.

        A model writes its config before transformers looks for what is to be pushed, so they are pushed, too.
        """
        super().save_pretrained(save_directory, **kwargs)
        if "ClapAfmModel" in (self.architectures or ()):
            write_sentence_files(save_directory)

    @property
    def projection_dim(self) -> int:
        """Width of the shared space."""
        return self.audio_config.projection_dim

    @property
    def hidden_size(self) -> int:
        """Width of the shared space (the name that sharding plans look for)."""
        return self.audio_config.projection_dim


def check_problem_type(problem_type: Any) -> None:
    """Raises a `ValueError` unless it is None or one of `PROBLEM_TYPES`."""
    if problem_type is not None and problem_type not in PROBLEM_TYPES:
        raise ValueError(f"`problem_type` is {problem_type!r}; expected one of {', '.join(map(repr, PROBLEM_TYPES))}.")


__all__ = ["PROBLEM_TYPES", "ClapAfmAudioConfig", "ClapAfmConfig", "ClapAfmTextConfig", "check_problem_type"]
