"""Arguments of the processors, flat and nested, reach the side that they mean: what transformers asks of every one."""

import logging

import numpy as np
import pytest
import torch
from pair_models import KINDS as PAIRS
from pair_models import noise, tiny_pair_model
from prefix_models import KINDS, RATE, tiny_processor
from tiny_models import clap_parts

from afm_hf import ClapAfmProcessor
from afm_hf.models.common import processing_afm

GENERATING = [*KINDS, *PAIRS]
EVERY = ["clap", *GENERATING]
CLIP = np.repeat(noise(0), 2)


def processor_of(kind):
    if kind == "clap":
        _, tokenizer, extractor = clap_parts()
        return ClapAfmProcessor(extractor, tokenizer)
    return tiny_pair_model(kind)[1] if kind in PAIRS else tiny_processor(kind)


def call(kind, clips=1, processor=None, texts=None, **kwargs):
    made = processor or processor_of(kind)
    audio = [(CLIP, CLIP)] * clips if kind in PAIRS else [CLIP] * clips
    texts = texts or ["a dog"] * clips
    prompts = None if kind == "clapcap" and not kwargs.get("text_target") else texts
    return made(audio=audio, text=prompts, **{"sampling_rate": RATE, **kwargs})


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("how", ["audio_kwargs", "common_kwargs"])
def test_the_rate_in_nested_arguments_is_heard(kind, how):
    flat = call(kind, sampling_rate=2 * RATE, return_tensors="pt")
    nested = call(kind, sampling_rate=None, return_tensors="pt", **{how: {"sampling_rate": 2 * RATE}})
    other = call(kind, return_tensors="pt")
    assert torch.equal(flat["input_features"], nested["input_features"])
    assert not torch.equal(flat["input_features"], other["input_features"])


@pytest.mark.parametrize("kind", EVERY)
def test_what_is_given_twice_is_refused(kind):
    with pytest.raises(ValueError, match=r"sampling_rate.*(two times|twice)"):
        call(kind, sampling_rate=RATE, audio_kwargs={"sampling_rate": 2 * RATE})
    with pytest.raises(ValueError, match=r"padding.*(two times|twice)"):
        call(kind, padding="max_length", text_kwargs={"padding": "max_length"})


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize(
    "given",
    [
        {"padding": "max_length", "max_length": 300, "return_tensors": "pt"},
        {"text_kwargs": {"padding": "max_length", "max_length": 300}, "return_tensors": "pt"},
        {
            "common_kwargs": {"return_tensors": "pt"},
            "text_kwargs": {"padding": "max_length", "max_length": 300},
            "audio_kwargs": {"padding": "zero", "channels": "first"},
        },
    ],
    ids=["flat", "nested", "structured"],
)
def test_padding_and_length_reach_the_rows_of_tokens(kind, given):
    made = call(kind, clips=2, **given)
    assert made["input_ids"].shape == made["attention_mask"].shape == (2, 300)
    assert isinstance(made["input_features"], torch.Tensor)


@pytest.mark.parametrize("kind", EVERY)
def test_the_tokenizers_own_settings_are_the_defaults(kind):
    processor = processor_of(kind)
    processor.tokenizer.init_kwargs.update(padding="max_length", max_length=290)
    assert call(kind, processor=processor, return_tensors="pt")["input_ids"].shape == (1, 290)
    over = call(kind, processor=processor, return_tensors="pt", text_kwargs={"max_length": 310})
    assert over["input_ids"].shape == (1, 310)


@pytest.mark.parametrize("kind", GENERATING)
def test_padding_of_any_length_and_side_changes_no_token(kind):
    plain = call(kind)
    for side in ("left", "right"):
        made = call(kind, text_kwargs={"padding_side": side, "pad_to_multiple_of": 64})
        assert made["input_ids"].shape[1] % 64 == 0
        kept = made["attention_mask"].bool()
        assert torch.equal(made["input_ids"][kept], plain["input_ids"][0])
        assert kept[0, -1 if side == "left" else 0]
    assert "attention_mask" not in call(kind, return_attention_mask=False)


