"""Reading official files: what they claim is checked before memory is asked for, and they are called what they are."""

import io
import json
import re
import resource
import time
import zipfile

import numpy as np
import pytest
import torch
from lying_files import Claim, legacy_file, pickled, safetensors_file, zip_file
from safetensors.torch import save_file

from afm_hf.conversion.checkpoint import ConversionError, read_checkpoint, read_keys

KEY = "audio_encoder.projection.linear1.weight"
HUGE = 10**6  # a million rows of a million float32 numbers: 4 TB


@pytest.fixture
def little_time_and_memory():
    """Whatever a file claims, it is answered in a second or so, and the process does not grow by 100 MB."""
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.process_time() - start < 2  # with the writing of the file
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


cheap = pytest.mark.usefixtures("little_time_and_memory")


def tensors(name="a"):
    return {"model": {f"module.{name}.weight": torch.arange(6.0).view(2, 3), f"module.{name}.steps": torch.tensor(7)}}


# Honest files


@pytest.mark.parametrize("wrapper", ["model", "state_dict", None])
@pytest.mark.parametrize("old", [False, True], ids=["zip", "before 1.6"])
def test_files_of_torch_save_are_read_of_either_age(tmp_path, wrapper, old):
    weights = tensors()["model"]
    content = {wrapper: weights, "epoch": 3, "optimizer": {"state": {0: {"step": 1, "betas": (0.9, 0.99)}}}}
    torch.save(content if wrapper else weights, tmp_path / "x.ckpt", _use_new_zipfile_serialization=not old)
    read = read_checkpoint(tmp_path / "x.ckpt")
    assert list(read) == read_keys(tmp_path / "x.ckpt") == ["a.weight", "a.steps"]
    assert torch.equal(read["a.weight"], weights["module.a.weight"]) and read["a.steps"] == 7


