"""One way to choose the number format: for loading, the embedder, indices and commands."""

import pytest
import torch
from commands import run_command
from generating_models import save, write_clips
from tiny_models import tiny_clap, write_tones
from transformers import AutoModel, AutoModelForMultimodalLM, pipeline

from afm_hf.hub import precision
from afm_hf.hub.loading import load_clap, load_pipeline
from afm_hf.hub.precision import pick_dtype, precision_of
from afm_hf.models.common import int8_text_afm
from afm_hf.models.common.int8_afm import has_vnni
from afm_hf.models.common.int8_text_afm import has_int8_kernels
from afm_hf.retrieval import AudioIndex, ClapEmbedder, IndexMismatchError, embed_files

needs_kernels = pytest.mark.skipif(not has_int8_kernels(), reason="torch has no kernels for this processor")


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


@needs_kernels
def test_models_that_answer_in_words_are_loaded_in_eight_bits_by_all_ways(tmp_path):
    folder = save("pengi", tmp_path)
    audio = write_clips(tmp_path / "clips", 2)
    loaded = AutoModelForMultimodalLM.from_pretrained(folder, dtype=torch.int8)
    assert precision_of(loaded) == precision_of(AutoModel.from_pretrained(folder, dtype="int8")) == "int8"
    pipes = [pipeline("audio-captioning", model=str(folder), dtype=dtype) for dtype in ("int8", torch.int8)]
    pipes.append(load_pipeline("audio-captioning", folder, "cpu", "int8"))
    texts = [pipe(audio, max_new_tokens=8) for pipe in pipes]
    assert all(precision_of(pipe.model) == "int8" for pipe in pipes) and texts[0] == texts[1] == texts[2]
    for way in (pipes[0].model.save_pretrained, pipes[0].save_pretrained):
        with pytest.raises(ValueError, match="in eight bits cannot be saved"):
            way(tmp_path / "again")
    with pytest.raises(ValueError, match="for CPUs, but the model is on meta"):
        pipeline("audio-captioning", model=str(folder), dtype="int8", device="meta")


def test_eight_bits_that_are_not_possible_are_refused_with_the_reason(tmp_path, monkeypatch):
    """transformers' own `pipeline` goes on in float32 then; that is not what was asked for."""
    folder = save("pengi", tmp_path)
    for name in ("has_fbgemm", "has_vnni"):
        monkeypatch.setattr(int8_text_afm, name, lambda: False)
    with pytest.raises(ValueError, match="needs a processor of the x86 family with AVX2"):
        load_pipeline("audio-captioning", folder, "cpu", "int8")
    with pytest.raises(ValueError, match="for CPUs, but the model is to run on cuda"):
        load_pipeline("audio-captioning", folder, "cuda", "int8")
