"""A Lance table holds what one run over all files would give, is brought up to date, and is searched as a file is."""

import csv
import json
import os
import shutil

import numpy as np
import pytest
from small_disks import grow, small_disk
from tiny_models import CLIP_S, tiny_clap, write_tones

from afm_hf.models.common.writing_afm import WriteError
from afm_hf.pipelines.audio_files import FileState
from afm_hf.retrieval import AudioIndex, ClapEmbedder, IndexMismatchError, convert_index, embed_files, open_index
from afm_hf.retrieval.approximate import exact_neighbours
from afm_hf.retrieval.index import Job
from afm_hf.retrieval.user_columns import UserColumns

lancedb = pytest.importorskip("lancedb", reason='needs `pip install "afm-hf[retrieval]"`')

from afm_hf.retrieval.lance_tables import Place, rows_of_clips  # noqa: E402
from afm_hf.retrieval.store import ClipStore  # noqa: E402
from afm_hf.retrieval.store_embedding import embed_into_store  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_clap(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def embedder(model):
    return ClapEmbedder(model, device="cpu")


@pytest.fixture
def clips(tmp_path):
    return write_tones(tmp_path / "clips", 5)


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


def unit_rows(count, dim=8, seed=0):
    rows = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def store_of(place, embeddings, columns=None):
    """A table of embeddings; `columns` are Arrow arrays by their names."""
    columns = columns or {}
    job = Job("m", "f" * 64, {"truncation": None})
    store = ClipStore.create(place, job, embeddings.shape[1], {name: array.type for name, array in columns.items()})
    count = len(embeddings)
    files = [FileState(f"/{row:06d}.wav", row, row) for row in range(count)]
    said = [{name: array[row].as_py() for name, array in columns.items()} for row in range(count)]
    store.add([rows_of_clips(store.table.schema, files, [(None, None)] * count, embeddings, said)])
    return store


# -- embedding --------------------------------------------------------------------------------------------------------


def test_a_table_holds_the_rows_that_a_file_would(clips, embedder, tmp_path):
    (tmp_path / "clips" / "bad.wav").write_text("no audio")
    file = embed_files(tmp_path / "clips", tmp_path / "emb.safetensors", embedder, batch_size=2)
    embed_into_store(tmp_path / "clips", tmp_path / "emb.lance", embedder, batch_size=2)
    store = open_index(tmp_path / "emb.lance")
    assert store.files == file.files and len(store) == 5
    assert store.failures == file.failures and list(store.failures) == [str(tmp_path / "clips" / "bad.wav")]
    assert (store.model, store.fingerprint, store.settings) == (file.model, file.fingerprint, file.settings)
    np.testing.assert_allclose(store.embeddings, file.embeddings, atol=1e-6)
    query = embedder.embed_text(["a dog"])
    (found,), (expected,) = store.search(query, 3), file.search(query, 3)
    assert [hit.path for hit in found] == [hit.path for hit in expected]
    assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=1e-5)


def test_processes_that_decode_change_nothing(clips, embedder, tmp_path):
    one = embed_into_store(clips, tmp_path / "one.lance", embedder, batch_size=2)
    two = embed_into_store(clips, tmp_path / "two.lance", embedder, batch_size=2, num_workers=1)
    assert one.files == two.files
    np.testing.assert_array_equal(one.embeddings, two.embeddings)


def test_a_stopped_run_goes_on(clips, embedder, tmp_path, monkeypatch):
    whole = embed_into_store(clips, tmp_path / "whole.lance", embedder, batch_size=2)
    with monkeypatch.context() as patch:
        before = count_embedded(patch, stop_after=2)
        with pytest.raises(KeyboardInterrupt):
            embed_into_store(clips, tmp_path / "emb.lance", embedder, batch_size=2)
    assert len(ClipStore.load(tmp_path / "emb.lance")) == 4  # what was done is there, and can be searched
    after = count_embedded(monkeypatch)
    store = embed_into_store(clips, tmp_path / "emb.lance", embedder, batch_size=2)
    assert (before, after) == ([2, 2], [1])
    assert store.files == whole.files
    np.testing.assert_array_equal(store.embeddings, whole.embeddings)


