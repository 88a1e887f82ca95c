"""Exported towers give what the model gives: in any batch and length, and behind the pipeline."""

import pytest
import torch
from commands import run_command
from tiny_models import clap_2022_config, clap_config, perturb
from transformers import AutoFeatureExtractor, AutoTokenizer, pipeline

from afm_hf import ClapAfmModel, bundled_audio, bundled_model
from afm_hf.conversion.export import ExportedClap, export_clap

FRAMES = {"cnn14-2022": 40, "htsat-2023": 40}


def tiny(kind):
    torch.manual_seed(0)
    model = ClapAfmModel(clap_config() if kind == "htsat-2023" else clap_2022_config()).eval()
    perturb(model)
    return model


def need(format):
    if format == "onnx":
        for package in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(package)


def texts(batch, length):
    """Ids and mask; every second text is two tokens shorter, padded on the right."""
    ids = torch.randint(1, 200, (batch, length), generator=torch.Generator().manual_seed(length))
    mask = torch.ones_like(ids)
    mask[1::2, max(1, length - 2) :] = 0
    return ids, mask


@pytest.mark.parametrize("kind", FRAMES)
@pytest.mark.parametrize("format", ["torch-export", "onnx"])
@torch.no_grad()
def test_batch_and_length_are_free(kind, format, tmp_path):
    need(format)
    model = tiny(kind)
    exported = ExportedClap.load(export_clap(model, tmp_path / "out", FRAMES[kind], format=format), threads=1)
    for batch in (1, 3, 8):
        features = torch.randn(batch, 1, FRAMES[kind], 16)
        expected = model.get_audio_features(features).pooler_output
        torch.testing.assert_close(exported.get_audio_features(features).pooler_output, expected, atol=1e-5, rtol=0)
        for length in (1, 2, 12, 77):
            ids, mask = texts(batch, length)
            expected = model.get_text_features(ids, mask).pooler_output
            torch.testing.assert_close(exported.get_text_features(ids, mask).pooler_output, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_windows_and_a_fixed_batch(tmp_path):
    model = tiny("cnn14-2022")
    exported = ExportedClap.load(export_clap(model, tmp_path / "out", 40, format="torch-export", batch_size=4))
    features, kept = torch.randn(3, 2, 1, 40, 16), torch.tensor([[1, 1], [1, 0], [1, 1]])
    expected = model.get_audio_features(features, kept).pooler_output
    torch.testing.assert_close(exported.get_audio_features(features, kept).pooler_output, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("format", ["torch-export", "onnx"])
def test_the_pipeline_says_the_same_with_exported_towers(format, tmp_path):
    need(format)
    folder = bundled_model("clap-small")
    clips = [str(clip) for clip in bundled_audio()]
    labels = ["applause", "bell ringing", "birds singing", "a cow mooing in a field", "rain"]
    task = "zero-shot-audio-classification"
    expected = pipeline(task, model=str(folder), device="cpu")(clips, candidate_labels=labels, batch_size=4)
    run_command("export", "clap-small", "-o", tmp_path / "out", "--format", format)
    parts = {
        "tokenizer": AutoTokenizer.from_pretrained(tmp_path / "out"),
        "feature_extractor": AutoFeatureExtractor.from_pretrained(tmp_path / "out"),
    }
    pipe = pipeline(task, model=ExportedClap.load(tmp_path / "out", threads=1), device="cpu", **parts)
    for batch in (1, 3, 16):
        for said, wanted in zip(pipe(clips, candidate_labels=labels, batch_size=batch), expected, strict=True):
            assert [row["label"] for row in said] == [row["label"] for row in wanted]
            assert [row["score"] for row in said] == pytest.approx([row["score"] for row in wanted], abs=1e-4)


def test_what_cannot_be_exported_is_said(tmp_path):
    model = tiny("cnn14-2022")
    with pytest.raises(ValueError, match="'tflite'; expected one of 'onnx', 'torch-export'"):
        export_clap(model, tmp_path / "a", 40, format="tflite")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds files that are no export"):
        export_clap(model, tmp_path, 40, format="torch-export")
    with pytest.raises(ValueError, match="bfloat16"):
        export_clap(model.bfloat16(), tmp_path / "b", 40, format="torch-export")
    with pytest.raises(ValueError, match=r"no export\.json"):
        ExportedClap.load(tmp_path)


def test_transformers_js_has_no_batches(tmp_path):
    options = ["--format", "transformers.js", "--batch-size", 2]
    assert "--batch-size" in run_command("export", "clap-small", "-o", tmp_path / "out", *options, code=2).output
    assert not (tmp_path / "out").exists()
