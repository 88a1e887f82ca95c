"""Shared parts: each against a plain version of its definition."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutputWithPooling

from afm_hf.models.common.modeling_afm_common import (
    AfmProjection,
    MelBatchNorm,
    SpecAugment,
    average_windows,
    encode_windows,
    flatten_windows,
)


def test_projection_follows_its_definition():
    projection = AfmProjection(6, 4).eval()
    x = torch.randn(3, 6)
    first = x @ projection.linear1.weight.T
    second = F.gelu(first) @ projection.linear2.weight.T
    want = F.layer_norm(first + second, (4,), projection.layer_norm.weight, projection.layer_norm.bias)
    torch.testing.assert_close(projection(x), want)
    assert projection.linear1.bias is None and projection.linear2.bias is None


def test_projection_drops_out_the_second_branch_only():
    projection = AfmProjection(6, 4, dropout=1.0).train()
    x = torch.randn(3, 6)
    torch.testing.assert_close(projection(x), projection.layer_norm(projection.linear1(x)))


# -- batch norm over mel bands ----------------------------------------------------------------------------------------


def norms():
    """Ours and PyTorch's, with the same random weights and statistics."""
    ours, plain = MelBatchNorm(16), nn.BatchNorm1d(16)
    with torch.no_grad():
        for name, value in ours.state_dict().items():
            if value.is_floating_point():
                value.copy_(torch.rand(16) + 0.5)
            plain.state_dict()[name].copy_(value)
    return ours, plain


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_batch_norm_is_that_of_pytorch_over_the_bands(training):
    ours, plain = (norm.train(training) for norm in norms())
    log_mel = torch.randn(3, 1, 20, 16) * 30 - 40
    want = plain(log_mel[:, 0].transpose(1, 2)).transpose(1, 2)[:, None]
    torch.testing.assert_close(ours(log_mel), want, atol=1e-4, rtol=1e-5)
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, plain.state_dict()[name], msg=name)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_batch_norm_computes_in_fp32_in_a_bf16_model(training):
    ours, plain = (norm.train(training) for norm in norms())
    ours, plain = ours.bfloat16(), plain.bfloat16().float()  # the same, rounded, weights
    log_mel = torch.randn(3, 1, 20, 16) * 30 - 40
    out = ours(log_mel)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, plain(log_mel[:, 0].transpose(1, 2)).transpose(1, 2)[:, None], atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(ours.running_mean, plain.running_mean.bfloat16())
    assert ours.num_batches_tracked == int(training)


# -- SpecAugment ------------------------------------------------------------------------------------------------------


def runs(mask):
    """Lengths of the runs of ones in a list of booleans."""
    return [len(run) for run in "".join("x" if value else " " for value in mask).split()]


def test_spec_augment_masks_stripes_within_bounds():
    augment = SpecAugment(time_width=10, time_stripes=1, feature_width=4, feature_stripes=1).train()
    masked = augment(torch.ones(300, 1, 40, 16))[:, 0] == 0
    time, feature = masked.all(dim=2), masked.all(dim=1)
    assert torch.equal(masked, time[:, :, None] | feature[:, None, :])  # whole stripes and nothing else
    widths = [sum(runs(row)) for row in time.tolist()]
    assert set(widths) == set(range(10))  # uniform in [0, 10)
    assert all(len(runs(row)) <= 1 for row in time.tolist())
    assert {sum(runs(row)) for row in feature.tolist()} == set(range(4))
    # 38 is the last frame that can be hidden: starts are uniform over [0, 40 - width)
    assert time.any(0)[:39].all() and feature.any(0)[:15].all()


def test_spec_augment_masks_as_many_stripes_as_told_and_each_example_by_itself():
    masked = SpecAugment(8, 2, 0, 0).train()(torch.ones(200, 1, 100, 4))[:, 0] == 0
    counts = {len(runs(row)) for row in masked[:, :, 0].tolist()}
    assert counts == {0, 1, 2}
    assert len(masked.flatten(1).unique(dim=0)) > 150


