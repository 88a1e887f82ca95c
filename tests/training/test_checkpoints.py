"""Runs killed at any moment go on by themselves and end with the same bits; half checkpoints are never used."""

import json
import random
import shutil
import time

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import make_trainer, train
from two_processes import processes

from afm_hf.training.checkpoints import MARKER, mark_complete, newest_complete_checkpoint, why_incomplete

pytest.importorskip("accelerate")


def attempt(folder, event_number=None, seconds=None):
    """Trains in a process, which is killed after some seconds or dies at a write; whether it ended by itself."""
    process = processes().Process(target=train, args=(str(folder), event_number))
    process.start()
    process.join(seconds if seconds is not None else 120)
    is_done = process.exitcode == 0
    process.kill()
    process.join()
    return is_done


def result(folder):
    """Weights of all checkpoints and of the end, and the losses."""
    weights = {path.relative_to(folder): load_file(path) for path in folder.rglob("model.safetensors")}
    return weights, json.loads((folder / "done").read_text().splitlines()[1])


def assert_same(found, expected):
    (weights, losses), (expected_weights, expected_losses) = found, expected
    assert weights.keys() == expected_weights.keys() and losses == pytest.approx(expected_losses, rel=1e-4)
    for name, tensors in weights.items():
        for key, value in tensors.items():
            expected = expected_weights[name][key]
            assert torch.allclose(value, expected, atol=1e-6, rtol=1e-4), f"{key} of {name}"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Folder of a run that nobody disturbs, and how long the process took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    attempt(tmp_path_factory.mktemp("warm"), event_number=1)  # the server imports
    start = time.monotonic()
    assert attempt(folder)
    return folder, time.monotonic() - start


def end_by_itself(folder, event_numbers=(), seconds=()):
    """Kills as often as it is told, then lets the run end; how many kills there were."""
    kills = 0
    for event_number in event_numbers:
        kills += not attempt(folder, event_number=event_number)
    for pause in seconds:
        kills += not attempt(folder, seconds=pause)
    assert attempt(folder)
    return kills


def test_a_run_killed_at_random_writes_ends_with_the_same_bits(undisturbed, tmp_path):
    folder, _ = undisturbed
    events = int((folder / "done").read_text().split()[0])
    generator = random.Random(1)
    assert end_by_itself(tmp_path, [generator.randrange(1, events // 2) for _ in range(3)]) == 3
    assert_same(result(tmp_path), result(folder))


@pytest.mark.slow
def test_a_run_killed_twenty_times_ends_with_the_same_bits(undisturbed, tmp_path):
    folder, duration = undisturbed
    generator = random.Random(2)
    kills = end_by_itself(tmp_path, seconds=[generator.uniform(0.2, 0.7) * duration for _ in range(20)])
    assert_same(result(tmp_path), result(folder))
    print(f"{kills} of 20 kills came before the end")


@pytest.mark.slow
def test_a_run_killed_at_any_write_ends_with_the_same_bits(undisturbed, tmp_path):
    folder, _ = undisturbed
    events = int((folder / "done").read_text().split()[0])
    for event_number in sorted({*range(1, events + 1, 3), *range(events - 8, events + 1)}):
        run = tmp_path / str(event_number)
        run.mkdir()
        assert end_by_itself(run, [event_number]) == 1, event_number
        assert_same(result(run), result(folder))
        shutil.rmtree(run)


def test_a_finished_run_is_not_trained_any_further_and_finishes_deleting(undisturbed, tmp_path):
    run = shutil.copytree(undisturbed[0], tmp_path / "run")
    shutil.copytree(run / "checkpoint-10", run / "checkpoint-6")  # as if killed before its last deletions
    (shutil.copytree(run / "checkpoint-10", run / "checkpoint-8") / MARKER).unlink()
    assert attempt(run)
    assert_same(result(run), result(undisturbed[0]))


def test_the_limit_keeps_the_newest_and_all_that_stay_are_complete(undisturbed):
    folder, _ = undisturbed
    assert sorted(path.name for path in folder.glob("checkpoint-*")) == ["checkpoint-10", "checkpoint-12"]
    assert all(why_incomplete(path) is None for path in folder.glob("checkpoint-*"))
    assert newest_complete_checkpoint(folder) == str(folder / "checkpoint-12")


def test_the_best_checkpoint_is_kept_beyond_the_limit(tmp_path):
    trainer = make_trainer(
        tmp_path, eval_strategy="steps", eval_steps=2, metric_for_best_model="audio_to_text_recall@1", max_steps=8,
        save_total_limit=1, load_best_model_at_end=True,
    )  # fmt: skip
    scores = iter([0.1, 0.9, 0.2, 0.3])
    trainer.compute_metrics = lambda _: {"audio_to_text_recall@1": next(scores)}
    trainer.train()
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-4", "checkpoint-8"]


@pytest.fixture
def run(undisturbed, tmp_path):
    return shutil.copytree(undisturbed[0], tmp_path / "run")


def names_of(checkpoint):
    return sorted(path.name for path in checkpoint.iterdir())


def test_a_checkpoint_with_any_file_missing_cut_or_changed_is_not_used(run, caplog):
    newest = run / "checkpoint-12"
    for name in names_of(newest):
        path, whole = newest / name, (newest / name).read_bytes()
        for damage in (None, whole[: len(whole) // 2], b"?" + whole[1:]):
            path.unlink()
            if damage is not None:
                path.write_bytes(damage)
            caplog.clear()
            assert newest_complete_checkpoint(run) == str(run / "checkpoint-10"), name
            assert "checkpoint-12 is not used" in caplog.text and name in caplog.text
            path.write_bytes(whole)
    assert newest_complete_checkpoint(run) == str(newest)


def test_without_any_complete_checkpoint_the_run_begins_anew(run, caplog, tmp_path):
    for checkpoint in run.glob("checkpoint-*"):
        (checkpoint / MARKER).unlink()
    assert newest_complete_checkpoint(run) is None
    assert "checkpoint-10" in caplog.text and "checkpoint-12" in caplog.text
    assert newest_complete_checkpoint(tmp_path / "nothing here") is None


def test_steps_are_ordered_as_numbers(tmp_path):
    for step in (9, 100, 20):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "weights").write_text("x")
        mark_complete(folder)
    (tmp_path / "checkpoint-old").mkdir()
    assert newest_complete_checkpoint(tmp_path) == str(tmp_path / "checkpoint-100")


def test_markers_of_another_format_and_empty_folders_are_refused(run, tmp_path):
    marker = run / "checkpoint-12" / MARKER
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "format": 2}))
    assert "format 2" in why_incomplete(run / "checkpoint-12")
    for folder in (tmp_path / "none", tmp_path / "run" / "empty"):
        with pytest.raises(ValueError, match="no checkpoint"):
            mark_complete(folder)
