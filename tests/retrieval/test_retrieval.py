"""An index holds what one run over all files would give, however often the run was killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch
from safetensors import safe_open
from small_disks import FullDisk, grow, small_disk
from tiny_models import CLIP_S, clap_parts, stock_clap_parts, tiny_clap, tone, write_tones

from afm_hf import AudioDecodeError, ClapAfmModel
from afm_hf.models.common.writing_afm import WriteError
from afm_hf.pipelines.audio_files import FileState, find_audio
from afm_hf.retrieval import index as index_module
from afm_hf.retrieval.embedder import fingerprint
from afm_hf.retrieval.embedding import AudioIndex, ClapEmbedder, IndexMismatchError, embed_files


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_clap(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def embedder(model):
    return ClapEmbedder(model, device="cpu")


@pytest.fixture
def clips(tmp_path):
    return write_tones(tmp_path / "clips", 7)


def count_embedded(monkeypatch, stop_after=None):
    """Files embedded per batch; raises like the user's Ctrl-C after some batches."""
    counts = []
    original = ClapEmbedder.embed_features

    def counted(self, features):
        if len(counts) == stop_after:
            raise KeyboardInterrupt
        counts.append(len(features["input_features"]))
        return original(self, features)

    monkeypatch.setattr(ClapEmbedder, "embed_features", counted)
    return counts


# -- embedding --------------------------------------------------------------------------------------------------------


def test_rows_are_the_models_embeddings_of_the_files(clips, embedder, tmp_path):
    index = embed_files([tmp_path / "clips"], tmp_path / "emb.safetensors", embedder, batch_size=3)
    assert index.paths == [str(path) for path in clips]
    assert index.embeddings.dtype == np.float32
    for path, row in zip(clips, index.embeddings, strict=True):
        with torch.no_grad():
            inputs = embedder.feature_extractor([str(path)], return_tensors="pt")
            expected = embedder.model.get_audio_features(**inputs).pooler_output[0].numpy()
        np.testing.assert_allclose(row, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(index.embeddings, axis=1), 1, atol=1e-5)


def test_transformers_own_clap_makes_an_index_too(clips, tmp_path):
    for part in stock_clap_parts():
        part.save_pretrained(tmp_path / "clap")
    embedder = ClapEmbedder(tmp_path / "clap", device="cpu")
    index = embed_files(clips, tmp_path / "emb.safetensors", embedder, batch_size=3)
    assert index.embeddings.shape == (7, 12)
    assert index.search(embedder.embed_audio(clips[4:5]), top_k=1)[0][0].path == str(clips[4])
    assert len(index.search(embedder.embed_text(["rain", "a dog"]), top_k=3)[1]) == 3


