"""Every data set of labels or captions, in miniature, from its official files to figures."""

import pytest

pytest.importorskip("datasets")

from official_layouts import MAKE
from tiny_models import tiny_clap
from transformers import pipeline

from afm_hf.evaluation.datasets import BENCHMARKS
from afm_hf.evaluation.runner import run
from afm_hf.evaluation.tasks_by_name import RECIPES, items_for

OWN = {"folder", "label-folders"}  # test_tasks_by_name.py
METRICS = {  # of zero-shot classification, as the papers have them; accuracy for the others
    **{"dcase17": "F1", "esc50-actions": "mAP", "fsd50k": "mAP", "audioset": "mAP", "nsynth-qualities": "mAP"},
}
PROBED = {"fsd50k": "mAP", "audioset": "mAP", "nsynth-qualities": "mAP"}  # accuracy for the others, DCASE 2017 too


@pytest.fixture(scope="module")
def clap(tmp_path_factory):
    folder = tiny_clap(tmp_path_factory.mktemp("model") / "clap")
    return pipeline("zero-shot-audio-classification", model=str(folder))


def test_every_benchmark_is_here():
    assert MAKE.keys() | OWN == BENCHMARKS.keys()


@pytest.mark.parametrize(
    ("name", "task"),
    [(n, t) for n in MAKE for t in ("zero-shot", "linear-probe", "retrieval") if t in BENCHMARKS[n].tasks],
)
def test_official_files_become_figures(clap, tmp_path, name, task):
    data = tmp_path / "data"
    data.mkdir()
    MAKE[name](data)
    items, benchmark, report = items_for(task, name, str(data))
    assert report.skipped == 0
    made = RECIPES[task].make(clap, items, benchmark, str(data), {})
    result = run(made, items, tmp_path / "run", dataset=name, progress=False, draws=10)
    assert result.count == len(items) >= 2 and not result.failures
    assert 0 <= result.metrics[made.main_metric] <= 1
    wanted = {"zero-shot": METRICS, "linear-probe": PROBED, "retrieval": {name: "audio to text recall@1"}}[task]
    assert made.main_metric == wanted.get(name, "accuracy")
