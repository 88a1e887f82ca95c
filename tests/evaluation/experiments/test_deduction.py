"""Stop words and "cannot tell" in entailment: what is asked, what changes, and how it is counted."""

import csv
import json

import pytest

pytest.importorskip("datasets")
pytest.importorskip("matplotlib")

from asked_models import save_model
from commands import run_command
from conftest import write_clips
from tiny_models import tiny_clap

from afm_hf.entailment.entailment_labels import EntailmentThresholds
from afm_hf.entailment.entailment_prompts import OPTIONS
from afm_hf.evaluation.experiments.deduction import CHANGES, changed, parse_changes

SENTENCES = {"entailment": "It is a dog.", "neutral": "The dog is in a park.", "contradiction": "Nothing moves."}


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("is it true that it rains?", {"it": "the"}, "is the true that the rains?"),
        ("The cat sat; the end.", {"the": "a"}, "A cat sat; a end."),
        ("a dog and an owl hear the rain", {"a": "", "an": "", "the": ""}, "dog and owl hear rain"),
        ("{hypothesis} a) it is plausible b) a", {"a": "the"}, "{hypothesis} a) it is plausible b) the"),
        ("item, its, it's and bit", {"it": "the"}, "item, its, it's and bit"),
        ("{a} is a", {"a": "the"}, "{a} is the"),
    ],
)
def test_only_whole_stop_words_change(text, words, expected):
    assert changed(text, words) == expected


def test_changes_of_the_user():
    assert parse_changes(["it=the", "a=,an="]) == {"it=the": {"it": "the"}, "a=,an=": {"a": "", "an": ""}}
    for wrong in ("it", "it the=x", "=x"):
        with pytest.raises(ValueError, match="expected OLD=NEW"):
            parse_changes([wrong])


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    rows = [{"hypothesis": text, "label": label} for _ in range(3) for label, text in SENTENCES.items()]
    return write_clips(tmp_path_factory.mktemp("pairs") / "clips", rows)


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """A tiny CLAP with thresholds."""
    folder = tiny_clap(tmp_path_factory.mktemp("judge") / "judge")
    EntailmentThresholds(low=-0.1, high=0.2).save(folder / "entailment_thresholds_audio.json")
    return folder


def rows_of(folder, name):
    assert (folder / f"{name}.png").stat().st_size > 5000
    return list(csv.DictReader((folder / f"{name}.csv").open(encoding="utf-8")))


def predictions(folder):
    lines = [json.loads(line) for line in (folder / "predictions-0.jsonl").read_text().splitlines()]
    return {line["id"]: line["prediction"]["label"] for line in lines}


def test_deductions_that_change_are_counted_among_those_whose_words_changed(pairs, judge, tmp_path):
    words = ["experiment", "stop-words", "--dataset", f"folder={pairs}", "--model", judge, "--output", tmp_path]
    run_command(*words, "--change", "it=the", "--change", "whale=fish", "--bootstrap", 20)
    plain, the, none = rows_of(tmp_path, "stop-words")
    assert [row["wording"] for row in (plain, the, none)] == ["as it is", "it=the", "whale=fish"]
    before, after = predictions(tmp_path / "runs" / "0-as-it-is"), predictions(tmp_path / "runs" / "1-it-the")
    touched = [f"metadata.csv:{number}" for number in (2, 5, 8)]  # "It is a dog."
    assert float(the["texts_changed"]) == pytest.approx(3 / 9)
    assert float(the["deductions_changed"]) == pytest.approx(sum(before[n] != after[n] for n in touched) / 3)
    assert all(before[name] == after[name] for name in before if name not in touched)
    assert (none["texts_changed"], none["deductions_changed"]) == ("0.0", "")


def test_models_that_answer_are_asked_with_other_words_and_keep_their_options(pairs, tmp_path):
    model = save_model("mellow", tmp_path / "speaker")
    words = ["experiment", "stop-words", "--dataset", f"folder={pairs}", "--model", model, "--output", tmp_path / "out"]
    run_command(*words, "--change", "it=the", "--bootstrap", 0, "--limit", 3)
    _, the = rows_of(tmp_path / "out", "stop-words")
    assert float(the["texts_changed"]) == 1.0  # "it is plausible" is in every question
    settings = json.loads((tmp_path / "out" / "runs" / "1-it-the" / "settings.json").read_text())
    assert settings["options"]["the is definitely true"] == "entailment"
    assert settings["prompt"] == "{hypothesis} {options}"


def test_answers_are_read_by_the_likelihood_of_the_options_where_that_is_asked(pairs, tmp_path):
    """So a model that says something else than an option has a deduction all the same."""
    model = save_model("mellow", tmp_path / "speaker")
    words = [
        "--dataset",
        f"folder={pairs}",
        "--model",
        model,
        "--scoring",
        "likelihood",
        "--bootstrap",
        0,
        "--limit",
        3,
    ]
    run_command("experiment", "stop-words", *words, "--output", tmp_path / "a", "--change", "it=the")
    run_command("experiment", "cannot-tell", *words, "--output", tmp_path / "b")
    for folder in (
        tmp_path / "a" / "runs" / "0-as-it-is",
        tmp_path / "a" / "runs" / "1-it-the",
        tmp_path / "b/runs/own",
    ):
        lines = [json.loads(line)["prediction"] for line in (folder / "predictions-0.jsonl").read_text().splitlines()]
        settings = json.loads((folder / "settings.json").read_text())
        options = settings.get("options") or OPTIONS["afm_mellow"]
        said = [line["answer"].partition(") ")[2].lower() for line in lines]
        assert settings["scoring"] == "likelihood" and len(said) == 3 and set(said) <= set(options)


def test_cannot_tell_is_counted_by_the_true_relation_and_by_wider_bands(pairs, judge, tmp_path):
    words = ["experiment", "cannot-tell", "--dataset", f"folder={pairs}", "--model", judge, "--output", tmp_path]
    shown = run_command(*words, "--bootstrap", 20).stdout
    rows = {row["way"]: row for row in rows_of(tmp_path, "cannot-tell")}
    said = predictions(tmp_path / "runs" / "own")
    own = rows["its own"]
    for place, label in enumerate(SENTENCES):
        share = sum(said[f"metadata.csv:{2 + place + 3 * i}"] == "neutral" for i in range(3)) / 3
        assert float(own[f"said of {label}"]) == pytest.approx(share)
    assert own["metric"] == "F1 of neutral" and '"cannot tell" is said of' in shown
    bands = [row for name, row in rows.items() if name.startswith("band")]
    assert len(bands) == 5 and float(bands[0]["said of neutral"]) == 0.0
    told = [sum(float(row[f"said of {label}"]) for label in SENTENCES) for row in bands]
    assert told == sorted(told)  # a wider band says it more often
    assert bands[2]["accuracy"] == own["accuracy"]
    assert "other clips" in rows


def test_prompts_are_for_models_that_read_them(pairs, judge, tmp_path):
    words = ["experiment", "cannot-tell", "--dataset", f"folder={pairs}", "--output", tmp_path, "--model", judge]
    assert "reads no prompt" in run_command(*words, "--prompt", "can you hear {hypothesis}?", code=2).output


def test_the_slides_change_is_there():
    assert CHANGES["it -> the"] == {"it": "the"}
