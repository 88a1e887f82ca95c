"""The runner: nothing is lost, nothing is done twice, and the figures do not depend on how often it was stopped."""

import json

import numpy as np
import pytest
from small_disks import FullDisk

from afm_hf.evaluation import runner
from afm_hf.evaluation.runner import read_predictions, run, score
from afm_hf.evaluation.task import Failure, Item, Task, items_of
from afm_hf.models.common.writing_afm import WriteError


class Parity(Task):
    """Says whether a number is even, as one may; counts how often it is asked."""

    name = "parity"
    main_metric = "accuracy"

    def __init__(self, stop_after=None, bad=(), version=1):
        self.asked, self.stop_after, self.bad, self.version = [], stop_after, bad, version

    @property
    def settings(self):
        return {"model": "counter", "version": self.version}

    def predict(self, items):
        for item in items:
            if self.stop_after is not None and len(self.asked) == self.stop_after:
                raise KeyboardInterrupt
            self.asked.append(item.id)
            yield Failure("no audio") if item.id in self.bad else {"even": int(item.id) % 3 != 0}

    def score(self, records):
        return {"accuracy": float(np.mean([r.prediction["even"] == r.item.truth["even"] for r in records]))}


ITEMS = [Item(str(i), f"{i}.wav", {"even": i % 2 == 0}) for i in range(20)]
ACCURACY = float(np.mean([(i % 3 != 0) == (i % 2 == 0) for i in range(20)]))


def run_here(task, folder, **kwargs):
    return run(task, ITEMS, folder, dataset="numbers", progress=False, draws=50, **kwargs)


def test_result_is_written_and_says_what_made_it(tmp_path):
    result = run_here(Parity(), tmp_path)
    assert result.metrics == {"accuracy": ACCURACY}
    low, high = result.intervals["accuracy"]
    assert low <= ACCURACY <= high
    assert result.settings["version"] == 1 and result.settings["seed"] == 0
    assert json.loads((tmp_path / "result.json").read_text()) == result.to_dict()


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_here(Parity(stop_after=7), tmp_path)
    again = Parity()
    result = run_here(again, tmp_path)
    assert again.asked == [item.id for item in ITEMS[7:]]
    assert result.to_dict() == run_here(Parity(), tmp_path / "whole").to_dict()


