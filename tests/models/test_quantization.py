"""Quantisation while a checkpoint is loaded, with the libraries that transformers knows, on a CPU."""

import pytest
import torch
from conformity_models import make_row
from transformers import BitsAndBytesConfig, QuantoConfig, TorchAoConfig

NAMES = ["clap", "clap_2022", "htsat", "cnn14", "pengi", "mellow", "adiff", "clapcap"]


def torchao_int8():
    quantization = pytest.importorskip("torchao.quantization")
    return TorchAoConfig(quantization.Int8WeightOnlyConfig())


def bitsandbytes_int8():
    pytest.importorskip("bitsandbytes")
    return BitsAndBytesConfig(load_in_8bit=True)


def quanto_int8():
    pytest.importorskip("optimum.quanto")
    return QuantoConfig(weights="int8")


def result(row, model):
    """What a user looks at: embeddings or logits, without the lowest number of the placeholder."""
    outputs = model(**row.inputs)
    name = next(name for name in ("audio_embeds", "logits", "pooler_output") if name in outputs)
    return outputs[name].double().clamp(min=-1e4).flatten()


@pytest.mark.parametrize("how", [torchao_int8, bitsandbytes_int8, quanto_int8])
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_a_checkpoint_loaded_in_int8_gives_nearly_the_same(name, how, tmp_path):
    config, row = how(), make_row(name)
    row.model.save_pretrained(tmp_path)
    small = type(row.model).from_pretrained(tmp_path, quantization_config=config, device_map="cpu")
    assert any(value.dtype == torch.int8 or type(value.data) is not torch.Tensor for value in small.parameters())
    assert torch.cosine_similarity(result(row, small), result(row, row.model), dim=0) > 0.99
    if row.generates:
        assert small.generate(**row.prompt_inputs(), max_new_tokens=3, do_sample=False).shape[1] > 3


@pytest.mark.parametrize("how", [torchao_int8, bitsandbytes_int8])
@pytest.mark.parametrize("name", ["htsat", "cnn14", "pengi", "mellow", "adiff"])
@torch.no_grad()
def test_what_was_quantised_can_be_saved(name, how, tmp_path):
    config, row = how(), make_row(name)
    row.model.save_pretrained(tmp_path / "whole")
    small = type(row.model).from_pretrained(tmp_path / "whole", quantization_config=config, device_map="cpu")
    small.save_pretrained(tmp_path / "small")
    again = type(row.model).from_pretrained(tmp_path / "small", device_map="cpu")
    torch.testing.assert_close(result(row, again), result(row, small), rtol=1e-5, atol=1e-5)
