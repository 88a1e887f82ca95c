"""Labels are remembered only as long as the text side computes the same, whatever adapters of PEFT do to it."""

import copy
import pickle

import pytest
import torch
from tiny_models import LABELS, clap_config, clap_parts, stock_clap_parts, tone

from afm_hf import ClapAfmModel, DomainVector, ZeroShotAudioClassificationPipeline
from afm_hf.adaptation.test_time.domain_vector import text_fingerprint
from afm_hf.models.common.text_side_afm import text_side_version

peft = pytest.importorskip("peft")

from peft_versions import adapters_of_transformers  # noqa: E402

CLIP = tone(400)


def lora(targets=("c_attn",), **kwargs):
    fan = {"fan_in_fan_out": True} if targets == ("c_attn",) else {}
    return peft.LoraConfig(r=2, target_modules=list(targets), init_lora_weights=False, **fan, **kwargs)


def make(model, parts):
    return ZeroShotAudioClassificationPipeline(
        model=model, tokenizer=parts[1], feature_extractor=parts[2], device="cpu"
    )


def ask(pipe):
    return {entry["label"]: entry["score"] for entry in pipe(CLIP, candidate_labels=LABELS)}


def assert_follows(pipe, differs=True):
    """The pipeline, which has a memory, answers as one without, and in another way than last time."""
    before, pipe.last = getattr(pipe, "last", None), ask(pipe)
    fresh = ask(make(pipe.model, (None, pipe.tokenizer, pipe.feature_extractor)))
    assert pipe.last == pytest.approx(fresh, abs=1e-6)
    if differs and before:
        assert pipe.last != pytest.approx(before, abs=1e-5)


@pytest.fixture
def pipe():
    parts = clap_parts()
    torch.manual_seed(1)
    return make(peft.get_peft_model(parts[0], lora()).eval(), parts)


def test_switched_off_and_on_again(pipe):
    assert_follows(pipe)
    with pipe.model.disable_adapter():
        assert_follows(pipe)
    assert_follows(pipe)
    pipe.model.base_model.disable_adapter_layers()
    assert_follows(pipe)


def test_merged_unmerged_and_unloaded(pipe):
    assert_follows(pipe)
    pipe.model.merge_adapter()
    assert_follows(pipe, differs=False)
    with torch.no_grad():  # of no effect while it is merged
        for name, weight in pipe.model.named_parameters():
            if "lora_B" in name:
                weight.mul_(3)
    assert_follows(pipe, differs=False)
    pipe.model.unmerge_adapter()
    assert_follows(pipe, differs=False)
    pipe.model = pipe.model.unload()
    assert_follows(pipe)


def test_a_second_adapter_beside_or_in_place_of_the_first(pipe):
    assert_follows(pipe)
    pipe.model.add_adapter("audio_night", lora())  # the name must not hide it
    assert_follows(pipe, differs=False)
    pipe.model.set_adapter("audio_night")
    assert_follows(pipe)
    pipe.model.base_model.set_adapter(["default", "audio_night"])
    assert_follows(pipe)
    pipe.model.set_adapter("audio_night")
    assert_follows(pipe)
    with torch.no_grad():
        for name, weight in pipe.model.named_parameters():
            if "audio_night" in name:
                weight.mul_(2)
    assert_follows(pipe)


def test_exchanged_under_the_same_name(pipe):
    for seed in range(10, 14):  # new tensors often come to lie where the old ones lay
        torch.manual_seed(seed)
        pipe.model.add_adapter("other", lora())
        pipe.model.set_adapter("other")
        assert_follows(pipe)
        pipe.model.delete_adapter("other")
        pipe.model.set_adapter("default")
        assert_follows(pipe)


def test_loaded_into_the_one_in_use(pipe):
    assert_follows(pipe)
    other = {name: value * -2 for name, value in peft.get_peft_model_state_dict(pipe.model).items()}
    peft.set_peft_model_state_dict(pipe.model, other)
    assert_follows(pipe)


def test_scaled(pipe):
    assert_follows(pipe)
    for module in pipe.model.modules():
        if hasattr(module, "set_scale"):
            module.set_scale("default", 7.0)
    assert_follows(pipe)


def test_copies_of_modules_to_save():
    parts = clap_parts()
    pipe = make(peft.get_peft_model(parts[0], lora(modules_to_save=["text_projection"])).eval(), parts)
    assert_follows(pipe)
    with torch.no_grad():
        for name, weight in pipe.model.named_parameters():
            if "modules_to_save" in name and weight.ndim > 1:
                weight.mul_(-1.5)
    assert_follows(pipe)
    with pipe.model.disable_adapter():
        assert_follows(pipe)


@adapters_of_transformers
@pytest.mark.parametrize("parts", [clap_parts, stock_clap_parts], ids=["ClapAfm", "transformers-clap"])
def test_adapters_of_transformers_itself(parts):
    parts = parts()
    pipe = make(parts[0], parts)
    targets = ("c_attn",) if isinstance(parts[0], ClapAfmModel) else ("query", "value")
    assert_follows(pipe)
    pipe.model.add_adapter(lora(targets), adapter_name="one")
    assert_follows(pipe)
    pipe.model.disable_adapters()
    assert_follows(pipe)
    pipe.model.enable_adapters()
    assert_follows(pipe)
    pipe.model.add_adapter(lora(targets), adapter_name="two")
    pipe.model.set_adapter("two")
    assert_follows(pipe)


def test_an_adapter_of_the_audio_side_is_none_of_the_text_side():
    parts = clap_parts()
    fingerprint = text_fingerprint(parts[0])
    audio = peft.LoraConfig(r=2, target_modules=r"audio_model\..*\.qkv", init_lora_weights=False)
    assert text_fingerprint(peft.get_peft_model(parts[0], audio).eval()) == fingerprint


def test_settings_and_autocast_are_part_of_the_version():
    model = ClapAfmModel(clap_config()).eval()
    before = text_side_version(model)
    assert text_side_version(model) == before
    with torch.autocast("cpu", torch.bfloat16):
        assert text_side_version(model) != before
    model.config.text_config.pooling = "cls"
    assert text_side_version(model) != before


def test_copies_and_pickles_of_a_version_fit_nothing_and_break_nothing():
    model = ClapAfmModel(clap_config())
    version = text_side_version(model)
    for other in (copy.deepcopy(version), pickle.loads(pickle.dumps(version))):
        assert other != version
    assert version == text_side_version(model)


def test_memory_that_is_given_to_another_tensor_is_another_version():
    layer = torch.nn.Linear(64, 64)
    seen = []
    for _ in range(20):
        layer.weight.data = torch.zeros(64, 64)  # the old memory is free, and often taken at once
        seen.append(text_side_version(layer))
    assert all(one != other for index, one in enumerate(seen) for other in seen[:index])


def test_a_domain_vector_knows_whether_the_adapter_was_on(pipe):
    on = text_fingerprint(pipe.model)
    with pipe.model.disable_adapter():
        off = text_fingerprint(pipe.model)
        assert off != on
        vector = DomainVector(
            tensor=torch.zeros(3, 16), kind="tokens", position="before", prompt="a", template="{}", fingerprint=on
        )
        with pytest.raises(ValueError, match="belongs to another model"):
            pipe(CLIP, candidate_labels=LABELS, domain_vector=vector)
    assert pipe(CLIP, candidate_labels=LABELS, domain_vector=vector)
