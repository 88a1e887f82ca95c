"""The public models, tiny, one row each, for the suites that ask of all of them what transformers' users expect."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from pair_models import noise, tiny_pair_model
from prefix_models import RATE, clips, prompts, tiny_model, tiny_processor
from tiny_models import clap_2022_config, clap_config, clap_parts, htsat_config, perturb
from transformers import Wav2Vec2Config

from afm_hf import (
    AfmCnn14Config,
    AfmCnn14Model,
    AfmEarsConfig,
    AfmEarsModel,
    AfmEffectsCnnConfig,
    AfmEffectsCnnModel,
    AfmHtsatModel,
    AfmSpeechEncoderConfig,
    AfmSpeechEncoderModel,
    AfmYamnetConfig,
    AfmYamnetForAudioClassification,
    AfmYamnetModel,
    ClapAfmForAudioClassification,
    ClapAfmModel,
    ClapAfmProcessor,
)

GENERATING = ["clapcap", "pengi", "pengi_no_text_enc", "adiff", "mellow"]
ANSWERS = ["a dog", "rain on a roof!", "b"]
BATCH = 3


@dataclass
class Row:
    """A model and what the suites must know about it."""

    name: str
    model: Any
    inputs: dict[str, torch.Tensor]  # of `BATCH` examples, with labels or what else makes a loss
    processor: Any = None
    freeze: Callable[[], None] | None = None
    frozen: tuple[str, ...] = ()  # beginnings of the names of what `freeze` makes stand still
    prompts: list[str] = field(default_factory=list)

    @property
    def generates(self) -> bool:
        return self.name in GENERATING

    def loss(self, **kwargs: Any) -> torch.Tensor:
        """The model's own loss; for the bare encoders, one that everything in them takes part in."""
        outputs = self.model(**{**self.inputs, **kwargs})
        if "loss" in outputs:
            return outputs.loss
        return outputs.pooler_output.square().mean() + outputs.get("clipwise_output", torch.zeros(())).square().sum()

    def prompt_inputs(self, rows: slice = slice(None), **kwargs: Any) -> dict[str, torch.Tensor]:
        """What `generate()` is given: prompts without answers, of the examples `rows`."""
        audio = self.audio[rows]
        text = self.prompts[rows] if self.prompts else None
        return dict(self.processor(audio=audio, text=text, sampling_rate=RATE, **kwargs))

    @property
    def audio(self) -> list[Any]:
        return pairs() if self.name in ("adiff", "mellow") else clips(BATCH)


def pairs() -> list[Any]:
    return [[noise(2 * index), noise(2 * index + 1)] for index in range(BATCH)]


def log_mels() -> torch.Tensor:
    """`(batch, 1, frames, mels)`, no two alike."""
    return torch.randn(BATCH, 1, 200, 16, generator=torch.Generator().manual_seed(1)) * 20 - 30


def texts() -> dict[str, torch.Tensor]:
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 256], [12, 13, 256, 256]])
    return {"input_ids": ids, "attention_mask": (ids != 256).long()}


def clap_row(name: str) -> Row:
    if name == "clap_classification":
        config = clap_config()
        config.num_labels = 4
        model = perturb(ClapAfmForAudioClassification(config)).eval()
        inputs = {"input_features": log_mels(), "labels": torch.tensor([0, 1, 3])}
        return Row(name, model, inputs, None, model.freeze_audio_encoder, ("audio_model.",))
    model = perturb(ClapAfmModel(clap_config() if name == "clap" else clap_2022_config())).eval()
    inputs = {**texts(), "input_features": log_mels(), "return_loss": True}
    processor = None
    if name == "clap":
        _, tokenizer, extractor = clap_parts()
        processor = ClapAfmProcessor(extractor, tokenizer)
    return Row(name, model, inputs, processor)


