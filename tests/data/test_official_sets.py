"""The official layouts in miniature: real names of files and columns, generated clips."""

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("datasets")
sys.path.insert(0, str(Path(__file__).parent))

from audio_files import paths, write_clip, write_csv

from afm_hf.data import (
    fsd50k_labels,
    read_audiocaps,
    read_clotho,
    read_differences,
    read_entailment,
    read_esc50,
    read_fsd50k,
    read_reasonaqa,
    read_urbansound8k,
    read_wavtext5k,
)

CLOTHO = "file_name,caption_1,caption_2,caption_3,caption_4,caption_5"
AUDIOCAPS = "audiocap_id,youtube_id,start_time,caption"
QUESTIONS = "taskname,filepath1,filepath2,caption1,caption2,input,answer"
ENTAILMENT = "Dataset,Audio file,Caption,Entailment,Neutral,Contradiction"
WAVTEXT = "view_link,download_link,title,description,fname,tags"
FIVE = ["one", "two", "three", "four", "five"]


@pytest.mark.parametrize("folder", ["development", "clotho_audio_development", ".", "some/where"])
def test_clotho_in_whatever_folder(tmp_path, folder):
    write_csv(tmp_path / "clotho_captions_development.csv", CLOTHO, ["Müller Rain #2.001.wav", *FIVE])
    clip = write_clip(tmp_path / folder / "Müller Rain #2.001.wav")
    data, report = read_clotho(tmp_path, "development")
    assert paths(data) == [str(clip)] and data[0]["captions"] == FIVE and report.skipped == 0


def test_a_clip_of_another_part_never_stands_in(tmp_path):
    write_csv(tmp_path / "clotho_captions_evaluation.csv", CLOTHO, ["Rain.wav", *FIVE], ["Wind.wav", *FIVE])
    write_clip(tmp_path / "development" / "Rain.wav")
    kept = write_clip(tmp_path / "clotho_audio_evaluation" / "Wind.wav")
    data, report = read_clotho(tmp_path, "evaluation")
    assert paths(data) == [str(kept)] and [clip.audio for clip in report.missing] == ["evaluation/Rain.wav"]


def test_two_files_of_one_name_are_nobodys_guess(tmp_path):
    write_csv(tmp_path / "clotho_captions_evaluation.csv", CLOTHO, ["Rain.wav", *FIVE], ["Wind.wav", *FIVE])
    for name in ("x/Rain.wav", "y/Rain.wav", "Wind.wav"):
        write_clip(tmp_path / name)
    _, report = read_clotho(tmp_path, "evaluation")
    assert report.kept == 1 and "2 files have this name" in report.missing[0].reason


@pytest.mark.parametrize(
    "name",
    [
        *("test/-ab_cdefghi.wav", "Y-ab_cdefghi.wav", "-ab_cdefghi_30.wav", "-ab_cdefghi_30000_40000.flac", "103.wav"),
        *("AudioCaps/test/Y-ab_cdefghi.wav", "test/104.wav"),
    ],
)
def test_audiocaps_by_all_names_that_people_have(tmp_path, name):
    rows = [
        ["103", "-ab_cdefghi", "30", "A dog."],
        ["7", "lost_______", "0", "Lost."],
        ["104", "-ab_cdefghi", "30", "B."],
    ]
    write_csv(tmp_path / "test.csv", AUDIOCAPS, *rows)
    clip = write_clip(tmp_path / name)
    data, report = read_audiocaps(tmp_path, "test")
    assert paths(data) == [str(clip)] and data[0]["captions"] == ["A dog.", "B."] and data[0]["start_time"] == 30
    assert data[0]["source"] == "test.csv:2" and [clip.source for clip in report.missing] == ["test.csv:3"]


def test_a_number_elsewhere_is_no_clip_of_audiocaps(tmp_path):
    write_csv(tmp_path / "train.csv", AUDIOCAPS, ["103", "abcdefghijk", "30", "A."], ["104", "bbcdefghijk", "30", "B."])
    write_clip(tmp_path / "FSD50K.dev_audio" / "103.wav"), write_clip(tmp_path / "bbcdefghijk.wav")
    assert read_audiocaps(tmp_path, "train")[1].kept == 1


def test_a_video_with_two_parts_needs_their_starts(tmp_path):
    write_csv(tmp_path / "train.csv", AUDIOCAPS, ["1", "abcdefghijk", "30", "A."], ["2", "abcdefghijk", "60", "B."])
    write_clip(tmp_path / "abcdefghijk.wav"), write_clip(tmp_path / "abcdefghijk_60.wav")
    data, report = read_audiocaps(tmp_path, "train")
    assert data["captions"][:] == [["B."]] and len(report.missing) == 1


@pytest.fixture
def pairs(tmp_path):
    write_clip(tmp_path / "clips" / "audiocaps" / "test" / "abcdefghijk.wav")
    write_clip(tmp_path / "clips" / "clotho" / "evaluation" / "Santa Motor.wav")
    return ["AudioCapsLarger/test/Yabcdefghijk.wav", "ClothoV21/evaluation/Santa Motor.wav"]


