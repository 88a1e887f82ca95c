"""Folders of labels, and folders that look like them: parts, folds, formats, and what systems leave behind."""

import sys
from pathlib import Path

import pytest

datasets = pytest.importorskip("datasets")
sys.path.insert(0, str(Path(__file__).parent))

from audio_files import write_clip  # noqa: E402

from afm_hf.data import read_audio_folder, read_label_folders, read_table  # noqa: E402
from afm_hf.data.label_folders import is_part  # noqa: E402


def clips(root, *names):
    for name in names:
        write_clip(root / name)
    return root


def rows(data):
    return dict(zip(data["source"], data["label"], strict=True))


def told(report):
    return " | ".join(map(str, report.notes))


# -- parts of a data set are no labels ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts",
    [
        *(("train", "test"), ("Train", "Validation"), ("TRAINING", "dev"), ("val", "eval"), ("test",)),
        *(("train_audio", "test_audio"), ("train", "test", "noise"), ("split1", "split2", "extra")),
    ],
)
def test_parts_of_a_data_set_are_refused_with_the_remedy(tmp_path, parts):
    clips(tmp_path, *(f"{part}/{label}/1.wav" for part in parts for label in ("dog", "cat")))
    for read in (read_label_folders, read_audio_folder):
        with pytest.raises(
            ValueError, match=rf"holds parts of a data set.*`split='({'|'.join(filter(is_part, parts))})'`"
        ):
            read(tmp_path)


def test_a_part_is_read_by_its_name_however_it_is_called(tmp_path):
    clips(tmp_path, "Training/dog/1.wav", "Training/cat/1.wav", "val/dog/2.wav", "val/cat/2.wav", "test/dog/3.wav")
    for split in ("train", "Training", "training"):
        assert rows(read_label_folders(tmp_path, split=split)[0]) == {"dog/1.wav": "dog", "cat/1.wav": "cat"}
    assert rows(read_label_folders(tmp_path, split="validation")[0]) == {"dog/2.wav": "dog", "cat/2.wav": "cat"}
    assert read_audio_folder(tmp_path, split="test")[0]["captions"][:] == [["This is a sound of dog"]]
    with pytest.raises(
        ValueError, match="no folder for the part 'eval2'; its folders of parts are: Training, test, val"
    ):
        read_label_folders(tmp_path, split="eval2")
    with pytest.raises(ValueError, match="no folder for the part 'test'; its folders of parts are: none"):
        read_label_folders(tmp_path / "test", split="test")


def test_parts_with_tables_are_read_by_name_too(tmp_path):
    for part in ("train", "test"):
        write_clip(tmp_path / part / "a.wav")
        (tmp_path / part / "metadata.csv").write_text(f"file_name,label\na.wav,{part} label\n")
    assert read_audio_folder(tmp_path, split="test")[0]["label"][:] == ["test label"]
    with pytest.raises(ValueError, match=r"There is one in each of test, train: pass one of these folders.*`split`"):
        read_audio_folder(tmp_path)


def test_folds_become_a_column(tmp_path):
    clips(tmp_path, *(f"Fold_{fold}/{label}/1.wav" for fold in (1, 2, 10) for label in ("dog", "cat")))
    data, _ = read_label_folders(tmp_path)
    assert sorted(zip(data["fold"], data["label"], strict=True)) == [
        (1, "cat"), (1, "dog"), (2, "cat"), (2, "dog"), (10, "cat"), (10, "dog")
    ]  # fmt: skip
    clips(tmp_path, "Fold_1/beside.wav")  # a fold of clips without labels
    with pytest.raises(ValueError, match="parts of a data set, Fold_1, Fold_10, Fold_2"):
        read_label_folders(tmp_path)


def test_the_sound_of_trains_is_a_label(tmp_path):
    clips(tmp_path, "train/1.wav", "rain/1.wav", "train horn/1.wav")
    assert set(read_label_folders(tmp_path)[0]["label"]) == {"train", "rain", "train horn"}
    clips(tmp_path / "b", "train/dog/1.wav", "train/cat/1.wav", "noise/1.wav")  # but these are a part, and something
    with pytest.raises(ValueError, match=r"parts of a data set, train \(beside noise\)"):
        read_label_folders(tmp_path / "b")
    assert not any(map(is_part, ("testimony", "validated", "evaluating", "folder", "train whistle", "device")))


@pytest.mark.parametrize("names", [("wav", "mp3"), ("audio_16k", "audio_44.1kHz"), ("sounds",)])
def test_folders_of_formats_rates_or_everything_are_no_labels(tmp_path, names):
    clips(tmp_path, *(f"{name}/{label}/1.wav" for name in names for label in ("dog", "cat")))
    with pytest.raises(
        ValueError, match=r"not a folder for each label\. Pass the folder that holds the folders of labels"
    ):
        read_label_folders(tmp_path)


