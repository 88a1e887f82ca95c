"""HTSAT: the function of the papers' encoder (transformers' CLAP encoder is the oracle), fast paths as plain ones."""

import copy
import pickle

import pytest
import torch
from tiny_models import grads, htsat_config, perturb
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, ClapAudioConfig, ClapAudioModel

from afm_hf import AfmHtsatConfig, AfmHtsatModel
from afm_hf.models.htsat.modeling_afm_htsat import AfmHtsatDropPath, AfmHtsatMLP, join_windows, long_window_starts
from afm_hf.models.htsat.modeling_afm_htsat import split_windows as split


def tiny(training=False, **kwargs):
    return perturb(AfmHtsatModel(htsat_config(**kwargs))).train(training)


def log_mel(batch=2, frames=200, mels=16, seed=0):
    """Log-mels in the range of real ones: -80 to 20 dB."""
    return torch.rand(batch, 1, frames, mels, generator=torch.Generator().manual_seed(seed)) * 100 - 80


# -- the same function as transformers' CLAP encoder ------------------------------------------------------------------


def oracle(model):
    """transformers' `ClapAudioModel` with the weights of an `AfmHtsatModel`."""
    config = model.config
    clap = ClapAudioModel(
        ClapAudioConfig(
            spec_size=config.spec_size,
            num_mel_bins=config.num_mel_bins,
            patch_embeds_hidden_size=config.embed_dim,
            depths=config.depths,
            num_attention_heads=config.num_attention_heads,
            num_hidden_layers=len(config.depths),
            window_size=config.window_size,
            hidden_size=config.hidden_size,
            hidden_dropout_prob=0.0,
        )
    )
    names = {
        "bn0.": "batch_norm.",
        "norm1.": "layernorm_before.",
        "norm2.": "layernorm_after.",
        "attn.proj.": "attention.output.dense.",
        "attn.relative": "attention.self.relative",
        "mlp.fc1.": "intermediate.dense.",
        "mlp.fc2.": "output.dense.",
    }
    state = {}
    for key, value in model.state_dict().items():
        if ".attn.qkv." in key:
            for part, third in zip(("query", "key", "value"), value.chunk(3), strict=True):
                state["audio_encoder." + key.replace("attn.qkv", f"attention.self.{part}")] = third
            continue
        for own, theirs in names.items():
            key = key.replace(own, theirs)
        state["audio_encoder." + key] = value
    missing, unexpected = clap.load_state_dict(state, strict=False)
    assert not unexpected and all(key.endswith("relative_position_index") for key in missing)
    return clap.eval()


