"""The benchmarks of the CLAP papers in miniature: real names of files and columns, generated clips; and half ones."""

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("datasets")
sys.path.insert(0, str(Path(__file__).parent))

from audio_files import paths, write_clip, write_csv

from afm_hf.data import (
    NAMED_CLIPS,
    audioset_labels,
    named_labels,
    read_audiocaps,
    read_audioset,
    read_clotho_aqa,
    read_dcase17,
    read_esc50_actions,
    read_macs,
    read_mmau,
    read_named_clips,
    read_nsynth,
    read_speech_commands,
    read_tut2017,
    read_vocalsound,
)

# For each set whose labels are in its names: official names, and their labels.
NAMES = {
    "gtzan-genres": {f"genres_original/{genre}/{genre}.00000.wav": genre for genre in named_labels("gtzan-genres")},
    "gtzan-music-speech": {
        "music_speech/music_wav/bagpipe.wav": "music",
        "music_speech/speech_wav/acomic.wav": "speech",
    },
    "mridangam": {
        f"mridangam/{224030 + i}__akshaylaya__{stroke}-csh-00{i}.wav": stroke
        for i, stroke in enumerate(named_labels("mridangam"))
    },
    "beijing-opera": {f"{name}/{name[:2]}1.wav": name for name in named_labels("beijing-opera")},
    "crema-d": {
        f"AudioWAV/1001_DFA_{code}_XX.wav": label
        for code, label in zip(("ANG", "DIS", "FEA", "HAP", "NEU", "SAD"), named_labels("crema-d"), strict=True)
    },
    "ravdess": {
        f"Actor_01/03-01-{i:02d}-01-02-01-12.wav": label for i, label in enumerate(named_labels("ravdess"), start=1)
    },
    "libricount": {f"test/{count}_00a1.wav": str(count) for count in range(11)},
    "sesa": {f"SESA/test/{label}_000.wav": label for label in named_labels("sesa")},
}


@pytest.mark.parametrize("name", NAMED_CLIPS)
def test_labels_are_read_from_names(tmp_path, name):
    for path in NAMES[name]:
        write_clip(tmp_path / path)
    write_clip(tmp_path / "something_else.wav")
    data, report = read_named_clips(name, tmp_path)
    assert dict(zip(data["source"], data["label"], strict=True)) == NAMES[name]
    assert paths(data) == [str(tmp_path / path) for path in data["source"]] and report.skipped == 0
    assert [named_labels(name)[i] for i in data["label_id"]] == data["label"][:]


@pytest.mark.parametrize("name", NAMED_CLIPS)
def test_a_label_without_clips_is_half_a_data_set(tmp_path, name):
    gone, label = list(NAMES[name].items())[-1]
    for path in NAMES[name]:
        if path != gone:
            write_clip(tmp_path / path)
    with pytest.raises(ValueError, match=f"has no clips of '{label}'.*Get it from http"):
        read_named_clips(name, tmp_path)
    with pytest.raises(ValueError, match=r"holds no clips that are called as .*Get them from http"):
        read_named_clips(name, write_clip(tmp_path / "other" / "x.wav").parent)
    with pytest.raises(ValueError, match="There is no folder"):
        read_named_clips(name, tmp_path / "nothing")


def test_a_damaged_clip_is_listed_and_the_rest_is_kept(tmp_path):
    for path in NAMES["gtzan-genres"]:
        write_clip(tmp_path / path)
    (tmp_path / "genres_original/jazz/jazz.00054.wav").write_bytes(b"damaged, as in the usual copies")
    data, report = read_named_clips("gtzan-genres", tmp_path)
    assert len(data) == 10 and [Path(clip.audio).name for clip in report.broken] == ["jazz.00054.wav"]


