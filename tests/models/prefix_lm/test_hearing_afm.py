"""`get_audio_features()` as transformers asks for it, and what configs say about hidden states and attentions."""

import copy

import pytest
import torch
from conformity_models import BATCH, every_generating_row, make_row
from transformers import GPT2Config
from transformers.modeling_outputs import BaseModelOutputWithPooling

NAMES = ("input_features", "input_features_mask")


@pytest.fixture
def row(request):
    return make_row(request.param)


def audio_of(row):
    return {name: row.inputs[name] for name in NAMES if name in row.inputs}


@every_generating_row()
@torch.no_grad()
def test_audio_features_are_an_output_and_need_no_prompt(row):
    config, audio = row.model.config, audio_of(row)
    for model in (row.model, row.model.model):
        heard = model.get_audio_features(**audio)
        assert type(heard) is BaseModelOutputWithPooling
        assert heard.last_hidden_state.shape[0] == heard.pooler_output.shape[0] == BATCH
        assert heard.last_hidden_state.shape[-1] == config.audio_config.hidden_size
        assert heard.hidden_states is None and heard.attentions is None
    parts = {name: stop - start for name, (start, stop) in config.prefix_parts.items() if "audio" in name}
    assert heard.pooler_output.shape == (BATCH, sum(parts.values()), config.hidden_size)
    bare = row.model.get_audio_features(**audio, return_dict=False)
    assert isinstance(bare, tuple) and torch.equal(bare[1], heard.pooler_output)


@every_generating_row()
@torch.no_grad()
def test_with_the_prompt_they_are_the_whole_prefix(row):
    extra = {name: row.inputs[name] for name in row.model.prefix_input_names if name in row.inputs}
    prefix = row.model.get_prefix(row.inputs["input_features"], **extra)
    heard = row.model.get_audio_features(row.inputs["input_features"], **extra)
    assert torch.equal(heard.pooler_output, prefix)
    torch.testing.assert_close(row.model(**row.inputs).audio_hidden_states, prefix)
    if row.name.startswith("pengi"):  # the audio's vectors come first, whatever the prompt
        alone = row.model.get_audio_features(**audio_of(row)).pooler_output
        torch.testing.assert_close(prefix[:, : alone.shape[1]], alone)


def changed(row, **kwargs):
    """The row's model with another config; names of sub-configs stand before two underscores."""
    config = copy.deepcopy(row.model.config)
    for name, value in kwargs.items():
        part, _, field = name.rpartition("__")
        setattr(getattr(config, part) if part else config, field, value)
    torch.manual_seed(0)
    return type(row.model)(config).eval()


@every_generating_row()
@torch.no_grad()
def test_hidden_states_and_attentions_come_when_call_or_config_asks(row):
    audio = audio_of(row)
    stages = len(row.model.config.audio_config.depths)
    row.model.set_attn_implementation("eager")
    wanted = row.model.get_audio_features(**audio, output_hidden_states=True, output_attentions=True)
    assert len(wanted.hidden_states) == stages + 1 and wanted.attentions
    assert {len(state) for state in wanted.hidden_states} == {BATCH}
    for setting in ("output_hidden_states", "audio_config__output_hidden_states"):
        model = changed(row, **{setting: True})
        heard = model.get_audio_features(**audio)
        assert len(heard.hidden_states) == stages + 1 and heard.attentions is None
        assert model.get_audio_features(**audio, output_hidden_states=False).hidden_states is None
    model = changed(row, _attn_implementation="eager", output_attentions=True)
    assert model.get_audio_features(**audio).attentions


@every_generating_row()
@torch.no_grad()
def test_the_language_model_obeys_the_configs_too(row):
    layers = row.model.config.text_config.num_hidden_layers
    for setting in ("output_hidden_states", "text_config__output_hidden_states"):
        model = changed(row, **{setting: True})
        for part in (model, model.model):
            inputs = row.inputs if part is model else {n: v for n, v in row.inputs.items() if n != "labels"}
            assert len(part(**inputs).hidden_states) == layers + 1
            assert part(**inputs, output_hidden_states=False).hidden_states is None
    model = changed(row, _attn_implementation="eager", output_attentions=True)
    assert len(model(**row.inputs).attentions) == layers


@every_generating_row()
@torch.no_grad()
def test_tuples_may_be_the_rule_of_the_config(row):
    model = changed(row, return_dict=False)
    model.load_state_dict(row.model.state_dict())
    bare = model(**row.inputs)
    assert isinstance(bare, tuple)
    torch.testing.assert_close(bare[0], row.model(**row.inputs).loss)


@every_generating_row()
def test_the_size_of_the_vocabulary_is_that_of_the_language_model(row):
    kind = type(row.model.config)
    text = GPT2Config(n_embd=16, n_layer=1, n_head=1)
    config = kind(text_config=text, vocab_size=300)
    assert (config.vocab_size, config.text_config.vocab_size, config.audio_token_id) == (300, 300, 299)
    config.vocab_size = 310
    assert kind.from_dict(config.to_dict()).text_config.vocab_size == 310
    config.vocab_size = 299
    with pytest.raises(ValueError, match=r"`audio_token_id` is 299.*only 299"):
        type(row.model)(config)


@every_generating_row()
@torch.no_grad()
def test_a_grown_vocabulary_answers_as_before(row):
    inputs = row.prompt_inputs()
    before = row.model.generate(**inputs, max_new_tokens=3, do_sample=False)
    row.model.resize_token_embeddings(pad_to_multiple_of=64)
    assert row.model.config.vocab_size == row.model.config.text_config.vocab_size == 320
    assert len(row.model.get_output_embeddings().weight) == 320
    new = list(range(258, 320))
    assert torch.equal(
        row.model.generate(**inputs, max_new_tokens=3, do_sample=False, suppress_tokens=[257, *new]), before
    )