def assert_equals_oracle(model, features, tolerance=1e-5):
    with torch.no_grad():
        ours, theirs = model(features), oracle(model)(features)
    size, ratio = model._final_resolution(), model.config.freq_ratio
    # (batch, rows x columns, channels) -> theirs: (batch, channels, rows of a quarter, quarters x columns)
    grid = ours.last_hidden_state.unflatten(1, (ratio, size // ratio, size)).permute(0, 4, 2, 1, 3).flatten(3)
    torch.testing.assert_close(ours.pooler_output, theirs.pooler_output, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(grid, theirs.last_hidden_state, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("frames", [1, 37, 200, 256], ids="{} frames".format)
def test_equals_the_clap_encoder_of_transformers(frames):
    assert_equals_oracle(tiny(), log_mel(frames=frames))


@pytest.mark.slow
@pytest.mark.parametrize("frames", [138, 965, 1024], ids="{} frames".format)
def test_equals_the_clap_encoder_of_transformers_at_full_size(frames):
    model = perturb(AfmHtsatModel(AfmHtsatConfig()), std=0.02).eval()
    assert_equals_oracle(model, log_mel(1, frames, 64))


# -- long inputs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("long_input", "frames", "starts"),
    [
        ("official", 1025, [0]),
        ("official", 1034, [0]),
        ("official", 1035, [0, 344]),
        ("official", 1406, [0, 344, 688]),
        ("cover", 1025, [0, 336]),
        ("cover", 1033, [0, 344]),
        ("cover", 1035, [0, 344, 346]),
        ("cover", 1406, [0, 344, 688, 717]),
        ("cover", 1377, [0, 344, 688]),  # a window ends with the input: nothing to add
    ],
)
def test_windows_of_a_long_input(long_input, frames, starts):
    assert long_window_starts(AfmHtsatConfig(long_input=long_input), frames) == starts


@pytest.mark.parametrize("frames", [257, 300, 512, 700])
def test_cover_sees_every_frame(frames):
    config = htsat_config(long_input="cover")
    starts = long_window_starts(config, frames)
    seen = {frame for start in starts for frame in range(start, start + config.long_window_frames)}
    assert seen == set(range(frames))


@pytest.mark.parametrize("long_input", ["official", "cover"])
def test_long_input_equals_a_loop_over_its_windows(long_input):
    model = tiny(long_input=long_input, use_framewise_head=True, num_classes=5)
    features = log_mel(2, 500)
    starts = long_window_starts(model.config, 500)
    assert len(starts) > 2
    with torch.no_grad():
        batched = model(features)
        loop = [model(features[:, :, start : start + model.config.long_window_frames]) for start in starts]
    for name in ("last_hidden_state", "pooler_output", "framewise_output", "clipwise_output"):
        mean = torch.stack([output[name] for output in loop]).mean(0)
        torch.testing.assert_close(batched[name], mean, atol=1e-5, rtol=1e-5)


def test_long_input_is_refused_if_asked():
    with pytest.raises(ValueError, match=r"holds 256 frames, but was given 257.*truncation"):
        tiny(long_input="error")(log_mel(frames=257))


def test_training_takes_one_crop_of_a_long_input():
    model = tiny(training=True, drop_path_rate=0.0, apply_spec_augment=False)
    with torch.no_grad():
        torch.manual_seed(3)
        got = model(log_mel(frames=600)).pooler_output
        torch.manual_seed(3)
        start = int(torch.randint(600 - 256 + 1, ()))
        want = model(log_mel(frames=600)[:, :, start : start + 256]).pooler_output
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)


# -- pieces against plain versions ------------------------------------------------------------------------------------


def test_fold_stacks_the_time_quarters_along_frequency():
    model = tiny()
    features = log_mel(2, 256)
    image = model._fold(features)
    assert image.shape == (2, 1, 64, 64)
    for quarter in range(4):
        for mel in range(16):
            want = features[:, 0, 64 * quarter : 64 * (quarter + 1), mel]
            torch.testing.assert_close(image[:, 0, 16 * quarter + mel], want, atol=1e-5, rtol=1e-4)


def cubic_resize(values, size):
    """Plain cubic convolution (Keys, a = -0.75) of `(n, channels)` to `(size, channels)`, corners aligned."""

    def kernel(x):
        x = abs(x)
        if x <= 1:
            return 1.25 * x**3 - 2.25 * x**2 + 1
        return -0.75 * x**3 + 3.75 * x**2 - 6 * x + 3 if x < 2 else 0.0

    out = torch.zeros(size, values.shape[1])
    for row in range(size):
        place = row * (len(values) - 1) / (size - 1)
        for tap in range(int(place) - 1, int(place) + 3):
            out[row] += kernel(place - tap) * values[min(max(tap, 0), len(values) - 1)]
    return out


@pytest.mark.parametrize("frames", [1, 100, 255])
def test_fold_stretches_short_inputs(frames):
    features = torch.randn(1, 1, frames, 16)
    time = tiny()._fold(features)[0, 0].unflatten(0, (4, 16)).transpose(1, 2).flatten(0, 1)  # (256 frames, 16 mels)
    torch.testing.assert_close(time, cubic_resize(features[0, 0], 256), atol=1e-4, rtol=0)


def test_windows_split_and_join():
    image = torch.arange(2 * 8 * 8 * 3.0).view(2, 8, 8, 3)
    windows = split(image, 4)
    assert windows.shape == (8, 16, 3)
    assert torch.equal(windows[1].view(4, 4, 3), image[0, :4, 4:])
    assert torch.equal(join_windows(windows, 4, 8, 8), image)


def test_shifted_windows_do_not_see_across_the_border():
    """A change in the last row of patches reaches no first-row patch through the cyclic shift of one block."""
    block = tiny().layers[0].blocks[1]
    assert block.shift == 2
    states = torch.randn(1, 256, 8)
    changed = states.clone()
    changed[:, -16:] += 1  # the last of the 16 rows
    moved = (block(states) - block(changed)).abs().amax(-1).view(16, 16).amax(1)
    assert (moved[:2] == 0).all() and (moved[-2:] > 0).all()


def test_one_window_is_never_shifted():
    assert [[block.shift for block in stage.blocks] for stage in tiny().layers] == [[0, 2], [0, 2], [0, 0]]


def test_merging_keeps_the_official_order_of_neighbours():
    merging = tiny().layers[0].downsample
    merging.norm = nn.Identity()
    merging.reduction = nn.Identity()
    image = torch.randn(1, 16, 16, 8)
    plain = torch.cat([image[:, 0::2, 0::2], image[:, 1::2, 0::2], image[:, 0::2, 1::2], image[:, 1::2, 1::2]], dim=-1)
    torch.testing.assert_close(merging(image.flatten(1, 2)), plain.flatten(1, 2), atol=1e-5, rtol=1e-4)


def test_position_bias_depends_on_the_offset_of_two_patches():
    attention = tiny().layers[0].blocks[0].attn
    bias = attention.position_bias()[0, 0].view(4, 4, 4, 4)
    assert bias[0, 0, 1, 2] == bias[1, 1, 2, 3] == bias[2, 0, 3, 2]
    assert bias[0, 0, 1, 2] != bias[0, 0, 2, 1]


def test_framewise_head_follows_its_definition():
    model = tiny(use_framewise_head=True, num_classes=5)
    with torch.no_grad():
        output = model(log_mel())
        states = oracle_grid(model, output.last_hidden_state)
        logits = F.conv2d(states, model.tscam_conv.weight, model.tscam_conv.bias, padding=(0, 1)).squeeze(2)
    assert output.framewise_output.shape == (2, 256, 5)
    torch.testing.assert_close(output.clipwise_output, logits.mean(-1).sigmoid())
    repeated = logits.sigmoid().repeat_interleave(256 // logits.shape[-1], -1).transpose(1, 2)
    torch.testing.assert_close(output.framewise_output, repeated)


def oracle_grid(model, hidden_states):
    """Tokens -> (batch, channels, rows of a quarter, time) with explicit loops."""
    size, ratio = model._final_resolution(), model.config.freq_ratio
    rows = size // ratio
    grid = torch.zeros(len(hidden_states), hidden_states.shape[-1], rows, ratio * size)
    for quarter in range(ratio):
        for row in range(rows):
            for column in range(size):
                token = (quarter * rows + row) * size + column
                grid[:, :, row, quarter * size + column] = hidden_states[:, token]
    return grid


# -- training ---------------------------------------------------------------------------------------------------------


def test_drop_path_drops_whole_examples_and_keeps_the_mean():
    drop = AfmHtsatDropPath(0.25).train()
    branch = drop(torch.ones(4000, 2, 3))
    assert sorted(branch[:, 0, 0].unique().tolist()) == pytest.approx([0.0, 1 / 0.75])
    assert torch.equal(branch, branch[:, :1, :1].expand_as(branch))
    assert branch.mean() == pytest.approx(1, abs=0.05)
    assert torch.equal(drop.eval()(torch.ones(5)), torch.ones(5))


def test_drop_path_acts_on_both_branches():
    block = tiny(training=True, drop_path_rate=0.1).layers[0].blocks[0]
    block.drop_path.rate = 1 - 1e-9  # drops everything
    states = torch.randn(2, 256, 8)
    torch.testing.assert_close(block(states), states, atol=1e-5, rtol=1e-4)
    block.drop_path.rate = 0.0
    without = block(states)
    dropped = []
    block.drop_path.forward = lambda branch: dropped.append(branch) or branch
    torch.testing.assert_close(block(states), without, atol=1e-5, rtol=1e-4)
    assert len(dropped) == 2


def test_drop_path_grows_from_zero_to_its_rate():
    rates = [block.drop_path.rate for stage in tiny(drop_path_rate=0.1).layers for block in stage.blocks]
    assert rates == pytest.approx([0, 0.02, 0.04, 0.06, 0.08, 0.1])


def test_spec_augment_only_in_training():
    features = log_mel()
    model = tiny(drop_path_rate=0.0)
    with torch.no_grad():
        torch.testing.assert_close(model(features).pooler_output, model(features).pooler_output, atol=1e-5, rtol=1e-4)
        model.spec_augment.train()
        assert not torch.equal(model(features).pooler_output, model(features).pooler_output)
        model.config.apply_spec_augment = False
        torch.testing.assert_close(model(features).pooler_output, model(features).pooler_output, atol=1e-5, rtol=1e-4)


def test_gradient_checkpointing_gives_the_same_gradients():
    model = tiny(training=True, drop_path_rate=0.0, apply_spec_augment=False)
    plain = grads(model, lambda m: m(log_mel()).pooler_output.square().mean())
    model.gradient_checkpointing_enable()
    assert any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
    checkpointed = grads(model, lambda m: m(log_mel()).pooler_output.square().mean())
    assert plain.keys() == checkpointed.keys() and len(plain) == len(list(model.parameters()))
    for name in plain:
        torch.testing.assert_close(plain[name], checkpointed[name], msg=name)


def test_every_parameter_gets_a_gradient():
    model = tiny(training=True, use_framewise_head=True, num_classes=5)
    gradients = grads(
        model, lambda m: (lambda o: o.pooler_output.square().mean() + o.clipwise_output.sum())(m(log_mel()))
    )
    assert {name for name, gradient in gradients.items() if gradient.abs().sum() > 0} == set(
        dict(model.named_parameters())
    )


# -- attention backends, compilation, precision -----------------------------------------------------------------------


def test_sdpa_equals_eager():
    model = tiny()
    outputs = {}
    for name in ("sdpa", "eager"):
        model.set_attn_implementation(name)
        outputs[name] = model(log_mel())
    torch.testing.assert_close(
        outputs["sdpa"].last_hidden_state, outputs["eager"].last_hidden_state, atol=1e-5, rtol=1e-5
    )


def test_flash_attention_is_refused():
    with pytest.raises((ValueError, ImportError)):
        AfmHtsatModel._from_config(htsat_config(), attn_implementation="flash_attention_2")


@pytest.mark.parametrize(
    ("backend", "frames"),
    [("eager", 200), ("aot_eager", 500), pytest.param("inductor", 500, marks=pytest.mark.slow)],
)
def test_compiled_equals_eager(backend, frames):
    model = tiny(use_framewise_head=True, num_classes=5, depths=[2, 1], num_attention_heads=[1, 2])
    features = log_mel(frames=frames)
    torch.compiler.reset()
    with torch.no_grad():
        compiled = torch.compile(model, backend=backend, fullgraph=True)(features)
        plain = model(features)
    for name in plain:
        torch.testing.assert_close(compiled[name], plain[name], atol=1e-5, rtol=1e-5)


def test_compiled_training_step_equals_eager():
    sizes = {"depths": [2], "num_attention_heads": [1]}
    model = tiny(training=True, drop_path_rate=0.0, apply_spec_augment=False, **sizes)
    plain = grads(model, lambda m: m(log_mel()).pooler_output.square().mean())
    torch.compiler.reset()
    step = torch.compile(lambda m: m(log_mel()).pooler_output.square().mean(), backend="aot_eager")
    compiled = grads(model, step)
    for name in plain:
        torch.testing.assert_close(plain[name], compiled[name], atol=1e-5, rtol=1e-4, msg=name)


def test_bfloat16_keeps_the_batch_norm_in_fp32(tmp_path):
    model = tiny()
    model.save_pretrained(tmp_path)
    half = AfmHtsatModel.from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
    assert {half.bn0.weight.dtype, half.bn0.running_var.dtype} == {torch.float32}
    others = {p.dtype for name, p in half.named_parameters() if "bn0" not in name}
    assert others == {torch.bfloat16}
    with torch.no_grad():
        got, want = half(log_mel()).pooler_output, model(log_mel()).pooler_output
    assert got.dtype == torch.bfloat16 and torch.isfinite(got).all()
    assert F.cosine_similarity(got.float(), want).min() > 0.99


@pytest.mark.parametrize("features_dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_to_bfloat16_runs(training, features_dtype):
    """`model.to(bfloat16)` turns the batch norm as well, and pipelines turn the features."""
    model = tiny(training=training).to(torch.bfloat16)
    assert torch.isfinite(model(log_mel().to(features_dtype)).pooler_output).all()


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_autocast_is_close(training):
    model = tiny(training=training, drop_path_rate=0.0, apply_spec_augment=False)
    want = model(log_mel()).pooler_output
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = model(log_mel()).pooler_output
    got.float().sum().backward()
    assert F.cosine_similarity(got.float(), want).min() > 0.99
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_double_precision_runs():
    model = tiny().double()
    assert model(log_mel()).pooler_output.dtype == torch.float64


# -- saving, loading, initialisation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [{}, {"max_shard_size": "10KB"}], ids=["one file", "shards"])
def test_save_and_load_bit_for_bit(tmp_path, shards):
    model = tiny(use_framewise_head=True, num_classes=5)
    model.save_pretrained(tmp_path, **shards)
    assert (tmp_path / "model.safetensors.index.json").exists() == bool(shards)
    again, info = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert type(again) is AfmHtsatModel and type(AutoConfig.from_pretrained(tmp_path)) is AfmHtsatConfig
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert {**again.config.to_dict(), "_name_or_path": ""} == model.config.to_dict()
    for (name, ours), (_, theirs) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        assert torch.equal(ours, theirs), name
    with torch.no_grad():
        torch.testing.assert_close(
            model(log_mel()).pooler_output, again.eval()(log_mel()).pooler_output, atol=1e-5, rtol=1e-4
        )


def test_buffers_outside_the_checkpoint_are_refilled(tmp_path):
    model = tiny()
    model.save_pretrained(tmp_path)
    fresh, loaded = dict(model.named_buffers()), dict(AfmHtsatModel.from_pretrained(tmp_path).named_buffers())
    outside = set(fresh) - set(model.state_dict())
    assert {name.rsplit(".", 1)[1] for name in outside} == {"relative_position_index", "shift_mask"}
    assert fresh.keys() == loaded.keys()
    for name in fresh:
        assert torch.equal(fresh[name], loaded[name]), name


def test_missing_weights_are_initialised(tmp_path):
    """A checkpoint without any of the weights: nothing is left as the memory happened to be."""
    fresh = AfmHtsatModel(htsat_config(embed_dim=32))
    fresh.save_pretrained(tmp_path, state_dict={"bn0.bias": torch.zeros(16)})
    loaded, info = AfmHtsatModel.from_pretrained(tmp_path, output_loading_info=True)
    assert len(info["missing_keys"]) == len(fresh.state_dict()) - 1
    for (name, ours), (_, theirs) in zip(fresh.state_dict().items(), loaded.state_dict().items(), strict=True):
        if ours.ndim > 1 and ours.numel() >= 512:  # random
            assert theirs.std() == pytest.approx(ours.std().item(), rel=0.3), name
            assert theirs.mean().abs() < 0.02, name
        elif ours.ndim <= 1 and "proj.bias" not in name:  # constant
            assert torch.equal(ours, theirs), name


def test_linear_layers_start_as_in_the_papers():
    for module in AfmHtsatModel(htsat_config(embed_dim=64)).modules():
        if isinstance(module, AfmHtsatMLP):
            assert module.fc1.weight.std().item() == pytest.approx(0.02, rel=0.1)
            assert not module.fc1.bias.any()


def test_copies_and_pickles():
    model = tiny()
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.testing.assert_close(twin(log_mel()).pooler_output, model(log_mel()).pooler_output, atol=1e-5, rtol=1e-4)
    assert pickle.loads(pickle.dumps(model.config)).to_dict() == model.config.to_dict()


# -- what users ask of the output -------------------------------------------------------------------------------------


def test_hidden_states_and_attentions():
    model = AfmHtsatModel._from_config(htsat_config(), attn_implementation="eager").eval()
    output = model(log_mel(3), output_hidden_states=True, output_attentions=True)
    assert [tuple(states.shape) for states in output.hidden_states] == [
        (3, 256, 8),
        (3, 64, 16),
        (3, 16, 32),
        (3, 16, 32),
    ]
    counts = [16, 16, 4, 4, 1, 1]  # windows per image in each block
    heads = [1, 1, 2, 2, 4, 4]
    assert [tuple(a.shape) for a in output.attentions] == [
        (3 * count, head, 16, 16) for count, head in zip(counts, heads, strict=True)
    ]
    for weights in output.attentions:
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    assert model(log_mel()).hidden_states is None and model(log_mel()).attentions is None


def test_tuples():
    model = tiny()
    named, plain = model(log_mel()), model(log_mel(), return_dict=False)
    assert isinstance(plain, tuple)
    torch.testing.assert_close(plain[0], named.last_hidden_state, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(plain[1], named.pooler_output, atol=1e-5, rtol=1e-4)


def test_a_batch_changes_nothing():
    model = tiny()
    features = log_mel(5)
    together = model(features).pooler_output
    for index in range(5):
        torch.testing.assert_close(
            model(features[index : index + 1]).pooler_output[0], together[index], atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize(
    "shape", [(16, 16), (1, 200, 16), (1, 2, 200, 16), (1, 1, 200, 64), (1, 1, 1, 200, 16)], ids=str
)
def test_other_shapes_are_refused_by_name(shape):
    with pytest.raises(ValueError) as error:
        tiny()(torch.zeros(shape))
    assert str(shape) in str(error.value) and "(batch, 1, frames, 16)" in str(error.value)


def test_no_frames_are_refused():
    with pytest.raises(ValueError, match="frames"):
        tiny()(torch.zeros(1, 1, 0, 16))


def test_input_embeddings_can_be_replaced():
    model = tiny()
    new = nn.Conv2d(1, 8, 4, 4)
    model.set_input_embeddings(new)
    assert model.get_input_embeddings() is new is model.patch_embed.proj
