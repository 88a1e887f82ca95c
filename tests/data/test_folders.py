import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

datasets = pytest.importorskip("datasets")

sys.path.insert(0, str(Path(__file__).parent))

from audio_files import write_clip, write_csv  # noqa: E402

import afm_hf  # noqa: E402
from afm_hf.data import read_audio_folder, read_label_folders, read_table  # noqa: E402


@pytest.fixture
def folder(tmp_path):
    """Three good clips (one with a hard name), one missing, one that is no audio, one whose end is cut off."""
    for name in ("dog.wav", "ünïcödé & 日本.wav", "cat.wav"):
        write_clip(tmp_path / name)
    (tmp_path / "text.wav").write_text("this is no audio")
    (tmp_path / "metadata.csv").write_text(
        "\ufefffile_name,caption,label,source\n"
        'dog.wav,"A dog, barking.\nLoudly.",dog,freesound\n'
        "ünïcödé & 日本.wav,Rain.,rain,\n"
        "lost.wav,Lost.,lost,\n"
        "text.wav,Text.,text,\n"
        "cat.wav,A cat.,cat,\n",
        encoding="utf-8",
    )
    return tmp_path


def test_rows_say_where_they_come_from_and_clips_decode(folder):
    data, report = read_audio_folder(folder)
    assert data["label"][:] == ["dog", "rain", "cat"]
    assert data["source"][:] == ["metadata.csv:2", "metadata.csv:4", "metadata.csv:7"]
    assert data["file_source"][:] == ["freesound", "", ""]
    assert data[0]["captions"] == ["A dog, barking.\nLoudly."]
    assert data.features["audio"] == datasets.Audio(decode=False)
    assert [len(afm_hf.load_audio(row["audio"], 16000)) for row in data] == [1600] * 3
    assert report.kept == 3 and report.skipped == 2


def test_the_report_names_each_missing_and_broken_clip(folder):
    _, report = read_audio_folder(folder)
    assert [(clip.audio, clip.source) for clip in report.missing] == [("lost.wav", "metadata.csv:5")]
    assert [clip.audio for clip in report.broken] == [str(folder / "text.wav")]
    assert json.loads(json.dumps(report.to_dict()))["skipped"] == 2
    assert "3 rows kept, 2 left out" in str(report) and "lost.wav" in str(report)


def test_checks_look_as_deep_as_they_say(folder):
    whole = (folder / "cat.wav").read_bytes()
    (folder / "cat.wav").write_bytes(whole[:44])  # a header and no samples
    samples = np.full(800, np.nan, dtype=np.float32)
    soundfile.write(folder / "dog.wav", samples, 8000, subtype="FLOAT")  # sound header, unusable samples
    kept = {check: read_audio_folder(folder, check=check)[1].kept for check in ("none", "exists", "header", "decode")}
    assert kept == {"none": 5, "exists": 4, "header": 2, "decode": 1}
    with pytest.raises(ValueError, match="check"):
        read_audio_folder(folder, check="all")


def test_a_stream_has_the_same_rows_and_the_same_report(folder):
    data, report = read_audio_folder(folder)
    stream, streamed_report = read_audio_folder(folder, streaming=True)
    assert streamed_report.kept == 0
    for _ in range(2):  # the second epoch counts anew
        assert list(stream) == list(data)
        assert streamed_report == report
    assert next(iter(stream))["label"] == "dog" and streamed_report.kept == 1


def test_a_table_with_several_captions_questions_and_second_clips(tmp_path):
    write_clip(tmp_path / "clips" / "a.wav"), write_clip(tmp_path / "clips" / "b.wav")
    rows = [
        {"file_name": "a.wav", "caption_1": "One.", "caption_2": "", "prompt": "what?", "answer": "one", "n": 1},
        {"file_name": "a.wav", "file_name2": "b.wav", "caption_1": "One.", "caption_2": "Two.", "answer": "two"},
    ]
    rows[0]["file_name2"] = None
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data, _ = read_table(tmp_path / "data.jsonl", tmp_path / "clips")
    assert data["captions"][:] == [["One."], ["One.", "Two."]]
    assert data[0]["audio2"] is None and data[1]["audio2"]["path"].endswith("b.wav")
    assert data["answer"][:] == ["one", "two"] and data["prompt"][:] == ["what?", None]
    assert data["n"][:] == ["1", None]


def test_a_row_with_blank_captions_is_counted_and_the_others_are_kept(tmp_path):
    write_clip(tmp_path / "a.wav"), write_clip(tmp_path / "b.wav")
    (tmp_path / "metadata.csv").write_text("file_name,caption,label\na.wav,,x\nb.wav,Rain.,y\n")
    data, report = read_audio_folder(tmp_path)
    assert data["captions"][:] == [["Rain."]] and report.kept == 1
    assert [(clip.audio, clip.reason, clip.source) for clip in report.textless] == [
        ("a.wav", "no text in caption", "metadata.csv:2")
    ]


def test_a_question_is_a_prompt_unless_there_is_one(tmp_path):
    write_clip(tmp_path / "a.wav")
    (tmp_path / "metadata.csv").write_text("file_name,question,answer\na.wav,What?,A dog.\n")
    assert read_audio_folder(tmp_path)[0]["prompt"][:] == ["What?"]
    (tmp_path / "metadata.csv").write_text("file_name,question,prompt\na.wav,What?,Answer it.\n")
    data, _ = read_audio_folder(tmp_path)
    assert (data["prompt"][:], data["question"][:]) == (["Answer it."], ["What?"])


