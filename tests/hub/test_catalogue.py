"""Official checkpoints: the list, fetching, and `afm-hf convert`."""

import hashlib
import json
import math
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from commands import run_command

import afm_hf
from afm_hf.hub.catalogue import convert, download, fetch, find_checkpoint, official_checkpoints, recognise

sys.path.insert(0, str(Path(__file__).parents[1] / "parity"))

DATA = bytes(range(256)) * 400


class _Files(BaseHTTPRequestHandler):
    ranges: list
    data, etag, cut = DATA, f'"md5:{hashlib.md5(DATA).hexdigest()}"', True

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path.startswith("/gone"):
            return self.send_error(404)
        kind = type(self)
        asked = self.headers.get("Range")
        kind.ranges.append(asked)
        same = asked and self.headers.get("If-Range") == kind.etag
        start = int(asked[6:-1]) if same else 0
        if start >= len(kind.data):
            return self.send_error(416)
        self.send_response(206 if same else 200)
        self.send_header("Content-Length", str(len(kind.data) - start))
        self.send_header("ETag", kind.etag)
        if same:
            self.send_header("Content-Range", f"bytes {start}-{len(kind.data) - 1}/{len(kind.data)}")
        self.end_headers()
        data = kind.data[start:]
        if kind.cut:
            kind.cut, data = False, data[: len(data) // 2]
        self.wfile.write(data)


@contextmanager
def server():
    handler = type("Handler", (_Files,), {"ranges": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
        threading.Thread(target=files.serve_forever, daemon=True).start()
        yield handler, f"http://127.0.0.1:{files.server_port}"
        files.shutdown()


@pytest.fixture
def place(monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    with server() as found:
        yield found


def test_a_broken_download_goes_on_where_it_was(place, tmp_path):
    handler, address = place
    target = tmp_path / "deep" / "base.pth"
    with pytest.raises(OSError, match=r"51200 of 102400 bytes came; the same call goes on"):
        download(f"{address}/base.pth", target, progress=False)
    assert not target.exists()
    assert download(f"{address}/base.pth", target, progress=False).read_bytes() == DATA
    assert handler.ranges == [None, "bytes=51200-"] and [path.name for path in target.parent.iterdir()] == ["base.pth"]
    with pytest.raises(OSError, match="the server answered 404"):
        download(f"{address}/gone.pth", tmp_path / "gone.pth", progress=False)


def test_parts_of_another_file_and_wrong_content_are_never_taken(place, tmp_path):
    handler, address = place
    target = tmp_path / "base.pth"
    (tmp_path / "base.pth.part").write_bytes(b"of something else" * 40)
    handler.cut = False
    assert download(f"{address}/base.pth", target, progress=False).read_bytes() == DATA  # nobody knows what it was
    # the server has a new file meanwhile
    target.unlink()
    (tmp_path / "base.pth.part").write_bytes(b"old" * 40), (tmp_path / "base.pth.etag").write_text('"md5:old"')
    assert download(f"{address}/base.pth", target, progress=False).read_bytes() == DATA
    # all of it was there, but the program was stopped before it could say so
    target.rename(tmp_path / "base.pth.part"), (tmp_path / "base.pth.etag").write_text(handler.etag)
    assert download(f"{address}/base.pth", target, progress=False).read_bytes() == DATA
    target.unlink()
    handler.data = b"x" * len(DATA)
    with pytest.raises(OSError, match=r"another MD5.*thrown away"):
        download(f"{address}/base.pth", target, progress=False)
    assert not target.exists() and not (tmp_path / "base.pth.part").exists()


@pytest.mark.parametrize("name", ["clap-2023", "pengi", "mellow", "adiff"])
def test_without_a_network_one_is_told_what_to_do_by_hand(name, tmp_path):
    checkpoint = find_checkpoint(name)
    expected = (
        f"{checkpoint.file} cannot be fetched .*Download it by hand from {checkpoint.page}, then run `afm-hf convert"
    )
    with pytest.raises(OSError, match=expected):
        fetch(checkpoint, tmp_path)
    stderr = run_command("convert", name, "-o", tmp_path / "out", "--download-dir", tmp_path, code=2).stderr
    assert checkpoint.page in stderr


def test_the_list_is_whole():
    for each in official_checkpoints():
        assert each.repo or each.url, each.name
        assert each.licence and each.paper.startswith("arXiv") and each.page.startswith("https://")
        assert (Path(afm_hf.__file__).parent / "conversion" / f"{each.family}.py").is_file()
        assert (Path(__file__).parents[2] / "conversions" / f"convert_{each.family}.py").is_file()
        assert find_checkpoint(each.file) is each and find_checkpoint(each.name) is each
    printed = run_command("models").stdout
    assert all(each.name in printed and each.page in printed for each in official_checkpoints())
    assert "clap-small" in printed
    listed = json.loads(run_command("models", "--format", "json").stdout)
    assert [row["name"] for row in listed["official"]] == [each.name for each in official_checkpoints()]


KEYS = {
    "clap-2022": "clap2022", "clap-2023": "clap2023", "clapcap": "clapcap", "pengi": "pengi_base",
    "pengi-no-text-encoder": "pengi_base_no_text_enc", "mellow": "mellow", "mellow-s": "mellow", "adiff": "adiff",
    "adiff-wavcaps": "adiff",
}  # fmt: skip
BYTES = {"float32": 4, "int64": 8, "bool": 1}


@pytest.mark.parametrize("name", KEYS)
def test_sizes_are_those_of_the_recorded_tensors(name):
    keys = json.loads((Path(__file__).parents[1] / "parity" / KEYS[name] / "keys.json").read_text())
    size = sum(math.prod(each["shape"]) * BYTES[each["dtype"]] for each in keys.values())
    checkpoint = find_checkpoint(name)
    assert checkpoint.gigabytes == round(size / 1e9, 2)
    parameters = float(checkpoint.parameters.removesuffix(" M")) * 1e6
    assert 0.8 * size / 4 < parameters <= size / 4  # the rest is buffers and heads that share weights


def test_unknown_names_and_foreign_files_are_told(tmp_path):
    import torch

    with pytest.raises(ValueError, match=r"no file nothing\.pth, and no official checkpoint.*clap-2022, clap-2023"):
        convert("nothing.pth", tmp_path / "out")
    torch.save({"model": {"conv.weight": torch.zeros(2)}}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth has no key by which CLAP.*'conv.weight'"):
        convert(tmp_path / "other.pth", tmp_path / "out")
    (tmp_path / "text.pth").write_text("no checkpoint")
    assert "text.pth" in run_command("convert", tmp_path / "text.pth", "-o", tmp_path / "out", code=2).stderr


@pytest.mark.parametrize(
    ("family", "keys"),
    [
        ("mellow", ["audio_encoder.base.c2l.weight"]),
        ("adiff", ["caption_decoder.audio_project1.prefix_const", "caption_decoder.gpt.transformer.wte.weight"]),
        ("pengi", ["module.caption_decoder.audio_project.prefix_const"]),
        ("msclap", ["caption_encoder.projection.linear1.weight"]),
        ("msclap", ["clap_project.prefix_const"]),
    ],
)
def test_files_are_recognised_by_their_keys(tmp_path, family, keys):
    import torch

    torch.save({"model": {key: torch.zeros(2) for key in keys}}, tmp_path / "x.pth")
    assert recognise(tmp_path / "x.pth") == family
