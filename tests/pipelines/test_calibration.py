"""Calibrated zero-shot scores: probabilities that come true, "none of these", and no calibration of another model."""

import json

import numpy as np
import pytest
import torch
from commands import run_command as run
from tiny_models import tiny_clap, tone, write_tones
from transformers import AutoModel, AutoProcessor, pipeline

from afm_hf import bundled_audio, bundled_model
from afm_hf.adaptation.calibration import (
    LabelledCosines,
    calibrate,
    calibration_error,
    fit_calibration,
    labelled_cosines,
    trials,
)
from afm_hf.models.clap_afm.calibration_clap_afm import CALIBRATION_FILE, Calibration, as_calibration

LABELS = ["rain", "a dog", "birds"]
TEMPLATE = "This is a sound of {}."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(tiny_clap(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def parts(folder):
    return AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)


def drawn_cosines(clips=600, labels=30, gap=0.25, seed=0):
    """Of a model whose labels that are heard have higher cosines, by `gap`, than others."""
    generator = np.random.default_rng(seed)
    heard = np.eye(labels, dtype=bool)[generator.integers(labels, size=clips)]
    cosines = generator.normal(0.1, 0.1, (clips, labels)) + gap * heard
    return LabelledCosines(cosines, generator.normal(0.1, 0.1, (clips, 40)), heard)


def fitted_for(pipe, **weights):
    return Calibration(
        **{"cosine": 5.0, "margin": 5.0, "bias": 0.5, "bars": {"0.1": 0.01}, **weights},
        templates=[TEMPLATE],
        truncation=None,
        fingerprint=pipe._whole_fingerprint(),
        labels=LABELS,
        clips=30,
        none_clips=0,
    )


@pytest.fixture
def pipe(folder):
    return pipeline("zero-shot-audio-classification", model=folder, device="cpu")


# -- The fit ----------------------------------------------------------------------------------------------------------


def test_probabilities_come_true_on_other_clips():
    found, new = calibrate(drawn_cosines(seed=0)), drawn_cosines(seed=1)
    odds = found.log_odds(torch.from_numpy(new.labels), torch.from_numpy(new.everyday))
    found.label_share = 1 / 30  # as in the data
    chances = found.label_scores(odds).numpy().ravel().astype(float)
    assert calibration_error(chances, new.heard.ravel()) < 0.01
    present, absent = trials(found, new, seed=2)
    for size in (2, 10, 20):
        none = np.concatenate([present[size][:, -1], absent[size][:, -1]])
        truth = np.repeat([False, True], [len(present[size]), len(absent[size])])
        assert calibration_error(none, truth) < 0.05


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3])
def test_a_bar_keeps_false_accepts_at_its_rate(rate):
    found = calibrate(drawn_cosines(seed=0))
    _, absent = trials(found, drawn_cosines(seed=1), seed=2)
    accepted = np.mean([(shares[:, -1] < found.bar(rate)).mean() for shares in absent.values()])
    assert accepted == pytest.approx(rate, abs=0.03)
    with pytest.raises(ValueError, match=r"no bar for .* 0\.15; it has 0\.05, 0\.1"):
        found.bar(0.15)


def test_another_share_of_clips_without_labels_moves_probabilities_as_bayes_says():
    found = calibrate(drawn_cosines())
    odds = torch.tensor([[1.0, -2.0]])
    shares = found.shares(odds)[0]
    ratio = shares[0] / shares[2]
    assert ratio.item() == pytest.approx(np.exp(1.0) / 2, rel=1e-5)
    found.none_share = 0.9
    shares = found.shares(odds)[0]
    assert (shares[0] / shares[2]).item() == pytest.approx(np.exp(1.0) / 2 / 9, rel=1e-5)
    assert found.label_scores(odds)[0, 0].item() == pytest.approx(1 / (1 + np.exp(-1.0) * 0.95 / 0.05), rel=1e-5)