@pytest.mark.parametrize("suffix", [".safetensors", ".parquet"])
def test_an_index_round_trips(clips, embedder, tmp_path, suffix):
    output = tmp_path / f"emb{suffix}"
    (tmp_path / "clips" / "bad.wav").write_text("no audio")
    made = embed_files([tmp_path / "clips"], output, embedder)
    read = AudioIndex.load(output)
    np.testing.assert_array_equal(read.embeddings, made.embeddings)
    assert read.embeddings.dtype == np.float32
    assert (read.files, read.model, read.fingerprint) == (made.files, str(embedder.name), embedder.fingerprint)
    assert read.settings == {"truncation": None}
    assert list(read.failures) == [str(tmp_path / "clips" / "bad.wav")]
    assert "not an audio file" in read.failures[str(tmp_path / "clips" / "bad.wav")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips", output.name]


def test_safetensors_readers_find_plain_embeddings(clips, embedder, tmp_path):
    embed_files(clips, tmp_path / "emb.safetensors", embedder)
    with safe_open(tmp_path / "emb.safetensors", "np") as file:
        assert list(file.keys()) == ["embeddings"]
        assert file.get_tensor("embeddings").shape == (7, 12)


@pytest.mark.parametrize("suffix", [".safetensors", ".parquet"])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_stopped_run_goes_on_and_ends_in_the_same_bytes(clips, model, tmp_path, monkeypatch, suffix, num_workers):
    (tmp_path / "clips" / "02b.wav").write_text("no audio")
    options = {"model": model, "batch_size": 2, "device": "cpu", "num_workers": num_workers, "checkpoint_s": 0}
    embed_files([tmp_path / "clips"], tmp_path / f"whole{suffix}", **options)
    output = tmp_path / f"emb{suffix}"
    with monkeypatch.context() as patch:
        before = count_embedded(patch, stop_after=2)
        with pytest.raises(KeyboardInterrupt):
            embed_files([tmp_path / "clips"], output, **options)
    assert not output.exists()
    after = count_embedded(monkeypatch)
    embed_files([tmp_path / "clips"], output, **options)
    assert (sum(before), sum(after)) == (3, 4)  # a batch of two, one of a file and a bad one; the rest
    assert output.read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()
    assert not output.with_name(output.name + ".partial").exists()


def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(clips, model, tmp_path, monkeypatch):
    code = f"""
        import time
        from afm_hf.retrieval import ClapEmbedder, embed_files
        embed = ClapEmbedder.embed_features
        def slow(self, features):
            time.sleep(0.3)
            return embed(self, features)
        ClapEmbedder.embed_features = slow
        embed_files([{str(tmp_path / "clips")!r}], {str(tmp_path / "emb.safetensors")!r}, {str(model)!r},
                    batch_size=1, device="cpu", checkpoint_s=0)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    partial = tmp_path / "emb.safetensors.partial"
    deadline = time.monotonic() + 100
    while len(list(partial.glob("0*.safetensors"))) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    saved = len(list(partial.glob("0*.safetensors")))
    assert 2 <= saved < len(clips)
    embed_files(clips, tmp_path / "whole.safetensors", model, batch_size=1, device="cpu")
    counts = count_embedded(monkeypatch)
    embed_files(clips, tmp_path / "emb.safetensors", model, batch_size=1, device="cpu")
    assert sum(counts) == len(clips) - saved
    assert (tmp_path / "emb.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


def test_a_finished_index_takes_in_new_and_changed_files_only(clips, embedder, tmp_path, monkeypatch):
    output = tmp_path / "emb.safetensors"
    embed_files([tmp_path / "clips"], output, embedder)
    counts = count_embedded(monkeypatch)
    embed_files([tmp_path / "clips"], output, embedder)
    assert counts == []
    write_tones(tmp_path / "clips" / "more", 1)
    clips[6].unlink()
    os.utime(clips[2], ns=(0, 1))
    shutil.copyfile(clips[0], clips[1])
    index = embed_files([tmp_path / "clips"], output, embedder)
    assert sum(counts) == 3
    assert index.paths == [*map(str, clips[:6]), str(tmp_path / "clips" / "more" / "00.wav")]
    np.testing.assert_allclose(index.embeddings[1], index.embeddings[0], atol=1e-6)


def test_work_of_another_model_or_setting_is_not_mixed_in(clips, model, embedder, tmp_path, monkeypatch):
    output = tmp_path / "emb.safetensors"
    embed_files(clips, output, embedder)
    other = ClapEmbedder(tiny_clap(tmp_path / "other", seed=1), device="cpu")
    for arguments in ({"model": other}, {"model": embedder, "truncation": "windows"}):
        with pytest.raises(IndexMismatchError, match=r"The index .* was made by .* --overwrite"):
            embed_files(clips, output, **arguments)
    output.unlink()
    with monkeypatch.context() as patch:
        count_embedded(patch, stop_after=1)
        with pytest.raises(KeyboardInterrupt):
            embed_files(clips, output, embedder, batch_size=2)
    with pytest.raises(IndexMismatchError, match=r"The unfinished work in .* was made by"):
        embed_files(clips, output, other)
    index = embed_files(clips, output, other, overwrite=True)
    np.testing.assert_allclose(index.embeddings[:1], other.embed_audio(clips[:1]), atol=1e-5)


def test_a_damaged_chunk_is_made_again(clips, embedder, tmp_path, monkeypatch):
    output = tmp_path / "emb.safetensors"
    whole = embed_files(clips, tmp_path / "whole.safetensors", embedder, batch_size=2)
    with monkeypatch.context() as patch:
        count_embedded(patch, stop_after=2)
        with pytest.raises(KeyboardInterrupt):
            embed_files(clips, output, embedder, batch_size=2, checkpoint_s=0)
    (tmp_path / "emb.safetensors.partial" / "00000000.safetensors").write_bytes(b"torn")
    with pytest.warns(UserWarning, match="left out: .*damaged"):
        index = embed_files(clips, output, embedder, batch_size=2)
    np.testing.assert_allclose(index.embeddings, whole.embeddings, atol=1e-3)


def test_long_clips_are_embedded_by_their_windows(embedder, tmp_path):
    paths = [*write_tones(tmp_path / "short", 1), *write_tones(tmp_path / "long", 2, seconds=3 * CLIP_S)]
    index = embed_files(paths, tmp_path / "emb.safetensors", embedder, truncation="windows")
    first = embed_files(paths, tmp_path / "first.safetensors", embedder, truncation="first")
    np.testing.assert_allclose(index.embeddings[0], first.embeddings[0], atol=1e-5)
    assert np.abs(index.embeddings[1] - first.embeddings[1]).max() > 1e-3
    np.testing.assert_allclose(index.embeddings[2:], embedder.embed_audio(paths[2:], "windows"), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output": "emb.txt"}, "ends in .lance, .safetensors or .parquet"),
        ({"paths": []}, "no audio files"),
        ({"batch_size": 0}, "batch size is 0"),
        ({"device": "nowhere", "model": "."}, "device 'nowhere' cannot be used"),
        ({"paths": ["missing.wav"]}, "None of the 1 files can be used .*missing.wav"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(clips, embedder, tmp_path, arguments, message):
    arguments = {"paths": clips, "output": "emb.safetensors", "model": embedder, **arguments}
    arguments["output"] = tmp_path / arguments["output"]
    with pytest.raises(ValueError, match=message):
        embed_files(**arguments)
    assert not arguments["output"].exists()


def test_parquet_without_pyarrow_says_what_to_install_before_any_work(clips, embedder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    counts = count_embedded(monkeypatch)
    with pytest.raises(ImportError, match="pip install pyarrow"):
        embed_files(clips, tmp_path / "emb.parquet", embedder)
    assert counts == []


def test_a_model_that_is_no_clap_is_refused(tmp_path):
    clap_parts()[0].text_model.encoder.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="does not embed audio and text apart"):
        ClapEmbedder(tmp_path, device="cpu")


# -- files ------------------------------------------------------------------------------------------------------------


def test_folders_are_searched_in_order_and_files_taken_as_named(tmp_path):
    for name in ("b.wav", "a/z.FLAC", "a/notes.txt", ".hidden.wav", ".git/x.wav", "c.mp3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    got = [os.path.relpath(path, tmp_path) for path in find_audio([tmp_path, tmp_path / "b.wav", tmp_path / "odd"])]
    assert got == ["b.wav", "c.mp3", "a/z.FLAC", "odd"]


# -- the index --------------------------------------------------------------------------------------------------------


def small_index():
    embeddings = np.eye(4, 3, dtype=np.float32)
    embeddings[3] = [0.6, 0.8, 0.0]
    return AudioIndex(embeddings, [FileState(f"/{name}.wav", 1, 2) for name in "abcd"], "m", "f" * 64)


def test_search_ranks_by_cosine_similarity():
    index = small_index()
    first, second = index.search(np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], np.float32), top_k=2)
    assert [(hit.path, hit.row) for hit in first] == [("/b.wav", 1), ("/d.wav", 3)]
    assert [hit.score for hit in first] == pytest.approx([1.0, 0.8])
    assert [hit.path for hit in second] == ["/a.wav", "/d.wav"]
    assert len(index.search(np.eye(1, 3, dtype=np.float32), top_k=100)[0]) == 4


@pytest.mark.parametrize("top_k", [1, 5, 499, 500])
def test_the_best_are_those_of_a_whole_sort_also_where_scores_are_equal(top_k):
    rows = np.random.default_rng(0).integers(-1, 2, (500, 4)).astype(np.float32)  # few directions
    rows[:, 3] += 5
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    index = AudioIndex(rows, [FileState(f"/{n}.wav", 1, 2) for n in range(500)], "m", "f" * 64)
    scores = np.array([hit.score for hit in sorted(index.search(rows[:1], 500)[0], key=lambda hit: hit.row)])
    wanted = np.argsort(-scores, kind="stable")[:top_k]
    assert [hit.row for hit in index.search(rows[:1], top_k)[0]] == wanted.tolist()


def test_other_embeddings_put_into_an_index_are_checked_and_searched():
    index = small_index()
    index.embeddings = index.embeddings[::-1].copy()
    assert index.search(np.array([[0.0, 0.0, 1.0]], np.float32), top_k=1)[0][0].row == 1
    index.embeddings = 2 * index.embeddings
    with pytest.raises(ValueError, match=r"length 1, but that of /a.wav has length 2"):
        index.search(np.eye(1, 3, dtype=np.float32))


def test_search_refuses_what_does_not_fit():
    index = small_index()
    with pytest.raises(ValueError, match=r"shape \(1, 5\); expected \(queries, 3\)"):
        index.search(np.zeros((1, 5), np.float32))
    with pytest.raises(ValueError, match="`top_k` is 0"):
        index.search(np.zeros((1, 3), np.float32), top_k=0)
    with pytest.raises(ValueError, match="one embedding per file"):
        AudioIndex(index.embeddings, index.files[:2], "m", "f")


@pytest.mark.parametrize("stretch", [1.0, 5.0, 1e-20, 1e20])
def test_scores_are_cosines_whatever_the_length_of_a_query(stretch):
    index = small_index()
    query = np.array([[0.6, 0.8, 0.0]], np.float32)
    for given in (query * np.float32(stretch), torch.from_numpy(query) * stretch, (query * stretch).tolist()):
        hits = index.search(given, top_k=2)[0]
        assert [hit.row for hit in hits] == [3, 1]
        assert [hit.score for hit in hits] == pytest.approx([1.0, 0.8], abs=1e-6)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_queries_without_a_direction_are_refused(value):
    queries = np.eye(2, 3, dtype=np.float32)
    queries[1] = value
    with pytest.raises(ValueError, match=r"Query 1 has no direction: its length is (0|nan|inf)"):
        small_index().search(queries)


@pytest.mark.parametrize("value", [0.0, 0.5, 3.0, np.nan])
def test_an_index_of_other_lengths_is_refused_with_the_file(value):
    index = small_index()
    embeddings = index.embeddings.copy()
    embeddings[2] *= np.float32(value)
    with pytest.raises(ValueError, match=r"length 1, but that of /c\.wav has length .*1 of 4 are wrong"):
        AudioIndex(embeddings, index.files, "m", "f" * 64)


def test_one_text_one_clip_and_one_folder_are_one(clips, embedder, tmp_path):
    np.testing.assert_allclose(embedder.embed_text("applause"), embedder.embed_text(["applause"]), atol=1e-6)
    several = embedder.embed_text(text for text in ("rain", "a dog"))
    assert several.shape == (2, 12)
    for wrong in (["rain", 3], [None], "", []):
        with pytest.raises(ValueError, match="not blank"):
            embedder.embed_text(wrong)
    expected = embedder.embed_audio([clips[0]])
    for one in (str(clips[0]), clips[0], clips[0].read_bytes(), {"path": str(clips[0]), "bytes": None}):
        np.testing.assert_allclose(embedder.embed_audio(one), expected, atol=1e-6)
    with pytest.raises(ValueError, match="empty"):
        embedder.embed_audio([])
    for folder in (str(tmp_path / "clips"), tmp_path / "clips"):
        assert find_audio(folder) == [str(clip) for clip in clips]
    assert len(embed_files(str(clips[0]), tmp_path / "one.safetensors", embedder)) == 1


def test_search_finds_a_clip_by_its_sound(clips, embedder, tmp_path):
    index = embed_files(clips, tmp_path / "emb.safetensors", embedder)
    for row, path in enumerate(clips):
        (hits,) = index.search(embedder.embed_audio([path]), top_k=1)
        assert hits[0].row == row
        assert hits[0].score == pytest.approx(1, abs=1e-5)
    assert embedder.embed_audio([{"array": tone(300), "sampling_rate": 8000}]).shape == (1, 12)
    with pytest.raises(AudioDecodeError, match=r"gone\.wav"):
        embedder.embed_audio([tmp_path / "gone.wav"])
    with pytest.raises(ValueError, match="not blank"):
        embedder.embed_text([" "])


def test_the_fingerprint_follows_the_model_and_not_its_place(model, embedder, tmp_path):
    copy = shutil.copytree(model, tmp_path / "copy")
    embedder.embed_text(["texts", "of several lengths"])  # leaves padding settings in the tokenizer
    parts = (embedder.model, embedder.feature_extractor, embedder.tokenizer)
    assert fingerprint(*parts) == ClapEmbedder(copy, device="cpu").fingerprint == embedder.fingerprint
    changed = ClapAfmModel.from_pretrained(copy)
    with torch.no_grad():
        changed.audio_projection.linear1.weight[0, 0] += 1e-3
    changed.save_pretrained(copy)
    other = ClapEmbedder(copy, device="cpu")
    assert other.fingerprint != embedder.fingerprint
    index = AudioIndex(np.eye(1, 12, dtype=np.float32), [FileState("/a.wav", 1, 2)], "m", embedder.fingerprint)
    index.check_model(embedder)
    with pytest.raises(IndexMismatchError, match="cannot be compared"):
        index.check_model(other)


@pytest.mark.parametrize("suffix", [".safetensors", ".parquet"])
def test_files_that_are_no_index_are_refused(tmp_path, suffix):
    path = tmp_path / f"emb{suffix}"
    with pytest.raises(FileNotFoundError, match="afm-hf embed"):
        AudioIndex.load(path)
    path.write_bytes(b"something else, long enough")
    with pytest.raises(ValueError, match="is not an index of afm-hf, or is damaged"):
        AudioIndex.load(path)
    small_index().save(path)
    assert AudioIndex.load(path).paths == small_index().paths


def test_an_index_of_a_newer_release_is_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(index_module, "INDEX_VERSION", 3)
        small_index().save(tmp_path / "emb.safetensors")
    with pytest.raises(ValueError, match="version 3; this release reads the versions 1 and 2"):
        AudioIndex.load(tmp_path / "emb.safetensors")


def test_paths_that_a_safetensors_header_cannot_hold_lie_beside_the_embeddings(tmp_path, monkeypatch):
    index = small_index()
    index.failures = {os.fsdecode(b"/caf\xe9.wav"): 'no "audio" in C:\\'}
    index.save(tmp_path / "short.safetensors")
    monkeypatch.setattr(index_module, "_HEADER_LIMIT", 100)
    index.save(tmp_path / "long.safetensors")
    with safe_open(tmp_path / "long.safetensors", "np") as file:
        assert len(json.dumps(file.metadata())) < 100
    for read in (AudioIndex.load(tmp_path / "short.safetensors"), AudioIndex.load(tmp_path / "long.safetensors")):
        np.testing.assert_array_equal(read.embeddings, index.embeddings)
        assert (read.files, read.model, read.failures) == (index.files, index.model, index.failures)


@pytest.mark.slow
def test_a_million_long_names_are_written_and_read(tmp_path):
    """Header and JSON of 260 MB, where safetensors reads none above 100."""
    folder = 20 * 'ä"'
    files = [FileState(f"/{folder}/{row}.wav", row, row) for row in range(10**6)]
    index = AudioIndex(np.ones((len(files), 1), np.float32), files, "m", "f" * 64)
    index.save(tmp_path / "emb.safetensors")
    assert AudioIndex.load(tmp_path / "emb.safetensors").files == files


def test_a_failed_save_leaves_the_old_index_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "emb.safetensors"
    small_index().save(path)
    old = path.read_bytes()
    FullDisk(monkeypatch)
    with pytest.raises(WriteError, match=r"The index cannot be written to .*no space is left"):
        small_index().save(path)
    assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


# -- full disks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".safetensors", ".parquet"])
def test_a_disk_that_was_full_for_a_while_changes_nothing(clips, embedder, tmp_path, monkeypatch, suffix):
    whole, output = tmp_path / f"whole{suffix}", tmp_path / f"emb{suffix}"
    options = {"batch_size": 2, "checkpoint_s": 0}
    embed_files(clips, whole, embedder, **options)
    full = FullDisk(monkeypatch, after=4)  # two writes to see whether it can be written, and two chunks
    with monkeypatch.context() as patch:
        before = count_embedded(patch)
        with pytest.raises(WriteError, match=r"The index cannot be written to .* then goes on from here"):
            embed_files(clips, output, embedder, **options)
    assert not output.exists()
    full.room()
    after = count_embedded(monkeypatch)
    embed_files(clips, output, embedder, **options)
    assert (sum(before), sum(after)) == (6, 3)
    assert output.read_bytes() == whole.read_bytes() and not output.with_name(output.name + ".partial").exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".parquet"])
def test_embedding_onto_a_disk_that_fills_up_goes_on_when_there_is_room(clips, embedder, tmp_path, suffix):
    whole = tmp_path / f"whole{suffix}"
    options = {"batch_size": 1, "checkpoint_s": 0}
    embed_files(clips, whole, embedder, **options)
    with small_disk(tmp_path / "disk", 16) as disk:
        with pytest.raises(WriteError, match=r"no space is left there|are free there"):
            embed_files(clips, disk / whole.name, embedder, **options)
        assert not (disk / whole.name).exists()
        grow(disk, 512)
        embed_files(clips, disk / whole.name, embedder, **options)
        assert (disk / whole.name).read_bytes() == whole.read_bytes()


def test_what_cannot_be_written_is_refused_before_any_file_is_embedded(clips, embedder, tmp_path, monkeypatch):
    counts = count_embedded(monkeypatch)
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "emb.safetensors.partial").write_text("mine")
    for output, reason in (
        ("folder.safetensors", "is a folder"),
        ("file/emb.safetensors", "is a file, and no folder"),
        ("emb.safetensors", "is kept in the folder .* that is a file"),
    ):
        with pytest.raises(WriteError, match=reason):
            embed_files(clips, tmp_path / output, embedder)
    with pytest.raises(ValueError, match=r"Parquet cannot hold the name '/caf.*e9.wav'"):
        embed_files([*clips, os.fsdecode(b"/caf\xe9.wav")], tmp_path / "emb.parquet", embedder)
    with small_disk(tmp_path / "disk", 4) as disk, pytest.raises(WriteError, match=r"needs about .* are free there"):
        embed_files([*clips, *(f"/none/{number}.wav" for number in range(500))], disk / "emb.safetensors", embedder)
    assert counts == []
