"""Tiny CLAPCAP and Pengi files in the authors' layout: conversion there and back, in seconds."""

import json
import re

import pytest
import torch
from official import byte_level_clip, byte_level_gpt2, write_checkpoint
from official_files import convert, official_weights, tiny_model
from transformers import AutoModelForMultimodalLM, AutoProcessor

from afm_hf import average_log_prob_beam_search
from afm_hf.conversion import pengi as convert_pengi
from afm_hf.conversion.checkpoint import ConversionError, read_checkpoint

MODELS = ["clapcap", "base", "base_no_text_enc"]


@pytest.fixture(scope="module", params=MODELS)
def converted(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    write_checkpoint(official_weights(request.param), folder / "official.pth")
    return request.param, convert(request.param, folder / "official.pth", folder / "converted")


def test_every_weight_arrives_and_the_placeholder_is_the_mean_word(converted):
    name, folder = converted
    model = AutoModelForMultimodalLM.from_pretrained(folder)
    state_dict, official = model.state_dict(), official_weights(name)
    report = json.loads((folder / "conversion.json").read_text())
    assert set(report["renamed"].values()) == set(state_dict)
    assert set(report["renamed"]) | {key for keys in report["dropped"].values() for key in keys} == set(official)
    for key, ours in report["renamed"].items():
        assert torch.equal(
            state_dict[ours][: len(official[key])] if official[key].ndim else state_dict[ours], official[key]
        )
    table = model.get_input_embeddings().weight
    assert table.shape[0] == 258 and model.lm_head.weight is table
    torch.testing.assert_close(table[-1], table[:-1].mean(0))


def test_the_config_is_read_off_the_weights(converted):
    name, folder = converted
    ours, made = AutoModelForMultimodalLM.from_pretrained(folder).config, tiny_model(name).config
    for field in ("projection_dim", "prefix_length", "mapper_layers", "mapper_heads", "mapper_mlp_ratio"):
        assert getattr(ours, field) == getattr(made, field), field
    for field in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head"):
        assert getattr(ours.text_config, field) == getattr(made.text_config, field), field
    for field in ("embed_dim", "depths", "num_attention_heads", "window_size", "mlp_ratio"):
        assert getattr(ours.audio_config, field) == getattr(made.audio_config, field), field
    assert ours.audio_token_id == 257 and ours.pad_token_id == 0
    if name == "base":
        fields = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "projection_dim")
        for field in (*fields, "num_attention_heads", "max_position_embeddings", "eos_token_id"):
            assert getattr(ours.text_encoder_config, field) == getattr(made.text_encoder_config, field), field
    if name != "clapcap":
        assert ours.normalize_prompt is False  # as the authors' wrapper


def test_the_authors_decoding_is_the_default(converted):
    name, folder = converted
    generation = AutoModelForMultimodalLM.from_pretrained(folder).generation_config
    assert generation.num_beams == (5 if name == "clapcap" else 3)
    assert generation.max_new_tokens == (67 if name == "clapcap" else 30)
    assert (generation.eos_token_id, generation.pad_token_id) == (220, 0)
    assert generation.suppress_tokens == [257]


def test_from_a_sound_to_text(converted):
    name, folder = converted
    model, processor = AutoModelForMultimodalLM.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    assert processor.feature_extractor.mel_sampling_rate == 32000 and processor.feature_extractor.max_length_s == 7
    assert processor.audio_token_id == 257 and processor.tokenizer.pad_token == "!"
    time = torch.arange(3 * 44100) / 44100
    chirp = torch.sin(2 * torch.pi * (200 * time + 600 * time**2)) * 0.3
    text = None if name == "clapcap" else "generate audio caption"
    inputs = processor(audio=[chirp, chirp[:9000]], text=text, sampling_rate=44100)
    sequences = model.generate(**inputs, custom_generate=average_log_prob_beam_search, max_new_tokens=5)
    answers = processor.decode_answers(sequences, inputs["input_ids"])
    assert len(answers) == 2 and all(isinstance(answer, str) for answer in answers)


def test_a_data_parallel_prefix_makes_no_difference(converted, tmp_path):
    name, folder = converted
    prefixed = {f"module.{key}": value for key, value in official_weights(name).items()}
    torch.save({"model": prefixed}, tmp_path / "prefixed.pth")
    again = convert(name, tmp_path / "prefixed.pth", tmp_path / "out")
    assert (again / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


def test_swapped_files_are_recognised(converted, tmp_path, capsys):
    name, folder = converted
    official = folder.parent / "official.pth"
    if name == "clapcap":
        with pytest.raises(ConversionError, match="holds CLAP clapcap, but --variant 2023"):
            convert(name, official, tmp_path / "out", variant="2023")
        with pytest.raises(ConversionError, match=r"not the keys of Pengi.*audio_encoder\.base\.htsat"):
            convert("base", official, tmp_path / "out")
        return
    other = {"base": "base_no_text_enc", "base_no_text_enc": "base"}[name]
    with pytest.raises(ConversionError, match=f"holds Pengi {name}, but --variant {other} was given. Copies with swap"):
        convert(name, official, tmp_path / "out", variant=other)
    (tmp_path / f"{other}.pth").write_bytes(official.read_bytes())
    convert(name, tmp_path / f"{other}.pth", tmp_path / "out")
    assert f"the file is called {other}.pth, but holds {name}." in capsys.readouterr().out


def test_missing_unknown_and_untied_weights_are_errors(converted, tmp_path):
    name, folder = converted
    good = read_checkpoint(folder.parent / "official.pth")

    def converts(state_dict):
        write_checkpoint(state_dict, tmp_path / "changed.pth")
        return convert(name, tmp_path / "changed.pth", tmp_path / "out")

    gone = next(key for key in good if key.endswith("projection.linear2.weight"))
    with pytest.raises(ConversionError, match="missing"):
        converts({key: value for key, value in good.items() if key != gone})
    with pytest.raises(ConversionError, match="unknown"):
        converts(good | {"surprise.weight": torch.zeros(2)})
    head = next(key for key in good if key.endswith("lm_head.weight"))
    with pytest.raises(ConversionError, match=re.escape(" is no copy of ")):
        converts(good | {head: good[head] + 1})


def test_wrong_tokenizers_are_errors(tmp_path):
    write_checkpoint(official_weights("base"), tmp_path / "base.pth")
    gpt2, clip = byte_level_gpt2(tmp_path / "gpt2"), byte_level_clip(tmp_path / "clip")
    arguments = [str(tmp_path / "base.pth")]
    with pytest.raises(ConversionError, match="--text-encoder-tokenizer"):
        convert_pengi.convert(*arguments, gpt2, str(tmp_path / "out"))
    with pytest.raises(ConversionError, match=r"CLIP's tokenizer with 258 tokens.*has 257"):
        convert_pengi.convert(*arguments, gpt2, str(tmp_path / "out"), gpt2)
    with pytest.raises(ConversionError, match=r"has 258 tokens, but the checkpoint's word table has 257"):
        convert_pengi.convert(*arguments, clip, str(tmp_path / "out"), clip)