def speech_row() -> Row:
    """Its last layer: those behind the chosen one would not train."""
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    convolutions = {"conv_dim": (8, 8), "conv_kernel": (10, 4), "conv_stride": (5, 4)}
    # One group of 16: with AMX, torch 2.13's oneDNN gives wrong numbers in bfloat16 for groups of eight and even
    # kernels (cosine of 0.2 to float32, and 1.0 with oneDNN off). Encoders of real size have 48 or 64 a group.
    positions = {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 1, "layerdrop": 0.0}
    encoder = Wav2Vec2Config(vocab_size=8, **sizes, **convolutions, **positions)
    model = AfmSpeechEncoderModel(AfmSpeechEncoderConfig(encoder_config=encoder, layer=2)).eval()
    return Row("speech", model, {"input_features": torch.randn(BATCH, 1, 2000, 1)})


def yamnet_config(**kwargs: Any) -> AfmYamnetConfig:
    sizes = {"channels": [8, 12], "strides": [1, 2], "stem_channels": 4, "num_classes": 5}
    return AfmYamnetConfig(num_mel_bins=16, patch_frames=96, **{**sizes, **kwargs})


def ear_row(name: str) -> Row:
    """The encoders that registries ship, and two of them together."""
    effects = AfmEffectsCnnConfig(num_mel_bins=16, channels=[4, 8, 6])
    inputs = {"input_features": log_mels()}
    if name == "yamnet_classification":
        model = AfmYamnetForAudioClassification(yamnet_config())
        inputs["labels"] = torch.rand(BATCH, 5, generator=torch.Generator().manual_seed(2))
    elif name == "yamnet":
        model = AfmYamnetModel(yamnet_config(use_class_head=False))
    elif name == "effects_cnn":
        model = AfmEffectsCnnModel(effects)
    else:
        head = {"use_framewise_head": True, "num_classes": 5, "head_dim": 6}
        model = AfmEarsModel(
            AfmEarsConfig(ears=[yamnet_config(use_class_head=False), effects], frames=[200, 200], **head)
        )
        inputs = {"input_features": torch.cat([log_mels(), log_mels()], dim=-1)}
    return Row(name, perturb(model).eval(), inputs)


def encoder_row(name: str) -> Row:
    if name == "speech":
        return speech_row()
    if name in EARS:
        return ear_row(name)
    if name == "htsat":
        model = AfmHtsatModel(htsat_config(use_framewise_head=True, num_classes=5))
    else:
        model = AfmCnn14Model(AfmCnn14Config(num_mel_bins=16, block_channels=[4, 8], pool_sizes=[2, 2], hidden_size=16))
    return Row(name, perturb(model).eval(), {"input_features": log_mels()})


def generating_row(name: str) -> Row:
    if name in ("adiff", "mellow"):
        model, processor = tiny_pair_model(name)
        questions = ["what differs", "caption the audio.", "which is louder"]
    else:
        model, processor = tiny_model(name), tiny_processor(name)
        questions = prompts(name) or []
        model.generation_config.pad_token_id = 0
        model.generation_config.eos_token_id = 256
    row = Row(name, model, {}, processor, prompts=questions)
    row.inputs = row.prompt_inputs(text_target=ANSWERS)
    row.frozen = ("model.audio_tower.", "model.language_model.", "lm_head.")

    def freeze() -> None:
        model.freeze_audio_tower()
        model.freeze_language_model()

    row.freeze = freeze
    return row


EARS = ["yamnet", "yamnet_classification", "effects_cnn", "ears"]
ROWS = ["clap", "clap_2022", "clap_classification", "htsat", "cnn14", "speech", *EARS, *GENERATING]


def make_row(name: str) -> Row:
    torch.manual_seed(0)
    if name in GENERATING:
        return generating_row(name)
    return clap_row(name) if name.startswith("clap") else encoder_row(name)


def every_row() -> Any:
    """Decorator: the test runs for each model."""
    return pytest.mark.parametrize("row", ROWS, indirect=True)


def every_generating_row() -> Any:
    return pytest.mark.parametrize("row", GENERATING, indirect=True)
