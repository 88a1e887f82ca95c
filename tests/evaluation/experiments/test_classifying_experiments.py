"""Prompts, parts of the training set, and domains: the figures are those that single evaluations give."""

import csv
import json
import sys

import pytest

pytest.importorskip("datasets")
pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

from commands import run_command
from official_layouts import MAKE

from afm_hf.evaluation.datasets import BENCHMARKS
from afm_hf.evaluation.experiments.domains import domain_of, zero_shot_against_supervised
from afm_hf.evaluation.experiments.measuring import Data
from afm_hf.evaluation.experiments.prompts import prompt_sensitivity, stored_templates
from afm_hf.evaluation.experiments.scaling import data_scaling, part_of
from afm_hf.evaluation.task import Item
from afm_hf.evaluation.tasks.retrieval import RetrievalTask


def evaluated(task, data, model, folder, *more):
    shown = run_command(
        "evaluate", "--task", task, "--dataset", "folder", "--data-dir", data, "--model", model, "--output", folder,
        "--draws", 50, "--format", "json", *more,
    )  # fmt: skip
    return json.loads(shown.stdout)["metrics"]


def table(folder, name):
    """The rows of the CSV file; the JSON file has as many, and both pictures are pictures."""
    rows = list(csv.DictReader((folder / f"{name}.csv").open(encoding="utf-8")))
    assert len(json.loads((folder / f"{name}.json").read_text())["rows"]) == len(rows)
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG") and (
        folder / f"{name}.png"
    ).stat().st_size > 5000
    assert "<svg" in (folder / f"{name}.svg").read_text()
    return rows


def test_every_stored_template_gives_what_evaluate_gives(labelled, clap, tmp_path):
    folder = tmp_path / "prompts"
    run_command(
        "experiment", "prompts", "--dataset", f"folder={labelled}", "--model", clap, "--output", folder,
        "--template", "hear: {}", "--bootstrap", 50,
    )  # fmt: skip
    rows = {row["template"]: row for row in table(folder, "prompts")}
    assert set(rows) == {"this is a sound of {}", *stored_templates(), "hear: {}", "ensemble"}
    words = [name for name in rows if name != "ensemble"]
    for template in ("{}", "hear: {}"):
        alone = evaluated("zero-shot", labelled, clap, tmp_path / template.strip("{} :"), "--template", template)
        assert float(rows[template]["value"]) == pytest.approx(alone["accuracy"])
    options = [word for template in words for word in ("--template", template)]
    together = evaluated("zero-shot", labelled, clap, tmp_path / "all", *options)
    assert float(rows["ensemble"]["value"]) == pytest.approx(together["accuracy"])
    for row in rows.values():
        assert (row["model"], row["dataset"], row["metric"], row["clips"]) == ("ear", "folder", "accuracy", "12")
        assert row["asked"] and float(row["change_low"]) <= float(row["change"]) <= float(row["change_high"])


def test_clips_are_embedded_once_and_a_second_run_goes_on(labelled, clap, tmp_path, monkeypatch):
    heard = []

    def counting(self, items, predict=RetrievalTask.predict):
        heard.extend(items)
        return predict(self, items)

    monkeypatch.setattr(RetrievalTask, "predict", counting)
    how = {"draws": 0, "progress": False}
    first = prompt_sensitivity([Data("folder", str(labelled))], tmp_path, str(clap), **how)
    second = prompt_sensitivity([Data("folder", str(labelled))], tmp_path, str(clap), **how)
    assert len(heard) == 12 and first.rows == second.rows


def test_a_template_without_a_place_is_refused(labelled, clap, tmp_path):
    with pytest.raises(ValueError, match="no place for the label"):
        prompt_sensitivity([Data("folder", str(labelled))], tmp_path, str(clap), templates=["a sound"])


