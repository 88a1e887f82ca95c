"""FSD50K's titles and descriptions, WavCaps and SoundDescs, in miniatures of the official layouts."""

import json
import os
import pickle
from pathlib import Path

import pytest
from audio_files import paths, write_clip, write_csv

pytest.importorskip("datasets")

from afm_hf.data import read_fsd50k_captions, read_sounddescs, read_wavcaps
from afm_hf.data.captions.plain_pickles import read_texts
from afm_hf.data.mixtures import read_layout


def fsd50k(root):
    for name in "12":
        write_clip(root / "FSD50K.dev_audio" / f"{name}.wav")
    write_csv(
        root / "FSD50K.ground_truth" / "dev.csv",
        "fname,labels,mids,split",
        *[["1", "Bark", "/m/1", "train"], ["2", "Rain", "/m/2", "val"], ["3", "Rain", "/m/2", "train"]],
    )
    (root / "FSD50K.metadata").mkdir()
    written = {
        "1": {"title": "dog.wav", "description": "My dog\r\nbarks &amp; howls.", "tags": ["dog", "bark"]},
        "2": {"title": "rain", "description": None, "tags": None},
        "3": {"title": "", "description": "", "tags": []},
    }
    (root / "FSD50K.metadata" / "dev_clips_info_FSD50K.json").write_text(json.dumps(written))


def test_fsd50k_with_titles_and_descriptions(tmp_path):
    fsd50k(tmp_path)
    data, report = read_fsd50k_captions(tmp_path, "train")
    assert data["captions"][:] == [["dog.wav My dog barks &amp; howls."]] and data["tags"][:] == ["dog, bark"]
    assert report.textless[0].reason == "neither title nor description"
    val, _ = read_layout("fsd50k_captions", tmp_path, "val")
    assert val["captions"][:] == [["rain"]] and paths(val)[0].endswith("FSD50K.dev_audio/2.wav")
    stream, _ = read_fsd50k_captions(tmp_path, "dev", streaming=True)
    assert [row["title"] for row in stream] == ["dog.wav", "rain"]


@pytest.mark.parametrize(
    ("text", "message"), [("[]", "is not that of FSD50K"), ('{"1": 2}', "is not that of FSD50K"), ("{", "is no JSON")]
)
def test_files_that_are_not_fsd50ks(tmp_path, text, message):
    fsd50k(tmp_path)
    (tmp_path / "FSD50K.metadata" / "dev_clips_info_FSD50K.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_fsd50k_captions(tmp_path, "train")


def wavcaps(root):
    files = {
        "AudioSet_SL/as_final.json": [{"id": "Yb0RFKhbpFJA.wav", "caption": "A man speaks.", "duration": 10.0}],
        "FreeSound/fsd_final.json": [
            {"id": "180913", "caption": "Rain falls.", "file_name": "x.wav", "duration": 1.0},
            {"id": "7", "caption": "", "duration": 1.0},
        ],
    }
    for name, clips in files.items():
        path = root / "json_files" / name
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"num_captions_per_audio": 1, "data": clips}))
    older = root / "json_files" / "SoundBible" / "sb_final.json"
    older.parent.mkdir()
    older.write_text(json.dumps([{"id": "2219", "caption": "A bell rings.", "href": "x", "duration": 1.0}]))
    for clip in ("AudioSet_SL/Yb0RFKhbpFJA.flac", "FreeSound/180913.flac", "SoundBible/2219.flac"):
        write_clip(root / "audio" / clip)


def test_wavcaps_of_all_sources_that_are_there(tmp_path):
    wavcaps(tmp_path)
    data, report = read_wavcaps(tmp_path)
    assert data["captions"][:] == [["A man speaks."], ["Rain falls."], ["A bell rings."]]
    assert data["subset"][:] == ["AudioSet_SL", "FreeSound", "SoundBible"]
    assert [Path(path).name for path in paths(data)] == ["Yb0RFKhbpFJA.flac", "180913.flac", "2219.flac"]
    assert report.textless[0].reason == "no caption"
    one, _ = read_layout("wavcaps", tmp_path, "SoundBible")
    assert one["id"][:] == ["2219"]


