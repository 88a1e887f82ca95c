"""A part of a benchmark is called one, and no figure of a paper stands beside it."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("datasets")
sys.path.insert(0, str(Path(__file__).parents[1] / "data"))

from audio_files import write_clip, write_csv

from afm_hf.cli.app import app
from afm_hf.data.label_sets import ESC50_LABELS, URBANSOUND8K_LABELS
from afm_hf.data.listed_clips import SPOKEN_WORDS, TUT2017_LABELS
from afm_hf.data.tagged_clips import DCASE17_LABELS
from afm_hf.evaluation.datasets import BENCHMARKS, labels_of, load_items
from afm_hf.evaluation.paper.reported import reported
from afm_hf.evaluation.report.writing import read_results, write_report
from afm_hf.evaluation.runner import EvaluationResult
from afm_hf.evaluation.tasks_by_name import items_for


def esc50(root, clips=2000, present=None, labels=ESC50_LABELS):
    """The tables of ESC-50 with `clips` rows of the first labels; `present` of the clips are there."""
    rows = []
    for i in range(clips):
        fold, label = 1 + i % 5, labels[i % len(labels)]
        rows.append([f"{fold}-{i}-A-{i % len(labels)}.wav", fold, i % len(labels), label.replace(" ", "_")])
    write_csv(root / "meta" / "esc50.csv", "filename,fold,target,category", *rows)
    for row in rows[: clips if present is None else present]:
        (root / "audio").mkdir(exist_ok=True)
        (root / "audio" / row[0]).hardlink_to(root / "clip.wav")
    return str(root)


@pytest.fixture
def root(tmp_path):
    return write_clip(tmp_path / "clip.wav").parent


def test_the_whole_is_not_partial(root):
    items, benchmark, _ = load_items("esc50", esc50(root), "zero-shot")
    assert len(items) == 2000 and benchmark.partial == ()
    assert labels_of(items, benchmark, str(root)) == sorted(ESC50_LABELS)


def test_twelve_of_fifty_classes_are_judged_among_all_and_are_partial(root):
    folder = esc50(root, clips=60, labels=ESC50_LABELS[:12])
    items, benchmark, _ = load_items("esc50", folder, "zero-shot")
    assert benchmark.partial == ("12 of 50 labels occur", "60 clips, of a data set that has 2000")
    assert labels_of(items, benchmark, folder) == sorted(ESC50_LABELS)


def test_the_first_rows_are_partial_and_judged_among_the_labels_of_all(root):
    items, benchmark, _ = load_items("esc50", esc50(root), "zero-shot", limit=3)
    assert len(items) == 3 and benchmark.partial == ("the first 3 of 2000 rows", "3 of 50 labels occur")
    rows = [[f"{name}.wav", name] for name in ("a", "b", "c", "d")]
    write_csv(root / "own" / "metadata.csv", "file_name,label", *rows)
    for name, _ in rows:
        write_clip(root / "own" / name)
    items, benchmark, _ = load_items("folder", str(root / "own"), "zero-shot", limit=2)
    assert len(items) == 2 and labels_of(items, benchmark, "") == ["a", "b", "c", "d"]
    assert benchmark.partial == ("the first 2 of 4 rows",)


def test_missing_clips_are_partial_and_a_single_damaged_one_is_not(root):
    folder = esc50(root, present=1990)
    assert load_items("esc50", folder, "zero-shot")[1].partial == ()
    for path in sorted((root / "audio").iterdir())[:50]:
        path.unlink()
    assert load_items("esc50", folder, "zero-shot")[1].partial == ("60 of 2000 rows have no clip that can be used",)


@pytest.mark.parametrize("strange", ["sea wave", "engine idling"])
def test_labels_of_another_data_set_are_refused(root, strange):
    folder = esc50(root, clips=6, labels=(*ESC50_LABELS[:5], strange))
    message = rf"1 rows of .* labels that 'esc50' does not have: '{strange}'.*--dataset folder or label-folders"
    with pytest.raises(ValueError, match=message):
        load_items("esc50", folder, "zero-shot")


def test_another_part_is_partial_and_a_part_that_there_is_not_is_refused(root):
    for part in ("development", "evaluation"):
        columns = "file_name,caption_1,caption_2,caption_3,caption_4,caption_5"
        write_csv(root / f"clotho_captions_{part}.csv", columns, ["a.wav", *"abcde"])
        write_clip(root / part / "a.wav")
    said = load_items("clotho", str(root), "captioning", split="development")[1].partial
    assert said == ("the part 'development', where the papers test on 'evaluation'",)
    for name in ("esc50", "urbansound8k", "macs", "wavtext5k"):
        with pytest.raises(ValueError, match="`split` is 'test', but this data set is read as a whole"):
            load_items(name, str(root), BENCHMARKS[name].tasks[0], split="test")


def test_parts_of_own_folders_are_chosen_by_split(root):
    for part in ("train", "test"):
        for label in ("dog", "cat"):
            write_clip(root / "own" / part / label / "1.wav")
    for name in ("folder", "label-folders"):
        items, benchmark, _ = load_items(name, str(root / "own"), "zero-shot", split="test")
        assert {item.truth["label"] for item in items} == {"dog", "cat"} and benchmark.partial == ()
        assert all("/test/" in item.audio for item in items)
        with pytest.raises(ValueError, match="parts of a data set"):
            load_items(name, str(root / "own"), "zero-shot")


def test_clips_to_learn_from_that_are_missing_are_said(root):
    for name in ("yes/0.wav", "no/1.wav"):
        write_clip(root / "sc" / name)
    (root / "sc" / "testing_list.txt").write_text("yes/0.wav\n")
    (root / "sc" / "validation_list.txt").write_text("")
    (root / "sc" / "no" / "2.wav").write_bytes(b"damaged")
    _, benchmark, _ = items_for("linear-probe", "speech-commands-35", str(root / "sc"))
    assert benchmark.partial[-1] == "of those to learn from, 1 of 2 rows have no clip that can be used"


def test_two_tables_of_one_name_are_not_chosen_from_in_silence(root):
    for place in ("new", "old"):
        (root / place).mkdir()
        (root / place / "test.json").write_text("[]")
    with pytest.raises(ValueError, match=r"has 2 files test\.json"):
        load_items("reasonaqa", str(root), "multiple-choice")
    (root / "old").rename(root / ".old")
    with pytest.raises(ValueError, match=r"test\.json has no rows"):
        load_items("reasonaqa", str(root), "multiple-choice")


def test_known_labels_are_as_many_as_the_data_sets_have():
    sizes = {"esc50": 50, "esc50-actions": 10, "urbansound8k": 10, "tut2017": 15, "speech-commands": 12}
    sizes |= {"speech-commands-35": 35, "vocalsound": 6, "dcase17": 17}
    for name, size in sizes.items():
        labels = BENCHMARKS[name].all_labels("")
        assert len(set(labels)) == size == len(BENCHMARKS[name].all_labels("")), name
    for labels in (ESC50_LABELS, URBANSOUND8K_LABELS, TUT2017_LABELS, SPOKEN_WORDS, DCASE17_LABELS):
        assert all(label == label.lower().strip() and "_" not in label for label in labels)
    assert [ESC50_LABELS[i] for i in (20, 29, 49)] == ["crying baby", "drinking sipping", "hand saw"]


def test_no_figure_of_a_paper_stands_beside_a_part(tmp_path):
    whole = EvaluationResult(task="zero-shot", dataset="esc50", metrics={"accuracy": 0.9}, count=2000)
    part = EvaluationResult(
        task="zero-shot", dataset="esc50", metrics={"accuracy": 0.9}, count=3, partial=["the first 3 of 2000 rows"]
    )
    assert reported(whole) and not reported(part)
    text = write_report([part], tmp_path).with_suffix(".md").read_text()
    assert "CLAP 23" not in text and "zero-shot (partial)" in text and "Partial: the first 3 of 2000 rows" in text


def test_the_command_says_partial(root, tmp_path):
    data_dir = esc50(root, clips=12, labels=ESC50_LABELS[:6])
    options = ["--task", "zero-shot", "--dataset", "esc50", "--data-dir", data_dir, "--draws", "0", "--limit", "10"]
    printed = CliRunner().invoke(app, ["evaluate", *options, "--output", str(tmp_path / "run")]).stdout
    first, made, second, *_ = printed.splitlines()
    assert first == "zero-shot on esc50 (partial): 10 clips, 0 left out"
    assert made == "  model clap-small; split 'all folds'; metric accuracy; asked \"this is a sound of {}\""
    assert second.startswith("  Partial: the first 10 of 12 rows; 6 of 50 labels occur; ") and "papers" in second
    assert "reported" not in printed
    (result,) = read_results([tmp_path / "run"])
    assert result.partial[0] == "the first 10 of 12 rows" and len(result.settings["labels"]) == 50
