"""Which audio encoder a model stands on: one of this package's, or any that transformers knows."""

from typing import ClassVar

from transformers import PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from ..cnn14.configuration_afm_cnn14 import AfmCnn14Config
from ..htsat.configuration_afm_htsat import AfmHtsatConfig
from ..speech_encoder.configuration_afm_speech_encoder import AfmSpeechEncoderConfig


class EncoderConfigSpec(SubConfigSpec):
    """An audio encoder's config: one of this package's, or any type that transformers knows."""

    own: ClassVar[dict[str, type[PreTrainedConfig]]] = {
        config.model_type: config for config in (AfmHtsatConfig, AfmCnn14Config, AfmSpeechEncoderConfig)
    }

    def get_config_class(self, model_type: str | None = None) -> type[PreTrainedConfig]:
        # The own types are looked up here first, so that they need no registration in code loaded from a Hub repo.
        return self.own.get(model_type or "") or super().get_config_class(model_type)


__all__ = ["EncoderConfigSpec"]