def test_new_changed_and_deleted_files_are_noticed(clips, embedder, tmp_path, monkeypatch):
    output = tmp_path / "emb.lance"
    elsewhere = write_tones(tmp_path / "elsewhere", 1)
    embed_into_store([tmp_path / "clips", *elsewhere], output, embedder)
    counts = count_embedded(monkeypatch)
    version = ClipStore.load(output).table.version
    store = embed_into_store(tmp_path / "clips", output, embedder)
    assert counts == [] and store.table.version == version, "nothing has changed"
    write_tones(tmp_path / "clips" / "more", 1)
    clips[4].unlink()
    os.utime(clips[2], ns=(0, 1))
    shutil.copyfile(clips[0], clips[1])
    store = embed_into_store(tmp_path / "clips", output, embedder)
    assert sum(counts) == 3
    new = tmp_path / "clips" / "more" / "00.wav"
    assert store.paths == sorted(map(str, [*clips[:4], new, *elsewhere])), "a file of another folder stays"
    first, second = store.embeddings[:2]
    np.testing.assert_allclose(first, second, atol=1e-6)
    assert store.files[2].mtime_ns == 1


def test_a_file_that_breaks_and_is_mended_has_one_row(clips, embedder, tmp_path):
    output, good = tmp_path / "emb.lance", clips[1].read_bytes()
    embed_into_store(clips, output, embedder)
    clips[1].write_text("no audio")
    store = embed_into_store(clips, output, embedder)
    assert list(store.failures) == [str(clips[1])] and len(store) == 4
    version = store.table.version
    assert embed_into_store(clips, output, embedder).table.version == version, "the same failure is not written again"
    clips[1].write_bytes(good)
    store = embed_into_store(clips, output, embedder)
    assert store.failures == {} and store.paths == list(map(str, clips))


def test_windows_are_rows_with_their_times(embedder, tmp_path):
    short, long = write_tones(tmp_path / "short", 1), write_tones(tmp_path / "long", 1, seconds=3 * CLIP_S)
    store = embed_into_store([*short, *long], tmp_path / "emb.lance", embedder, every_s=CLIP_S)
    times = [(row["path"], row["start_s"], row["end_s"]) for row in store.rows(["path", "start_s", "end_s"])]
    spans = sorted((start, end) for path, start, end in times if path == str(long[0]))
    assert spans == [pytest.approx((CLIP_S * n, CLIP_S * (n + 1)), abs=1e-3) for n in range(3)]
    assert [path for path, *_ in times].count(str(short[0])) == 1
    expected = embedder.embed_audio(short)[0]
    np.testing.assert_allclose(store.embeddings[store.paths.index(str(short[0]))], expected, atol=1e-5)
    (hits,) = store.search(expected[None], 2, where="start_s > 0")
    assert [hit.path for hit in hits] == [str(long[0])] * 2 and hits[0].end_s > hits[0].start_s > 0
    with pytest.raises(ValueError, match="are windows of files"):
        store.to_index()
    with pytest.raises(IndexMismatchError, match="--overwrite"):
        embed_into_store(short, tmp_path / "emb.lance", embedder)