def test_spec_augment_leaves_evaluation_and_its_input_alone():
    log_mel = torch.ones(4, 1, 40, 16)
    augment = SpecAugment(10, 2, 4, 2)
    assert augment.eval()(log_mel) is log_mel
    augment.train()(log_mel)
    assert (log_mel == 1).all()


@pytest.mark.parametrize("frames", [1, 3, 40])
def test_spec_augment_of_clips_narrower_than_a_stripe(frames):
    assert SpecAugment(64, 2, 8, 2).train()(torch.ones(5, 1, frames, 2)).shape == (5, 1, frames, 2)


# -- windows ----------------------------------------------------------------------------------------------------------


def test_windows_flatten_and_average():
    features = torch.arange(2 * 3 * 1 * 2 * 1.0).view(2, 3, 1, 2, 1)
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    flat, owners = flatten_windows(features, mask)
    assert torch.equal(flat, torch.stack([features[0, 0], features[0, 1], features[0, 2], features[1, 0]]))
    assert owners.rows.tolist() == [0, 0, 0, 1]
    embeddings = torch.tensor([[1.0], [2.0], [6.0], [5.0]])
    assert average_windows(embeddings, owners).tolist() == [[3.0], [5.0]]


def test_windows_count_by_what_is_heard_of_them():
    features = torch.arange(2 * 3 * 1 * 2 * 1.0).view(2, 3, 1, 2, 1)
    shares = torch.tensor([[1.0, 0.25, 0.0], [0.125, 0.0, 0.125]])
    flat, owners = flatten_windows(features, shares)
    assert torch.equal(flat, torch.stack([features[0, 0], features[0, 1], features[1, 0], features[1, 2]]))
    embeddings = torch.tensor([[1.0], [6.0], [2.0], [4.0]])
    torch.testing.assert_close(average_windows(embeddings, owners), torch.tensor([[2.0], [3.0]]))
    halves = average_windows(embeddings.bfloat16(), owners)
    assert halves.dtype == torch.bfloat16 and halves.tolist() == [[2.0], [3.0]]


def test_windows_without_a_mask_are_all_real():
    _, owners = flatten_windows(torch.zeros(2, 3, 1, 4, 1), None)
    assert owners.rows.tolist() == [0, 0, 0, 1, 1, 1] and owners.shares.tolist() == [1] * 6


@pytest.mark.parametrize("count", [1, 32, 33, 70])
@torch.no_grad()
def test_many_windows_are_encoded_some_at_a_time_to_the_same(count):
    seen = []

    def encoder(features, **kwargs):
        seen.append((len(features), kwargs))
        return BaseModelOutputWithPooling(last_hidden_state=features, pooler_output=features.flatten(1).sum(1)[:, None])

    features, owners = flatten_windows(torch.rand(1, count, 1, 4, 2), None)
    made = encode_windows(encoder, features, owners)
    assert torch.equal(made.last_hidden_state, features)
    torch.testing.assert_close(made.pooler_output, features.flatten(1).sum(1)[:, None])
    assert max(size for size, _ in seen) <= 32 and sum(size for size, _ in seen) == count
    seen.clear()
    encode_windows(encoder, features, owners, output_hidden_states=True)
    with torch.enable_grad():
        encode_windows(encoder, features, owners)
    encode_windows(encoder, features, None)
    assert [size for size, _ in seen] == [count] * 3


def test_clips_without_windows_pass_through():
    features = torch.zeros(2, 1, 4, 1)
    assert flatten_windows(features, None) == (features, None)
    assert average_windows(features, None) is features


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([[1, 1], [1, 1]], r"2 clips of 3 windows.*\(2, 2\)"),
        ([[1, 0, 0], [0, 0, 0]], "no window to clip 1"),
        ([[1, 2, 0]] * 2, "from 0 to 1"),
        ([[1, -1, 0]] * 2, "from 0 to 1"),
        ([[1, math.nan, 0]] * 2, "from 0 to 1"),
    ],
)
def test_bad_window_masks_are_refused(mask, message):
    with pytest.raises(ValueError, match=message):
        flatten_windows(torch.zeros(2, 3, 1, 4, 1), torch.tensor(mask))