def test_parts_and_kinds_of_labels(tmp_path):
    for path in NAMES["mridangam"]:
        write_clip(tmp_path / "m" / path)
    with pytest.raises(ValueError, match="no clips of 'B', 'C', 'D'"):
        read_named_clips("mridangam", tmp_path / "m", label="tonic")
    for i, tonic in enumerate(("b", "c", "d", "dsh", "e")):
        write_clip(tmp_path / "m" / f"1{i}__akshaylaya__ta-{tonic}-001.wav")
    tonics = read_named_clips("mridangam", tmp_path / "m", label="tonic")[0]["label"][:]
    assert sorted(set(tonics)) == ["b", "c", "c#", "d", "d#", "e"]
    for i in range(1, 7):  # songs have neither disgust nor surprise
        write_clip(tmp_path / "r" / f"Actor_02/03-02-{i:02d}-01-01-01-02.wav")
    write_clip(tmp_path / "r" / "Actor_02/03-01-01-01-01-01-02.wav")
    assert len(read_named_clips("ravdess", tmp_path / "r", split="song")[0]) == 6
    with pytest.raises(ValueError, match="no clips of 'calm'"):
        read_named_clips("ravdess", tmp_path / "r", split="speech")
    with pytest.raises(ValueError, match="has no parts"):
        read_named_clips("libricount", tmp_path, split="test")
    with pytest.raises(ValueError, match="`label` is 'tonic'; expected one of 'emotion'"):
        read_named_clips("ravdess", tmp_path, label="tonic")


def test_dcase17_joins_the_labels_of_a_clip(tmp_path):
    rows = ["-5QrBL6MzLg_60.000_70.000.wav\t60.000\t70.000\tTrain horn"]
    rows += [rows[0].replace("Train horn", "Train"), "abcdefghijk_0.000_10.000.wav\t0.000\t10.000\tCar"]
    (tmp_path / "groundtruth_weak_label_evaluation_set.csv").write_text("\n".join(rows) + "\n")
    write_clip(tmp_path / "audio" / "Y-5QrBL6MzLg_60.000_70.000.wav")
    data, report = read_dcase17(tmp_path)
    assert data["labels"][:] == [["train horn", "train"]] and len(report.missing) == 1
    assert data["start_time"][:] == [60]
    (tmp_path / "groundtruth_weak_label_evaluation_set.csv").write_text("a,b\n")
    with pytest.raises(ValueError, match=r"evaluation_set\.csv:1 is 'a,b'; expected file, start, end, label"):
        read_dcase17(tmp_path)


def test_two_labels_of_dcase17_have_a_comma_of_their_own(tmp_path):
    said = ["Air horn, truck horn", "Fire engine, fire truck (siren),Car, Bus", "Car,Air horn, truck horn"]
    lines = [f"abcdefghij{i}_0.000_10.000.wav\t0.000\t10.000\t{label}" for i, label in enumerate(said)]
    table = tmp_path / "groundtruth_weak_label_evaluation_set.csv"
    table.write_text("\n".join(lines) + "\n")
    assert read_dcase17(tmp_path, check="none")[0]["labels"][:] == [
        ["air horn, truck horn"],
        ["fire engine, fire truck (siren)", "car", "bus"],
        ["car", "air horn, truck horn"],
    ]
    table.write_text(lines[0].replace("Air horn", "Dog"))
    with pytest.raises(ValueError, match=r"evaluation_set\.csv:1: 'dog' is none of the 17 labels"):
        read_dcase17(tmp_path, check="none")


@pytest.fixture
def audioset(tmp_path):
    lines = ["# Segments csv created Sun Mar  5 10:54:31 2017", "# num_ytids=2", "# YTID, start_seconds, ..."]
    lines += ['--4gqARaEJE, 0.000, 10.000, "/m/068hy,/m/07q6cd_"', 'bbbbbbbbbbb, 30.000, 40.000, "/m/068hy"']
    (tmp_path / "eval_segments.csv").write_text("\n".join(lines) + "\n")
    rows = [["0", "/m/068hy", "Domestic animals, pets"], ["1", "/m/07q6cd_", "Squeak"]]
    write_csv(tmp_path / "class_labels_indices.csv", "index,mid,display_name", *rows)
    write_clip(tmp_path / "audio" / "Y--4gqARaEJE.wav"), write_clip(tmp_path / "bbbbbbbbbbb_30000_40000.wav")
    return tmp_path


def test_audioset_by_its_lists(audioset):
    data, report = read_audioset(audioset)
    assert data["labels"][:] == [["domestic animals, pets", "squeak"], ["domestic animals, pets"]]
    assert data["start_time"][:] == [0, 30] and report.kept == 2
    assert audioset_labels(audioset) == ["domestic animals, pets", "squeak"]
    write_csv(audioset / "class_labels_indices.csv", "index,mid,display_name", ["0", "/m/068hy", "Pets"])
    with pytest.raises(ValueError, match="'/m/07q6cd_' is not among the 1"):
        read_audioset(audioset)