def test_work_of_another_model_is_not_mixed_in(clips, embedder, tmp_path):
    output = tmp_path / "emb.lance"
    embed_into_store(clips, output, embedder)
    other = ClapEmbedder(tiny_clap(tmp_path / "other", seed=1), device="cpu")
    with pytest.raises(IndexMismatchError, match=r"The index .* was made by .* --overwrite"):
        embed_into_store(clips, output, other)
    with pytest.raises(IndexMismatchError, match="cannot be compared"):
        ClipStore.load(output).check_model(other)
    store = embed_into_store(clips, output, other, overwrite=True)
    np.testing.assert_allclose(store.embeddings[:1], other.embed_audio(clips[:1]), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"paths": []}, ValueError, "no audio files"),
        ({"output": "my clips.lance"}, ValueError, "name of a table"),
        ({"output": "clips.lanse"}, ValueError, r"ends in \.lance"),
        ({"every_s": 0.0}, ValueError, "expected more than 0"),
        ({"every_s": 1.0, "truncation": "first"}, ValueError, "Leave one out"),
        ({"approximate": "magic"}, ValueError, "no approximate index 'magic'"),
        ({"paths": ["missing.wav"]}, ValueError, r"None of the 1 files can be used .*missing\.wav"),
        ({"metadata": {"other.wav": {"label": "dog"}}}, ValueError, "names none of the 5 files"),
        ({"metadata": {"00.wav": {"path": "x"}}}, ValueError, "has for itself"),
        ({"output": "clips.lance"}, FileExistsError, "is no Lance table"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(clips, embedder, tmp_path, arguments, error, message):
    (tmp_path / "clips.lance").mkdir()
    (tmp_path / "clips.lance" / "mine.txt").write_text("mine")
    arguments = {"paths": clips, "output": "emb.lance", "model": embedder, **arguments}
    arguments["output"] = tmp_path / arguments["output"]
    with pytest.raises(error, match=message):
        embed_into_store(**arguments)


def test_names_that_are_no_utf8_are_refused_before_the_work(embedder, tmp_path):
    with pytest.raises(ValueError, match=r"A Lance table cannot hold the name '/caf.*e9\.wav'"):
        embed_into_store([os.fsdecode(b"/caf\xe9.wav")], tmp_path / "emb.lance", embedder)


def test_a_disk_that_was_full_changes_nothing(clips, embedder, tmp_path):
    with small_disk(tmp_path / "disk", 24) as disk:
        with pytest.raises(WriteError, match=r"no space is left there|are free there"):
            embed_into_store(clips, disk / "emb.lance", embedder, batch_size=1, checkpoint_s=0)
        grow(disk, 2048)
        store = embed_into_store(clips, disk / "emb.lance", embedder, batch_size=1, checkpoint_s=0)
        assert store.paths == list(map(str, clips))


# -- columns of the user's own ----------------------------------------------------------------------------------------


def write_metadata(place, rows):
    with place.open("w", newline="") as file:
        csv.writer(file).writerows([["file_name", "label", "fold", "level"], *rows])
    return place


def test_a_metadata_table_becomes_columns_that_are_searched(clips, embedder, tmp_path):
    rows = [["00.wav", "a dog's bark", 1, 0.5], ["./01.wav", "rain", 2, ""], ["02.wav", "", 3, -1]]
    table = write_metadata(tmp_path / "clips" / "metadata.csv", rows)
    store = embed_into_store(tmp_path / "clips", tmp_path / "emb.lance", embedder, metadata=table)
    assert {name: str(kind) for name, kind in store.columns.items()} == {
        "label": "string",
        "fold": "int64",
        "level": "double",
    }
    query = embedder.embed_text(["a dog"])
    (hits,) = store.search(query, where="label = 'a dog''s bark'")
    assert [(hit.path, hit.columns) for hit in hits] == [
        (str(clips[0]), {"label": "a dog's bark", "fold": 1, "level": 0.5})
    ]
    (hits,) = store.search(query, where="fold >= 2 AND level IS NULL")
    assert [hit.path for hit in hits] == [str(clips[1])]
    assert len(store.search(query, where="label IS NULL")[0]) == 3
    with pytest.raises(ValueError, match=r"`where` is \"lable = 'x'\".*No field named lable.*columns path, .*, label"):
        store.search(query, where="lable = 'x'")


def test_labels_that_were_mended_need_no_embedding(clips, embedder, tmp_path, monkeypatch):
    table = write_metadata(tmp_path / "labels.csv", [["clips/00.wav", "dog", 1, 1], ["clips/01.wav", "rain", 1, 1]])
    embed_into_store(clips, tmp_path / "emb.lance", embedder, metadata=table)
    counts = count_embedded(monkeypatch)
    table.write_text("file_name,label,place\nclips/00.wav,wolf,a wood\n")
    store = embed_into_store(clips, tmp_path / "emb.lance", embedder, metadata=table)
    rows = {row["path"]: row for row in store.rows(["path", "label", "fold", "place"])}
    assert counts == [] and len(rows) == 5
    assert list(rows[str(clips[0])].values())[1:] == ["wolf", 1, "a wood"]
    assert list(rows[str(clips[1])].values())[1:] == ["rain", 1, None]
    table.write_text("file_name,fold\nclips/00.wav,first\n")
    with pytest.raises(ValueError, match=r"'fold' of the index holds int64, but in labels\.csv it holds string"):
        embed_into_store(clips, tmp_path / "emb.lance", embedder, metadata=table)


def test_columns_keep_what_they_hold():
    rows = {
        "a.wav": {"id": "007", "n": "12", "x": "1e3", "on": True, "tags": ["a", "b"], "more": {"k": 1}},
        "b.wav": {"id": "8", "n": None, "x": "nan?", "on": None, "tags": None, "more": None},
        "c.wav": {"id": "9", "n": "-3", "x": "2", "on": False, "tags": [], "more": None},
    }
    columns = UserColumns(rows, ["/data/"], "table")
    kinds = {name: str(kind).partition("<")[0] for name, kind in columns.columns.items()}
    assert kinds == {"id": "string", "n": "int64", "x": "string", "on": "bool", "tags": "list", "more": "string"}
    assert columns.of("/data/a.wav") == {**rows["a.wav"], "n": 12, "more": json.dumps({"k": 1})}
    assert columns.of("/data/none.wav") == dict.fromkeys(rows["a.wav"])


# -- search -----------------------------------------------------------------------------------------------------------


def test_search_ranks_as_a_file_does(tmp_path):
    embeddings = unit_rows(200)
    store = store_of(tmp_path / "emb.lance", embeddings)
    index = AudioIndex(embeddings, store.files, "m", "f" * 64)
    queries = unit_rows(3, seed=1) * np.float32(7)
    for found, expected in zip(store.search(queries, 5), index.search(queries, 5), strict=True):
        assert [hit.path for hit in found] == [hit.path for hit in expected]
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=1e-5)
    least = index.search(queries[:1], 5)[0][2].score
    assert len(store.search(queries[:1], 5, min_score=least - 1e-6)[0]) == 3
    assert len(index.search(queries[:1], 5, min_score=least)[0]) == 3
    assert len(store.search(queries[:1], 1000)[0]) == 200
    with pytest.raises(ValueError, match=r"shape \(1, 5\); expected \(queries, 8\)"):
        store.search(np.ones((1, 5), np.float32))
    with pytest.raises(ValueError, match="has no direction"):
        store.search(np.zeros((1, 8), np.float32))


