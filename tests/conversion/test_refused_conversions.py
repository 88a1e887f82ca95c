"""A conversion that is refused says why by the official key, and leaves nothing, or what was there."""

import importlib
import os
import re
import shutil

import pytest
import torch
from official_files import FAMILIES, convert, float_key, official_file, official_weights, tokenizers_for
from safetensors.torch import load_file
from small_disks import small_disk
from transformers import AutoModel

from afm_hf.conversion import checkpoint, folder
from afm_hf.conversion.checkpoint import ConversionError
from afm_hf.conversion.folder import new_folder
from afm_hf.hub.catalogue import convert as convert_by_keys

SYSTEMS = ["2022", "2023", "clapcap", "base", "base_no_text_enc", "mellow", "adiff"]


def refused(name, place, *, error=ConversionError, match, **changes):
    """Converts an official file with these changes, which is refused; nothing is left."""
    file = official_file(name, place / "file" / "official.pth", **changes)
    (place / "to").mkdir(exist_ok=True)
    with pytest.raises(error, match=match) as told:
        convert(name, file, place / "to" / "deep" / "out")
    assert "\n" not in str(told.value)
    assert not (place / "to" / "deep").exists()


# Values


@pytest.mark.parametrize("name", ["2022", "2023", "base", "mellow"])
def test_weights_so_large_that_no_answer_is_finite_are_refused(name, tmp_path):
    key = float_key(name, "projection.linear1.weight")
    large = torch.full_like(official_weights(name)[key], 1e38)
    message = rf"numbers that are not finite\. The largest weight is 1\.0e\+38, in {re.escape(key)};"
    refused(name, tmp_path, match=message, **{key: large})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_number_formats_become_float32(dtype, tmp_path):
    weights = {key: t.to(dtype) if t.is_floating_point() else t for key, t in official_weights("2023").items()}
    done = convert("2023", official_file("2023", tmp_path / "x.pth", **weights), tmp_path / "out")
    stored = load_file(done / "model.safetensors")["audio_projection.linear1.weight"]
    assert stored.dtype == torch.float32
    assert torch.equal(stored, weights["audio_encoder.projection.linear1.weight"].float())


@pytest.mark.parametrize("default", [torch.float16, torch.bfloat16, torch.float64])
def test_the_default_number_format_of_torch_changes_nothing(default, tmp_path):
    file = official_file("mellow", tmp_path / "x.ckpt")
    expected = load_file(convert("mellow", file, tmp_path / "before") / "model.safetensors")
    torch.set_default_dtype(default)
    try:
        done = convert("mellow", file, tmp_path / "out")
    finally:
        torch.set_default_dtype(torch.float32)
    made = load_file(done / "model.safetensors")
    assert all(torch.equal(made[key], value) and made[key].dtype == value.dtype for key, value in expected.items())


@pytest.mark.parametrize("name", ["2022", "clapcap", "adiff"])
def test_numbers_that_no_float32_holds_are_refused(name, tmp_path):
    key = float_key(name)
    large = official_weights(name)[key].double()
    large[0, 0] = 1e300
    message = rf"The weight {re.escape(key)} has values up to 1\.0e\+300, which no float32 holds"
    refused(name, tmp_path, match=message, **{key: large})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_nan_and_infinity_are_refused_in_every_format(dtype, value, tmp_path):
    broken = official_weights("2023")[key := float_key("2023")].to(dtype)
    broken[-1, -1] = value
    refused("2023", tmp_path, match=rf"the weight {re.escape(key)} has values that are not finite", **{key: broken})


@pytest.mark.parametrize("name", ["2022", "base", "mellow"])
def test_whole_numbers_in_place_of_weights_are_refused(name, tmp_path):
    for key in (float_key(name), next(key for key in official_weights(name) if "embed" in key and "weight" in key)):
        whole = (official_weights(name)[key] * 100).to(torch.int8)
        refused(name, tmp_path, match=rf"The weight {re.escape(key)} has torch\.int8 numbers; expected", **{key: whole})


