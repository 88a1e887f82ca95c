"""A few clips of each class: draws are those of the table, kept as they come, and judged on the rest."""

import csv
import json

import numpy as np
import pytest

pytest.importorskip("datasets")
pytest.importorskip("matplotlib")

from asked_models import save_model
from commands import run_command

from afm_hf.adaptation.few_shot import draw_shots, fit_linear_probe
from afm_hf.evaluation.experiments.measuring import Data, make_task, prepare
from afm_hf.evaluation.experiments.shots import few_shot_table


def test_the_table_is_the_mean_and_deviation_of_the_draws_that_are_kept(labelled, clap, tmp_path):
    words = ["experiment", "shots", "--dataset", f"folder={labelled}", "--model", clap, "--output", tmp_path]
    words += ["--clips", 1, "--clips", 2, "--repeats", 3, "--bootstrap", 50]
    shown = run_command(*words).stdout
    rows = list(csv.DictReader((tmp_path / "shots.csv").open()))
    kept = [json.loads(line) for line in (tmp_path / "draws.jsonl").read_text().splitlines()]
    assert [row["shots"] for row in rows] == ["1", "2"] and len(kept) == 6
    for row in rows:
        own = [line["found"] for line in kept if line["shots"] == int(row["shots"])]
        after = [each["after"] for each in own]
        assert float(row["value"]) == pytest.approx(np.mean(after))
        assert float(row["deviation"]) == pytest.approx(np.std(after, ddof=1))
        assert {each["judged"] for each in own} == {12 - 3 * int(row["shots"])} == {int(row["clips"])}
        assert f"{100 * np.mean(after):.1f} ± {100 * np.std(after, ddof=1):.1f}" in shown
    run_command(*words)  # nothing is learned again
    assert len((tmp_path / "draws.jsonl").read_text().splitlines()) == 6


def test_the_probe_of_clips_heard_once_is_that_of_the_few_clips(labelled, clap, tmp_path):
    """The plain way: a classifier fitted on the few clips, which hears each of the others."""
    how = {"draws": 0, "progress": False, "batch_size": 4}
    data = Data("folder", str(labelled))
    (row,) = few_shot_table(data, tmp_path, "linear-probe", str(clap), [2], 1, **how).rows
    prepared = prepare("zero-shot", data)
    pipe = make_task(prepared, str(clap)).pipe
    names = [item.truth["label"] for item in prepared.items]
    chosen = draw_shots(names, 2, 0)
    few = [prepared.items[i].audio for i in chosen]
    fit = fit_linear_probe(pipe.model, pipe.feature_extractor, few, [names[i] for i in chosen])
    right = []
    for i in set(range(len(names))) - set(chosen):
        features = pipe.feature_extractor(prepared.items[i].audio, return_tensors="pt")
        right.append(fit.labels[int(fit.model(**features).logits.argmax())] == names[i])
    assert row["value"] == pytest.approx(np.mean(right)) and len(right) == row["clips"]


@pytest.mark.parametrize("method", ["lora", "mapper"])
def test_other_ways_of_learning_run_and_judge_the_rest(method, labelled, clap, tmp_path):
    model = clap if method == "lora" else save_model("pengi_no_text_enc", tmp_path / "speaker")
    how = {"steps": 2, "draws": 10, "progress": False, "learning_rate": 1e-3}
    found = few_shot_table(Data("folder", str(labelled)), tmp_path / "out", method, str(model), [2], 2, **how)
    (row,) = found.rows
    assert (row["method"], row["shots"], row["clips"], row["classes"]) == (method, 2, 6, 3)
    assert 0 <= row["value"] <= 1 and found.settings["steps"] == 2


def test_classes_with_too_few_clips_are_refused_or_named(labelled, clap, tmp_path):
    with pytest.raises(ValueError, match="have more than 4 clips"):
        few_shot_table(Data("folder", str(labelled)), tmp_path, "linear-probe", str(clap), [4], draws=0)
    with pytest.raises(ValueError, match="expected one of linear-probe, lora, mapper"):
        few_shot_table(Data("folder", str(labelled)), tmp_path, "magic", str(clap))