def test_state_dicts_of_modules_parameters_and_shared_storages_are_plain(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    shared = torch.arange(8.0)
    marked = torch.ones(2)
    marked.note = "an attribute"
    half = {"p": model[0].weight, "h": shared.half(), "v": shared[2:4], "e": shared[:1].expand(3, 1), "n": marked}
    torch.save({"model": model.state_dict() | half}, tmp_path / "x.pth")
    read = read_checkpoint(tmp_path / "x.pth")
    assert set(read) == {*model.state_dict(), *half}
    assert read["v"].tolist() == [2, 3] and read["e"].shape == (3, 1) and read["h"].dtype == torch.float16
    assert torch.equal(read["p"], model[0].weight) and torch.equal(read["n"], torch.ones(2))


def test_safetensors_are_read_whatever_they_are_called(tmp_path):
    save_file({"module.a": torch.ones(2, 3)}, tmp_path / "x.pth", metadata={"format": "pt"})
    torch.save({"b": torch.ones(2)}, tmp_path / "y.safetensors")
    assert torch.equal(read_checkpoint(tmp_path / "x.pth")["a"], torch.ones(2, 3))
    assert list(read_checkpoint(tmp_path / "y.safetensors")) == ["b"]


def test_a_weight_that_is_missing_is_told_when_it_is_asked_for(tmp_path):
    torch.save(tensors(), tmp_path / "x.pth")
    with pytest.raises(ConversionError, match=r"The weight b\.weight is missing in the checkpoint"):
        read_checkpoint(tmp_path / "x.pth")["b.weight"]


def test_a_weight_that_comes_with_and_without_module_is_an_error(tmp_path):
    torch.save({"module.a": torch.ones(2), "a": torch.zeros(2)}, tmp_path / "x.pth")
    with pytest.raises(ConversionError, match=r"the weight a twice"):
        read_checkpoint(tmp_path / "x.pth")


# Claims


@cheap
@pytest.mark.parametrize("write", [zip_file, legacy_file])
def test_a_storage_that_claims_terabytes_is_refused_by_the_weight(tmp_path, write):
    write(tmp_path / "x.pth", {"model": {f"module.{KEY}": Claim((HUGE, HUGE), HUGE * HUGE, stride=(HUGE, 1))}})
    for read in (read_checkpoint, read_keys):
        with pytest.raises(ConversionError, match=rf"x\.pth: .*{re.escape(KEY)}.* claims 4\.0 TB, .* holds 16 bytes"):
            read(tmp_path / "x.pth")


@cheap
@pytest.mark.parametrize("write", [zip_file, legacy_file])
@pytest.mark.parametrize(
    ("shape", "stride"), [((HUGE, HUGE), (0, 0)), ((HUGE, HUGE), (HUGE, 1)), ((4, 2), (1, 4)), ((2,), (HUGE,))]
)
def test_a_shape_beyond_its_storage_is_refused(tmp_path, write, shape, stride):
    write(tmp_path / "x.pth", {KEY: Claim(shape, 4, stride=stride)})
    with pytest.raises(ConversionError, match=rf"{re.escape(KEY)} of shape .* claims .*, but the file holds 16 bytes"):
        read_checkpoint(tmp_path / "x.pth")


@cheap
@pytest.mark.parametrize("write", [zip_file, legacy_file])
def test_a_hundred_thousand_dimensions_are_refused(tmp_path, write):
    write(tmp_path / "x.pth", {"model": {KEY: Claim((1,) * 100_000, 4)}})
    with pytest.raises(ConversionError, match=rf"{re.escape(KEY)} has 100,000 dimensions; expected at most 8"):
        read_checkpoint(tmp_path / "x.pth")


@cheap
def test_a_part_that_the_list_of_the_archive_says_is_huge_is_refused(tmp_path):
    zip_file(tmp_path / "x.pth", {KEY: Claim((2, 2), HUGE, stride=(2, 1))})
    data = bytearray((tmp_path / "x.pth").read_bytes())
    place = data.index(b"archive/data/0", data.index(b"PK\x01\x02")) - 46  # its entry in the central directory
    data[place + 20 : place + 28] = (4 * HUGE).to_bytes(4, "little") * 2
    (tmp_path / "x.pth").write_bytes(data)
    with pytest.raises(ConversionError, match=rf"{re.escape(KEY)} .*claims 4\.0 MB, but the file holds \d+ bytes"):
        read_checkpoint(tmp_path / "x.pth")


@cheap
@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"dtype": "F32", "shape": [HUGE, HUGE], "data_offsets": [0, 4 * HUGE**2]}, r"claims 4\.0 TB.* holds 16 bytes"),
        ({"dtype": "F32", "shape": [HUGE, HUGE], "data_offsets": [0, 16]}, r"claims 4\.0 TB.* holds 16 bytes"),
        (
            {"dtype": "F32", "shape": [1] * 100_000, "data_offsets": [0, 4]},
            "has 100,000 dimensions; expected at most 8",
        ),
        ({"dtype": "F32", "shape": [2, 2], "data_offsets": [16, 32]}, "ends at 32 bytes of 16 bytes: .* cut off"),
        ({"dtype": "F8_E4M3", "shape": [16], "data_offsets": [0, 16]}, "is of type F8_E4M3; expected one of F64, F32"),
    ],
)
def test_headers_of_safetensors_are_checked(tmp_path, entry, message):
    safetensors_file(tmp_path / "x.safetensors", {KEY: entry})
    with pytest.raises((ConversionError, OSError), match=rf"x\.safetensors.*{re.escape(KEY)}.*{message}"):
        read_checkpoint(tmp_path / "x.safetensors")


@cheap
@pytest.mark.parametrize("header", [[], {KEY: 3}, {KEY: {"dtype": "F32"}}, {KEY: {"dtype": "F32", "shape": 3}}, "{"])
def test_damaged_headers_of_safetensors_are_told(tmp_path, header):
    safetensors_file(tmp_path / "x.safetensors", header)
    data = bytearray((tmp_path / "x.safetensors").read_bytes())
    data[8:9] = b"{" if data[8:9] != b"{" else data[8:9]
    (tmp_path / "x.safetensors").write_bytes(data)
    with pytest.raises(OSError, match=r"x\.safetensors could not be read .*: its header is damaged"):
        read_checkpoint(tmp_path / "x.safetensors")


