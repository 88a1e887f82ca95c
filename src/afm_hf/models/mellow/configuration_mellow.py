"""Configuration of Mellow."""

from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig
from transformers.configuration_utils import SubConfigSpec

from ..encoders.configuration_afm_encoders import EncoderConfigSpec
from ..prefix_lm.configuration_afm_prefix_lm import AfmPrefixLMConfig

# SmolLM2-135M, and one row for the placeholder.
SMOLLM2 = {
    "vocab_size": 49153,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


@strict
class MellowConfig(AfmPrefixLMConfig):
    r"""
    Configuration of a [`MellowForCausalLM`]; see [`AfmPrefixLMConfig`] for the parts not named here.

    The paper's ablations are `text_config={"model_type": "gpt2", "vocab_size": 50258}`, the values of `projection`,
    and `audio_config={"model_type": "afm_cnn14", "use_clipwise_head": True}`.

    Args:
        audio_config (`dict` or `PreTrainedConfig`, *optional*):
            HTSAT or several ears with `use_framewise_head`, YAMNet, or Cnn14 with `use_clipwise_head`.
        text_config (`dict` or `PreTrainedConfig`, *optional*): SmolLM2-135M by default.
        projection (`str`, *optional*, defaults to `"mlp"`):
            How audio vectors get the width of the language model: `"mlp"` as released ([`AfmProjection`]), `"linear"`,
            or `"transformer"`, which lets a transformer run over the pooled vectors of a clip after a linear layer.
        projection_dropout (`float`, *optional*, defaults to 0.5): Dropout of the `"mlp"`.
        projection_layers, projection_heads (`int`, *optional*, default to 4 and 8): Of the `"transformer"`.
        clip_vector (`str`, *optional*, defaults to `"embedding"`):
            What stands for the whole clip where the encoder gives class probabilities frame by frame: its embedding, as
            released, or `"classes"`, the mean of the probabilities. An embedding tells few training clips apart too
            well, and a language model then trusts it in vain.
        downsampling (`int`, *optional*):
            Frame vectors that are averaged to one. By default 8 with HTSAT, which has 1024 for a clip, and otherwise 1.
        clip_frames (`int`, *optional*, defaults to 1001):
            Log-mel frames of a clip, as the feature extractor makes them (10 s at 32 kHz). Cnn14 gives as many vectors
            as they have steps, YAMNet as they have patches; HTSAT stretches every clip to its `max_frames`, and several
            ears have their own number, so they do not read this.

    Raises:
        ValueError: if the encoder lacks the head that Mellow hears through, or `downsampling` leaves no vector.
    """

    model_type = "afm_mellow"
    sub_configs_defaults = {
        "audio_config": EncoderConfigSpec(
            config_class=AutoConfig, model_type="afm_htsat", init_kwargs={"use_framewise_head": True}
        ),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="llama", init_kwargs=SMOLLM2),
    }

    projection: Literal["mlp", "linear", "transformer"] = "mlp"
    projection_dropout: float | int = 0.5
    projection_layers: int = 4
    projection_heads: int = 8
    clip_vector: Literal["embedding", "classes"] = "embedding"
    downsampling: int | None = None
    clip_frames: int = 1001

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        self._check_encoder()
        if self.downsampling is None:
            self.downsampling = 8 if self._stretches_clips else 1
        if not 0 < self.downsampling <= self.encoder_frames:
            raise ValueError(
                f"`downsampling` is {self.downsampling}; it must be between 1 and the encoder's "
                f"{self.encoder_frames} frames."
            )

    def _check_encoder(self) -> None:
        if self.clip_vector == "classes" and not self.hears_framewise:
            raise ValueError('`clip_vector="classes"` needs an encoder that gives class probabilities frame by frame.')
        if self.hears_framewise or getattr(self.audio_config, "use_clipwise_head", False):
            return
        raise ValueError(
            "Mellow hears class probabilities: the frames' of HTSAT, YAMNet or several ears, or the clip's of Cnn14. "
            f"But its `audio_config` (model type {self.audio_config.model_type!r}) has no frame-wise head and no "
            "clip-wise one; use `AfmHtsatConfig(use_framewise_head=True)`, `AfmEarsConfig(..., "
            "use_framewise_head=True)`, `AfmYamnetConfig()` or `AfmCnn14Config(use_clipwise_head=True)`."
        )

    @property
    def hears_framewise(self) -> bool:
        """Whether the frames' class probabilities are heard, or the clip's and the last feature map (Cnn14)."""
        return bool(getattr(self.audio_config, "use_framewise_head", False))

    @property
    def _stretches_clips(self) -> bool:
        """Whether the encoder has the same number of frames for every clip (HTSAT)."""
        return hasattr(self.audio_config, "max_frames")

    @property
    def encoder_width(self) -> int:
        """Width of the encoder's vectors before the projection."""
        return int(self.audio_config.hidden_size if self.hears_framewise else self.audio_config.block_channels[-1])

    @property
    def encoder_frames(self) -> int:
        """Vectors that the encoder gives beside that of the whole clip."""
        if self._stretches_clips:
            return int(self.audio_config.max_frames)
        return int(self.audio_config.num_steps(self.clip_frames))

    @property
    def audio_length(self) -> int:
        """Vectors of one clip: one for the whole, and the pooled frames."""
        return 1 + self.encoder_frames // (self.downsampling or 1)

    def _part_lengths(self) -> dict[str, int]:
        return {"first audio": self.audio_length, "second audio": self.audio_length}


__all__ = ["MellowConfig"]
