"""The folder for transformers.js: one graph from samples to logits, which says what the pipeline of Python says."""

import json

import numpy as np
import pytest
import torch
from commands import run_command
from tiny_models import byte_tokenizer, clap_2022_config, clap_config, perturb
from transformers import AutoTokenizer, pipeline

from afm_hf import AfmFeatureExtractor, ClapAfmModel, bundled_audio, bundled_model
from afm_hf.audio.audio_loading import load_audio
from afm_hf.conversion.export import ExportedClap
from afm_hf.conversion.transformers_js import export_transformers_js

pytestmark = pytest.mark.slow  # each exports a whole model, in minutes

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package)

LABELS = ["applause", "bell ringing", "birds singing", "a cow mooing in a field", "rain"]
RATE = 44100


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """clap-small, exported by the command."""
    folder = tmp_path_factory.mktemp("browser") / "clap-small"
    run_command("export", "clap-small", "-o", folder, "--format", "transformers.js")
    return folder


def session(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def scores(run, tokenizer, samples, labels=LABELS):
    """What `ZeroShotAudioClassificationPipeline` of transformers.js makes of a graph's answer, in order of labels."""
    tokens = tokenizer([f"This is a sound of {label}." for label in labels], padding=True, return_tensors="np")
    inputs = {name: tokens[name].astype(np.int64) for name in ("input_ids", "attention_mask")}
    logits = run.run(["logits_per_audio"], {**inputs, "input_values": samples[None, None]})[0]
    assert logits.shape == (1, len(labels))
    return torch.from_numpy(logits[0]).softmax(dim=0).tolist()


def test_scores_are_the_pipelines_at_every_length(folder):
    said = pipeline("zero-shot-audio-classification", model=str(bundled_model("clap-small")), device="cpu")
    run, tokenizer = session(folder / "onnx/model.onnx"), AutoTokenizer.from_pretrained(folder)
    whole = np.concatenate([load_audio(clip, RATE) for clip in bundled_audio()])
    whole[600_000:900_000] = 0  # windows in which nothing is heard
    for start, samples in ((0, 2000), (50_000, 44_100), (0, 106_502), (9, 106_503), (500_000, 700_000)):
        clip = whole[start : start + samples]
        for labels in (LABELS, LABELS[:2]):
            expected = {row["label"]: row["score"] for row in said(clip, candidate_labels=labels, sampling_rate=RATE)}
            assert scores(run, tokenizer, clip, labels) == pytest.approx([expected[each] for each in labels], abs=1e-3)


def test_eight_bits_say_nearly_the_same(folder):
    exact, small = (session(folder / f"onnx/{name}.onnx") for name in ("model", "model_quantized"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    labels = sorted({path.name.rpartition("_")[0].rpartition("_")[0].replace("_", " ") for path in bundled_audio()})
    clips = [load_audio(clip, RATE) for clip in bundled_audio()]
    said, wanted = (np.array([scores(run, tokenizer, clip, labels) for clip in clips]) for run in (small, exact))
    assert np.abs(said - wanted).max() < 0.06
    assert (said.argmax(axis=1) == wanted.argmax(axis=1)).sum() >= len(clips) - 1
    sizes = [(folder / f"onnx/{name}.onnx").stat().st_size for name in ("model", "model_quantized")]
    assert sizes[1] < 0.35 * sizes[0]


def test_the_layout_is_the_one_that_is_loaded(folder):
    assert json.loads((folder / "config.json").read_text())["model_type"] == "clap"
    samples = json.loads((folder / "preprocessor_config.json").read_text())
    assert samples["feature_extractor_type"] == "EncodecFeatureExtractor" and samples["sampling_rate"] == RATE
    tokens = json.loads((folder / "tokenizer_config.json").read_text())
    assert tokens["model_max_length"] == 128 and tokens["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert (folder / "tokenizer.json").is_file()
    with pytest.raises(ValueError, match=r"is for transformers\.js; expected one of onnx, torch-export"):
        ExportedClap.load(folder)


def test_silence_gives_no_numbers(folder):
    run, tokenizer = session(folder / "onnx/model.onnx"), AutoTokenizer.from_pretrained(folder)
    assert np.isnan(scores(run, tokenizer, np.zeros(50_000, np.float32))).all()


@pytest.mark.parametrize("config", [clap_config, clap_2022_config], ids=["htsat-2023", "cnn14-2022"])
@torch.no_grad()
def test_other_encoders(config, tmp_path):
    model = ClapAfmModel(config()).eval()
    perturb(model)
    extractor = AfmFeatureExtractor(
        feature_size=16, sampling_rate=8000, n_fft=256, hop_length=80, fmax=4000.0, max_length_s=0.39
    )
    export_transformers_js(model, extractor, byte_tokenizer(), tmp_path / "out")
    run = session(tmp_path / "out/onnx/model.onnx")
    for samples in (700, 3120, 9000):
        clip = np.random.default_rng(samples).normal(scale=0.1, size=samples).astype(np.float32)
        ids = torch.randint(1, 200, (3, 9))
        features = extractor([clip], sampling_rate=8000, return_tensors="pt")
        wanted = model(input_ids=ids, attention_mask=torch.ones_like(ids), **features).logits_per_audio
        inputs = {"input_ids": ids.numpy(), "attention_mask": torch.ones_like(ids).numpy()}
        logits = run.run(["logits_per_audio"], {**inputs, "input_values": clip[None, None]})[0]
        np.testing.assert_allclose(logits, wanted.numpy(), atol=1e-3)
