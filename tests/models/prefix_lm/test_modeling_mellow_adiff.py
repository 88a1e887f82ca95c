"""Mellow and ADIFF, tiny: processor, training, generation, saving."""

import pytest
import torch
from pair_models import KINDS, PROMPTS, noise
from pair_models import pair_batch as batch
from pair_models import tiny_pair_model as tiny
from prefix_models import RATE
from transformers import AutoModelForCausalLM, AutoModelForMultimodalLM, AutoProcessor

from afm_hf import AfmHtsatConfig, MellowConfig, MellowForCausalLM


@pytest.mark.parametrize("kind", KINDS)
def test_labels_cover_the_answer_only_and_training_reaches_every_part(kind):
    model, processor = tiny(kind)
    inputs = batch(processor, text_target=["A Dog", "rain on a roof"])
    kept = inputs["labels"][0][inputs["labels"][0] != -100]
    said = "a dog" if kind == "mellow" else "A Dog"
    assert kept.tolist() == processor.encode(f"{said} <|endoftext|>")
    model.train()
    model.freeze_audio_tower()
    loss = model(**inputs).loss
    loss.backward()
    without = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
    ]
    assert not without
    assert all(parameter.grad is None for parameter in model.model.audio_tower.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_clip_stands_for_a_pair_and_mistakes_are_named(kind):
    model, processor = tiny(kind)
    one = processor(audio=noise(0), text=PROMPTS[0], sampling_rate=RATE)
    assert one["input_features"].shape[:2] == (1, 2)
    torch.testing.assert_close(one["input_features"][0, 0], one["input_features"][0, 1], atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="3 entries for 2 examples"):
        processor(audio=[[noise(0), noise(1)]] * 2, text=["a", "b", "c"], sampling_rate=RATE)
    with pytest.raises(ValueError, match="needs a prompt"):
        processor(audio=noise(0), sampling_rate=RATE)
    one["input_ids"] = one["input_ids"][:, 1:]
    one["attention_mask"] = one["attention_mask"][:, 1:]
    count = model.config.num_placeholders
    with pytest.raises(ValueError, match=rf"gives {count} vectors each, but `input_ids` has \[{count - 1}\]"):
        model(**one)
    one["input_features"] = one["input_features"][:, 0]
    with pytest.raises(ValueError, match="expects `input_features` of shape"):
        model(**one)


@pytest.mark.parametrize("kind", KINDS)
def test_saves_and_loads(kind, tmp_path):
    model, processor = tiny(kind)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again = AutoModelForMultimodalLM.from_pretrained(tmp_path).eval()
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in model.state_dict().items())
    reloaded = AutoProcessor.from_pretrained(tmp_path)
    assert type(reloaded) is type(processor)
    before, after = batch(processor), batch(reloaded)
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    if kind == "mellow":
        assert isinstance(AutoModelForCausalLM.from_pretrained(tmp_path), MellowForCausalLM)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("mellow", {"projection": "linear"}),
        ("mellow", {"projection": "transformer", "projection_heads": 2}),
        ("adiff", {"use_separator": False, "use_cross_projection": False}),
    ],
)
def test_ablations_run(kind, options):
    model, processor = tiny(kind, **options)
    logits = model(**batch(processor)).logits
    assert torch.isfinite(logits).all()


def test_mellow_needs_the_framewise_head():
    with pytest.raises(ValueError, match="frame-wise head"):
        MellowConfig(audio_config=AfmHtsatConfig())