def test_tut2017_by_folds(tmp_path):
    inner = tmp_path / "TUT-acoustic-scenes-2017-development"
    lines = ["audio/b020_90_100.wav\tbeach\tb020", "audio/a1_0_10.wav\tcafe/restaurant\ta1"]
    for line in lines:
        write_clip(inner / line.split("\t")[0])
    (inner / "meta.txt").write_text("\n".join(lines) + "\n")
    (inner / "evaluation_setup").mkdir()
    folds = [inner / "evaluation_setup" / f"fold{fold}_evaluate.txt" for fold in range(1, 5)]
    for table, line in zip(folds, [*lines, "", ""], strict=True):
        table.write_text(line + "\n")
    data, _ = read_tut2017(tmp_path)
    assert (data["label"][:], data["fold"][:]) == (["beach", "cafe or restaurant"], [1, 2])
    assert read_tut2017(tmp_path, folds=(2,))[0]["label"][:] == ["cafe or restaurant"]
    folds[2].unlink()
    with pytest.raises(ValueError, match=r"has no fold3_evaluate\.txt; expected four folds. Get them from https"):
        read_tut2017(tmp_path)
    for table in folds:
        table.unlink(missing_ok=True)
    assert read_tut2017(tmp_path)[0]["fold"][:] == [None, None]  # as the evaluation set
    with pytest.raises(ValueError, match="no folds to choose"):
        read_tut2017(tmp_path, folds=(1,))


def test_nsynth_has_several_kinds_of_labels(tmp_path):
    note = "bass_synthetic_068-049-025"
    about = {"instrument_family_str": "bass", "pitch": 49, "velocity": 25, "qualities_str": ["dark", "long_release"]}
    (tmp_path / "nsynth-test").mkdir()
    (tmp_path / "nsynth-test" / "examples.json").write_text(json.dumps({note: about}))
    clip = write_clip(tmp_path / "nsynth-test" / "audio" / f"{note}.wav")
    data, _ = read_nsynth(tmp_path)
    assert paths(data) == [str(clip)] and data["label"][:] == ["bass"]
    assert read_nsynth(tmp_path, label="pitch")[0]["label"][:] == ["49"]
    assert read_nsynth(tmp_path / "nsynth-test", label="qualities")[0]["labels"][:] == [["dark", "long release"]]
    with pytest.raises(ValueError, match="has no 'instrument_source_str'"):
        read_nsynth(tmp_path, label="instrument_source")
    with pytest.raises(ValueError, match=r"NSynth valid.*examples\.json.*magenta"):
        read_nsynth(tmp_path / "nsynth-test" / "audio", split="valid")


def test_speech_commands_by_lists_and_as_the_test_set(tmp_path):
    names = ["yes/0a7c2a8d_nohash_0.wav", "bed/0a7c2a8d_nohash_0.wav", "no/1a7c2a8d_nohash_1.wav"]
    for name in [*names, "_background_noise_/pink_noise.wav"]:
        write_clip(tmp_path / name)
    (tmp_path / "testing_list.txt").write_text("\n".join(names[:2]) + "\n")
    (tmp_path / "validation_list.txt").write_text("")
    assert read_speech_commands(tmp_path)[0]["label"][:] == ["yes", "bed"]
    assert read_speech_commands(tmp_path, classes=12)[0]["label"][:] == ["yes", "unknown"]
    assert read_speech_commands(tmp_path, "train")[0]["source"][:] == names[2:]
    write_clip(tmp_path / "t" / "_silence_" / "0.wav"), write_clip(tmp_path / "t" / "_unknown_" / "1.wav")
    write_clip(tmp_path / "t" / "_silence_" / "._0.wav")  # left by macOS
    assert read_speech_commands(tmp_path / "t", classes=12)[0]["label"][:] == ["silence", "unknown"]
    with pytest.raises(ValueError, match=r"is the official test set of 12 classes.*not the part 'test' of 35 classes"):
        read_speech_commands(tmp_path / "t")
    with pytest.raises(ValueError, match="is the official test set"):
        read_speech_commands(tmp_path / "t", "train")
    with pytest.raises(ValueError, match="`classes` is 10; expected 12 or 35"):
        read_speech_commands(tmp_path, classes=10)


