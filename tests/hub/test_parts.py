"""Models that share their ears: packed once, put together on first use, the same to the bit; or a clear error."""

import json
import multiprocessing
import os
import runpy
import shutil
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from pair_models import tiny_pair_model
from prefix_models import tiny_config
from safetensors.torch import load_file
from small_disks import small_disk
from tiny_models import byte_tokenizer, clap_config
from transformers import AutoModel, AutoModelForMultimodalLM

from afm_hf import (
    AdiffForConditionalGeneration,
    AfmEarsConfig,
    AfmEffectsCnnConfig,
    AfmYamnetConfig,
    ClapAfmAudioConfig,
    ClapAfmConfig,
    ClapAfmModel,
    MellowConfig,
    MellowForCausalLM,
    PengiForConditionalGeneration,
)
from afm_hf.hub import bundled, parts
from afm_hf.hub.bundled import bundled_model
from afm_hf.hub.loading import resolve_model
from afm_hf.models.common.writing_afm import WriteError

SCRIPT = Path(__file__).parents[2] / "scripts" / "pack_bundled.py"
KINDS = ["clap", "pengi", "mellow", "adiff"]
YAMNET = AfmYamnetConfig(channels=[8, 12], strides=[1, 2], stem_channels=4, use_class_head=False)
EFFECTS = AfmEffectsCnnConfig(channels=[4, 8, 6])


def ears(**kwargs):
    return AfmEarsConfig(ears=[YAMNET, EFFECTS], frames=[240, 100], **kwargs)


def models():
    """A tiny CLAP, Pengi, Mellow and ADIFF that hear with the same ears and the same projection."""
    torch.manual_seed(0)
    audio = ClapAfmAudioConfig(encoder_config=ears(), projection_dim=12)
    clap = ClapAfmModel(ClapAfmConfig(audio_config=audio, text_config=clap_config().text_config))
    clap.audio_model.encoder.standardize(torch.randn(9, 18))
    pengi = PengiForConditionalGeneration(tiny_config("pengi", audio_config=ears()))
    adiff_config = tiny_pair_model("adiff")[0].config
    adiff_config.audio_config = ears()
    classifying = ears(use_framewise_head=True, num_classes=5, head_dim=12)
    words = tiny_pair_model("mellow")[0].config.text_config
    mellow = MellowForCausalLM(MellowConfig(audio_config=classifying, text_config=words, clip_frames=240))
    adiff = AdiffForConditionalGeneration(adiff_config)
    made = {"clap": clap, "pengi": pengi, "mellow": mellow, "adiff": adiff}
    for kind in KINDS[1:]:
        made[kind].model.audio_tower.load_state_dict(clap.audio_model.encoder.state_dict(), strict=False)
        inner = made[kind].model
        projection = inner.audio_tower.classifier.projection if kind == "mellow" else inner.audio_projection
        projection.load_state_dict(clap.audio_projection.state_dict())
    return made


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory):
    """Folders as `save_pretrained` makes them, with matrices in half precision."""
    folder = tmp_path_factory.mktemp("ordinary")
    for kind, model in models().items():
        state = {name: value.half() if value.ndim > 1 else value for name, value in model.state_dict().items()}
        model.save_pretrained(folder / kind, state_dict=state)
        byte_tokenizer().save_pretrained(folder / kind)
        (folder / kind / "README.md").write_text(f"# {kind}\n")
    return folder


def run_script(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["pack_bundled.py", *map(str, arguments)])
    runpy.run_path(str(SCRIPT))["main"]()


def all_kinds(folder):
    return [word for kind in KINDS for word in (f"--{kind}", folder / kind)]


@pytest.fixture
def assets(ordinary, tmp_path, monkeypatch):
    """The package's models, with a cache of their own."""
    run_script(monkeypatch, *all_kinds(ordinary), "--output", tmp_path / "assets")
    monkeypatch.setattr(bundled, "ASSETS", tmp_path / "assets")
    monkeypatch.setattr("afm_hf.hub.loading.ASSETS", tmp_path / "assets")
    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "home"))
    return tmp_path / "assets"


@pytest.mark.parametrize("kind", KINDS)
def test_packed_and_put_together_a_model_is_what_it_was(kind, ordinary, assets):
    folder = bundled_model(f"{kind}-small")
    assert folder.name == f"{kind}-small"
    tensors, expected = load_file(folder / "model.safetensors"), load_file(ordinary / kind / "model.safetensors")
    assert tensors.keys() == expected.keys()
    for name, value in expected.items():
        assert tensors[name].dtype == value.dtype and torch.equal(tensors[name], value), name
    others = {path.name for path in (ordinary / kind).iterdir()} - {"model.safetensors"}
    assert {path.name for path in folder.iterdir()} == {*others, "model.safetensors"}
    config, plain = (json.loads((each / "config.json").read_text()) for each in (folder, ordinary / kind))
    assert config == plain
    for name in others - {"config.json"}:
        assert (folder / name).read_bytes() == (ordinary / kind / name).read_bytes()
    auto = AutoModel if kind == "clap" else AutoModelForMultimodalLM
    loaded, plain = auto.from_pretrained(folder), auto.from_pretrained(ordinary / kind)
    assert loaded.dtype == torch.float32
    for name, value in plain.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_folders_of_the_machine_that_trained_are_left_out():
    config = {"ears": [{"_name_or_path": "/home/someone/yamnet", "mels": 64}], "dtype": None}
    assert runpy.run_path(str(SCRIPT))["without_places"](config) == {
        "ears": [{"_name_or_path": "", "mels": 64}],
        "dtype": None,
    }