def test_a_line_that_was_cut_off_is_predicted_again(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_here(Parity(stop_after=7), tmp_path)
    (file,) = tmp_path.glob("predictions-*.jsonl")
    file.write_bytes(file.read_bytes()[:-9])
    again = Parity()
    assert run_here(again, tmp_path).metrics == {"accuracy": ACCURACY}
    assert again.asked[0] == "6" and len(again.asked) == 14
    assert len(read_predictions(tmp_path)) == 20


class Caption(Parity):
    """Answers in words that JSON writes as they are."""

    def predict(self, items):
        for item, outcome in zip(items, super().predict(items), strict=True):
            yield {**outcome, "text": f"Käuzchen{item.id}\u2028ruft\x85"}


def test_words_of_any_letters_survive_a_cut_at_any_byte(tmp_path):
    run_here(Caption(), tmp_path)
    (file,) = tmp_path.glob("predictions-*.jsonl")
    assert len(read_predictions(tmp_path)) == 20
    whole = file.read_bytes()
    last = whole[:-1].rindex(b"\n") + 1
    for cut in range(last, len(whole)):
        file.write_bytes(whole[:cut])
        again = Caption()
        assert run_here(again, tmp_path).count == 20
        assert again.asked == ["19"] and file.read_bytes() == whole


def test_settings_that_were_never_written_do_not_stop_the_next_run(tmp_path):
    (tmp_path / "settings.json").write_text("")  # of a disk that was full, in an earlier release
    assert run_here(Parity(), tmp_path).count == 20
    for left in ("", '{"task": "par', None):
        (tmp_path / "settings.json").unlink()
        if left is not None:
            (tmp_path / "settings.json").write_text(left)
        with pytest.raises(ValueError, match=r"no settings.json that says what made them.*--overwrite"):
            run_here(Parity(), tmp_path)
    assert run_here(Parity(version=2), tmp_path, overwrite=True).settings["version"] == 2


def test_a_run_started_anew_leaves_no_result_of_the_old_one(tmp_path):
    run_here(Parity(), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run_here(Parity(version=2, stop_after=7), tmp_path, overwrite=True)
    assert not (tmp_path / "result.json").exists()


@pytest.mark.parametrize("after", range(6))
def test_a_full_disk_stops_a_run_with_one_sentence_and_the_next_goes_on(tmp_path, monkeypatch, after):
    whole = run_here(Parity(), tmp_path / "whole")
    full = FullDisk(monkeypatch, after=after)
    with pytest.raises(WriteError, match=r"(evaluation|predictions) cannot be written to .*(another disk|goes on)"):
        run_here(Parity(), tmp_path / "run")
    full.room()
    again = Parity()
    assert run_here(again, tmp_path / "run").to_dict() == whole.to_dict()
    assert len(again.asked) == 20 - max(0, after - 2)  # the first two writes are a try, and the settings


def test_a_result_that_found_no_room_is_written_later_without_asking_again(tmp_path, monkeypatch):
    full = FullDisk(monkeypatch, after=22)
    with pytest.raises(WriteError, match="The result cannot be written"):
        run_here(Parity(), tmp_path)
    full.room()
    again = Parity()
    assert run_here(again, tmp_path).count == 20 and not again.asked


def test_processes_share_the_items_and_give_the_same_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "_wait", lambda processes: None)
    asked = []
    for rank in (0, 1, 0):  # at last the first again, which would have waited
        monkeypatch.setattr(runner, "_place", lambda rank=rank: (rank, 2))
        task = Parity()
        result = run_here(task, tmp_path / "two")
        assert (result is None) == (rank == 1)
        asked.append(task.asked)
    assert asked == [[item.id for item in ITEMS[0::2]], [item.id for item in ITEMS[1::2]], []]
    monkeypatch.setattr(runner, "_place", lambda: (0, 1))
    assert result.to_dict() == run_here(Parity(), tmp_path / "one").to_dict()


def test_failures_are_named_and_in_no_figure(tmp_path):
    result = run_here(Parity(bad=("3", "4")), tmp_path)
    assert result.failures == {"3": "no audio", "4": "no audio"}
    assert result.count == 18
    again = Parity()
    run_here(again, tmp_path)
    assert not again.asked  # they are not tried again


def test_another_models_folder_is_not_mixed_up(tmp_path):
    run_here(Parity(), tmp_path)
    with pytest.raises(ValueError, match="version was 1, now it is 2"):
        run_here(Parity(version=2), tmp_path)
    with pytest.raises(ValueError, match="items"):
        run(Parity(), ITEMS[:5], tmp_path, dataset="numbers", progress=False)
    task = Parity(version=2)
    assert run_here(task, tmp_path, overwrite=True).count == 20
    assert len(task.asked) == 20


def test_nothing_to_do_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no items"):
        run(Parity(), [], tmp_path)
    with pytest.raises(ValueError, match="None of the 20 items"):
        run_here(Parity(bad=[item.id for item in ITEMS]), tmp_path)


def test_score_needs_no_folder():
    predictions = {item.id: {"even": item.truth["even"]} for item in ITEMS}
    assert score(Parity(), ITEMS, predictions, draws=0).metrics == {"accuracy": 1.0}


def test_items_of_rows():
    rows = [
        {"audio": {"path": "a.wav", "bytes": None}, "label": "x", "source": "f.csv:2"},
        {"audio": "b.wav", "audio2": "c.wav", "prompt": "p", "source": "f.csv:3"},
        {"audio": "b.wav", "audio2": None, "prompt": "q", "source": "f.csv:3"},
    ]
    first, second, third = items_of(rows)
    assert first == Item("f.csv:2", "a.wav", {"label": "x"})
    assert second.audio == ("b.wav", "c.wav")
    assert third.audio == "b.wav" and third.id != second.id
    assert len(items_of(rows, limit=1)) == 1
    with pytest.raises(ValueError, match="no 'audio'"):
        items_of([{"label": "x"}])