def test_own_folders_beside_the_lists_of_speech_commands_are_no_words(tmp_path):
    words = ["yes/a.wav", "yes/b.wav", "no/a.wav", "no/b.wav"]
    for name in [*words, "_background_noise_/hum.wav", "_silence_/1.wav", "_unknown_/2.wav", ".Trash/yes.wav"]:
        write_clip(tmp_path / name)
    (tmp_path / "testing_list.txt").write_text("\ufeffno/a.wav\r\n", encoding="utf-8")
    (tmp_path / "validation_list.txt").write_text("yes/a.wav\n")
    data, report = read_speech_commands(tmp_path, "test", classes=12)
    assert data["source"][:] == ["no/a.wav"] and "_silence_ and _unknown_ are in no official list" in str(report)
    for classes in (12, 35):
        assert read_speech_commands(tmp_path, "train", classes)[0]["source"][:] == ["no/b.wav", "yes/b.wav"]


def test_vocalsound_finds_the_clips_of_absolute_paths(tmp_path):
    (tmp_path / "datafiles").mkdir()
    row = {"wav": "/data/sls/scratch/vs/data_16k/f0003_0_throatclearing.wav", "labels": "/m/0dl9sf8"}
    (tmp_path / "datafiles" / "te.json").write_text(json.dumps({"data": [row]}))
    write_clip(tmp_path / "audio_16k" / "f0003_0_throatclearing.wav")
    assert read_vocalsound(tmp_path)[0]["label"][:] == ["throat clearing"]
    (tmp_path / "datafiles" / "te.json").write_text(json.dumps({"data": [{"wav": "x.wav"}]}))
    with pytest.raises(ValueError, match=r"te\.json:1 names 'x.wav'; expected a name as"):
        read_vocalsound(tmp_path)


def test_a_recording_in_two_rates_is_read_once_at_the_higher(tmp_path):
    (tmp_path / "datafiles").mkdir()
    names = ["f0001_0_cough.wav", "f0002_0_sigh.wav"]
    rows = [{"wav": f"/x/audio_16k/{name}", "labels": "/m/1"} for name in names]
    (tmp_path / "datafiles" / "te.json").write_text(json.dumps({"data": rows}))
    low, high = tmp_path / "audio_16k", tmp_path / "data_44k"
    for name in names:
        write_clip(low / name, rate=16000), write_clip(high / name, rate=44100)
    data, report = read_vocalsound(tmp_path)
    assert paths(data) == [str(high / name) for name in names] and report.skipped == 0
    assert "data_44k/f0001_0_cough.wav and not audio_16k/f0001_0_cough.wav (2 rows)" in str(report)
    assert paths(read_vocalsound(tmp_path, audio_dir=low)[0]) == [str(low / name) for name in names]
    (high / names[0]).write_bytes(b"damaged")  # then the other copy serves
    assert paths(read_vocalsound(tmp_path)[0]) == [str(low / names[0]), str(high / names[1])]


def test_copies_of_a_whole_data_set_are_read_once(tmp_path):
    for path in NAMES["ravdess"]:
        write_clip(tmp_path / path), write_clip(tmp_path / "audio_speech_actors_01-24" / path)
    data, report = read_named_clips("ravdess", tmp_path)
    assert len(data) == len(NAMES["ravdess"]) and f"({len(data)} rows)" in str(report.notes[0])
    write_csv(tmp_path / "test.csv", "audiocap_id,youtube_id,start_time,caption", ["1", "abcdefghijk", "30", "A dog."])
    write_clip(tmp_path / "wav_16k" / "Yabcdefghijk.wav", rate=16000)
    best = write_clip(tmp_path / "wav_32k" / "Yabcdefghijk.wav", rate=32000)
    assert paths(read_audiocaps(tmp_path, "test")[0]) == [str(best)]


def test_a_data_set_in_the_waste_is_not_found(tmp_path):
    row = ["5-2-A-21.wav", "5", "21", "sneezing", "F", "2", "A"]
    for place in (".Trash", "ESC-50-master"):
        write_csv(tmp_path / place / "meta" / "esc50.csv", "filename,fold,target,category,esc10,src_file,take", row)
        write_clip(tmp_path / place / "audio" / row[0])
    data, _ = read_esc50_actions(tmp_path)
    assert paths(data) == [str(tmp_path / "ESC-50-master" / "audio" / row[0])]


def test_esc50_actions_are_ten_classes(tmp_path):
    rows = [["1-1-A-0.wav", "1", "0", "dog", "True", "1", "A"], ["5-2-A-21.wav", "5", "21", "sneezing", "F", "2", "A"]]
    write_csv(tmp_path / "meta" / "esc50.csv", "filename,fold,target,category,esc10,src_file,take", *rows)
    write_clip(tmp_path / "audio" / "5-2-A-21.wav")
    data, report = read_esc50_actions(tmp_path)
    assert data["label"][:] == ["sneezing"] and data["fold"][:] == [5] and report.skipped == 0