def test_labels_choices_and_folds_have_their_types(tmp_path):
    write_clip(tmp_path / "a.wav")
    row = '"[""rain"", ""a dog""]"'
    (tmp_path / "metadata.csv").write_text(f"file_name,labels,choices,fold\na.wav,{row},,3\na.wav,rain,{row},\n")
    data, _ = read_audio_folder(tmp_path)
    assert data["labels"][:] == [["rain", "a dog"], ["rain"]] and data["choices"][:] == [None, ["rain", "a dog"]]
    assert data["fold"][:] == [3, None]


def test_lists_of_captions_in_a_csv(tmp_path):
    write_clip(tmp_path / "a.wav")
    (tmp_path / "metadata.csv").write_text('file_name,captions\na.wav,"[""It\'s"", \'b, c\']"\n')
    assert read_audio_folder(tmp_path)[0][0]["captions"] == ["It's", "b, c"]
    (tmp_path / "metadata.csv").write_text("file_name,captions\na.wav,\"[__import__('os').getcwd()]\"\n")
    with pytest.raises(ValueError, match=r"metadata\.csv:2.*starts as a list"):
        read_audio_folder(tmp_path)


@pytest.mark.parametrize("name", ["sound.raw", "sound.mp4", "sound.xyz", "sound"])
@pytest.mark.parametrize("check", ["header", "decode"])
def test_whatever_is_no_audio_goes_into_the_report(folder, name, check):
    (folder / name).write_bytes(b"nothing" * 20)
    write_csv(folder / "table.csv", "file_name", [name], ["dog.wav"])
    _, report = read_table(folder / "table.csv", check=check)
    assert report.kept == 1 and report.broken[0].audio == str(folder / name) and report.broken[0].reason


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,caption\na.wav,x\n", "expected the clips' names in one of file_name"),
        ("file_name,caption\na.wav,x,y\n", r"metadata\.csv:2 has 3 values.*2 columns"),
        ("file_name,caption\na.wav, \n", r"(?s)None of the 1 rows.*has a text to learn.*no text in caption"),
        ("file_name,labels\na.wav,[rain\n", r"metadata\.csv:2: `labels` starts as a list but is none"),
        ("file_name,fold\na.wav,first\n", r"metadata\.csv:2: `fold` is 'first'; expected a whole number"),
        ("file_name,file_name\na.wav,x\n", "two columns of one name"),
        ("file_name,caption\n", "has no rows"),
        ("file_name,caption\nb.wav,x\n", "None of the 1 rows.*b.wav: not found"),
        ("file_name,caption,x\na.wav,é,\n".encode("latin-1"), "not UTF-8"),
    ],
)
def test_wrong_tables_are_explained(tmp_path, content, message):
    write_clip(tmp_path / "a.wav")
    (tmp_path / "metadata.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        read_audio_folder(tmp_path)


def test_wrong_folders_are_explained(tmp_path):
    write_clip(tmp_path / "train" / "a.wav")
    with pytest.raises(
        ValueError, match=r"no metadata\.csv or metadata\.jsonl.*read_label_folders.*parts of a data set"
    ):
        read_audio_folder(tmp_path)
    (tmp_path / "train" / "metadata.csv").write_text("file_name\na.wav\n")
    with pytest.raises(ValueError, match="There is one in each of train"):
        read_audio_folder(tmp_path)
    with pytest.raises(ValueError, match="There is no folder"):
        read_audio_folder(tmp_path / "nothing")
    with pytest.raises(ValueError, match="no folders with clips"):
        read_label_folders(tmp_path / "train")


def test_folders_as_labels(tmp_path):
    write_clip(tmp_path / "dog_barking" / "a.wav"), write_clip(tmp_path / "rain" / "deep" / "a.wav")
    data, report = read_label_folders(tmp_path)
    assert data["label"][:] == ["dog barking", "rain"] and report.kept == 2


def test_data_sets_of_different_readers_join(folder, tmp_path):
    first, _ = read_audio_folder(folder)
    write_clip(folder / "labels" / "rain" / "a.wav")
    second, _ = read_label_folders(folder / "labels")
    joined = datasets.concatenate_datasets([first, second])
    assert joined["label"][:] == ["dog", "rain", "cat", "rain"] and joined[3]["captions"] is None


def test_without_the_library_the_error_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(ImportError, match="pip install datasets"):
        read_audio_folder(folder)


def test_a_column_that_only_later_rows_have_is_not_lost_silently(tmp_path):
    write_clip(tmp_path / "a.wav")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.wav"}\n{"file_name": "a.wav", "label": "x"}\n')
    with pytest.raises(ValueError, match=r"metadata\.jsonl:2 has the column label"):
        read_audio_folder(tmp_path)


def test_decoding_in_threads_finds_what_a_stream_finds_one_by_one(folder):
    (folder / "cat.wav").write_bytes((folder / "dog.wav").read_bytes()[:60])  # a header, and hardly any sound
    data, report = read_audio_folder(folder, check="decode", num_threads=3)
    stream, one_by_one = read_audio_folder(folder, check="decode", streaming=True)
    assert [row["source"] for row in stream] == data["source"][:]
    assert report.to_dict() == one_by_one.to_dict() and report.broken
    with pytest.raises(ValueError, match="`num_threads` is 0"):
        read_audio_folder(folder, check="decode", num_threads=0)
