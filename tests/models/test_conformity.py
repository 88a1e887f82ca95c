"""What users of transformers expect of every model: one test a capability, one row a model."""

import copy
import json
import pickle

import numpy as np
import pytest
import torch
from conformity_models import BATCH, EARS, ROWS, every_row, make_row
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoProcessor
from transformers.modeling_layers import GradientCheckpointingLayer

QUANTIZED = {torch.ao.nn.quantized.dynamic.Linear}
CONVOLUTIONS = ("yamnet", "effects_cnn", "ears")  # no linear layer in them


@pytest.fixture
def row(request):
    return make_row(request.param)


def tensors(output):
    """All tensors of an output by their places; caches left out."""
    found = {}
    for name, value in output.items():
        parts = value if isinstance(value, tuple) else (value,)
        found |= {f"{name} {place}": part for place, part in enumerate(parts) if isinstance(part, torch.Tensor)}
    return found


def same(first, second, **tolerances):
    first, second = tensors(first), tensors(second)
    assert first.keys() == second.keys() and first
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], **tolerances, msg=lambda text, name=name: f"{name}: {text}")


@every_row()
@torch.no_grad()
def test_loading_changes_no_bit_in_one_file_or_in_many(row, tmp_path):
    expected = row.model(**row.inputs)
    size = sum(parameter.numel() * parameter.element_size() for parameter in row.model.parameters())
    for shards in (False, True):
        folder = tmp_path / str(shards)
        row.model.save_pretrained(folder, max_shard_size=size // 3 if shards else 2 * size)
        assert (len(list(folder.glob("*.safetensors"))) > 1) == shards
        again, report = type(row.model).from_pretrained(folder, output_loading_info=True)
        assert not report["missing_keys"] and not report["unexpected_keys"]
        weights = row.model.state_dict()
        assert again.state_dict().keys() == weights.keys()
        assert all(torch.equal(value, weights[name]) for name, value in again.state_dict().items())
        same(again(**row.inputs), expected, rtol=0, atol=0)


@every_row()
@pytest.mark.parametrize("device_map", ["auto", "cpu"])
@torch.no_grad()
def test_a_device_map_loads_the_same_model(row, device_map, tmp_path):
    row.model.save_pretrained(tmp_path)
    again = type(row.model).from_pretrained(tmp_path, device_map=device_map)
    same(again(**row.inputs), row.model(**row.inputs), rtol=0, atol=0)


@every_row()
@torch.no_grad()
def test_bfloat16_is_near_and_leaves_the_batch_norm_of_mels_alone(row, tmp_path):
    row.model.save_pretrained(tmp_path)
    half = type(row.model).from_pretrained(tmp_path, dtype=torch.bfloat16)
    delicate = {"bn0", "logit_scale"}
    for name, parameter in half.named_parameters():
        if "bn0." in name:
            assert parameter.dtype == torch.float32, name
        elif not delicate & set(name.split(".")):
            assert parameter.dtype == torch.bfloat16, name
    expected, got = tensors(row.model(**row.inputs)), tensors(half(**row.inputs))
    for name, value in expected.items():
        if value.is_floating_point() and value.ndim > 1:
            # the placeholder's logit is the lowest number, of each type its own
            value, other = value.clamp(min=-1e4).double(), got[name].clamp(min=-1e4).double()
            assert torch.cosine_similarity(value.flatten(), other.flatten(), dim=0) > 0.98, name


@every_row()
def test_gradient_checkpointing_changes_neither_loss_nor_gradients(row):
    """In training mode: what is dropped at random must be dropped again in the second pass."""
    runs = []
    row.model.train()
    for checkpointing in (False, True):
        if checkpointing:
            row.model.gradient_checkpointing_enable()
            assert row.model.is_gradient_checkpointing
            layers = [module for module in row.model.modules() if isinstance(module, GradientCheckpointingLayer)]
            assert layers and all(layer.gradient_checkpointing for layer in layers)
        row.model.zero_grad()
        torch.manual_seed(3)
        np.random.seed(3)  # Wav2Vec2 chooses with it what it masks
        loss = row.loss()
        loss.backward()
        runs.append((loss.detach(), {name: p.grad for name, p in row.model.named_parameters()}))
    (loss, gradients), (again, others) = runs
    torch.testing.assert_close(again, loss)
    for name, gradient in gradients.items():
        assert (gradient is None) == (others[name] is None), name
        if gradient is not None:
            assert (others[name] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-7, name


@every_row()
@torch.no_grad()
def test_eager_attention_equals_sdpa(row):
    if row.name == "cnn14":
        pytest.skip("no attention in it")
    outputs = []
    for implementation in ("eager", "sdpa"):
        row.model.set_attn_implementation(implementation)
        chosen = {module.config._attn_implementation for module in row.model.modules() if hasattr(module, "config")}
        assert chosen == {implementation}
        outputs.append(row.model(**row.inputs))
    same(*outputs, rtol=2e-4, atol=2e-4)


@every_row()
@torch.no_grad()
def test_tuples_hold_what_the_named_output_holds(row):
    named, bare = row.model(**row.inputs), row.model(**row.inputs, return_dict=False)
    assert isinstance(bare, tuple) and len(bare) == len(named.to_tuple())
    for value, other in zip(named.to_tuple(), bare, strict=True):
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(value, other, atol=1e-5, rtol=1e-4)
        else:
            assert type(value) is type(other)


@every_row()
@torch.no_grad()
def test_hidden_states_and_attentions_are_there_when_asked_for_and_only_then(row):
    attends = row.name not in ("cnn14", *EARS)
    if attends:
        row.model.set_attn_implementation("eager")
    wanted = {"output_hidden_states": True, "output_attentions": attends}
    plain, full = row.model(**row.inputs), row.model(**row.inputs, **wanted)
    if row.name in ("clap", "clap_2022"):
        towers = [(output.text_model_output, output.audio_model_output) for output in (plain, full)]
    else:
        towers = [(plain,), (full,)]
    for without, tower in zip(*towers, strict=True):
        assert without.get("hidden_states") is None and without.get("attentions") is None
        assert len(tower.hidden_states) > 1 and all(torch.is_tensor(state) for state in tower.hidden_states)
        if row.name == "clap_2022" or not attends:
            continue  # Cnn14 has none
        assert tower.attentions and all(torch.is_tensor(weights) for weights in tower.attentions)
        rows_sum_to_one = tower.attentions[0].sum(-1)
        torch.testing.assert_close(rows_sum_to_one, torch.ones_like(rows_sum_to_one))
    same(plain, {name: full[name] for name in plain})


@every_row()
@torch.no_grad()
def test_the_batch_comes_first_in_and_out(row):
    """As `DataParallel` and the sharding of batches need it: a part of every input gives that part of every output."""
    inputs = {name: value for name, value in row.inputs.items() if name not in ("labels", "return_loss")}
    assert all(len(value) == BATCH for value in inputs.values())
    without_loss = {"return_loss": False} if "return_loss" in row.inputs else {}
    outputs = tensors(row.model(**inputs, **without_loss))
    parts = [
        tensors(row.model(**{name: value[part] for name, value in inputs.items()}, **without_loss))
        for part in (slice(2), slice(2, 3))
    ]
    for name, value in outputs.items():
        if name.startswith("logits_per"):  # of all pairs
            continue
        torch.testing.assert_close(torch.cat([part[name] for part in parts]), value, rtol=1e-4, atol=1e-4)


@every_row()
def test_one_step_of_training_changes_all_that_trains_and_nothing_else(row):
    """Frozen means still: no weight moves, no statistics of a batch norm, and nothing is dropped or masked."""
    if row.freeze is not None:
        row.freeze()
    row.model.train()
    before = {name: value.clone() for name, value in row.model.state_dict().items()}
    trainable = {name for name, parameter in row.model.named_parameters() if parameter.requires_grad}
    assert trainable and not any(name.startswith(row.frozen) for name in trainable if row.frozen)
    optimizer = torch.optim.SGD([p for p in row.model.parameters() if p.requires_grad], lr=1e-1)
    row.loss().backward()
    optimizer.step()
    changed = {name for name, value in row.model.state_dict().items() if not torch.equal(value, before[name])}
    assert trainable <= changed, trainable - changed
    buffers = {name for name, _ in row.model.named_buffers()}
    assert changed <= trainable | buffers
    assert not [name for name in changed if row.frozen and name.startswith(row.frozen)]
    if row.frozen:
        tower = row.model.get_submodule(row.frozen[0].rstrip("."))
        features = row.inputs["input_features"].reshape(-1, 1, *row.inputs["input_features"].shape[-2:])
        first, second = (tower(features).pooler_output for _ in range(2))
        torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-4)


QUICKLY_TRACED = ("clap_2022", "cnn14", "mellow")


@pytest.mark.parametrize(
    "row",
    [name if name in QUICKLY_TRACED else pytest.param(name, marks=pytest.mark.slow) for name in ROWS],
    indirect=True,
)
@torch.no_grad()
def test_the_forward_pass_is_one_graph(row):
    # The speech encoders of transformers, asked for hidden states, break the graph.
    compiled = torch.compile(row.model, backend="aot_eager", fullgraph=row.name != "speech")
    inputs = {name: value for name, value in row.inputs.items() if name != "labels"}
    same(compiled(**inputs), row.model(**inputs), rtol=1e-4, atol=1e-4)


def values(config):
    """All fields, but for the version, which saving writes down, and the folder, which loading does."""
    return {
        name: value for name, value in config.to_dict().items() if name not in ("transformers_version", "_name_or_path")
    }


@every_row()
def test_configs_copy_pickle_and_survive_a_file(row, tmp_path):
    config = row.model.config
    config.save_pretrained(tmp_path)
    others = [
        copy.deepcopy(config),
        pickle.loads(pickle.dumps(config)),
        type(config).from_dict(json.loads(config.to_json_string(use_diff=False))),
        type(config).from_pretrained(tmp_path),
        AutoConfig.from_pretrained(tmp_path),
    ]
    for other in others:
        assert type(other) is type(config) and values(other) == values(config)
        names = [name for name in config.sub_configs if getattr(config, name, None) is not None]
        for name in names:
            assert type(getattr(other, name)) is type(getattr(config, name))
            assert getattr(other, name) is not getattr(config, name)


@every_row()
@torch.no_grad()
def test_models_copy_and_pickle(row):
    expected = row.model(**row.inputs)
    same(copy.deepcopy(row.model)(**row.inputs), expected, rtol=0, atol=0)
    if row.name != "speech":  # Wav2Vec2's weight norm cannot be pickled
        same(pickle.loads(pickle.dumps(row.model))(**row.inputs), expected, rtol=0, atol=0)


@every_row()
@torch.no_grad()
def test_linear_layers_in_int8_give_nearly_the_same(row):
    """torch's dynamic quantisation; see `test_quantization.py` for that of other libraries."""
    small = torch.ao.quantization.quantize_dynamic(row.model, {torch.nn.Linear}, dtype=torch.qint8)
    assert {type(module) for module in small.modules()} & QUANTIZED or row.name in CONVOLUTIONS
    expected, got = tensors(row.model(**row.inputs)), tensors(small(**row.inputs))
    for name, value in expected.items():
        if value.is_floating_point() and value.ndim > 1:
            value, other = value.clamp(min=-1e4).double(), got[name].clamp(min=-1e4).double()
            assert torch.cosine_similarity(value.flatten(), other.flatten(), dim=0) > 0.98, name


@every_row()
@torch.no_grad()
def test_auto_classes_find_what_was_saved(row, tmp_path):
    row.model.save_pretrained(tmp_path)
    assert type(AutoConfig.from_pretrained(tmp_path)) is type(row.model.config)
    base = AutoModel.from_pretrained(tmp_path)
    weights = row.model.state_dict()
    start = "model." if row.generates else "yamnet." if row.name == "yamnet_classification" else ""
    found = {f"{start}{name}": value for name, value in base.state_dict().items()}
    if row.name != "clap_classification":  # AutoModel makes a whole ClapAfmModel, whose text tower is new
        assert all(torch.equal(value, weights[name]) for name, value in found.items())
    if row.processor is not None:
        row.processor.save_pretrained(tmp_path)
        processor = AutoProcessor.from_pretrained(tmp_path)
        assert type(processor) is type(row.processor)
        extractor = AutoFeatureExtractor.from_pretrained(tmp_path)
        assert type(extractor) is type(row.processor.feature_extractor)
        assert extractor.to_dict() == row.processor.feature_extractor.to_dict()


@pytest.mark.slow
@every_row()
@torch.no_grad()
def test_compiled_by_inductor_equals_eager(row):
    inputs = {name: value for name, value in row.inputs.items() if name != "labels"}
    same(torch.compile(row.model)(**inputs), row.model(**inputs), rtol=1e-3, atol=1e-3)


def test_the_suite_knows_every_public_model():
    import afm_hf

    public = {name for name in afm_hf.__all__ if isinstance(getattr(afm_hf, name), type)}
    public = {name for name in public if issubclass(getattr(afm_hf, name), torch.nn.Module)}
    rows = [make_row(name).model for name in ROWS]
    covered = {type(module).__name__ for model in rows for module in model.modules()}
    # The two towers with projections are ClapAfmModel's halves; tested beside it.
    apart = {"ClapAfmAudioModelWithProjection", "ClapAfmTextModelWithProjection"}
    assert public - covered <= apart
