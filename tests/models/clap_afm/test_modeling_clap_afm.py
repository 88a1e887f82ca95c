"""CLAP: similarities, pooling, loss, training, saving; on tiny models of both papers."""

import copy
import math
import pickle

import pytest
import torch
from tiny_models import byte_tokenizer, clap_2022_config, clap_config, grads, perturb
from torch import nn
from torch.nn import functional as F
from transformers import AutoModel, AutoModelForAudioClassification

from afm_hf import (
    ClapAfmAudioModel,
    ClapAfmAudioModelWithProjection,
    ClapAfmForAudioClassification,
    ClapAfmModel,
    ClapAfmTextModel,
    ClapAfmTextModelWithProjection,
)
from afm_hf.models.htsat.modeling_afm_htsat import AfmHtsatDropPath

CONFIGS = {"2023": clap_config, "2022": clap_2022_config}
TEXTS = ["a dog barks", "rain", "an engine idles, then stops", "birds"]


def tiny(kind="2023", cls=ClapAfmModel, training=False, **kwargs):
    torch.manual_seed(0)
    config = CONFIGS[kind]()
    for name, value in kwargs.items():
        owner = config.text_config if name == "pooling" else config
        setattr(owner, name, value)
    return perturb(cls(config)).train(training)


@pytest.fixture(params=CONFIGS)
def kind(request):
    return request.param


@pytest.fixture
def clap(kind):
    return tiny(kind)


def log_mel(batch=4, frames=101, mels=16, seed=0):
    return torch.rand(batch, 1, frames, mels, generator=torch.Generator().manual_seed(seed)) * 100 - 80


def tokens(texts=TEXTS, **kwargs):
    return dict(byte_tokenizer(**kwargs)(texts, padding=True, return_tensors="pt"))


def inputs(batch=4):
    return {"input_features": log_mel(batch), **tokens(TEXTS[:batch])}


