"""Clips by fsspec URI and out of tar shards; processes that leave Ray a core."""

import io
import os
import tarfile

import fsspec
import numpy as np
import pytest
from tiny_models import CLIP_S, tiny_clap, write_tones

from afm_hf.retrieval import ClapEmbedder, embed_files
from afm_hf.retrieval.distributed import Decoder, Embedder, Flow, pool_sizes, shard_of
from afm_hf.retrieval.remote_files import Unit, find_units, read_clips


def write_shard(place, clips, extra=()):
    with tarfile.open(place, "w") as shard:
        for clip in clips:
            shard.add(clip, f"./deep/{clip.name}")
        for name, content in extra:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    return place


def test_clips_and_shards_are_found_in_the_order_of_their_names(tmp_path):
    clips = write_tones(tmp_path / "clips", 2)
    write_shard(tmp_path / "clips" / "shard.tar", clips)
    for name in ("notes.txt", ".hidden.wav", "__MACOSX/x.wav"):
        (tmp_path / "clips" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "clips" / name).touch()
    units, folders = find_units([str(tmp_path / "clips")])
    assert [unit.path for unit in units] == [*map(str, clips), str(tmp_path / "clips" / "shard.tar")]
    assert folders == [str(tmp_path / "clips")] and [unit.is_shard for unit in units] == [False, False, True]
    state = os.stat(clips[0])
    assert units[0].size == state.st_size and units[0].mtime_ns == state.st_mtime_ns
    with pytest.raises(FileNotFoundError):
        find_units([str(tmp_path / "none")])


def test_uris_are_read_as_files_are(tmp_path):
    (clip,) = write_tones(tmp_path / "clips", 1)
    system = fsspec.filesystem("memory")
    system.pipe("/bucket/a.wav", clip.read_bytes())
    system.pipe("/bucket/notes.txt", b"none")
    units, folders = find_units(["memory://bucket"])
    assert [unit.path for unit in units] == ["memory:///bucket/a.wav"] and folders == ["memory://bucket"]
    assert units[0].size == clip.stat().st_size and units[0].mtime_ns > 1e18
    (read,) = read_clips(units[0])
    assert read.content == clip.read_bytes() and read.reason == ""


def test_members_of_a_shard_are_clips_with_the_state_of_the_shard(tmp_path):
    clips = write_tones(tmp_path / "clips", 3)
    place = write_shard(tmp_path / "s.tar", clips, [("readme.md", b"text"), ("bad.wav", b"no audio")])
    (unit,), _ = find_units([str(place)])
    names = [f"{place}/deep/0{number}.wav" for number in range(3)]
    read = list(read_clips(unit))
    assert [clip.file.path for clip in read] == [*names, f"{place}/bad.wav"]
    assert read[1].content == clips[1].read_bytes() and read[1].file.size == place.stat().st_size
    assert [clip.file.path for clip in read_clips(unit, names[:2])] == [names[2], f"{place}/bad.wav"]


def test_what_cannot_be_read_has_a_reason(tmp_path):
    (gone,) = read_clips(Unit(str(tmp_path / "gone.wav"), 1, 1))
    assert gone.content is None and "FileNotFoundError" in gone.reason
    clips = write_tones(tmp_path / "clips", 2)
    place = write_shard(tmp_path / "s.tar", clips)
    place.write_bytes(place.read_bytes()[: place.stat().st_size // 3])
    *_, last = read_clips(Unit(str(place), 1, 1))
    assert last.file.path == str(place) and last.content is None and "cannot be read" in last.reason


def test_shards_are_known_by_paths():
    assert shard_of("s3://bucket/a.tar/deep/b.wav") == shard_of("s3://bucket/a.tar") == "s3://bucket/a.tar"
    assert shard_of("/data/a.wav") is None and shard_of("/data/target/a.wav") is None


@pytest.mark.parametrize("cores", [1, 2, 3, 4, 16, 64])
@pytest.mark.parametrize("gpus", [0, 2])
def test_a_core_is_left_for_ray(cores, gpus):
    pools = pool_sizes({"CPU": cores, "GPU": gpus}, None)
    taken = pools.cpus * (pools.embedders + pools.decoders)
    assert 0 < taken <= max(0.5, cores - 1) and pools.device == ("cuda" if gpus else "cpu")
    assert pools.embedders == gpus or not gpus
    if cores >= 4 and not gpus:
        assert pools.cpus == 1 and pools.embedders + pools.decoders == cores - 1


def test_numbers_of_processes_are_checked():
    assert pool_sizes({"CPU": 4}, "cpu", embedders=5, decoders=1).cpus == 0.5
    with pytest.raises(ValueError, match="has no GPU"):
        pool_sizes({"CPU": 4}, "cuda")
    with pytest.raises(ValueError, match="`decoders` is 0"):
        pool_sizes({"CPU": 4}, None, decoders=0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_clap(tmp_path_factory.mktemp("model"))


def rows_of(model, units, **options):
    """What the actors make of units, without Ray: rows by their paths."""
    flow = Flow(str(model), batch_size=2, device="cpu", **options)
    decoder, embedder = Decoder(flow), Embedder(flow, "cpu")
    items = flow.items([(unit, []) for unit in units])
    blocks = list(decoder({name: np.array([item[name] for item in items]) for name in items[0]}))
    made = [embedder(block) for block in blocks]
    return {
        path: (embedding, reason)
        for block in made
        for path, embedding, reason in zip(block["path"], block["embedding"], block["reason"], strict=True)
    }


@pytest.mark.parametrize("truncation", [None, "windows"])
def test_actors_make_the_rows_of_a_single_process(tmp_path, model, truncation):
    long = write_tones(tmp_path / "clips" / "long", 1, seconds=3 * CLIP_S)
    very_long = write_tones(tmp_path / "clips" / "very", 1, seconds=60 * CLIP_S)  # read by the embedder, in windows
    clips = [*write_tones(tmp_path / "clips", 3), *long, *very_long]
    (tmp_path / "clips" / "bad.wav").write_text("no audio")
    index = embed_files(tmp_path / "clips", tmp_path / "emb.safetensors", model, truncation=truncation, device="cpu")
    units, _ = find_units([str(tmp_path / "clips")])
    rows = rows_of(model, units, truncation=truncation)
    assert {path for path, (_, reason) in rows.items() if not reason} == set(map(str, clips)) == set(index.paths)
    for path, expected in zip(index.paths, index.embeddings, strict=True):
        np.testing.assert_allclose(rows[path][0], expected, atol=1e-5)
    assert {path: reason for path, (_, reason) in rows.items() if reason} == index.failures


def test_members_of_shards_are_embedded_as_files_are(tmp_path, model):
    clips = write_tones(tmp_path / "clips", 2)
    place = write_shard(tmp_path / "s.tar", clips)
    (unit,), _ = find_units([place.as_uri()])
    rows = rows_of(model, [unit])
    expected = ClapEmbedder(model, "cpu").embed_audio(clips)
    for number in range(2):
        np.testing.assert_allclose(rows[f"{place.as_uri()}/deep/0{number}.wav"][0], expected[number], atol=1e-5)