def test_a_fit_on_clips_is_that_of_their_cosines(parts, tmp_path):
    clips = [str(path) for path in write_tones(tmp_path, 6)] * 4
    labels = ["rain", "a dog", ["birds", "rain"], None, "a dog", "birds"] * 4
    cosines = labelled_cosines(*parts, clips, labels, LABELS)
    assert cosines.heard[2].tolist() == [True, False, True] and not cosines.heard[3].any()
    try:
        found = fit_calibration(*parts, clips, labels)
    except ValueError as error:  # random weights may hear nothing
        assert "do not belong to the clips" in str(error)
        return
    assert (found.clips, found.none_clips, found.labels) == (24, 4, LABELS)
    assert found.cosine == pytest.approx(calibrate(cosines).cosine, rel=1e-4)


def test_what_cannot_be_fitted_is_refused(parts):
    with pytest.raises(ValueError, match="10 clips, 0 of them without a label, and 30 labels; a calibration needs 20"):
        calibrate(drawn_cosines(clips=10))
    with pytest.raises(ValueError, match="no higher cosines"):
        calibrate(drawn_cosines(gap=-0.3))
    with pytest.raises(ValueError, match="1 clips and 2 labels"):
        fit_calibration(*parts, [tone(300)], ["rain", "a dog"])


# -- The file ---------------------------------------------------------------------------------------------------------


def test_it_is_saved_as_json_or_beside_a_model(pipe, tmp_path):
    made = fitted_for(pipe)
    made.save(tmp_path / "c.json")
    made.save(tmp_path)
    assert Calibration.load(tmp_path / "c.json") == made == Calibration.load(tmp_path)
    assert json.loads((tmp_path / CALIBRATION_FILE).read_text())["labels"] == LABELS
    with pytest.raises(ValueError, match="There is no calibration"):
        Calibration.load(tmp_path / "gone.json")
    (tmp_path / "c.json").write_text('{"cosine": 1}')
    with pytest.raises(ValueError, match="holds no calibration"):
        Calibration.load(tmp_path / "c.json")
    with pytest.raises(ValueError, match="No calibration lies beside"):
        as_calibration(True, pipe.model)


# -- The pipeline -----------------------------------------------------------------------------------------------------


def test_the_pipeline_gives_the_calibrated_shares(pipe, parts, tmp_path):
    clip = str(write_tones(tmp_path, 1)[0])
    made = fitted_for(pipe)
    cosines = labelled_cosines(*parts, [clip], [None], LABELS)
    odds = made.log_odds(torch.from_numpy(cosines.labels), torch.from_numpy(cosines.everyday))
    result = pipe(clip, candidate_labels=LABELS, calibration=made)
    assert [entry["score"] for entry in result] == sorted((entry["score"] for entry in result), reverse=True)
    scores = {entry["label"]: entry["score"] for entry in result}
    wanted = dict(zip([*LABELS, "none of these"], made.shares(odds)[0].tolist(), strict=True))
    assert scores == pytest.approx(wanted, abs=1e-5)
    alone = {
        entry["label"]: entry["score"]
        for entry in pipe(clip, candidate_labels=LABELS, calibration=made, multi_label=True)
    }
    assert alone == pytest.approx(dict(zip(LABELS, made.label_scores(odds)[0].tolist(), strict=True)), abs=1e-5)
    assert len(pipe(clip, candidate_labels=["rain"], calibration=made)) == 2


def test_false_accept_puts_none_first_and_nothing_else_changes(pipe, tmp_path):
    clip = str(write_tones(tmp_path, 1)[0])
    made = fitted_for(pipe, bias=8.0, bars={"0.1": 1e-9})
    free = pipe(clip, candidate_labels=LABELS, calibration=made)
    assert free[0]["label"] != "none of these"
    strict = pipe(clip, candidate_labels=LABELS, calibration=made, false_accept=0.1, none_label="nothing")
    assert strict[0]["label"] == "nothing" and strict[0]["score"] == pytest.approx(free[-1]["score"], abs=1e-6)
    assert [entry["label"] for entry in strict[1:]] == [e["label"] for e in free if e["label"] != "none of these"]