def quiet(model):
    """Takes the chance out of training mode."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, AfmHtsatDropPath):
            module.rate = 0.0
    model.audio_model.encoder.config.apply_spec_augment = False
    return model


def close(got, want, tolerance=1e-5):
    torch.testing.assert_close(got, want, atol=tolerance, rtol=tolerance)


# -- similarities -----------------------------------------------------------------------------------------------------


def test_logits_are_scaled_cosines(clap):
    output = clap(**inputs())
    audio = clap.audio_projection(clap.audio_model(log_mel()).pooler_output)
    text = clap.text_projection(clap.text_model(**tokens()).pooler_output)
    for i in range(4):
        for j in range(4):
            cosine = F.cosine_similarity(audio[i], text[j], dim=0)
            assert output.logits_per_audio[i, j].item() == pytest.approx(cosine.item() / 0.07, abs=1e-4)
    close(output.logits_per_text, output.logits_per_audio.t())
    close(output.audio_embeds.norm(dim=-1), torch.ones(4))
    close(output.text_embeds.norm(dim=-1), torch.ones(4))


def test_counts_of_audios_and_texts_may_differ(clap):
    output = clap(input_features=log_mel(2), **tokens(TEXTS[:3]))
    assert output.logits_per_audio.shape == (2, 3) and output.logits_per_text.shape == (3, 2) and output.loss is None


def test_features_are_the_embeddings_of_the_whole_model(clap):
    output = clap(**inputs())
    audio, text = clap.get_audio_features(log_mel()), clap.get_text_features(**tokens())
    close(audio.pooler_output, output.audio_embeds)
    close(text.pooler_output, output.text_embeds)
    raw = clap.get_audio_features(log_mel(), normalize=False).pooler_output
    close(raw, clap.audio_projection(clap.audio_model(log_mel()).pooler_output))
    close(F.normalize(raw, dim=-1), output.audio_embeds)
    raw = clap.get_text_features(**tokens(), normalize=False).pooler_output
    close(F.normalize(raw, dim=-1), output.text_embeds)


@pytest.mark.parametrize("missing", ["input_features", "input_ids"])
def test_a_missing_side_is_named(clap, missing):
    given = inputs()
    del given[missing]
    with pytest.raises(ValueError, match="`input_features` and `input_ids`"):
        clap(**given)


def test_the_same_input_gives_the_same_values(clap):
    torch.testing.assert_close(
        clap(**inputs()).logits_per_audio, clap(**inputs()).logits_per_audio, atol=1e-5, rtol=1e-4
    )


def test_other_members_of_a_batch_change_nothing(clap):
    together = clap(**inputs())
    for index, text in enumerate(TEXTS):
        alone = clap(input_features=log_mel()[index : index + 1], **tokens([text]))
        close(alone.audio_embeds[0], together.audio_embeds[index])
        close(alone.text_embeds[0], together.text_embeds[index])


# -- which state is the sentence --------------------------------------------------------------------------------------


def test_the_side_of_the_padding_does_not_matter():
    model = tiny()
    right, left = (model.get_text_features(**tokens(padding_side=side)).pooler_output for side in ("right", "left"))
    close(left, right)


def test_the_amount_of_padding_does_not_matter(clap):
    short = clap.get_text_features(**tokens()).pooler_output
    long = dict(byte_tokenizer()(TEXTS, padding="max_length", max_length=60, return_tensors="pt"))
    close(clap.get_text_features(**long).pooler_output, short)


def test_a_text_without_a_mask_is_read_whole(clap):
    ids = tokens(["rain"])
    close(clap.get_text_features(ids["input_ids"]).pooler_output, clap.get_text_features(**ids).pooler_output)


def pooled_position(model, given):
    """At which position of each text the pooled state stands."""
    output = model.text_model(**given)
    match = (output.last_hidden_state - output.pooler_output[:, None]).abs().amax(-1)
    return match.argmin(-1).tolist()


def test_exclamation_marks_are_words_by_default_and_padding_in_the_official_rule():
    """`!` is token 0 of GPT-2, with which the official code pads, and which it does not count."""
    given = tokens(["stop!", "a! b!", "rain"])
    assert given["input_ids"][0, 4] == 0
    assert pooled_position(tiny(), given) == [4, 4, 3]
    # padded with id 0, as the official code does; count(ids != 0) - 1
    given["input_ids"] = given["input_ids"].masked_fill(given["attention_mask"] == 0, 0)
    assert pooled_position(tiny(pooling="last_nonzero_token"), given) == [3, 2, 3]


def test_the_official_rule_wraps_as_its_negative_index_does():
    given = tokens(["!!"])
    assert pooled_position(tiny(pooling="last_nonzero_token"), given) == [1]


def test_the_first_state_and_the_mean():
    given = tokens()
    output = tiny(pooling="mean").text_model(**given)
    counts = given["attention_mask"].sum(1)
    want = [states[:count].mean(0) for states, count in zip(output.last_hidden_state, counts, strict=True)]
    close(output.pooler_output, torch.stack(want))
    first = tiny(pooling="cls").text_model(**given)
    assert torch.equal(first.pooler_output, first.last_hidden_state[:, 0])


def test_embeddings_may_come_in_place_of_ids(clap):
    given = tokens()
    embeddings = clap.get_input_embeddings()(given["input_ids"])
    mask = given["attention_mask"]
    got = clap.get_text_features(inputs_embeds=embeddings, attention_mask=mask).pooler_output
    close(got, clap.get_text_features(**given).pooler_output)


@pytest.mark.parametrize("both", [True, False])
def test_ids_and_embeddings_exclude_each_other(clap, both):
    given = tokens()
    extra = {"inputs_embeds": clap.get_input_embeddings()(given["input_ids"])} if both else {}
    with pytest.raises(ValueError, match="exactly one of `input_ids` and `inputs_embeds`"):
        clap.text_model(input_ids=given["input_ids"] if both else None, **extra)


# -- windows ----------------------------------------------------------------------------------------------------------


def test_windows_are_averaged_as_in_a_loop(clap):
    features = log_mel(6).view(2, 3, 1, 101, 16)
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    projected = clap.get_audio_features(features, mask, normalize=False).pooler_output
    plain = clap.audio_model(features, mask).pooler_output
    for row, count in enumerate(mask.sum(1)):
        singles = [features[row, window][None] for window in range(count)]
        loop = [clap.get_audio_features(single, normalize=False).pooler_output[0] for single in singles]
        close(projected[row], torch.stack(loop).mean(0))
        close(plain[row], torch.stack([clap.audio_model(single).pooler_output[0] for single in singles]).mean(0))


def test_windows_that_only_fill_the_batch_are_not_seen(clap):
    features = log_mel(6).view(2, 3, 1, 101, 16)
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    noisy = features.clone()
    noisy[1, 1:] = torch.nan
    close(clap.get_audio_features(noisy, mask).pooler_output, clap.get_audio_features(features, mask).pooler_output)


def test_one_window_is_the_clip_itself(clap):
    close(clap.get_audio_features(log_mel()[:, None]).pooler_output, clap.get_audio_features(log_mel()).pooler_output)


def test_windows_reach_every_head(kind, tmp_path):
    """The same average in the model, its audio half and the whole forward."""
    clap = tiny(kind)
    clap.save_pretrained(tmp_path)
    features, mask = log_mel(6).view(2, 3, 1, 101, 16), torch.tensor([[1, 1, 1], [1, 1, 0]])
    half = ClapAfmAudioModelWithProjection.from_pretrained(tmp_path).eval()
    want = clap.get_audio_features(features, mask, normalize=False).pooler_output
    close(half(features, mask).audio_embeds, want)
    whole = clap(input_features=features, input_features_mask=mask, **tokens(TEXTS[:2]))
    close(whole.audio_embeds, F.normalize(want, dim=-1))


# -- loss and training ------------------------------------------------------------------------------------------------


def test_the_loss_is_the_symmetric_cross_entropy(clap):
    output = clap(**inputs(), return_loss=True)
    logits = output.logits_per_audio.detach()
    rows = [-math.log(math.exp(logits[i, i]) / sum(math.exp(value) for value in logits[i])) for i in range(4)]
    columns = [-math.log(math.exp(logits[i, i]) / sum(math.exp(value) for value in logits[:, i])) for i in range(4)]
    assert output.loss.item() == pytest.approx((sum(rows) / 4 + sum(columns) / 4) / 2, rel=1e-5)
    torch.testing.assert_close(clap(**inputs()).loss, output.loss)
    assert clap(**inputs(), return_loss=False).loss is None
    assert clap.train()(**inputs()).loss is not None


def test_unequal_counts_have_no_loss(clap):
    given = {"input_features": log_mel(3), **tokens(TEXTS[:2])}
    with pytest.raises(ValueError, match="3 audios and 2 texts"):
        clap(**given, return_loss=True)
    assert clap.train()(**given).loss is None


def test_one_step_changes_every_parameter(kind):
    model = tiny(kind, training=True)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    gradients = grads(model, lambda m: m(**inputs(), return_loss=True).loss)
    assert set(before) == set(gradients)
    torch.optim.SGD(model.parameters(), lr=1.0).step()
    unchanged = [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
    assert unchanged == []


def test_a_tiny_set_can_be_learned(kind):
    torch.manual_seed(0)
    model = quiet(ClapAfmModel(CONFIGS[kind]()))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(120):
        optimizer.zero_grad()
        losses.append(model(**inputs(), return_loss=True).loss)
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.5 < losses[0]
    assert torch.equal(model(**inputs()).logits_per_audio.argmax(1), torch.arange(4))


def test_gradient_checkpointing_gives_the_same_gradients(clap):
    quiet(clap).train()
    plain = grads(clap, lambda m: m(**inputs()).loss)
    clap.gradient_checkpointing_enable()
    checkpointed = grads(clap, lambda m: m(**inputs()).loss)
    assert plain.keys() == checkpointed.keys()
    for name in plain:
        torch.testing.assert_close(plain[name], checkpointed[name], atol=1e-5, rtol=1e-4, msg=name)


# -- classification ---------------------------------------------------------------------------------------------------


def classifier(**kwargs):
    return tiny(cls=ClapAfmForAudioClassification, num_labels=3, **kwargs)


@pytest.mark.parametrize(("layers", "modules"), [(1, ["Linear"]), (3, ["Linear", "ReLU", "Linear", "ReLU", "Linear"])])
def test_heads_of_one_and_three_layers(layers, modules):
    model = classifier(classifier_layers=layers)
    assert [type(module).__name__ for module in model.classifier if not isinstance(module, nn.Dropout)] == modules
    want = model.classifier(model.audio_model(log_mel()).pooler_output)
    output = model(log_mel(), labels=torch.tensor([0, 1, 2, 1]))
    close(output.logits, want)
    assert output.logits.shape == (4, 3)
    close(output.loss, F.cross_entropy(want, torch.tensor([0, 1, 2, 1])))
    assert model(log_mel()).loss is None


def test_several_labels_per_clip():
    model = classifier(problem_type="multi_label_classification")
    labels = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
    output = model(log_mel(), labels=labels)
    close(output.loss, F.binary_cross_entropy(output.logits.sigmoid(), labels.float()))


def test_a_frozen_encoder_stays_as_it_is_through_training():
    model = classifier()
    model.freeze_audio_encoder()
    before = copy.deepcopy(model.audio_model.state_dict())
    model.train()
    assert model.classifier.training and not any(module.training for module in model.audio_model.modules())
    first, second = (model(log_mel(), labels=torch.tensor([0, 1, 2, 1])) for _ in range(2))
    close(first.logits, second.logits)
    first.loss.backward()
    assert {name for name, p in model.named_parameters() if p.grad is not None} == {
        f"classifier.1.{part}" for part in ("weight", "bias")
    }
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0).step()
    for name, value in model.audio_model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_without_freezing_the_statistics_move():
    model = classifier(training=True)
    before = model.audio_model.encoder.bn0.running_mean.clone()
    model(log_mel())
    assert not torch.equal(model.audio_model.encoder.bn0.running_mean, before)


# -- saving and loading -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [{}, {"max_shard_size": "20KB"}], ids=["one file", "shards"])
def test_save_and_load_bit_for_bit(clap, tmp_path, shards):
    clap.save_pretrained(tmp_path, **shards)
    assert (tmp_path / "model.safetensors.index.json").exists() == bool(shards)
    again, info = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert type(again) is ClapAfmModel and not any(info[key] for key in ("missing_keys", "unexpected_keys"))
    assert again.state_dict().keys() == clap.state_dict().keys()
    for name, value in clap.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    for name, value in clap.named_buffers():
        assert torch.equal(value, dict(again.named_buffers())[name]), name
    torch.testing.assert_close(
        again.eval()(**inputs()).logits_per_audio, clap(**inputs()).logits_per_audio, atol=1e-5, rtol=1e-4
    )


PARTS = {
    ClapAfmAudioModelWithProjection: "",
    ClapAfmTextModelWithProjection: "",
    ClapAfmForAudioClassification: "",
    ClapAfmAudioModel: "audio_model.",
    ClapAfmTextModel: "text_model.",
}


@pytest.mark.parametrize("part", PARTS, ids=lambda cls: cls.__name__)
def test_a_part_loads_from_the_checkpoint_of_the_whole(clap, part, tmp_path):
    clap.save_pretrained(tmp_path)
    model, info = part.from_pretrained(tmp_path, output_loading_info=True)
    assert all(key.startswith("classifier.") for key in info["missing_keys"]) and not info["unexpected_keys"]
    for name, value in model.state_dict().items():
        if not name.startswith("classifier."):
            assert torch.equal(value, clap.state_dict()[PARTS[part] + name]), name


@pytest.mark.parametrize("part", PARTS, ids=lambda cls: cls.__name__)
def test_a_part_saves_and_loads_by_itself(clap, part, tmp_path):
    clap.save_pretrained(tmp_path / "whole")
    model = part.from_pretrained(tmp_path / "whole")
    model.save_pretrained(tmp_path / "part")
    again, info = part.from_pretrained(tmp_path / "part", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_classifier_is_found_by_its_auto_class(tmp_path):
    model = classifier()
    model.save_pretrained(tmp_path)
    again = AutoModelForAudioClassification.from_pretrained(tmp_path).eval()
    assert type(again) is ClapAfmForAudioClassification
    close(again(log_mel()).logits, model(log_mel()).logits)


def test_missing_weights_are_initialised(kind, tmp_path):
    fresh = ClapAfmModel(CONFIGS[kind]())
    fresh.save_pretrained(tmp_path, state_dict={"text_projection.layer_norm.bias": torch.zeros(12)})
    loaded, info = ClapAfmModel.from_pretrained(tmp_path, output_loading_info=True)
    assert len(info["missing_keys"]) == len(fresh.state_dict()) - 1
    assert loaded.logit_scale.item() == pytest.approx(math.log(1 / 0.07))
    for name, value in loaded.state_dict().items():
        assert torch.isfinite(value).all() and value.abs().max() < 10, name
        plain = fresh.state_dict()[name]
        if plain.numel() > 1 and (plain == plain.flatten()[0]).all():  # constants: zeros and ones
            close(value, plain)
    for linear in (loaded.audio_projection.linear1, loaded.text_projection.linear2):
        bound = math.sqrt(6 / (linear.in_features + linear.out_features))
        assert 0.7 * bound < linear.weight.abs().max() <= bound


def test_half_precision_keeps_what_is_delicate(clap, tmp_path):
    clap.save_pretrained(tmp_path)
    half = ClapAfmModel.from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
    encoder = half.audio_model.encoder
    assert {encoder.bn0.weight.dtype, encoder.bn0.running_mean.dtype} == {torch.float32}
    assert half.text_projection.linear1.weight.dtype == torch.bfloat16
    output, want = half(**inputs()), clap(**inputs())
    assert output.logits_per_audio.dtype == torch.float32 and torch.isfinite(output.logits_per_audio).all()
    assert (output.audio_embeds.float() * want.audio_embeds).sum(-1).min() > 0.99
    assert (output.text_embeds.float() * want.text_embeds).sum(-1).min() > 0.99


def test_autocast_is_close(clap):
    want = clap(**inputs(), return_loss=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = clap(**inputs(), return_loss=True)
    assert (got.audio_embeds.float() * want.audio_embeds).sum(-1).min() > 0.99
    got.loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in clap.parameters())


def test_loading_with_a_device_map(clap, tmp_path):
    clap.save_pretrained(tmp_path)
    placed = ClapAfmModel.from_pretrained(tmp_path, device_map="cpu").eval()
    torch.testing.assert_close(
        placed(**inputs()).logits_per_audio, clap(**inputs()).logits_per_audio, atol=1e-5, rtol=1e-4
    )


def test_copies_and_pickles(clap):
    for twin in (copy.deepcopy(clap), pickle.loads(pickle.dumps(clap))):
        torch.testing.assert_close(
            twin(**inputs()).logits_per_audio, clap(**inputs()).logits_per_audio, atol=1e-5, rtol=1e-4
        )


# -- what users ask of the model --------------------------------------------------------------------------------------


def test_attention_is_chosen_per_tower():
    model = tiny()
    want = model(**inputs()).logits_per_audio
    model.set_attn_implementation({"audio_config": "eager", "text_config": "sdpa"})
    assert model.audio_model.encoder.config._attn_implementation == "eager"
    assert model.text_model.encoder.config._attn_implementation == "sdpa"
    close(model(**inputs()).logits_per_audio, want, 1e-4)
    model.set_attn_implementation("eager")
    assert model.text_model.encoder.config._attn_implementation == "eager"
    close(model(**inputs()).logits_per_audio, want, 1e-4)


def test_attention_can_be_chosen_at_loading(tmp_path):
    tiny().save_pretrained(tmp_path)
    model = ClapAfmModel.from_pretrained(tmp_path, attn_implementation="eager")
    assert model.audio_model.encoder.config._attn_implementation == "eager"
    assert model.text_model.encoder.config._attn_implementation == "eager"


def test_hidden_states_and_attentions_of_both_towers():
    model = tiny()
    model.set_attn_implementation("eager")
    output = model(**inputs(), output_hidden_states=True, output_attentions=True)
    audio, text = output.audio_model_output, output.text_model_output
    assert [states.shape[-1] for states in audio.hidden_states] == [8, 16, 16]
    assert [tuple(states.shape[::2]) for states in text.hidden_states] == [(4, 16)] * 2
    assert len(audio.attentions) == 2 and len(text.attentions) == 1
    assert model(**inputs()).audio_model_output.hidden_states is None


@pytest.mark.parametrize("where", ["model", "towers"])
@torch.no_grad()
def test_the_configs_say_that_hidden_states_are_wanted(clap, where):
    """As a config that was loaded does: nothing is said in the call."""
    for config in [clap.config] if where == "model" else [clap.config.text_config, clap.config.audio_config]:
        config.output_hidden_states = True
    given = inputs()
    asked = clap.get_text_features(given["input_ids"], given["attention_mask"], output_hidden_states=False)
    assert asked.hidden_states is None
    text = clap.get_text_features(given["input_ids"], given["attention_mask"])
    audio = clap.get_audio_features(given["input_features"])
    assert len(text.hidden_states) == 2 and len(audio.hidden_states) == 3
    whole = clap(**given)
    assert len(whole.text_model_output.hidden_states) == 2 and len(whole.audio_model_output.hidden_states) == 3


def test_tuples(clap):
    named, plain = clap(**inputs(), return_loss=False), clap(**inputs(), return_dict=False)
    assert isinstance(plain, tuple)
    close(plain[0], named.logits_per_audio)
    flat = named.to_tuple()
    assert len(flat) == 6 and isinstance(flat[-1], tuple) and flat[2] is named.text_embeds


def test_the_vocabulary_can_grow(clap):
    want = clap(**inputs()).text_embeds
    clap.resize_token_embeddings(300)
    assert clap.get_input_embeddings().weight.shape[0] == 300
    assert clap.config.text_config.encoder_config.vocab_size == 300 == clap.config.text_config.vocab_size
    close(clap(**inputs()).text_embeds, want)
    assert torch.isfinite(clap.get_text_features(torch.tensor([[299]])).pooler_output).all()


def test_compiled_equals_eager(clap):
    torch.compiler.reset()
    with torch.no_grad():
        compiled = torch.compile(clap, backend="eager", fullgraph=True)(**inputs())
        close(compiled.logits_per_audio, clap(**inputs()).logits_per_audio, 1e-4)


def test_exports():
    model = tiny()
    with torch.no_grad():
        program = torch.export.export(model, (), inputs(), strict=False)
        close(program.module()(**inputs()).logits_per_audio, model(**inputs()).logits_per_audio, 1e-4)


def test_bert_has_no_pooler_that_nothing_trains():
    assert not any("pooler" in name for name, _ in tiny("2022").named_parameters())


def test_lora_on_the_text_tower(tmp_path):
    peft = pytest.importorskip("peft")
    model = tiny()
    want = model(**inputs()).logits_per_audio
    adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules=["c_attn"], r=2, fan_in_fan_out=True))
    trained = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert trained and all("lora" in name and "text_model" in name for name in trained)
    close(adapted(**inputs()).logits_per_audio, want)
    optimizer = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=1.0)
    for _ in range(2):
        optimizer.zero_grad()
        adapted(**inputs(), return_loss=True).loss.backward()
        optimizer.step()
    changed = adapted(**inputs()).logits_per_audio
    assert not torch.allclose(changed, want, atol=1e-3)
    adapted.save_pretrained(tmp_path)
    again = peft.PeftModel.from_pretrained(tiny(), tmp_path).eval()
    close(again(**inputs()).logits_per_audio, changed)
    close(again.merge_and_unload()(**inputs()).logits_per_audio, changed, 1e-4)