@cheap
def test_instructions_that_ask_for_memory_are_refused(tmp_path):
    class Much:
        def __init__(self, kind):
            self.kind = kind

        def __reduce__(self):
            return self.kind, (10**11,)

    for kind in (bytearray, torch.Tensor, torch.FloatTensor):
        zip_file(tmp_path / "x.pth", {"model": {KEY: torch.zeros(2), "more": Much(kind)}})
        with pytest.raises(
            OSError, match=r"x\.pth could not be read .*it holds Python objects \(.*\), which are never"
        ):
            read_checkpoint(tmp_path / "x.pth")


# Tensors that are not plain


def quantised():
    return torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    ("tensor", "what"),
    [
        (torch.eye(3).to_sparse(), "sparse"),
        (torch.eye(3).to_sparse_csr(), "sparse"),
        (quantised(), "quantised"),
        (torch.empty(3, 3, device="meta"), "on the device `meta`"),
        (torch.ones(3).to(torch.float8_e4m3fn), "of an unusual number format"),
        (torch.ones(3, dtype=torch.uint16), "of an unusual number format"),
        (torch.ones(3, dtype=torch.complex64), "lies in a ComplexFloatStorage"),
    ],
    ids=["coo", "csr", "quantised", "meta", "float8", "uint16", "complex"],
)
def test_tensors_that_are_not_plain_are_refused_by_name(tmp_path, tensor, what):
    torch.save({"model": {"a": torch.ones(2), f"module.{KEY}": tensor}}, tmp_path / "x.pth")
    with pytest.raises(ConversionError, match=rf"x\.pth: the weight {re.escape(KEY)} .*{re.escape(what)}.*; expected"):
        read_checkpoint(tmp_path / "x.pth")


# Other things than checkpoints


def advice_free(message):
    return "weights_only" not in message and "safe_globals" not in message


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before 1.6"])
def test_python_objects_are_named_and_torchs_advice_is_not_repeated(tmp_path, old):
    torch.save({"model": {}, "score": np.float64(3)}, tmp_path / "x.pth", _use_new_zipfile_serialization=not old)
    with pytest.raises(
        OSError, match=r"x\.pth could not .*holds Python objects \(numpy\..*\), which are never"
    ) as told:
        read_checkpoint(tmp_path / "x.pth")
    assert advice_free(str(told.value))


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 652000000\n"
OTHERS = {
    "empty": (b"", "is empty"),
    "lfs": (LFS, "is a pointer of Git LFS, which stands for a file of 652 MB"),
    "html": (b"\n<!DOCTYPE html>\n<html><body>404</body></html>", "is an HTML page"),
    "more html": (b"<HTML><head>", "is an HTML page"),
    "json": (b'{"error": "Repository not found"}', r'is JSON, which begins "\{.*Repository'),
    "json list": (b"[1, 2]", "is JSON"),
    "text": (b"this is no checkpoint", 'is text, which begins "this is no checkpoint"'),
    "gzip": (b"\x1f\x8b\x08\x00" + bytes(40), "is a gzip archive"),
    "tar": (bytes(257) + b"ustar" + bytes(300), "is a tar archive"),
    "noise": (bytes(range(100, 250)), "is of an unknown format"),
    "pickle": (b"\x80\x04\x95\x05", "is a pickle of protocol 4"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_file_that_is_no_checkpoint_is_called_what_it_is(tmp_path, name):
    content, what = OTHERS[name]
    for file in ("x.pth", "x.safetensors"):
        (tmp_path / file).write_bytes(content)
        with pytest.raises(OSError, match=rf"{file} could not be read .*: it {what}") as told:
            read_checkpoint(tmp_path / file)
        assert advice_free(str(told.value)) and "\n" not in str(told.value)


def test_folders_and_absent_files_are_told(tmp_path):
    with pytest.raises(OSError, match="is a folder; expected the official checkpoint file"):
        read_checkpoint(tmp_path)
    with pytest.raises(OSError, match=r"There is no checkpoint file .*x\.pth"):
        read_checkpoint(tmp_path / "x.pth")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.98])