@pytest.mark.parametrize("kind", GENERATING)
def test_truncation_cuts_text_and_never_the_audio(kind):
    whole = call(kind, text_target="an answer of some length")
    length = whole["input_ids"].shape[1] - 3
    cut = call(kind, text_target="an answer of some length", max_length=length, truncation=True)
    for name in ("input_ids", "attention_mask", "labels"):
        assert torch.equal(cut[name], whole[name][:, :length])
    untouched = call(kind, text_target="an answer of some length", text_kwargs={"max_length": length})
    assert torch.equal(untouched["input_ids"], whole["input_ids"])
    with pytest.raises(ValueError, match="`max_length` is 2, but the audio alone takes"):
        call(kind, text_kwargs={"max_length": 2, "truncation": True})


@pytest.mark.parametrize("kind", GENERATING)
def test_words_of_the_feature_extractor_reach_it_and_booleans_do_not(kind):
    plain = call(kind)
    for given in ({"truncation": True}, {"truncation": "longest_first", "padding": True}, {"truncation": None}):
        assert torch.equal(call(kind, **given)["input_features"], plain["input_features"])
    center = call(kind, truncation="center")
    assert not torch.equal(center["input_features"], plain["input_features"])
    assert torch.equal(call(kind, audio_kwargs={"truncation": "center"})["input_features"], center["input_features"])


@pytest.mark.parametrize("kind", GENERATING)
def test_tensors_are_the_default_and_other_types_are_given_where_asked(kind):
    plain = call(kind, clips=2)
    assert all(isinstance(value, torch.Tensor) for value in plain.values())
    for given in ({"return_tensors": "np"}, {"common_kwargs": {"return_tensors": "np"}}):
        arrays = call(kind, clips=2, **given)
        assert all(isinstance(value, np.ndarray) for value in arrays.values()) and set(arrays) == set(plain)
        np.testing.assert_array_equal(arrays["input_ids"], plain["input_ids"].numpy())
    lists = call(kind, clips=2, return_tensors=None)
    assert lists["input_ids"] == plain["input_ids"].tolist()
    assert isinstance(lists["input_features"], np.ndarray)


def test_rows_without_padding_are_lists_or_an_error():
    texts = {"text_target": ["rain", "a dog barks"], "padding": False}
    rows = call("clapcap", clips=2, return_tensors=None, **texts)
    assert len({len(row) for row in rows["input_ids"]}) == 2
    assert [len(row) for row in rows["labels"]] == [len(row) for row in rows["input_ids"]]
    with pytest.raises(ValueError, match="unequal length cannot become tensors"):
        call("clapcap", clips=2, **texts)
    with pytest.raises(ValueError, match="`padding` is 'left'"):
        call("clapcap", text_kwargs={"padding": "left"})


@pytest.mark.parametrize("kind", EVERY)
def test_unknown_arguments_are_told(kind, caplog):
    logging.getLogger("transformers").propagate = True
    processing_afm.logger.warning_once.cache_clear()
    with caplog.at_level("WARNING"):
        call(kind, loudness=3)
        call(kind, audio_kwargs={"brightness": 3})
        if kind != "clap":  # a tokenizer of transformers says so itself
            call(kind, text_kwargs={"slowness": 3})
    said = " ".join(record.message for record in caplog.records)
    assert "loudness" in said and "brightness" in said and (kind == "clap" or "slowness" in said)


@pytest.mark.parametrize("kind", GENERATING)
def test_a_generator_moves_on_wherever_it_is_given(kind):
    def crops(**kwargs):
        return [call(kind, **kwargs)["input_features"] for _ in range(2)]

    first, second = crops(truncation="random", generator=torch.Generator().manual_seed(0))
    assert not torch.equal(first, second)
    nested = {"truncation": "random", "generator": torch.Generator().manual_seed(0)}
    assert all(map(torch.equal, crops(audio_kwargs=nested), (first, second)))