@pytest.fixture
def small_sample(monkeypatch):
    """Fewer rows are asked for their neighbours where an index is measured."""
    monkeypatch.setattr("afm_hf.retrieval.approximate._SAMPLE", 10)


@pytest.mark.parametrize("kind", ["ivf-rq", "ivf-pq", "hnsw-sq"])
def test_an_approximate_index_finds_what_it_says(tmp_path, small_sample, kind):
    store = store_of(tmp_path / "emb.lance", unit_rows(1500, dim=16))
    queries = unit_rows(20, dim=16, seed=1)
    found = store.build_approximation(kind, queries, recall=0.8)
    assert found.recall >= 0.8 and (found.kind, found.rows, found.queries) == (kind, 1500, 30)
    store = ClipStore.load(tmp_path / "emb.lance")
    assert store.approximation == found
    exact, approximate = store.search(queries, 10, exact=True), store.search(queries, 10)
    shares = [
        len({a.path for a in one} & {b.path for b in other}) / 10 for one, other in zip(exact, approximate, strict=True)
    ]
    # The recall is that of 30 queries, of which ten are rows; if all of those were found, the 20 have the rest.
    assert np.mean(shares) >= (30 * found.recall - 10) / 20 - 1e-6
    alone = [one[0].path == other[0].path for one, other in zip(store.search(queries, 1), approximate, strict=True)]
    assert np.mean(alone) >= 0.9, "the nearest is found as surely where nothing else is wanted"
    assert store.build_approximation("none") is None and ClipStore.load(tmp_path / "emb.lance").approximation is None
    assert list(store.table.list_indices()) == []