# -- what is no data --------------------------------------------------------------------------------------------------

LITTER = (
    ".Trash/9.wav",
    "__MACOSX/dog/._1.wav",
    "@eaDir/1.wav",
    "checkpoint-12/a.wav",
    ".cache/x.wav",
    "#recycle/1.wav",
)


def test_what_systems_and_trainings_leave_behind_is_no_data(tmp_path):
    clips(tmp_path, "dog/1.wav", "cat/1.wav", *LITTER, "dog/.ipynb_checkpoints/1-checkpoint.wav", "cat/@eaDir/1.wav")
    write_clip(tmp_path / "x.wav").rename(tmp_path / "dog" / "._1.wav")
    (tmp_path / "cat" / "Thumbs.db").write_bytes(b"\0")
    (tmp_path / "dog" / ".DS_Store").write_bytes(b"\0")
    data, report = read_label_folders(tmp_path)
    assert rows(data) == {"dog/1.wav": "dog", "cat/1.wav": "cat"} and report.skipped == 0
    assert "passed over" in told(report) and "__MACOSX" in told(report)


def test_clips_beside_the_folders_are_counted(tmp_path):
    clips(tmp_path, "dog/1.wav", "cat/1.wav", "beside.wav")
    data, report = read_label_folders(tmp_path)
    assert len(data) == 2 and [clip.audio for clip in report.textless] == ["./beside.wav"]
    assert "beside the folders of labels" in str(report)


def test_a_copy_in_the_waste_does_not_make_a_name_ambiguous(tmp_path):
    clips(tmp_path, "clips/a.wav", ".Trash/a.wav", "__MACOSX/a.wav", "clips/.ipynb_checkpoints/a.wav")
    (tmp_path / "t.csv").write_text("file_name,caption\na.wav,a dog\n")
    assert read_table(tmp_path / "t.csv")[0][0]["audio"]["path"] == str(tmp_path / "clips" / "a.wav")


def test_the_folder_itself_may_be_hidden(tmp_path):
    clips(tmp_path / ".cache", "dog/1.wav", "cat/1.wav")
    assert len(read_label_folders(tmp_path / ".cache")[0]) == 2


# -- labels -----------------------------------------------------------------------------------------------------------


def test_folders_that_are_one_label_are_one_and_said_so(tmp_path):
    clips(
        tmp_path, "dog_bark/1.wav", "dog bark/2.wav", "cafe\u0301/1.wav", "caf\u00e9 /2.wav", "Rain/1.wav", "rain/2.wav"
    )
    data, report = read_label_folders(tmp_path)
    assert set(data["label"]) == {"dog bark", "caf\u00e9", "Rain", "rain"}
    assert "'dog bark', 'dog_bark' are one label, 'dog bark'" in told(report)
    assert "'Rain' and 'rain' differ in case alone" in told(report)


def test_labels_become_captions_where_captions_are_wanted(tmp_path):
    clips(tmp_path, "dog_barking/1.wav", "rain/1.wav")
    data, report = read_audio_folder(tmp_path)
    assert data["captions"][:] == [["This is a sound of dog barking"], ["This is a sound of rain"]]
    assert data["label"][:] == ["dog barking", "rain"] and "captions were made of the names of folders" in str(report)
    assert read_audio_folder(tmp_path, template="{}")[0]["captions"][:] == [["dog barking"], ["rain"]]
    with pytest.raises(ValueError, match="`template` is 'a sound'; expected a sentence with"):
        read_audio_folder(tmp_path, template="a sound")


# -- one recording in several files -----------------------------------------------------------------------------------


def test_a_clip_in_two_formats_is_one_clip(tmp_path):
    import numpy as np
    import soundfile

    wave = 0.1 * np.random.default_rng(0).standard_normal(16000)
    for name, format in (("dog/1.wav", "WAV"), ("dog/1.mp3", "MP3"), ("cat/1.flac", "FLAC"), ("cat/1.ogg", "OGG")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, wave, 16000, format=format)
    soundfile.write(tmp_path / "cat/2.wav", wave, 16000)
    soundfile.write(tmp_path / "cat/2.mp3", wave[:8000], 16000, format="MP3")  # another one: half as long
    data, report = read_label_folders(tmp_path)
    assert sorted(data["source"]) == ["cat/1.flac", "cat/2.mp3", "cat/2.wav", "dog/1.wav"]
    assert "of which the best is read, as cat/1.flac and not cat/1.ogg (2 rows)" in told(report)