def test_reasonaqa_with_one_and_two_clips(tmp_path, pairs):
    def row(first, second, subtype):
        columns = {"taskname": "audiocaps", "caption1": "a", "caption2": "", "input": "is it?", "answer": "yes"}
        return {**columns, "filepath1": first, "filepath2": second, "subtype": subtype}

    rows = [
        row(*pairs, "ACD-1.json"),
        row(pairs[0], "", "CLE.json"),
        row(pairs[0], "lost.wav", "x"),
        row("lost.wav", "", "x"),
    ]
    (tmp_path / "test.json").write_text(json.dumps(rows))
    data, report = read_reasonaqa(tmp_path / "test.json", tmp_path / "clips")
    assert [Path(path).name for path in paths(data)] == ["abcdefghijk.wav"] * 2
    assert [path and Path(path).name for path in paths(data, "audio2")] == ["Santa Motor.wav", None]
    assert data["subtype"][:] == ["ACD-1.json", "CLE.json"] and data["source"][:] == ["test.json:1", "test.json:2"]
    assert report.skipped == 2 and [(clip.audio, clip.rows) for clip in report.missing] == [("lost.wav", 2)]
    stream, _ = read_reasonaqa(tmp_path / "test.json", tmp_path / "clips", streaming=True)
    assert list(stream) == list(data)


def test_adiff_tells_its_tiers_by_the_prompt(tmp_path, pairs):
    table = tmp_path / "acd_test_adiff_detail_answer.csv"
    write_csv(table, QUESTIONS, ["audiocaps", *pairs, "a", "b", "explain the difference in detail", "They differ."])
    data, _ = read_differences(table, tmp_path / "clips")
    assert data["tier"][:] == ["detailed"] and data["answer"][:] == ["They differ."]
    write_csv(table, QUESTIONS, ["audiocaps", *pairs, "a", "b", "hello", "They differ."])
    with pytest.raises(ValueError, match=r"detail_answer\.csv:2: expected two clips and one of the prompts"):
        read_differences(table, tmp_path / "clips")


def test_entailment_gives_three_hypotheses_a_row(tmp_path, pairs):
    row = ["Audiocaps", "Yabcdefghijk", "Rattling.", "e", "n", "c"]
    write_csv(tmp_path / "audiocaps_entailment_test.csv", ENTAILMENT, row)
    data, _ = read_entailment(tmp_path / "audiocaps_entailment_test.csv", tmp_path / "clips")
    assert data["hypothesis"][:] == ["e", "n", "c"]
    assert data["label"][:] == ["entailment", "neutral", "contradiction"] and data[0]["captions"] == ["Rattling."]
    row = ["ClothoV2", "Santa Motor.wav", "['It\\'s a', \"b\"]", "e", "n", "c"]
    write_csv(tmp_path / "clotho_entailment_evaluation.csv", ENTAILMENT, row)
    data, _ = read_entailment(tmp_path / "clotho_entailment_evaluation.csv", tmp_path / "clips")
    assert data[2]["captions"] == ["It's a", "b"] and Path(data[2]["audio"]["path"]).name == "Santa Motor.wav"


def test_wavtext5k_takes_the_title_where_there_is_no_description(tmp_path):
    rows = [
        ["v", "d", "Rain", "", "1.wav", ""],
        ["v", "d", "Rain", "Heavy rain.", "2.wav", "x"],
        ["v", "d", "", "", "3.wav", ""],
    ]
    table = write_csv(tmp_path / "WavText5K.csv", WAVTEXT, *rows)
    for number in (1, 2, 3):
        write_clip(tmp_path / "audio" / f"{number}.wav")
    data, report = read_wavtext5k(table)
    assert data["captions"][:] == [["Rain"], ["Heavy rain."]]
    assert [clip.audio for clip in report.textless] == ["3.wav"] and report.skipped == 1


@pytest.mark.parametrize("inner", [".", "ESC-50-master"])
def test_esc50_by_folds(tmp_path, inner):
    rows = [
        ["1-1-A-0.wav", "1", "0", "dog", "True", "1", "A"],
        ["5-2-A-14.wav", "5", "14", "chirping_birds", "False", "2", "A"],
    ]
    write_csv(tmp_path / inner / "meta" / "esc50.csv", "filename,fold,target,category,esc10,src_file,take", *rows)
    for row in rows:
        write_clip(tmp_path / inner / "audio" / row[0])
    assert read_esc50(tmp_path)[0]["label"][:] == ["dog", "chirping birds"]
    data, _ = read_esc50(tmp_path, folds=[5])
    assert (data["label_id"][:], data["fold"][:]) == ([14], [5])
    with pytest.raises(ValueError, match=r"`folds` is \[0, 1\]; expected some of the folds 1 to 5"):
        read_esc50(tmp_path, folds=[0, 1])