def test_macs_has_captions_of_several_people(tmp_path):
    (tmp_path / "MACS.yaml").write_text(
        "files:\n- filename: airport-stockholm-12-488-a.wav\n  annotations:\n"
        "  - annotator_id: 354\n    sentence: people talking\n    tags: [adults_talking, footsteps]\n"
        "  - annotator_id: 272\n    sentence: an announcement\n    tags: [footsteps]\n"
    )
    write_clip(tmp_path / "audio" / "airport-stockholm-12-488-a.wav")
    data, _ = read_macs(tmp_path)
    assert data["captions"][:] == [["people talking", "an announcement"]]
    assert data["labels"][:] == [["adults_talking", "footsteps"]]
    for text, reason in (("files: [1]", "MACS.yaml:1 is no clip of MACS"), ("a: 1", "has no list `files`")):
        (tmp_path / "MACS.yaml").write_text(text)
        with pytest.raises(ValueError, match=reason):
            read_macs(tmp_path)
    (tmp_path / "MACS.yaml").write_text("!!python/object/apply:os.system ['touch hacked']")
    with pytest.raises(ValueError, match="is no YAML"):
        read_macs(tmp_path)


def test_clotho_aqa_puts_the_three_answers_together(tmp_path):
    columns = "file_name,QuestionText,answer,confidence"
    rows = [
        ["Rain.wav", "Is it raining?", answer, sure]
        for answer, sure in (("Yes", "yes"), ("no", "maybe"), ("yes", "no"))
    ]
    write_csv(tmp_path / "clotho_aqa_test.csv", columns, *rows, ["Rain.wav", "What falls?", "water", "yes"])
    write_clip(tmp_path / "audio_files" / "Rain.wav")
    data, _ = read_clotho_aqa(tmp_path)
    assert data["answers"][:] == [["yes", "no", "yes"], ["water"]] and data["answer"][:] == ["yes", "water"]
    assert data["confidences"][0] == ["yes", "maybe", "no"] and data["source"][1] == "clotho_aqa_test.csv:5"


def test_mmau_keeps_the_texts_as_they_are(tmp_path):
    row = {"id": "3f", "audio_id": "./test-mini-audios/3f.wav", "question": "Who speaks?", "choices": ["Man", "Woman"]}
    row |= {"answer": "Man", "task": "speech", "difficulty": "easy", "category": "Reasoning", "sub-category": "S"}
    (tmp_path / "mmau-test-mini.json").write_text(
        json.dumps([row, {**row, "id": "4f", "answer": "", "category": ["Reasoning"]}])
    )
    write_clip(tmp_path / "test-mini-audios" / "3f.wav")
    data, _ = read_mmau(tmp_path / "mmau-test-mini.json")
    assert data["choices"][0] == ["Man", "Woman"] and data["answer"][:] == ["Man", ""]
    assert data["category"][:] == ["Reasoning"] * 2  # some rows of the official file have a list
    assert (data["task"][0], data["sub_category"][0], data["id"][:]) == ("speech", "S", ["3f", "4f"])


HALF = [
    (read_dcase17, "groundtruth_weak_label_evaluation_set.csv", "ankitshah009"),
    (read_audioset, "eval_segments.csv", "research.google.com"),
    (read_tut2017, "meta.txt", "zenodo.400515"),
    (read_nsynth, "examples.json", "magenta"),
    (read_speech_commands, "validation_list.txt", "speech_commands_v0.02"),
    (read_vocalsound, "datafiles/te.json", "YuanGongND"),
    (read_esc50_actions, "meta/esc50.csv", "karolpiczak"),
    (read_macs, "MACS.yaml", "zenodo.5114771"),
    (read_clotho_aqa, "clotho_aqa_test.csv", "zenodo.6473207"),
    (lambda root: read_mmau(root / "mmau-test-mini.json"), "mmau-test-mini.json", "Sakshi113"),
]


@pytest.mark.parametrize(("read", "table", "origin"), HALF, ids=[table for _, table, _ in HALF])
def test_what_is_missing_is_named_with_its_origin(tmp_path, read, table, origin):
    (tmp_path / "README").write_text("x")
    with pytest.raises(ValueError, match=rf"(?s){table}.*{origin}"):
        read(tmp_path)


# -- as benchmarks ----------------------------------------------------------------------------------------------------