def test_without_matplotlib_it_is_told_before_the_work(labelled, clap, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    options = ["--dataset", f"folder={labelled}", "--model", clap, "--output", tmp_path / "out"]
    for name in ("prompts", "scaling", "domains"):
        shown = run_command("experiment", name, *options, code=2)
        assert "pip install matplotlib" in shown.output
    assert not (tmp_path / "out").exists()


ITEMS = [Item(str(i), f"{i}.wav", {"label": f"label {i % 4}", "fold": str(i % 5)}) for i in range(80)]


def test_parts_lie_in_one_another_and_have_all_labels():
    parts = [part_of(ITEMS, fraction, 3) for fraction in (0.01, 0.1, 0.5, 1)]
    for fold in "01234":
        ids = [set(part[fold]) for part in parts]
        assert [len(part) for part in ids] == [4, 8, 32, 64]
        assert ids[0] < ids[1] < ids[2] < ids[3] == {item.id for item in ITEMS if item.truth["fold"] != fold}
        labels = [item.truth["label"] for item in ITEMS if item.id in ids[1]]
        assert {labels.count(f"label {i}") for i in range(4)} == {2}
    assert part_of(ITEMS, 0.1, 3) == part_of(ITEMS, 0.1, 3) != part_of(ITEMS, 0.1, 4)


def test_only_what_is_to_be_learned_from_is_chosen():
    training = [Item(f"train/{i}", f"{i}.wav", {"label": "a", "fold": "train"}) for i in range(10)]
    tested = [Item(str(i), f"{i}.wav", {"label": "a", "fold": "test"}) for i in range(10)]
    ((fold, ids),) = part_of([*training, *tested], 0.5, 0).items()
    assert fold == "test" and len(ids) == 5 and all(name.startswith("train/") for name in ids)


@pytest.mark.parametrize("fraction", [0, 1.5, -0.1])
def test_fractions_that_make_no_sense_are_refused(labelled, clap, tmp_path, fraction):
    with pytest.raises(ValueError, match="expected above 0 and at most 1"):
        data_scaling(Data("folder", str(labelled)), tmp_path, str(clap), fractions=[fraction])


def test_all_of_the_training_set_gives_the_linear_probe(labelled, clap, tmp_path):
    run_command(
        "experiment", "scaling", "--dataset", f"folder={labelled}", "--model", clap, "--output", tmp_path / "scaling",
        "--part", 50, "--part", 100, "--repeats", 3, "--bootstrap", 50,
    )  # fmt: skip
    zero, half, whole = table(tmp_path / "scaling", "scaling")
    assert (zero["way"], half["part"], whole["part"], half["repeats"]) == ("zero-shot", "50 %", "100 %", "3")
    probe = evaluated("linear-probe", labelled, clap, tmp_path / "probe")
    assert float(whole["value"]) == pytest.approx(probe["accuracy"])
    assert float(zero["value"]) == pytest.approx(evaluated("zero-shot", labelled, clap, tmp_path / "zero")["accuracy"])
    assert float(half["learned_from"]) < float(whole["learned_from"]) and half["deviation"] and not whole["deviation"]
    assert float(half["low"]) <= float(half["value"]) <= float(half["high"])


def test_fine_tuning_learns_from_the_part_alone(labelled, clap, tmp_path):
    how = {"epochs": 1, "draws": 20, "progress": False}
    found = data_scaling(
        Data("folder", str(labelled)), tmp_path, str(clap), ["linear-probe", "fine-tune"], [0.25, 1], 2, **how
    )
    tuned = [row for row in found.rows if row["way"] == "fine-tune"]
    assert [row["repeats"] for row in tuned] == [2, 2] and tuned[0]["learned_from"] < tuned[1]["learned_from"]
    kept = json.loads((tmp_path / "runs" / "folder-fine-tune-0.25-0" / "settings.json").read_text())
    assert {len(ids) for ids in kept["learn_from"].values()} == {3}  # one clip of each label


def test_ways_are_compared_by_one_metric_on_the_same_clips(clap, tmp_path):
    for name in ("dcase17", "esc50-actions", "ravdess"):
        (tmp_path / name).mkdir()
        MAKE[name](tmp_path / name)
    options = [
        word for name in ("ravdess", "dcase17", "esc50-actions") for word in ("--dataset", f"{name}={tmp_path / name}")
    ]
    run_command("experiment", "domains", *options, "--model", clap, "--output", tmp_path / "out", "--bootstrap", 50)
    rows = table(tmp_path / "out", "domains")
    metrics = {}
    for row in rows:
        metrics.setdefault(row["dataset"], set()).add((row["metric"], row["clips"]))
    # papers have F1 for zero-shot and accuracy for classifiers of DCASE 2017, mAP and accuracy of ESC50-Actions
    assert {name: {metric for metric, _ in found} for name, found in metrics.items()} == {
        "dcase17": {"F1"}, "ravdess": {"accuracy"}, "esc50-actions": {"accuracy"},
    }  # fmt: skip
    assert all(len(found) == 1 for found in metrics.values())
    assert [row["domain"] for row in rows[::2]] == ["sound events", "emotion", "actions"]
    assert all(row["gap"] for row in rows if row["way"] == "linear-probe")
    assert all(row["partial"] for row in rows)


def test_every_benchmark_of_labels_has_a_domain():
    for name, benchmark in BENCHMARKS.items():
        if "zero-shot" in benchmark.tasks:
            assert domain_of(name)


def test_fine_tuning_is_a_way_and_several_models_stand_side_by_side(labelled, clap, tmp_path):
    other = tmp_path / "other"
    other.symlink_to(clap)
    how = {"epochs": 1, "draws": 20, "progress": False}
    models, ways = [str(clap), str(other)], ["fine-tune", "zero-shot"]
    found = zero_shot_against_supervised([Data("folder", str(labelled))], tmp_path / "out", models, ways, **how)
    assert [(row["model"], row["way"]) for row in found.rows] == [
        ("ear", "zero-shot"), ("ear", "fine-tune"), ("other", "zero-shot"), ("other", "fine-tune"),
    ]  # fmt: skip
    assert found.rows[1]["gap"] == pytest.approx(100 * (found.rows[1]["value"] - found.rows[0]["value"]))
    assert found.rows[0]["value"] == found.rows[2]["value"]
    assert any("folds of our own" in words for words in found.notes)
