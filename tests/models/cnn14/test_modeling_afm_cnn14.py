"""Cnn14: its definition in plain PyTorch, and what users rely on."""

import copy
import pickle

import pytest
import torch
from tiny_models import grads, perturb
from torch.nn import functional as F
from transformers import AutoModel

from afm_hf import AfmCnn14Config, AfmCnn14Model


def tiny(training=False, **kwargs):
    sizes = {"num_mel_bins": 16, "block_channels": [4, 8, 12], "pool_sizes": [2, 2, 1], "hidden_size": 10}
    return perturb(AfmCnn14Model(AfmCnn14Config(**{**sizes, **kwargs}))).train(training)


def log_mel(batch=2, frames=50, mels=16, seed=0):
    return torch.rand(batch, 1, frames, mels, generator=torch.Generator().manual_seed(seed)) * 100 - 80


def plain(model, features):
    """The network of the paper, written once more with functions."""
    state = model.state_dict()

    def norm(x, name):
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"])

    x = norm(features.transpose(1, 3), "bn0").transpose(1, 3)
    for index, pool in enumerate(model.config.pool_sizes):
        for half in (1, 2):
            x = F.conv2d(x, state[f"blocks.{index}.conv{half}.weight"], padding=1)
            x = F.relu(norm(x, f"blocks.{index}.bn{half}"))
        x = F.avg_pool2d(x, pool)
    x = x.mean(3)  # over frequency
    x = x.max(2).values + x.mean(2)
    return F.relu(x @ state["fc1.weight"].T + state["fc1.bias"])


@pytest.mark.parametrize("frames", [4, 50, 53, 300])
def test_equals_its_definition(frames):
    model, features = tiny(), log_mel(frames=frames)
    torch.testing.assert_close(model(features).pooler_output, plain(model, features), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_equals_its_definition_at_full_size():
    model = perturb(AfmCnn14Model(AfmCnn14Config()), std=0.02).eval()
    features = log_mel(1, 690, 64)
    with torch.no_grad():
        pooled, expected = model(features).pooler_output, plain(model, features)
    # Convolutions may sum in another order: rounding grows with the largest value, not with each.
    torch.testing.assert_close(pooled, expected, atol=1e-4 * expected.abs().max().item(), rtol=0)


def test_too_few_frames_are_refused():
    with pytest.raises(ValueError, match=r"pools 4 frames into one, but was given only 3.*repeat"):
        tiny()(log_mel(frames=3))


@pytest.mark.parametrize("shape", [(16, 16), (1, 200, 16), (1, 2, 200, 16), (1, 1, 200, 64)], ids=str)
def test_other_shapes_are_refused_by_name(shape):
    with pytest.raises(ValueError) as error:
        tiny()(torch.zeros(shape))
    assert str(shape) in str(error.value) and "(batch, 1, frames, 16)" in str(error.value)


def test_gradient_checkpointing_gives_the_same_gradients():
    model = tiny(training=True, conv_dropout=0.0, dropout=0.0)
    loss = lambda m: m(log_mel()).pooler_output.square().mean()  # noqa: E731
    without = grads(model, loss)
    model.gradient_checkpointing_enable()
    checkpointed = grads(model, loss)
    assert without.keys() == checkpointed.keys() == dict(model.named_parameters()).keys()
    for name in without:
        torch.testing.assert_close(without[name], checkpointed[name], msg=name)


def test_spec_augment_is_off_unless_asked():
    features = log_mel()
    quiet = {"conv_dropout": 0.0, "dropout": 0.0}
    for applied in (False, True):
        model = tiny(training=True, apply_spec_augment=applied, **quiet)
        first, second = model(features).pooler_output, model(features).pooler_output
        assert torch.allclose(first, second, atol=1e-5) is not applied


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_equals_eager(backend):
    model = tiny()
    torch.compiler.reset()
    with torch.no_grad():
        compiled = torch.compile(model, backend=backend, fullgraph=True)(log_mel())
        torch.testing.assert_close(compiled.pooler_output, model(log_mel()).pooler_output, atol=1e-5, rtol=1e-5)


def test_bfloat16_keeps_the_batch_norm_over_mels_in_fp32(tmp_path):
    model = tiny()
    model.save_pretrained(tmp_path)
    half = AfmCnn14Model.from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
    assert {p.dtype for name, p in half.named_parameters() if "bn0" in name} == {torch.float32}
    assert {p.dtype for name, p in half.named_parameters() if "bn0" not in name} == {torch.bfloat16}
    got, want = half(log_mel()).pooler_output, model(log_mel()).pooler_output
    assert got.dtype == torch.bfloat16 and F.cosine_similarity(got.float(), want).min() > 0.99


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_to_bfloat16_and_autocast_run(training):
    model = tiny(training=training)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.isfinite(model(log_mel()).pooler_output).all()
    assert torch.isfinite(model.to(torch.bfloat16)(log_mel()).pooler_output).all()


@pytest.mark.parametrize("shards", [{}, {"max_shard_size": "5KB"}], ids=["one file", "shards"])
def test_save_and_load_bit_for_bit(tmp_path, shards):
    model = tiny()
    model.save_pretrained(tmp_path, **shards)
    assert (tmp_path / "model.safetensors.index.json").exists() == bool(shards)
    again, info = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert type(again) is AfmCnn14Model and not info["missing_keys"] and not info["unexpected_keys"]
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_hidden_states():
    output = tiny()(log_mel(frames=48), output_hidden_states=True)
    shapes = [tuple(states.shape) for states in output.hidden_states]
    assert shapes == [(2, 1, 48, 16), (2, 4, 24, 8), (2, 8, 12, 4), (2, 12, 12, 4)]
    assert output.last_hidden_state.shape == (2, 12, 12)
    torch.testing.assert_close(output.hidden_states[-1].mean(3).transpose(1, 2), output.last_hidden_state)


def test_tuples_copies_and_pickles():
    model = tiny()
    want = model(log_mel())
    torch.testing.assert_close(model(log_mel(), return_dict=False)[1], want.pooler_output, atol=1e-5, rtol=1e-4)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.testing.assert_close(twin(log_mel()).pooler_output, want.pooler_output, atol=1e-5, rtol=1e-4)


def test_a_batch_changes_nothing():
    model = tiny()
    together = model(log_mel(4)).pooler_output
    for index in range(4):
        single = model(log_mel(4)[index : index + 1]).pooler_output[0]
        torch.testing.assert_close(single, together[index], atol=1e-5, rtol=1e-5)


def test_input_embeddings_can_be_replaced():
    model = tiny()
    new = torch.nn.Conv2d(1, 4, 3, padding=1, bias=False)
    model.set_input_embeddings(new)
    assert model.get_input_embeddings() is new