@pytest.mark.parametrize("name", ["2023", "adiff"])
def test_tensors_that_are_not_plain_are_refused(name, tmp_path):
    key = float_key(name)
    plain = official_weights(name)[key]
    for tensor, what in ((plain.to_sparse(), "sparse"), (plain.to("meta"), "on the device `meta`")):
        refused(name, tmp_path, match=rf"the weight {re.escape(key)} is {what}", **{key: tensor})


# Keys and shapes


def converters_that_read(monkeypatch, weights):
    """Every converter gets these weights in place of a file's."""
    for family in set(FAMILIES.values()):
        module = importlib.import_module(f"afm_hf.conversion.{family}")
        monkeypatch.setattr(module, "read_checkpoint", lambda _: checkpoint.Weights(weights))


@pytest.fixture(scope="module")
def fitting(tmp_path_factory):
    """Tokenizers for each system, made once."""
    return {name: tokenizers_for(name, tmp_path_factory.mktemp(name)) for name in SYSTEMS}


def outcome(name, weights, monkeypatch, fitting, output):
    """The error of a conversion of these weights, or None."""
    converters_that_read(monkeypatch, weights)
    try:
        importlib.import_module(f"afm_hf.conversion.{FAMILIES[name]}").convert("x.pth", output=output, **fitting[name])
    except (OSError, ConversionError) as error:
        return str(error)
    return None


DROPPED = r"attn_mask|conv_real|head\.(weight|bias)$|fc_audioset|pooler|attn\.(masked_)?bias|inv_freq|position_ids"
SOME = pytest.mark.parametrize("step", [25, pytest.param(1, marks=pytest.mark.slow)], ids=["some", "all"])


def needed_keys(name, step):
    """Official keys that a conversion needs, each or a few."""
    aside = DROPPED if name == "mellow" else f"{DROPPED}|tscam_conv"
    return [key for key in official_weights(name) if "lm_head" in key or not re.search(aside, key)][::step]


@SOME
@pytest.mark.parametrize("name", SYSTEMS)
def test_every_weight_that_is_missing_is_told_by_its_official_key(name, step, tmp_path, monkeypatch, fitting):
    good = official_weights(name)
    for key in needed_keys(name, step):
        weights = {other: value for other, value in good.items() if other != key}
        message = outcome(name, weights, monkeypatch, fitting, str(tmp_path / "out"))
        assert message and key in message and "missing" in message, (key, message)
    assert not (tmp_path / "out").exists()


@SOME
@pytest.mark.parametrize("name", SYSTEMS)
def test_every_weight_of_another_shape_is_told_by_an_official_key_with_its_shape(
    name, step, tmp_path, monkeypatch, fitting
):
    good = official_weights(name)
    for key in needed_keys(name, 3 * step - 2):
        weight = good[key]
        for other in (weight.flatten()[:-1], weight[None], weight[..., :0] if weight.ndim else weight[None]):
            message = outcome(name, good | {key: other}, monkeypatch, fitting, str(tmp_path / "out"))
            assert message, (key, other.shape)
            assert re.search(r" (has shape )?\([\d, ]*\)", message), (key, message)
            assert any(official in message for official in good), (key, message)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["2023", "mellow"])
def test_a_layer_that_is_missing_in_the_midst_is_told(name, tmp_path, monkeypatch, fitting):
    prefix = {"2023": "caption_encoder.base.h.", "mellow": "caption_decoder.lm.model.layers."}[name]
    weights = {key: value for key, value in official_weights(name).items() if not key.startswith(f"{prefix}0.")}
    message = outcome(name, weights, monkeypatch, fitting, str(tmp_path / "out"))
    assert f"begins with {prefix}0." in message or (f"{prefix}0." in message and "missing" in message)


def test_sizes_that_would_ask_for_much_memory_are_refused(tmp_path, monkeypatch, fitting):
    good, prefix = official_weights("2023"), "audio_encoder.base.htsat."
    bands = {key: torch.ones(10**6) for key in good if f"{prefix}bn0." in key and "num_batches" not in key}
    table = {f"{prefix}layers.0.blocks.0.attn.relative_position_bias_table": torch.ones(1999**2, 2)}
    for changes in (bands, table):
        message = outcome("2023", good | changes, monkeypatch, fitting, str(tmp_path / "out"))
        assert "expected at most 256 and 32" in message
    wide = {"caption_encoder.base.wte.weight": torch.ones(257, 64 * 1000)}
    message = outcome("2023", good | wide, monkeypatch, fitting, str(tmp_path / "out"))
    assert re.search(r"The weight caption_encoder\.base\.\S+ has shape .*; expected .*64000", message)


