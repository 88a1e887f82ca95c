"""Configs: wrong values are named, and every value survives a file."""

import copy
import json
import pickle

import pytest
from huggingface_hub.errors import StrictDataclassFieldValidationError
from tiny_models import clap_2022_config, clap_config, htsat_config
from transformers import AutoConfig, BertConfig, GPT2Config

from afm_hf import AfmCnn14Config, AfmHtsatConfig, ClapAfmAudioConfig, ClapAfmConfig, ClapAfmTextConfig

CONFIGS = {
    "htsat": lambda: htsat_config(long_input="official", drop_path_rate=0.0),
    "cnn14": lambda: AfmCnn14Config(block_channels=[4], pool_sizes=[3]),
    "clap 2023": clap_config,
    "clap 2022": clap_2022_config,
    "audio tower": lambda: clap_2022_config().audio_config,
    "text tower": lambda: clap_2022_config().text_config,
}


def comparable(config):
    return {**config.to_dict(), "_name_or_path": ""}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_value_survives_a_file(name, tmp_path):
    config = CONFIGS[name]()
    config.save_pretrained(tmp_path)
    for again in (AutoConfig.from_pretrained(tmp_path), type(config).from_pretrained(tmp_path)):
        assert type(again) is type(config) and comparable(again) == comparable(config)
    json.loads((tmp_path / "config.json").read_text())


@pytest.mark.parametrize("name", CONFIGS)
def test_copies_and_pickles(name):
    config = CONFIGS[name]()
    for twin in (copy.deepcopy(config), pickle.loads(pickle.dumps(config)), type(config)(**config.to_dict())):
        assert type(twin) is type(config) and comparable(twin) == comparable(config)


@pytest.mark.parametrize("config", [clap_config, clap_2022_config])
def test_a_tower_is_found_in_the_file_of_the_whole_model(config, tmp_path):
    config().save_pretrained(tmp_path)
    audio, text = ClapAfmAudioConfig.from_pretrained(tmp_path), ClapAfmTextConfig.from_pretrained(tmp_path)
    assert comparable(audio) == comparable(config().audio_config)
    assert comparable(text) == comparable(config().text_config)


def test_the_defaults_are_clap_2023():
    config = ClapAfmConfig()
    assert type(config.audio_config.encoder_config) is AfmHtsatConfig
    assert type(config.text_config.encoder_config) is GPT2Config
    assert (config.audio_config.hidden_size, config.text_config.hidden_size, config.projection_dim) == (768, 768, 1024)
    assert (config.audio_config.encoder_config.max_frames, config.audio_config.encoder_config.freq_ratio) == (1024, 4)
    encoder = config.audio_config.encoder_config
    assert (encoder.long_window_frames, encoder.long_window_hop) == (689, 344)


def test_encoders_may_be_dicts():
    config = ClapAfmConfig(
        audio_config={"encoder_config": {"model_type": "afm_cnn14", "hidden_size": 8}, "projection_dim": 4},
        text_config={"encoder_config": {"model_type": "bert", "hidden_size": 16}, "projection_dim": 4},
    )
    assert type(config.audio_config) is ClapAfmAudioConfig and type(config.text_config) is ClapAfmTextConfig
    assert type(config.audio_config.encoder_config) is AfmCnn14Config
    assert type(config.text_config.encoder_config) is BertConfig
    assert (config.audio_config.hidden_size, config.text_config.hidden_size) == (8, 16)


def test_defaults_are_not_shared_between_configs():
    first, second = ClapAfmConfig(), ClapAfmConfig()
    first.audio_config.encoder_config.depths = [1]
    assert second.audio_config.encoder_config.depths == (2, 2, 6, 2)


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda: AfmHtsatConfig(depths=[2, 2]), ["2 and 4", "`depths`", "`num_attention_heads`"]),
        (lambda: AfmHtsatConfig(num_mel_bins=60), ["256", "60", "multiple"]),
        (lambda: AfmHtsatConfig(spec_size=192, patch_size=16), ["192", "`patch_size` (16)", "128"]),
        (lambda: AfmHtsatConfig(window_size=12), ["[64, 32, 16, 8]", "`window_size` = 12"]),
        (lambda: AfmHtsatConfig(spec_size=64, num_mel_bins=16, use_framewise_head=True), ["4 time quarters", "2 rows"]),
        (lambda: AfmHtsatConfig(long_window_frames=2000), ["1024", "2000"]),
        (lambda: AfmHtsatConfig(long_window_hop=0), ["`long_window_hop` is 0"]),
        (lambda: AfmCnn14Config(pool_sizes=[2]), ["6 and 1"]),
        (
            lambda: ClapAfmConfig(audio_config={"projection_dim": 4}),
            ["`audio_config.projection_dim` is 4", "`text_config.projection_dim` is 1024"],
        ),
    ],
)
def test_contradictions_are_named(make, parts):
    with pytest.raises(ValueError) as error:
        make()
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("cls", "field", "value"),
    [
        (AfmHtsatConfig, "long_input", "average"),
        (AfmHtsatConfig, "embed_dim", "96"),
        (AfmCnn14Config, "hidden_size", 2.5),
        (ClapAfmTextConfig, "pooling", "max"),
        (ClapAfmConfig, "classifier_layers", 2),
    ],
)
def test_wrong_values_are_refused_by_field(cls, field, value):
    with pytest.raises(StrictDataclassFieldValidationError, match=field):
        cls(**{field: value})
