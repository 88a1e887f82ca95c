"""Tiny Mellow and ADIFF files in the authors' layout: conversion there and back, in seconds."""

import json
import pickle
import re
from pathlib import Path

import pytest
import torch
from official import byte_level_clip, byte_level_gpt2, write_checkpoint
from official_files import SMOLLM2_WORDS, convert, official_weights, smollm2_like, tiny_model
from transformers import AutoModelForCausalLM, AutoModelForMultimodalLM, AutoProcessor

from afm_hf import MellowForCausalLM
from afm_hf.conversion import adiff as convert_adiff
from afm_hf.conversion import mellow as convert_mellow
from afm_hf.conversion import pengi as convert_pengi
from afm_hf.conversion.checkpoint import ConversionError, read_checkpoint

MODELS = ["mellow", "adiff", "adiff_naive"]


@pytest.fixture(scope="module", params=MODELS)
def converted(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    write_checkpoint(official_weights(request.param), folder / "official.ckpt")
    return request.param, convert(request.param, folder / "official.ckpt", folder / "converted")


def test_every_weight_arrives_and_the_placeholder_is_the_mean_word(converted):
    name, folder = converted
    model = AutoModelForMultimodalLM.from_pretrained(folder)
    state_dict, official = model.state_dict(), official_weights(name)
    report = json.loads((folder / "conversion.json").read_text())
    assert set(report["renamed"].values()) == set(state_dict)
    assert set(report["renamed"]) | {key for keys in report["dropped"].values() for key in keys} == set(official)
    for key, ours in report["renamed"].items():
        made = state_dict[ours]
        assert torch.equal(made[: len(official[key])] if official[key].ndim else made, official[key]), key
    table = model.get_input_embeddings().weight
    assert len(table) == model.config.audio_token_id + 1 and model.lm_head.weight is table
    torch.testing.assert_close(table[-1], table[:-1].mean(0))


def test_the_config_is_read_off_the_weights(converted):
    name, folder = converted
    ours, made = AutoModelForMultimodalLM.from_pretrained(folder).config, tiny_model(name).config
    for field in ("embed_dim", "depths", "num_attention_heads", "window_size", "mlp_ratio", "use_framewise_head"):
        assert getattr(ours.audio_config, field) == getattr(made.audio_config, field), field
    sizes = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
    if name == "mellow":
        assert ours.audio_config.num_classes == 5 and ours.num_placeholders == 258
        assert ours.text_config.rope_parameters["rope_theta"] == 100000 and ours.text_config.rms_norm_eps == 1e-5
        sizes += ("intermediate_size", "num_key_value_heads")
    else:
        fields = ("projection_dim", "prefix_length", "mapper_layers", "mapper_heads", "mapper_mlp_ratio")
        for field in (*fields, "use_separator", "use_cross_projection", "cross_heads"):
            assert getattr(ours, field) == getattr(made, field), field
        assert ours.separator_token_id == 256 and ours.cross_layers == (1 if name == "adiff" else 0)
    for field in sizes:
        assert getattr(ours.text_config, field) == getattr(made.text_config, field), field
    assert ours.pad_token_id == (17 if name == "mellow" else 0)


def test_the_authors_decoding_is_the_default(converted):
    name, folder = converted
    generation = AutoModelForMultimodalLM.from_pretrained(folder).generation_config
    assert generation.max_new_tokens == 300
    assert not generation.do_sample and generation.num_beams in (None, 1)
    assert (generation.eos_token_id, generation.pad_token_id) == ((0, 17) if name == "mellow" else (220, 0))
    assert generation.suppress_tokens == [SMOLLM2_WORDS if name == "mellow" else 257]


def test_from_two_sounds_to_text(converted):
    name, folder = converted
    model, processor = AutoModelForMultimodalLM.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    extractor = processor.feature_extractor
    assert (extractor.sampling_rate, extractor.max_length_s, extractor.mel_sampling_rate) == (32000, 10, 32000)
    assert processor.tokenizer.pad_token == "!" and processor.prompt_length == (129 if name == "mellow" else 40)
    time = torch.arange(3 * 44100) / 44100
    chirp = torch.sin(2 * torch.pi * (200 * time + 600 * time**2)) * 0.3
    inputs = processor(audio=[chirp, chirp[:9000]], text="what differs", sampling_rate=44100)
    answers = processor.decode_answers(model.generate(**inputs, max_new_tokens=3), inputs["input_ids"])
    assert len(answers) == 1 and isinstance(answers[0], str)
    if name == "mellow":
        assert isinstance(AutoModelForCausalLM.from_pretrained(folder), MellowForCausalLM)
        messages = [
            {"role": "user", "content": [{"type": "audio", "audio": chirp}, {"type": "text", "text": "what is it"}]}
        ]
        asked = processor.apply_chat_template(
            messages, tokenize=True, return_dict=True, processor_kwargs={"sampling_rate": 44100}
        )
        assert asked["input_ids"].shape == (1, 2 * 130 + 129)


def test_a_data_parallel_prefix_makes_no_difference(converted, tmp_path):
    name, folder = converted
    torch.save({f"module.{key}": value for key, value in official_weights(name).items()}, tmp_path / "prefixed.ckpt")
    again = convert(name, tmp_path / "prefixed.ckpt", tmp_path / "out")
    assert (again / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


def test_files_of_other_models_are_recognised(converted, tmp_path):
    name, folder = converted
    official = folder.parent / "official.ckpt"
    other = "mellow" if name.startswith("adiff") else "adiff"
    with pytest.raises(
        ConversionError, match=f"these are not the keys of {'Mellow' if other == 'mellow' else 'ADIFF'}"
    ):
        convert(other, official, tmp_path / "out")
    with pytest.raises(ConversionError, match="not the keys of Pengi"):
        convert_pengi.convert(str(official), byte_level_gpt2(tmp_path / "gpt2"), str(tmp_path / "out"))


def test_missing_unknown_untied_and_broken_weights_are_errors(converted, tmp_path):
    name, folder = converted
    good = read_checkpoint(folder.parent / "official.ckpt")

    def converts(state_dict):
        write_checkpoint(state_dict, tmp_path / "changed.ckpt")
        return convert(name, tmp_path / "changed.ckpt", tmp_path / "out")

    gone = "audio_encoder.projection.linear2.weight"
    with pytest.raises(ConversionError, match="missing"):
        converts({key: value for key, value in good.items() if key != gone})
    with pytest.raises(ConversionError, match="unknown"):
        converts(good | {"surprise.weight": torch.zeros(2)})
    head = next(key for key in good if key.endswith("lm_head.weight"))
    with pytest.raises(ConversionError, match=re.escape(" is no copy of ")):
        converts(good | {head: good[head] + 1})
    with pytest.raises(ConversionError, match=f"{re.escape(gone)} has values that are not finite"):
        converts(good | {gone: good[gone] / 0})
    with pytest.raises(ConversionError, match=f"{re.escape(gone)} has shape .* in the checkpoint; expected "):
        converts(good | {gone: good[gone][:, :-1]})


def test_wrong_tokenizers_are_errors(tmp_path):
    for name in ("mellow", "adiff"):
        write_checkpoint(official_weights(name), tmp_path / f"{name}.ckpt")
    mellow, adiff, out = str(tmp_path / "mellow.ckpt"), str(tmp_path / "adiff.ckpt"), str(tmp_path / "out")
    gpt2, smollm2 = byte_level_gpt2(tmp_path / "gpt2"), smollm2_like(tmp_path / "smollm2")
    with pytest.raises(ConversionError, match="SmolLM2's tokenizer is needed"):
        convert_mellow.convert(mellow, gpt2, out)
    with pytest.raises(ConversionError, match=r"has 280 tokens, but the checkpoint's word table has 273"):
        convert_mellow.convert(mellow, smollm2_like(tmp_path / "more", 280), out)
    with pytest.raises(ConversionError, match="GPT-2's tokenizer is needed"):
        convert_adiff.convert(adiff, smollm2, out)
    with pytest.raises(ConversionError, match=r"has 258 tokens, but the checkpoint's word table has 257"):
        convert_adiff.convert(adiff, byte_level_clip(tmp_path / "clip"), out)
    with pytest.raises(OSError, match="No tokenizer could be loaded"):
        convert_mellow.convert(mellow, str(tmp_path / "nowhere"), out)


class Shout:
    """Pickled, it makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["mellow", "adiff"])
def test_python_objects_in_a_file_are_never_run(name, tmp_path):
    torch.save({"model": {"weight": torch.zeros(2), "more": Shout(tmp_path / "ran")}}, tmp_path / "objects.ckpt")
    (tmp_path / "pickle.ckpt").write_bytes(pickle.dumps(Shout(tmp_path / "ran")))
    for file in ("objects.ckpt", "pickle.ckpt"):
        with pytest.raises(OSError, match=f"{file} could not be read as a checkpoint of plain tensors"):
            convert(name, tmp_path / file, tmp_path / "out")
    assert not (tmp_path / "ran").exists()