def test_benchmarks_read_what_the_papers_test_on(tmp_path):
    from afm_hf.evaluation.datasets import BENCHMARKS, labels_of, load_items

    for path in NAMES["crema-d"]:
        write_clip(tmp_path / "c" / path)
    items, benchmark, _ = load_items("crema-d", str(tmp_path / "c"), "zero-shot")
    assert len(items) == 6 and benchmark.templates == ("this person is feeling {}",)
    assert labels_of(items, benchmark, str(tmp_path / "c")) == named_labels("crema-d")
    with pytest.raises(ValueError, match="'mmau' is no dataset for 'zero-shot', but for mmau"):
        load_items("mmau", str(tmp_path), "zero-shot")
    assert all(benchmark.split != benchmark.train_split for benchmark in BENCHMARKS.values() if benchmark.train_split)


def test_every_benchmark_says_what_a_wrong_folder_lacks(tmp_path):
    from afm_hf.evaluation.datasets import BENCHMARKS, load_items

    (tmp_path / "README").write_text("x")
    for name, benchmark in BENCHMARKS.items():
        where = "metadata|folders with clips" if name.endswith("folder") or name == "label-folders" else "http"
        with pytest.raises(ValueError, match=rf"(?s){tmp_path}.*({where})"):
            load_items(name, str(tmp_path), benchmark.tasks[0])


def test_sets_with_several_labels_a_clip_have_candidates(tmp_path):
    from afm_hf.evaluation.datasets import labels_of, load_items

    row = "abcdefghijk_0.000_10.000.wav\t0.000\t10.000\t"
    (tmp_path / "groundtruth_weak_label_evaluation_set.csv").write_text(f"{row}Train horn\n{row}Car\n")
    write_clip(tmp_path / "audio" / "Yabcdefghijk_0.000_10.000.wav")
    items, benchmark, _ = load_items("dcase17", str(tmp_path), "zero-shot")
    assert len(labels_of(items, benchmark, str(tmp_path))) == 17 and "2 of 17 labels occur" in benchmark.partial
    note = "bass_synthetic_068-049-025"
    write_clip(tmp_path / "nsynth-test" / "audio" / f"{note}.wav")
    (tmp_path / "nsynth-test" / "examples.json").write_text(json.dumps({note: {"qualities_str": ["dark", "bright"]}}))
    items, benchmark, _ = load_items("nsynth-qualities", str(tmp_path), "zero-shot")
    assert labels_of(items, benchmark, str(tmp_path)) == ["bright", "dark"]


def test_keywords_of_35_words_are_a_benchmark_too(tmp_path):
    from afm_hf.evaluation.datasets import load_items

    for name in ("bed/0a_nohash_0.wav", "yes/0a_nohash_0.wav"):
        write_clip(tmp_path / name)
    (tmp_path / "testing_list.txt").write_text("bed/0a_nohash_0.wav\nyes/0a_nohash_0.wav\n")
    (tmp_path / "validation_list.txt").write_text("")
    for name, labels in (("speech-commands", ["unknown", "yes"]), ("speech-commands-35", ["bed", "yes"])):
        items, benchmark, _ = load_items(name, str(tmp_path), "zero-shot")
        assert [item.truth["label"] for item in items] == labels and benchmark.templates == ("{}",)


def test_differences_are_the_three_tiers_one_after_another(tmp_path):
    from afm_hf.evaluation.datasets import load_items

    columns = "taskname,filepath1,filepath2,caption1,caption2,input,answer"
    tiers = {"fewwords": "in few words", "sentence": "in a sentence", "detail": "in detail"}
    for tier, words in tiers.items():
        row = ["clothov21", "a.wav", "b.wav", "a", "b", f"explain the difference {words}", "They differ."]
        lost = [*row[:2], "lost.wav", *row[3:]]
        write_csv(tmp_path / "CLD" / f"cld_evaluation_adiff_{tier}_answer.csv", columns, row, lost)
    write_clip(tmp_path / "evaluation" / "a.wav"), write_clip(tmp_path / "evaluation" / "b.wav")
    items, _, report = load_items("cld", str(tmp_path), "difference")
    assert [item.truth["tier"] for item in items] == ["concise", "brief", "detailed"]
    assert report.kept == 3 and report.skipped == 3 and isinstance(items[0].audio, tuple)
    with pytest.raises(ValueError, match="soham97/ADIFF"):
        load_items("acd", str(tmp_path), "difference")
