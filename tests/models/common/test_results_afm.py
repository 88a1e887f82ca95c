"""Results as dataclass, dictionary, JSON and row."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import clap_config
from transformers import AutoModel

from afm_hf.models.common.results_afm import AfmResult, settings_of


@dataclasses.dataclass(kw_only=True)
class Judgement(AfmResult):
    label: str
    scores: list[float]
    vector: torch.Tensor


@pytest.fixture
def judgement():
    settings = {"model": "m", "seed": 3, "file": Path("a.wav"), "windows": {"policy": "first"}}
    return Judgement(label="cow", scores=[0.25] * 9, vector=torch.ones(2, 3), settings=settings)


def test_is_a_mapping_with_settings_last(judgement):
    assert list(judgement) == ["label", "scores", "vector", "settings"]
    assert dict(judgement)["label"] == "cow" == judgement["label"]
    with pytest.raises(KeyError, match="'nothing'"):
        judgement["nothing"]
    with pytest.raises(KeyError):
        judgement["to_dict"]


def test_json_round_trip(judgement):
    read = json.loads(judgement.to_json())
    assert read["vector"] == [[1.0] * 3] * 2
    assert read["settings"]["file"] == "a.wav"
    assert read == judgement.to_dict()


def test_row_is_flat(judgement):
    row = judgement.to_row()
    assert row["settings.windows.policy"] == "first"
    assert row["settings.seed"] == 3


def test_prints_short(judgement):
    shown = str(judgement)
    assert shown.startswith("Judgement\n")
    assert "(9 in all)" in shown
    assert "tensor of shape (2, 3)" in shown


def test_numpy_becomes_plain():
    result = Judgement(label="x", scores=np.float32(0.5), vector=torch.zeros(1, dtype=torch.bfloat16))
    assert json.loads(result.to_json())["scores"] == 0.5


def test_settings_name_the_model():
    settings = settings_of(AutoModel.from_config(clap_config()), template="{}", seed=None)
    assert settings == {"model": "ClapAfmModel", "template": "{}"}
    assert settings_of(AutoModel.from_config(clap_config()).bfloat16())["dtype"] == "bfloat16"