def test_wavcaps_without_the_clips_of_other_sets_tests(tmp_path):
    wavcaps(tmp_path)
    (tmp_path / "list.json").write_text(json.dumps({"FreeSound": ["180913"], "AudioSet": ["Yb0RFKhbpFJA.wav"]}))
    data, _ = read_wavcaps(tmp_path, exclude=tmp_path / "list.json")
    assert data["id"][:] == ["2219"]
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(ValueError, match="no list of WavCaps' exclusions"):
        read_wavcaps(tmp_path, exclude=tmp_path / "list.json")


def test_wavcaps_that_is_none(tmp_path):
    with pytest.raises(ValueError, match=r"none of json_files.*cvssp/WavCaps"):
        read_wavcaps(tmp_path)
    wavcaps(tmp_path)
    with pytest.raises(ValueError, match=r"no json_files/BBC_Sound_Effects/bbc_final\.json"):
        read_wavcaps(tmp_path, "BBC_Sound_Effects")
    with pytest.raises(ValueError, match="`subset` is 'BBC'"):
        read_wavcaps(tmp_path, "BBC")
    file = tmp_path / "json_files" / "FreeSound" / "fsd_final.json"
    for content, message in (({"x": 1}, "no list `data`"), ([{"id": "1"}], "fsd_final.json:1 is no clip of WavCaps")):
        file.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=message):
            read_wavcaps(tmp_path, "FreeSound")


TEXTS = {"07001": "A steam\n train passes.", "07002": "", "07003": "Bells. \u00e9"}


def sounddescs(root, texts=TEXTS, protocol=4):
    (root / "data" / "SoundDescs").mkdir(parents=True)
    (root / "sounddescs_data").mkdir()
    (root / "data" / "SoundDescs" / "train_list.txt").write_text("07001\n07002\n07009\n")
    (root / "sounddescs_data" / "descriptions.pkl").write_bytes(pickle.dumps(texts, protocol))
    for name in texts:
        write_clip(root / "audio" / f"{name}.wav")


def test_sounddescs_reads_the_texts_of_the_pickle(tmp_path):
    sounddescs(tmp_path)
    data, report = read_sounddescs(tmp_path)
    assert data["captions"][:] == [["A steam train passes."]] and data["id"][:] == ["07001"]
    assert [clip.audio for clip in report.textless] == ["07002.wav", "07009.wav"]
    (tmp_path / "sounddescs_data" / "descriptions.json").write_text(json.dumps({**TEXTS, "07002": "Rain."}))
    assert len(read_layout("sounddescs", tmp_path)[0]) == 2
    with pytest.raises(ValueError, match=r"val_list\.txt"):
        read_sounddescs(tmp_path, "val")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_texts_of_every_protocol(tmp_path, protocol):
    texts = {
        **TEXTS,
        **{str(number): f"text {number % 3}" * (1 + number % 90) for number in range(2000)},
        "same": "07001",
    }
    path = tmp_path / "texts.pkl"
    path.write_bytes(pickle.dumps(texts, protocol))
    assert read_texts(path) == texts


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("bomb",)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Bomb()),
        pickle.dumps({"a": Bomb()}),
        pickle.dumps({"a": 1}),
        pickle.dumps(["a"]),
        pickle.dumps("a"),
        pickle.dumps({"a": "b"})[:-3],
        b"",
        b"no pickle",
        b"\x80\x04u.",
        b"(lp0\n.",
    ],
)
def test_nothing_in_a_pickle_is_run(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "texts.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"texts\.pkl"):
        read_texts(path)
    assert not (tmp_path / "bomb").exists()