def test_shared_weights_are_stored_once(ordinary, assets):
    def held(folder):
        return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))

    shared = (assets / "ears.safetensors").stat().st_size
    assert held(assets) < held(ordinary) - 2.5 * shared
    assert not list(assets.rglob("model.safetensors"))


def test_it_is_put_together_once_and_again_where_something_is_missing_or_old(assets):
    folder = bundled_model("pengi-small")
    state = (folder / "model.safetensors").stat()
    assert bundled_model("pengi-small") == folder and resolve_model("pengi-small") == str(folder)
    assert resolve_model(assets / "pengi-small") == str(folder)
    assert (folder / "model.safetensors").stat().st_mtime_ns == state.st_mtime_ns

    (folder / "config.json").unlink()
    assert bundled_model("pengi-small") == folder and (folder / "config.json").is_file()
    with (folder / "model.safetensors").open("r+b") as file:  # cut off
        file.truncate(100)
    assert bundled_model("pengi-small").joinpath("model.safetensors").stat().st_size == state.st_size
    (assets / "pengi-small" / "README.md").write_text("another version\n")
    assert (bundled_model("pengi-small") / "README.md").read_text() == "another version\n"
    assert not [path for path in folder.parent.parent.iterdir() if path.name.endswith(".tmp")]


def test_two_processes_at_once_get_the_same_folder(assets):
    with multiprocessing.get_context("fork").Pool(3) as pool:
        found = pool.map(parts.complete, [assets / "mellow-small"] * 9, chunksize=1)
    assert len(set(found)) == 1
    assert os.listdir(found[0].parent.parent) == [found[0].parent.name]


def test_a_cache_that_cannot_be_written_is_done_without(assets, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "file" / "home"))
    monkeypatch.setattr(parts, "_temporary", {})
    folder = bundled_model("clap-small")
    assert (folder / "model.safetensors").is_file() and folder.name == "clap-small"
    assert bundled_model("clap-small") == folder
    assert any("temporary folder" in record.getMessage() for record in caplog.records)
    shutil.rmtree(folder)  # somebody tidied up
    assert (bundled_model("clap-small") / "model.safetensors").is_file()


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(assets, tmp_path, monkeypatch):
    with small_disk(tmp_path / "disk", 16) as disk:
        monkeypatch.setattr(constants, "HF_HOME", str(disk))
        with pytest.raises(WriteError, match=r"^The bundled model adiff-small cannot be written to .*no space is left"):
            bundled_model("adiff-small")
        assert not list((disk / "afm_hf").iterdir())


def test_a_damaged_installation_is_told(assets):
    own = assets / "clap-small" / "own.safetensors"
    whole = own.read_bytes()
    own.write_bytes(whole[:-4])
    with pytest.raises(OSError, match=r"own\.safetensors was cut off"):
        bundled_model("clap-small")
    own.write_bytes(whole[:-4] + b"0000")
    with pytest.raises(OSError, match=r"clap-small do not fit together.*Install afm-hf anew"):
        bundled_model("clap-small")
    (assets / "ears.safetensors").unlink()
    with pytest.raises(OSError, match=r"pengi-small lacks its part \.\./ears\.safetensors"):
        bundled_model("pengi-small")


def test_other_ears_are_not_packed(ordinary, assets, tmp_path, monkeypatch):
    before = {path: path.read_bytes() for path in assets.rglob("*") if path.is_file()}
    shutil.copytree(ordinary, tmp_path / "changed")
    weights = tmp_path / "changed" / "clap" / "model.safetensors"
    tensors = parts.read_tensors(weights)
    mean = tensors["audio_model.encoder.mean"]
    tensors["audio_model.encoder.mean"] = parts.RawTensor(mean.dtype, mean.shape, b"\0\0\1\0" + mean.data[4:])
    parts.write_tensors(tensors, weights)
    with pytest.raises(SystemExit, match=r"the ears of pengi: 1 of .* not the same as CLAP's: mean"):
        run_script(monkeypatch, *all_kinds(tmp_path / "changed"), "--output", assets)
    with pytest.raises(SystemExit, match=r"adiff-small, mellow-small, pengi-small .* pack them as well"):
        run_script(monkeypatch, "--clap", tmp_path / "changed" / "clap", "--output", assets)
    assert {path: path.read_bytes() for path in assets.rglob("*") if path.is_file()} == before


def test_the_packages_own_parts_fit_together(tmp_path):
    for name in bundled.bundled_names():
        folder = bundled.ASSETS / name
        if parts.is_in_parts(folder):
            about = json.loads((folder / "parts.json").read_text())
            digest = parts.write_tensors(parts.gather(folder, about["weights"]), tmp_path / "weights")
            assert digest == about["sha256"], f"{name}: run scripts/pack_bundled.py"
