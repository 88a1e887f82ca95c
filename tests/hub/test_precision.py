"""One way to choose the number format: for loading, the embedder, indices and commands."""

import pytest
import torch
from commands import run_command
from tiny_models import tiny_clap, write_tones
from transformers import AutoModel

from afm_hf.hub import precision
from afm_hf.hub.loading import load_clap
from afm_hf.hub.precision import pick_dtype, precision_of
from afm_hf.models.common.int8_afm import has_vnni
from afm_hf.retrieval import AudioIndex, ClapEmbedder, IndexMismatchError, embed_files


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_clap(tmp_path_factory.mktemp("model")))


@pytest.mark.parametrize(("native", "picked"), [(True, "bfloat16"), (False, "float32")])
def test_auto_takes_bfloat16_only_where_the_machine_has_it(native, picked, model, monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: native)
    assert pick_dtype("auto") == picked
    assert precision_of(load_clap(model, "auto")[0]) == picked == ClapEmbedder(model, "cpu", "auto").dtype


def test_imitated_bfloat16_is_told_of_and_other_names_are_refused(monkeypatch):
    said = []
    monkeypatch.setattr(precision.logger, "warning_once", said.append)
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    assert pick_dtype("bfloat16") == "bfloat16"
    assert "has no instructions for bfloat16" in said[0]
    with pytest.raises(ValueError, match="dtype is 'half'; expected auto, float32"):
        pick_dtype("half")
    with pytest.raises(ValueError, match="for CPUs, but the model is to run on cuda"):
        pick_dtype("int8", "cuda")


@pytest.mark.skipif(not has_vnni(), reason="this processor has no VNNI instructions")
def test_an_index_remembers_its_number_format_and_takes_no_other(model, tmp_path):
    clips, output = write_tones(tmp_path / "clips", 3), tmp_path / "clips.safetensors"
    embed_files(clips, output, model, device="cpu", dtype="int8")
    index = AudioIndex.load(output)
    assert index.settings["dtype"] == "int8"
    with pytest.raises(IndexMismatchError, match="'dtype': 'int8'"):
        embed_files(clips, output, model, device="cpu")
    with pytest.raises(IndexMismatchError, match=r"in float32.*number format"):
        index.check_model(ClapEmbedder(model, "cpu"))
    index.check_model(ClapEmbedder(model, "cpu", "int8"))
    with pytest.raises(ValueError, match="the embedder given computes in float32"):
        embed_files(clips, tmp_path / "new.safetensors", ClapEmbedder(model, "cpu"), dtype="int8")


@pytest.mark.skipif(not has_vnni(), reason="this processor has no VNNI instructions")
def test_commands_embed_and_search_in_the_same_format(model, tmp_path):
    write_tones(tmp_path / "clips", 3)
    index = str(tmp_path / "clips.safetensors")
    run_command("embed", tmp_path / "clips", "--output", index, "--model", model, "--dtype", "int8")
    run_command("search", "a tone", "--index", index)
    said = run_command("classify", tmp_path / "clips", "--labels", "rain,wind", "--model", model, "--dtype", "auto")
    assert "Number format: " in said.stderr


def test_generating_models_have_no_eight_bits(tmp_path):
    from afm_hf import bundled_model

    with pytest.raises(ValueError, match="is for the audio encoder of a CLAP"):
        AutoModel.from_pretrained(bundled_model("pengi-small"), dtype=torch.int8)