def test_urbansound8k(tmp_path):
    columns = "slice_file_name,fsID,start,end,salience,fold,classID,class"
    write_csv(
        tmp_path / "metadata" / "UrbanSound8K.csv", columns, ["9-3-0-0.wav", "9", "0", "1", "1", "10", "3", "dog_bark"]
    )
    clip = write_clip(tmp_path / "audio" / "fold10" / "9-3-0-0.wav")
    data, _ = read_urbansound8k(tmp_path)
    assert paths(data) == [str(clip)] and (data[0]["label"], data[0]["label_id"], data[0]["fold"]) == (
        "dog bark",
        3,
        10,
    )


@pytest.fixture
def fsd50k(tmp_path):
    truth = tmp_path / "FSD50K.ground_truth"
    dev = [["1", '"x"', "m", "train"], ["2", "Rain", "m", "val"]]
    dev[0][1] = "Electric_guitar,Rain"
    write_csv(truth / "dev.csv", "fname,labels,mids,split", *dev)
    write_csv(truth / "eval.csv", "fname,labels,mids", ["3", "Rain", "m"], ["1", "Rain", "m"])
    (truth / "vocabulary.csv").write_text("0,Electric_guitar,/m/02sgy\n1,Rain,/m/06mb1\n")
    for name in ("FSD50K.dev_audio/1.wav", "FSD50K.dev_audio/2.wav", "FSD50K.eval_audio/3.wav"):
        write_clip(tmp_path / name)
    return tmp_path


def test_fsd50k_has_several_labels_a_clip(fsd50k):
    assert fsd50k_labels(fsd50k) == ["electric guitar", "rain"]
    assert read_fsd50k(fsd50k, "train")[0]["labels"][:] == [["electric guitar", "rain"]]
    assert read_fsd50k(fsd50k, "val")[0]["labels"][:] == [["rain"]] and len(read_fsd50k(fsd50k, "dev")[0]) == 2
    data, report = read_fsd50k(fsd50k, "eval")  # its clip 1 is not that of the other part
    assert [Path(path).name for path in paths(data)] == ["3.wav"] and len(report.missing) == 1


def test_fsd50k_checks_its_labels(fsd50k):
    (fsd50k / "FSD50K.ground_truth" / "vocabulary.csv").write_text("0,Rain,/m/06mb1\n")
    with pytest.raises(ValueError, match=r"dev\.csv:2: 'electric guitar' not in the vocabulary of 1"):
        read_fsd50k(fsd50k, "train")


READERS = [
    (lambda root: read_clotho(root, "evaluation"), "clotho_captions_evaluation.csv", "zenodo.4783391"),
    (lambda root: read_audiocaps(root, "val"), "val.csv", "cdjkim/audiocaps"),
    (lambda root: read_reasonaqa(root / "val.json"), "val.json", "zenodo.15036628"),
    (lambda root: read_differences(root / "acd_val.csv"), "acd_val.csv", "soham97/ADIFF"),
    (lambda root: read_entailment(root / "e.csv"), "e.csv", "microsoft/AudioEntailment"),
    (lambda root: read_wavtext5k(root / "WavText5K.csv"), "WavText5K.csv", "microsoft/WavText5K"),
    (read_esc50, "meta/esc50.csv", "karolpiczak/ESC-50"),
    (read_urbansound8k, "metadata/UrbanSound8K.csv", "zenodo.1203745"),
    (lambda root: read_fsd50k(root, "eval"), "FSD50K.ground_truth/eval.csv", "zenodo.4060432"),
]


@pytest.mark.parametrize(("read", "table", "origin"), READERS, ids=[table for _, table, _ in READERS])
def test_half_directories_and_wrong_columns_are_explained(tmp_path, read, table, origin):
    (tmp_path / "README").write_text("x")
    with pytest.raises(ValueError, match=origin):  # nothing there
        read(tmp_path)
    path = tmp_path / table
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text('[{"a": 1}]' if table.endswith("json") else "a,b\n1,2\n")
    (path.parent / "vocabulary.csv").write_text("0,Rain,/m/06mb1\n")
    with pytest.raises(ValueError, match=f"(?s)no column .*The file has `a`.*expected `.*{origin}"):
        read(tmp_path)


def test_without_clips_the_error_says_where_they_are_and_texts_can_be_read(tmp_path):
    write_csv(tmp_path / "clotho_captions_evaluation.csv", CLOTHO, ["Rain.wav", *FIVE])
    with pytest.raises(ValueError, match=r"None of the 1 rows.*audio_dir.*zenodo.*check=\"none\""):
        read_clotho(tmp_path, "evaluation")
    assert read_clotho(tmp_path, "evaluation", check="none")[0]["captions"][:] == [FIVE]
    with pytest.raises(ValueError, match="There is no folder"):
        read_clotho(tmp_path, "evaluation", audio_dir=tmp_path / "nothing")
    with pytest.raises(ValueError, match="`split` is 'test'; expected one of 'development'"):
        read_clotho(tmp_path, "test")