@pytest.mark.parametrize("kind", ["zip", "before 1.6", "safetensors"])
def test_a_file_that_was_cut_off_is_called_so(tmp_path, kind, share):
    path = tmp_path / "x.pth"
    weights = {f"layers.{i}.weight": torch.ones(40, 20) for i in range(20)}
    if kind == "safetensors":
        save_file(weights, path)
    else:
        torch.save({"model": weights}, path, _use_new_zipfile_serialization=kind == "zip")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises((OSError, ConversionError), match=r"x\.pth.*(cut off|but the file holds)") as told:
        read_checkpoint(path)
    assert advice_free(str(told.value))


def test_archives_of_something_else_are_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("word/document.xml", "<w/>")
    with pytest.raises(
        OSError, match=r"it is a zip archive, but none of torch\.save; it holds \['word/document\.xml'\]"
    ):
        read_checkpoint(tmp_path / "x.pth")
    zip_file(tmp_path / "y.pth", {}, more={"archive/constants.pkl": pickled(())})
    with pytest.raises(OSError, match="it is a TorchScript program"):
        read_checkpoint(tmp_path / "y.pth")
    zip_file(tmp_path / "z.pth", {KEY: Claim((4,), 4)}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(OSError, match=r"is compressed, which torch\.save never does"):
        read_checkpoint(tmp_path / "z.pth")


def test_files_without_tensors_are_told(tmp_path):
    torch.save({"epoch": 3, "model": {"a": 1}}, tmp_path / "x.pth")
    with pytest.raises(ConversionError, match=r"x\.pth holds no tensors"):
        read_checkpoint(tmp_path / "x.pth")


def test_files_with_flipped_bytes_never_end_in_another_error(tmp_path):
    """Wherever a byte is wrong, in the instructions or the lists: it reads, or one of two errors says why not."""
    buffer = io.BytesIO()
    torch.save({"model": {f"layers.{i}.weight": torch.ones(3, 2) for i in range(3)}}, buffer)
    whole, random = buffer.getvalue(), np.random.default_rng(0)
    path = tmp_path / "x.pth"
    for _ in range(300):
        data = bytearray(whole)
        for place in random.integers(0, len(whole), 2):
            data[place] = random.integers(0, 256)
        path.write_bytes(data)
        try:
            read_checkpoint(path)
        except (OSError, ConversionError) as error:
            assert advice_free(str(error)), error


def test_json_headers_that_are_no_dictionary_of_tensors_are_no_crash(tmp_path):
    for text in (
        '{"a": {"dtype": [], "shape": [], "data_offsets": [0, 0]}}',
        '{"a": {"dtype": "F32", "shape": ["x"]}}',
    ):
        assert isinstance(json.loads(text), dict)
        (tmp_path / "x").write_bytes(len(text).to_bytes(8, "little") + text.encode())
        with pytest.raises((OSError, ConversionError)):
            read_checkpoint(tmp_path / "x")


def test_a_flipped_bit_in_a_weight_is_noticed_where_there_is_a_checksum(tmp_path):
    torch.save({"a": torch.ones(500)}, tmp_path / "x.pth")
    data = bytearray((tmp_path / "x.pth").read_bytes())
    data[data.index(torch.ones(500).numpy().tobytes()) + 1002] ^= 1
    (tmp_path / "x.pth").write_bytes(data)
    with pytest.raises(OSError, match=r"x\.pth .*its part x/data/0 is not what was written: Bad CRC-32"):
        read_checkpoint(tmp_path / "x.pth")


def test_files_without_checksums_are_read(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.ones(5)}, tmp_path / "x.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(read_checkpoint(tmp_path / "x.pth")["a"], torch.ones(5))
