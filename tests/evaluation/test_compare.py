"""Two models are compared on the same clips, and a difference that chance could make is not taken for one."""

import json

import numpy as np
import pytest
from commands import run_command

import afm_hf
from afm_hf.evaluation.comparison import compare
from afm_hf.evaluation.task import Failure, Item, Task


class Knowing(Task):
    """Right where its list says so; a list of None fails."""

    name = "knowing"
    main_metric = "accuracy"

    def __init__(self, right, model="a", means=True):
        self.right, self.model, self.means, self.asked = right, model, means, 0

    @property
    def settings(self):
        return {"model": f"/models/{self.model}"}

    def predict(self, items):
        for item in items:
            self.asked += 1
            right = self.right[int(item.id)]
            yield Failure(f"{self.model} is deaf") if right is None else {"right": right}

    def score(self, records):
        return {"accuracy": float(np.mean([record.prediction["right"] for record in records]))}

    def per_record(self, records):
        return {"accuracy": [record.prediction["right"] for record in records]} if self.means else None


ITEMS = [Item(str(i), f"{i}.wav") for i in range(40)]
GOOD = [i % 10 != 0 for i in range(40)]
BAD = [i % 2 == 0 for i in range(40)]


def compared(first, second, folder, **options):
    return compare(first, second, ITEMS, folder, dataset="numbers", progress=False, draws=500, **options)


@pytest.mark.parametrize("means", [True, False])
def test_a_clear_difference_is_one_whatever_the_metric(tmp_path, means):
    result = compared(Knowing(GOOD, "good", means), Knowing(BAD, "bad", means), tmp_path)
    row = result.metrics["accuracy"]
    assert (row["first"], row["second"], result.count) == (0.9, 0.5, 40)
    assert row["difference"] == pytest.approx(0.4) and 0 < row["low"] < 0.4 < row["high"]
    assert row["p_value"] < 0.05
    assert (result.first, result.second) == ("good", "bad")
    assert json.loads((tmp_path / "comparison.json").read_text()) == result.to_dict()


def test_no_difference_is_none(tmp_path):
    row = compared(Knowing(GOOD), Knowing(GOOD, "b"), tmp_path).metrics["accuracy"]
    assert row["difference"] == 0 and row["p_value"] == 1


def test_only_clips_that_both_could_predict_count(tmp_path):
    deaf = [None if i < 3 else right for i, right in enumerate(GOOD)]
    result = compared(Knowing(GOOD), Knowing(deaf, "deaf"), tmp_path)
    assert result.count == 37
    assert result.left_out == {str(i): "deaf is deaf" for i in range(3)}
    assert result.metrics["accuracy"]["first"] == pytest.approx(np.mean(GOOD[3:]))


def test_what_was_predicted_is_used_again(tmp_path):
    compared(Knowing(GOOD), Knowing(BAD, "b"), tmp_path)
    first, second = Knowing(GOOD), Knowing(BAD, "b")
    compared(first, second, tmp_path)
    assert first.asked == second.asked == 0
    with pytest.raises(ValueError, match="other settings"):
        compared(Knowing(GOOD), Knowing(BAD, "c"), tmp_path)


def test_other_tasks_and_too_few_clips_are_refused(tmp_path):
    other = Knowing(BAD)
    other.name = "guessing"
    with pytest.raises(ValueError, match="'knowing', the second 'guessing'"):
        compared(Knowing(GOOD), other, tmp_path)
    deaf = [None] * 39 + [True]
    with pytest.raises(ValueError, match="Only 1 of 40"):
        compared(Knowing(GOOD), Knowing(deaf, "deaf"), tmp_path / "few")


def test_the_command_prints_both_figures_and_the_difference(tmp_path):
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    rows = ["file_name,caption"]
    for clip in afm_hf.bundled_audio()[:3]:
        (sounds / clip.name).write_bytes(clip.read_bytes())
        rows.append(f"{clip.name},A {clip.stem.split('_')[0]}.")
    (sounds / "metadata.csv").write_text("\n".join(rows))
    asked = ("compare", "pengi-small", "mellow-small", "--task", "captioning", "--dataset", "folder")
    asked += ("--data-dir", sounds, "--output", tmp_path / "out", "--draws", "20")
    said = run_command(*asked).output
    assert "3 clips that both could predict" in said
    assert "pengi-small" in said and "mellow-small" in said and "rouge_l" in said
    unfit = run_command("compare", "clap-small", *asked[2:], code=2).output
    assert "clap-small is a 'clap_afm' model; 'audio-captioning' takes" in unfit
    row = json.loads(run_command(*asked, "--format", "json").stdout)["metrics"]["rouge_l"]
    assert row["difference"] == pytest.approx(row["first"] - row["second"]) and row["low"] <= row["high"]