def test_a_timeline_is_calibrated_too(pipe, tmp_path):
    clip = str(write_tones(tmp_path, 1)[0])
    made = fitted_for(pipe)
    result = pipe(clip, candidate_labels=LABELS, calibration=made, timestamps=True)
    for scores in [{e["label"]: e["score"] for e in result["labels"]}, *(c["scores"] for c in result["chunks"])]:
        assert set(scores) == {*LABELS, "none of these"} and sum(scores.values()) == pytest.approx(1, abs=1e-5)


def test_a_calibration_of_another_model_format_or_template_is_refused(pipe, folder):
    clip, made = tone(300), fitted_for(pipe)
    given = {"candidate_labels": LABELS, "sampling_rate": 8000}
    other = pipeline("zero-shot-audio-classification", model=folder, device="cpu", dtype=torch.bfloat16)
    with pytest.raises(ValueError, match="it has other weights, another number format"):
        other(clip, calibration=made, **given)
    with pytest.raises(ValueError, match=r"fitted with \['This is a sound of \{\}\.'\], but the labels are put into"):
        pipe(clip, calibration=made, hypothesis_template="a {}", **given)
    pipe(clip, calibration=made, **given)
    with torch.no_grad():
        next(pipe.model.audio_projection.parameters()).mul_(1.5)
    with pytest.raises(ValueError, match="other weights"):
        pipe(clip, calibration=made, **given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"false_accept": 0.1}, "`false_accept` needs a `calibration`"),
        ({"calibration": "gone.json"}, "no calibration gone"),
        ({"calibration": 3}, "is a int"),
    ],
)
def test_mistakes_are_errors(pipe, options, message):
    with pytest.raises(ValueError, match=message):
        pipe(tone(300), candidate_labels=LABELS, sampling_rate=8000, **options)
    with pytest.raises(ValueError, match="'rain' is one of the labels"):
        pipe(tone(300), candidate_labels=LABELS, sampling_rate=8000, calibration=fitted_for(pipe), none_label="rain")


# -- The bundled one, and the commands --------------------------------------------------------------------------------


def test_the_bundled_calibration_fits_the_bundled_model():
    pipe = pipeline("zero-shot-audio-classification", model=str(bundled_model("clap-small")), device="cpu")
    cow = str(next(clip for clip in bundled_audio() if clip.stem.startswith("cow")))
    best = pipe(cow, candidate_labels=["cow mooing", "violin"], calibration=True)[0]
    assert best["label"] == "cow mooing" and best["score"] > 0.5
    assert pipe(cow, candidate_labels=["violin", "applause"], calibration=True)[0]["label"] == "none of these"


def test_the_commands_fit_and_use_one(folder, tmp_path):
    clips = [str(path) for path in write_tones(tmp_path / "clips", 24)]
    rows = [f"{clip.rpartition('/')[2]},{LABELS[number % 3]}" for number, clip in enumerate(clips)]
    (tmp_path / "clips" / "metadata.csv").write_text("\n".join(["file_name,label", *rows]))
    file = tmp_path / "c.json"
    given = ["--model", folder, "--device", "cpu"]
    result = run("calibrate", tmp_path / "clips", "--output", file, *given, code=None)
    if result.exit_code:  # random weights may hear nothing
        assert "do not belong to the clips" in result.stderr
        pipe = pipeline("zero-shot-audio-classification", model=folder, device="cpu")
        fitted_for(pipe).save(file)
    base = ["classify", clips[0], "--labels", ",".join(LABELS), "--format", "json", *given]
    got = json.loads(run(*base, "--top-k", 0, "--calibration", file).stdout)[0]["results"]
    assert {entry["label"] for entry in got} == {*LABELS, "none of these"}
    assert sum(entry["score"] for entry in got) == pytest.approx(1, abs=1e-4)
    assert "no calibration" in run(*base, "--calibrated", code=2).stderr
    assert "--false-accept needs a calibration" in run(*base, "--false-accept", 0.1, code=2).stderr
    assert "fitted for" in run(*base, "--calibration", file, "--dtype", "bfloat16", code=2).stderr
