"""What users may expect of every generating model in eight bits: one test a capability, one row a model."""

import copy

import pytest
import torch
from conformity_models import BATCH, every_generating_row, make_row

from afm_hf import average_log_prob_beam_search
from afm_hf.models.common.int8_afm import Int8Layer, has_vnni, is_int8
from afm_hf.models.common.int8_text_afm import has_int8_kernels

pytestmark = pytest.mark.skipif(not has_int8_kernels(), reason="torch has no kernels for this processor")
NEW = 6
DECODINGS = {
    "greedy": {"do_sample": False},
    "beam": {"num_beams": 3, "do_sample": False},
    "authors' beams": {"num_beams": 3, "num_return_sequences": 3, "custom_generate": average_log_prob_beam_search},
}
every_decoding = pytest.mark.parametrize("decoding", DECODINGS.values(), ids=DECODINGS)


@pytest.fixture
def row(request):
    """The model in eight bits; `exact` is that in float32."""
    made = make_row(request.param)
    made.exact = copy.deepcopy(made.model)
    made.model.put_in_int8()
    return made


def new_tokens(row, inputs, **kwargs):
    made = row.model.generate(**inputs, max_new_tokens=NEW, **kwargs)[:, inputs["input_ids"].shape[1] :]
    return torch.nn.functional.pad(made, (0, NEW - made.shape[1]))


@every_generating_row()
@torch.no_grad()
def test_logits_are_nearly_those_of_float32(row):
    assert is_int8(row.model.model.language_model) and isinstance(row.model.lm_head, Int8Layer)
    assert is_int8(row.model.model.audio_tower) == has_vnni() or row.name == "pengi_no_text_enc"
    assert row.model.dtype == torch.float32
    inputs = {name: value for name, value in row.inputs.items() if name != "labels"}
    exact, found = row.exact(**inputs).logits.clamp(min=-1e4), row.model(**inputs).logits.clamp(min=-1e4)
    words = [word for word in range(exact.shape[-1]) if word != row.model.config.audio_token_id]
    assert torch.cosine_similarity(exact[..., words].flatten(), found[..., words].flatten(), dim=0) > 0.99
    assert torch.equal(exact[..., row.model.config.audio_token_id], found[..., row.model.config.audio_token_id])


@every_generating_row()
@every_decoding
def test_a_batch_gives_what_single_examples_give(row, decoding):
    beginnings = ["a", "a dog", ""]
    together = new_tokens(row, row.prompt_inputs(add_text=beginnings), **decoding)
    alone = [
        new_tokens(row, row.prompt_inputs(slice(index, index + 1), add_text=[text]), **decoding)
        for index, text in enumerate(beginnings)
    ]
    assert torch.equal(together, torch.cat(alone))
    assert len(together) == BATCH * decoding.get("num_return_sequences", 1)


@every_generating_row()
@every_decoding
def test_the_cache_changes_no_token(row, decoding):
    inputs = row.prompt_inputs()
    assert torch.equal(new_tokens(row, inputs, **decoding), new_tokens(row, inputs, use_cache=False, **decoding))


@every_generating_row()
def test_eight_bits_are_asked_for_by_name_and_neither_saved_nor_trained_nor_changed(row, tmp_path):
    row.exact.save_pretrained(tmp_path / "whole")
    for dtype in ("int8", torch.int8):
        loaded = type(row.exact).from_pretrained(tmp_path / "whole", dtype=dtype)
        assert is_int8(loaded) and not loaded.training
    inputs = row.prompt_inputs()
    made = [each.generate(**inputs, max_new_tokens=NEW, do_sample=False) for each in (loaded, row.model)]
    assert torch.equal(*made)
    with pytest.raises(ValueError, match="in eight bits cannot be saved"):
        row.model.save_pretrained(tmp_path / "small")
    assert not (tmp_path / "small").exists()
    with pytest.raises(ValueError, match="takes no new words"):
        row.model.resize_token_embeddings(1000)
    with pytest.raises(ValueError, match="for CPUs, but the model is on meta"):
        copy.deepcopy(row.model).to("meta")
    row.model.tie_weights()
    assert isinstance(row.model.lm_head, Int8Layer) and row.model.lm_head.weight.dtype == torch.int8
    with pytest.raises(ValueError, match="cannot be trained"):
        row.model.train()(**row.inputs)
