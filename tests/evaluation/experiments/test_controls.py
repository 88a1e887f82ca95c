"""Controls: noise, next to silence and swapped clips stand for the clips, and no paper's figure stands beside them."""

import csv
import json

import numpy as np
import pytest
import soundfile

pytest.importorskip("datasets")

from asked_models import save_model
from commands import run_command
from conftest import write_clips
from tiny_models import tone

from afm_hf.evaluation.controls import RATE, controlled_items, swapped, truth_of
from afm_hf.evaluation.paper.reported import reported
from afm_hf.evaluation.runner import EvaluationResult
from afm_hf.evaluation.task import Item


@pytest.fixture
def clips(tmp_path):
    """A quiet and a loud clip, and one that is none."""
    for name, gain, seconds in (("quiet", 0.01, 0.4), ("loud", 1.0, 1.0)):
        soundfile.write(tmp_path / f"{name}.wav", gain * tone(440, seconds, 16000), 16000)
    (tmp_path / "none.wav").write_text("no audio")
    return [Item(name, str(tmp_path / f"{name}.wav"), {"label": name}) for name in ("quiet", "loud", "none")]


def test_noise_is_as_long_and_as_loud_and_no_copy(clips, tmp_path):
    made = controlled_items("zero-shot", clips, "noise", tmp_path / "out", progress=False)
    for item, other in zip(clips[:2], made, strict=False):
        clip, rate = soundfile.read(item.audio)
        noise, noise_rate = soundfile.read(other.audio)
        assert (noise_rate, len(noise)) == (RATE, len(clip) * RATE // rate)
        assert np.sqrt(np.mean(noise**2)) == pytest.approx(np.sqrt(np.mean(clip**2)), rel=0.1)
        spectrum = np.abs(np.fft.rfft(noise)) ** 2  # white: no band is louder than the others
        bands = [part.mean() for part in np.array_split(spectrum[10:], 4)]
        assert max(bands) < 1.5 * min(bands)
        assert (other.id, other.truth) == (item.id, item.truth)
    assert made[2].audio == clips[2].audio  # the run says why it cannot be used


def test_the_same_seed_makes_the_same_noise_and_keeps_what_is_there(clips, tmp_path):
    def samples(folder, seed):
        return soundfile.read(controlled_items("mmau", clips, "noise", folder, seed=seed, progress=False)[0].audio)[0]

    assert np.array_equal(samples(tmp_path / "a", 0), samples(tmp_path / "b", 0))
    assert not np.array_equal(samples(tmp_path / "a", 0), samples(tmp_path / "a", 1))


def test_silence_is_faint(clips, tmp_path):
    made = controlled_items("zero-shot", clips, "silence", tmp_path, progress=False)
    assert 0 < np.abs(soundfile.read(made[1].audio)[0]).max() < 2e-4


def test_swapped_items_hear_a_clip_of_another_truth():
    truths = [{"label": "rain" if i < 8 else "a dog"} for i in range(10)]
    items = [Item(str(i), f"{i // 2}.wav", truth) for i, truth in enumerate(truths)]
    by_audio = {item.audio: truth_of(item) for item in items}
    for item in swapped(items, seed=1):
        assert by_audio[item.audio] != truth_of(item)
    pairs = [Item(str(i), (f"{i}a.wav", f"{i}b.wav"), {"answer": f"answer {i}"}) for i in range(4)]
    for item, other in zip(pairs, swapped(pairs, seed=0), strict=True):
        assert isinstance(other.audio, tuple) and other.audio != item.audio
    assert swapped(items, 1) == swapped(items, 1)


def test_what_cannot_be_controlled_is_refused(tmp_path):
    items = [Item(str(i), f"{i}.wav", {"label": "rain"}) for i in range(3)]
    with pytest.raises(ValueError, match="no other clip of another truth"):
        swapped(items, 0)
    with pytest.raises(ValueError, match="learns from the clips"):
        controlled_items("linear-probe", items, "noise", tmp_path)
    with pytest.raises(ValueError, match="expected one of noise, silence, swapped"):
        controlled_items("zero-shot", items, "hum", tmp_path)


def test_no_figure_of_a_paper_stands_beside_a_control():
    settings = {"model": "clap", "templates": ["this is the sound of {}"]}
    made = {"task": "zero-shot", "dataset": "esc50", "metrics": {"accuracy": 0.9}, "split": "all folds"}
    assert reported(EvaluationResult(**made, settings=settings))
    assert not reported(EvaluationResult(**made, settings={**settings, "control": "noise"}))


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """Questions with choices about six clips, and a tiny Mellow."""
    place = tmp_path_factory.mktemp("asked")
    choices = ["rain", "a dog", "an engine"]
    rows = [{"question": "what is it?", "choices": json.dumps(choices), "answer": choices[i % 3]} for i in range(6)]
    return write_clips(place / "clips", rows), save_model("mellow", place / "speaker")


def test_evaluate_says_that_it_is_a_control_and_goes_on_with_no_other_run(asked, tmp_path):
    data, model = asked
    words = ["evaluate", "--task", "question-answering", "--dataset", "folder", "--data-dir", data, "--model", model]
    shown = run_command(*words, "--output", tmp_path, "--control", "noise", "--draws", 20).stdout
    assert "a control: the model hears Gaussian noise" in shown
    assert json.loads((tmp_path / "result.json").read_text())["settings"]["control"] == "noise"
    assert "other settings (control)" in run_command(*words, "--output", tmp_path, code=2).output


def test_the_experiment_has_a_paired_difference_for_each_control(asked, tmp_path):
    pytest.importorskip("matplotlib")
    data, model = asked
    words = ["experiment", "control", "--task", "question-answering", "--dataset", f"folder={data}", "--model", model]
    run_command(*words, "--output", tmp_path, "--bootstrap", 20)
    rows = list(csv.DictReader((tmp_path / "control.csv").open()))
    accuracy = {row["heard"]: row for row in rows if row["metric"] == "accuracy"}
    assert set(accuracy) == {"own", "noise", "silence", "swapped"}
    for heard in ("noise", "silence", "swapped"):
        change = 100 * (float(accuracy[heard]["value"]) - float(accuracy["own"]["value"]))
        assert float(accuracy[heard]["change"]) == pytest.approx(change)
        assert float(accuracy[heard]["change_low"]) <= change + 1e-9
    assert (tmp_path / "control.png").stat().st_size > 5000
    own = json.loads((tmp_path / "runs" / "own" / "result.json").read_text())
    assert own["metrics"]["accuracy"] == pytest.approx(float(accuracy["own"]["value"]))
    assert (
        "learns from the clips"
        in run_command(
            "experiment", "control", "--task", "fine-tune", "--dataset", f"folder={data}", "--output", tmp_path, code=2
        ).output
    )