# The folder


def content(place):
    return {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A converted folder, beside its official file."""
    place = tmp_path_factory.mktemp("good")
    return convert("2023", official_file("2023", place / "official.pth"), place / "out")


@pytest.mark.parametrize("broken", [float("nan"), 1e38])
def test_a_good_folder_stays_as_it_was_when_a_conversion_into_it_is_refused(good, broken, tmp_path):
    shutil.copytree(good, tmp_path / "out")
    key = float_key("2023", "projection.linear1.weight")
    file = official_file("2023", tmp_path / "x.pth", **{key: torch.full((32, 64), broken)})
    with pytest.raises(ConversionError, match="not finite"):
        convert("2023", file, tmp_path / "out")
    assert content(tmp_path / "out") == content(good)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_folder_of_an_earlier_conversion_is_written_anew_and_other_files_in_it_stay(good, tmp_path):
    shutil.copytree(good, tmp_path / "out")
    (tmp_path / "out" / "model-00001-of-00002.safetensors").write_bytes(b"of another model")
    (tmp_path / "out" / "config.json").write_text("{}")
    (tmp_path / "out" / ".git").mkdir()
    (tmp_path / "out" / ".git" / "HEAD").write_text("ref")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    convert("2023", good.parent / "official.pth", tmp_path / "out")
    made = content(tmp_path / "out")
    assert made.pop("notes.txt") == b"mine" and (tmp_path / "out" / ".git" / "HEAD").read_text() == "ref"
    assert made == content(good)
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_folders_of_something_else_and_files_are_refused_before_the_work(good, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"1")
    with pytest.raises(OSError, match=r"photos holds other files \(a\.jpg\); give a new or an empty folder"):
        convert("2023", tmp_path / "absent.pth", tmp_path / "photos")
    with pytest.raises(OSError, match=r"needs a folder, but .*a\.jpg is a file"):
        convert("2023", tmp_path / "absent.pth", tmp_path / "photos" / "a.jpg")
    assert content(tmp_path / "photos") == {"a.jpg": b"1"}


def test_links_are_followed_and_empty_folders_filled(tmp_path):
    (tmp_path / "disk" / "place").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "place")
    with new_folder(tmp_path / "link") as made:
        (made / "a").write_text("1")
    assert (tmp_path / "link").is_symlink() and content(tmp_path / "disk" / "place") == {"a": b"1"}
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["place"]


def test_what_others_may_read_is_as_the_system_has_it(tmp_path):
    (tmp_path / "usual").mkdir()
    with new_folder(tmp_path / "out") as made:
        (made / "a").write_text("1")
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_conversion_leaves_nothing(good, stop, tmp_path, monkeypatch):
    monkeypatch.setattr(folder.Converted, "_compare", lambda *_: (_ for _ in ()).throw(stop()))
    with pytest.raises(stop):
        convert("2023", good.parent / "official.pth", tmp_path / "to" / "deep" / "out")
    assert not list(tmp_path.iterdir())


def test_a_move_that_fails_half_way_is_taken_back(good, tmp_path, monkeypatch):
    shutil.copytree(good, tmp_path / "out")
    moves, rename = [], folder.Path.rename

    def fails_once(self, target):
        moves.append(target)
        if len(moves) == 9:
            raise OSError(5, os.strerror(5))
        return rename(self, target)

    monkeypatch.setattr(folder.Path, "rename", fails_once)
    with (
        pytest.raises(OSError, match=r"The converted model cannot be written to .*Input/output error"),
        new_folder(tmp_path / "out") as made,
    ):
        for name in content(good):
            (made / name).write_text("new")
    assert content(tmp_path / "out") == content(good) and len(moves) > 9


# The disk


@pytest.mark.parametrize("room", ["for a little", "for the weights alone"])
def test_a_disk_that_fills_up_is_told_in_one_line_and_nothing_is_left(good, room, tmp_path, monkeypatch):
    weights = (good / "model.safetensors").stat().st_size // 1024
    kilobytes = 40 if room == "for a little" else weights + 8
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)  # so that the work begins
    tokenizers = tokenizers_for("2023", tmp_path)
    with small_disk(tmp_path / "disk", kilobytes) as disk:
        with pytest.raises(
            OSError, match=r"The converted model cannot be written to .*: no space is left there"
        ) as told:
            convert("2023", good.parent / "official.pth", disk / "deep" / "out", **tokenizers)
        assert "\n" not in str(told.value) and not list(disk.iterdir())


def test_a_disk_without_room_is_refused_before_anything_is_written(good, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match=r"it needs about 1\.\d MB, and 10\.0 kB are free there"):
        convert("2023", good.parent / "official.pth", tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", ["safetensors", "tokenizers"])
def test_the_libraries_errors_of_a_full_disk_are_one_line(good, error, tmp_path, monkeypatch):
    def full(self, *_, **__):
        raise Exception(f"{error}: No space left on device (os error 28)")

    monkeypatch.setattr("transformers.PreTrainedModel.save_pretrained", full)
    with pytest.raises(OSError, match=r"The converted model cannot be written to .*out: no space is left there"):
        convert("2023", good.parent / "official.pth", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_an_empty_mount_point_is_filled(good, tmp_path):
    tokenizers = tokenizers_for("2023", tmp_path)
    with small_disk(tmp_path / "disk", 4000) as disk:
        convert("2023", good.parent / "official.pth", disk, **tokenizers)
        assert content(disk) == content(good)
        AutoModel.from_pretrained(disk)


# What it is, by its keys


@pytest.mark.parametrize("name", ["base", "base_no_text_enc"])
def test_the_two_files_of_pengi_convert_under_each_others_names(name, tmp_path, monkeypatch, capsys):
    other = {"base": "base_no_text_enc", "base_no_text_enc": "base"}[name]
    official_file(name, tmp_path / f"{other}.pth")
    made = tokenizers_for("base", tmp_path / "made")
    (tmp_path / "openai").mkdir()
    shutil.copytree(made["tokenizer"], tmp_path / "gpt2")
    shutil.copytree(made["text_encoder_tokenizer"], tmp_path / "openai" / "clip-vit-base-patch16")
    monkeypatch.chdir(tmp_path)
    done = convert_by_keys(f"{other}.pth", "out")
    printed = capsys.readouterr().out
    assert f"Pengi {name}:" in printed and f"the file is called {other}.pth, but holds {name}" in printed
    assert (AutoModel.from_pretrained(done).config.text_encoder_config is not None) == (name == "base")


def test_a_checkpoint_that_was_asked_for_by_name_and_is_another_is_told(tmp_path, monkeypatch, capsys):
    from afm_hf.hub import catalogue

    file = official_file("base_no_text_enc", tmp_path / "base.pth")
    monkeypatch.setattr(catalogue, "fetch", lambda *_, **__: file)
    (tmp_path / "pengi").mkdir()  # of an earlier conversion: no file
    monkeypatch.chdir(tmp_path)
    convert_by_keys("pengi", "out", tokenizer=tokenizers_for("adiff", tmp_path)["tokenizer"])
    assert "NOTE: pengi was asked for, but base.pth holds pengi-no-text-encoder" in capsys.readouterr().out


def test_arguments_that_do_not_fit_are_told(tmp_path):
    file = official_file("adiff", tmp_path / "x.ckpt")
    with pytest.raises(ValueError, match="no converter 'clap'; expected one of mellow, adiff, pengi, msclap"):
        convert_by_keys(file, tmp_path / "out", family="clap")
    with pytest.raises(ValueError, match=r"`text_encoder_tokenizer` is for Pengi, but .* holds ADIFF"):
        convert_by_keys(file, tmp_path / "out", tokenizer="x", text_encoder_tokenizer="y")
    with pytest.raises(ValueError, match="not the keys of Mellow"):
        convert_by_keys(file, tmp_path / "out", family="mellow", tokenizer="x")
    with pytest.raises(OSError, match="is a folder; expected the official checkpoint file"):
        convert_by_keys(tmp_path, tmp_path / "out")
