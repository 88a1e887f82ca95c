"""Which audio encoder a model stands on: one of this package's, several together, or any that transformers knows."""

from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from ..cnn14.configuration_afm_cnn14 import AfmCnn14Config
from ..common.configuration_afm_common import AfmConfig
from ..effects_cnn.configuration_afm_effects_cnn import AfmEffectsCnnConfig
from ..htsat.configuration_afm_htsat import AfmHtsatConfig
from ..speech_encoder.configuration_afm_speech_encoder import AfmSpeechEncoderConfig
from ..yamnet.configuration_afm_yamnet import AfmYamnetConfig

SINGLE: dict[str, type[PreTrainedConfig]] = {
    config.model_type: config
    for config in (AfmHtsatConfig, AfmCnn14Config, AfmSpeechEncoderConfig, AfmYamnetConfig, AfmEffectsCnnConfig)
}

# Of a config, what is not about the encoder.
ABOUT_THE_FILE = ("transformers_version", "_name_or_path", "architectures")


def _settings(ear: PreTrainedConfig | dict[str, Any]) -> dict[str, Any]:
    """An encoder's settings that are not the default, with its `model_type`."""
    settings = ear.to_diff_dict() if isinstance(ear, PreTrainedConfig) else ear
    return {name: value for name, value in settings.items() if name not in ABOUT_THE_FILE}


# Ears whose embedding of a clip is the mean of embeddings of the same width at steps in time. They are known by their
# type and not by their class, of which there are two where model and processor are loaded with the code of a Hub repo.
STEPPING = (AfmYamnetConfig.model_type, AfmEffectsCnnConfig.model_type)


@strict
class AfmEarsConfig(AfmConfig):
    r"""Configuration of an [`AfmEarsModel`]: several encoders that hear the same clip.

    WavText5K's model hears with two; so does every ablation that asks what a second ear adds.

    Args:
        ears (`list[dict]` or `list[PreTrainedConfig]`, *optional*):
            The encoders' configs, in the order of their embeddings; a YAMNet alone if not given.
        frames (`list[int]`, *optional*):
            How many frames of the features each of them reads; see [`AfmEarsFeatureExtractor`].
        use_framewise_head (`bool`, *optional*, defaults to `False`):
            Whether a classifier over all ears exists, which gives the classes' probabilities at every step in time.
            Mellow hears through it.
        num_classes (`int`, *optional*, defaults to 521): Classes of that head.
        head_dim (`int`, *optional*, defaults to 384):
            Width of the space in which the head compares what is heard with its classes, as a CLAP does.

    Raises:
        ValueError: an ear is of a type that is not known, or `frames` has another length.

    Example:
    ```python
    >>> from afm_hf import AfmCnn14Config, AfmEarsConfig, AfmYamnetConfig

    >>> config = AfmEarsConfig(ears=[AfmYamnetConfig(), AfmCnn14Config()], frames=[240, 240])
    >>> config.hidden_size
    3072

    ```
    """

    model_type = "afm_ears"
    base_config_key = "encoder_config"

    ears: list[Any] | tuple[Any, ...] = ()
    frames: list[int] | tuple[int, ...] = ()
    use_framewise_head: bool = False
    num_classes: int = 521
    head_dim: int = 384

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if not self.ears and not self.frames:  # transformers makes configs without arguments to compare with
            self.ears, self.frames = [AfmYamnetConfig()], [AfmYamnetConfig().patch_frames]
        self.ears = [_settings(ear) for ear in self.ears]
        if not self.ears or len(self.ears) != len(self.frames):
            raise ValueError(
                f"`ears` and `frames` name one value per encoder, at least one, but have {len(self.ears)} and "
                f"{len(self.frames)} entries."
            )
        self.ears = [_settings(config) for config in self.configs()]

    def configs(self) -> list[Any]:
        """The encoders' configs.

        Raises:
            ValueError: one is of a type that is not known.
        """
        made = []
        for number, ear in enumerate(self.ears):
            kind = SINGLE.get(str(ear.get("model_type")))
            if kind is None:
                raise ValueError(f"ears[{number}] is a {ear.get('model_type')!r}; expected one of {', '.join(SINGLE)}.")
            made.append(kind.from_dict(ear))
        return made

    def num_steps(self, frames: int | None = None) -> int:
        """Steps in time of a clip: those of the ear that has the most. `frames` are the config's own."""
        steps = [1]
        for config, length in zip(self.configs(), self.frames, strict=True):
            if config.model_type in STEPPING:
                steps.append(config.num_steps(length))
        return max(steps)

    @property
    def mels(self) -> list[int]:
        """Columns of the features that each ear reads."""
        return [int(getattr(config, "num_mel_bins", 1)) for config in self.configs()]

    @property
    def num_mel_bins(self) -> int:
        """Columns of the features of all ears, side by side."""
        return sum(self.mels)

    @property
    def hidden_size(self) -> int:
        """Width of all embeddings together."""
        return sum(int(config.hidden_size) for config in self.configs())

    @property
    def num_hidden_layers(self) -> int:
        """Layers of the deepest ear."""
        return max(int(getattr(config, "num_hidden_layers", 1)) for config in self.configs())


class EncoderConfigSpec(SubConfigSpec):
    """An audio encoder's config: one of this package's, or any type that transformers knows."""

    own: ClassVar[dict[str, type[PreTrainedConfig]]] = {**SINGLE, AfmEarsConfig.model_type: AfmEarsConfig}

    def get_config_class(self, model_type: str | None = None) -> type[PreTrainedConfig]:
        # The own types are looked up here first, so that they need no registration in code loaded from a Hub repo.
        return self.own.get(model_type or "") or super().get_config_class(model_type)


__all__ = ["AfmEarsConfig", "EncoderConfigSpec"]