def test_rows_added_after_the_index_are_found_and_conditions_hold(tmp_path, small_sample):
    arrow = pytest.importorskip("pyarrow")
    labels = arrow.array(["rare" if row % 300 == 7 else "common" for row in range(1500)])
    store = store_of(tmp_path / "emb.lance", unit_rows(1500, dim=16), {"label": labels})
    store.build_approximation("ivf-rq")
    (hits,) = store.search(unit_rows(1, dim=16, seed=1), 10, where="label = 'rare'")
    assert [hit.columns["label"] for hit in hits] == ["rare"] * 5, "all of the few, wherever they lie"
    new = unit_rows(1, dim=16, seed=2)
    store.add([rows_of_clips(store.table.schema, [FileState("/new.wav", 1, 1)], [(None, None)], new, [{}])])
    assert store.search(new, 1)[0][0].path == "/new.wav"
    store.tidy()
    assert store.search(new, 1)[0][0].path == "/new.wav"


def test_an_index_is_built_by_itself_only_where_it_pays(tmp_path, small_sample, monkeypatch):
    store = store_of(tmp_path / "emb.lance", unit_rows(600))
    assert store.build_approximation() is None
    monkeypatch.setattr("afm_hf.retrieval.approximate.PAYS_FROM", 500)
    built = store.build_approximation()
    assert built.kind == "ivf-rq" and store.build_approximation() == built
    with pytest.raises(ValueError, match="needs 256 rows or more; there are 10"):
        store_of(tmp_path / "few.lance", unit_rows(10)).build_approximation("ivf-pq")


def test_the_truly_nearest_are_found_in_parts():
    rows, queries = unit_rows(100), unit_rows(4, seed=1)
    parts = [(np.arange(start, start + 25), rows[start : start + 25]) for start in range(0, 100, 25)]
    found = exact_neighbours(iter(parts), queries, [-1, -1, -1, -1], 7)
    np.testing.assert_array_equal(found, np.argsort(-(queries @ rows.T), axis=1)[:, :7])
    own = exact_neighbours(iter(parts), rows[:2], [0, 1], 3)
    assert 0 not in own[0] and 1 not in own[1]


# -- places and forms -------------------------------------------------------------------------------------------------


def test_places():
    assert Place.of("s3://bucket/deep/clips.lance/") == Place(
        "s3://bucket/deep/clips.lance/", "s3://bucket/deep", "clips", None
    )
    assert Place.of("s3://bucket/clips.lance").parent == "s3://bucket"
    assert (Place.of("/data/a.b.lance").parent, Place.of("/data/a.b.lance").name) == ("/data", "a.b")
    assert Place.of("clips.lance").parent == os.getcwd()


@pytest.mark.parametrize("suffix", [".safetensors", ".parquet"])
def test_old_indices_become_tables_and_tables_become_files(clips, embedder, tmp_path, monkeypatch, suffix):
    (tmp_path / "clips" / "bad.wav").write_text("no audio")
    old = embed_files(tmp_path / "clips", tmp_path / f"old{suffix}", embedder)
    convert_index(tmp_path / f"old{suffix}", tmp_path / "emb.lance")
    counts = count_embedded(monkeypatch)
    store = embed_into_store(tmp_path / "clips", tmp_path / "emb.lance", embedder)
    assert counts == [] and store.files == old.files and store.failures == old.failures
    back = convert_index(tmp_path / "emb.lance", tmp_path / f"new{suffix}")
    np.testing.assert_allclose(AudioIndex.load(tmp_path / f"new{suffix}").embeddings, old.embeddings, atol=1e-6)
    assert (back.files, back.failures, back.settings) == (old.files, old.failures, old.settings)
    for target in ("emb.lance", f"new{suffix}"):
        with pytest.raises(FileExistsError, match="already"):
            convert_index(tmp_path / f"old{suffix}", tmp_path / target)


def test_what_is_no_index_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="afm-hf embed"):
        open_index(tmp_path / "none.lance")
    lancedb.connect(tmp_path).create_table("other", data=[{"x": 1}])
    with pytest.raises(ValueError, match="none that afm-hf made"):
        open_index(tmp_path / "other.lance")
    with pytest.raises(ValueError, match="embed_into_store"):
        AudioIndex.load(tmp_path / "other.lance")
