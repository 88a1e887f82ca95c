"""Every command of docs/reproducing.md, on the miniature of its official layout: what is asked, judged and printed."""

import re
import shlex
from pathlib import Path

import pytest

pytest.importorskip("datasets")

from asked_models import Listener, save_model
from commands import run_command
from official_layouts import MAKE
from shown_output import check_shown

import afm_hf.evaluation.tasks_by_name as tasks_by_name
from afm_hf.cli.experiments.app import COMMANDS as EXPERIMENTS
from afm_hf.evaluation.datasets import BENCHMARKS

PAGE = Path(__file__).parents[2] / "docs" / "reproducing.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", re.M | re.S)
MODELS = {
    "clap-2022": "clap", "clap-2023": "clap", "clapcap": "clapcap", "pengi": "pengi_no_text_enc", "mellow": "mellow",
    "adiff": "adiff",
}  # fmt: skip
ASKED = {  # where every item has a question of its own, some words of what must reach the model
    "mmau": "what is it? a) rain b) a cow",
    "clotho-aqa": "is it applause?",
    "entailment": "a sound is heard",
    "multiple-choice": "what is it? a) rain b) a cow",
    "difference": "explain the difference in detail",
    "retrieval": "o",  # of "one" and of "a dog."
    "entailment-probe": "it is loud",
}
METRICS = {
    ("zero-shot", "dcase17"): "F1", ("closed", "dcase17"): "F1", ("adaptation", "dcase17"): "F1",
    **{(task, name): "mAP" for task in ("zero-shot", "closed")
       for name in ("fsd50k", "audioset", "esc50-actions", "nsynth-qualities")},
}  # fmt: skip
UNCOUNTED = {"audiocaps", "clotho-aqa"}  # how many clips there should be depends on the list, and is not checked
MAIN = {
    "retrieval": "audio to text recall@1", "captioning": "spider", "clotho-aqa": "binary", "difference": "spider",
}  # fmt: skip


def commands():
    for block, shown in BLOCK.findall(PAGE.read_text()):
        lines = [line for line in block.splitlines() if line.startswith("afm-hf ") and " convert " not in line]
        for line in lines:
            words = shlex.split(line, comments=True)[1:]
            if words[0] in ("evaluate", "generalization", "experiment"):
                yield words, shown if len(lines) == 1 else ""


COMMANDS = [
    pytest.param(words, shown, id=f"{number}-{'-'.join(words[2:5:2])}")
    for number, (words, shown) in enumerate(commands())
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with tiny models of the official names."""
    root = tmp_path_factory.mktemp("place")
    for name, kind in MODELS.items():
        save_model(kind, root / name)
    return root


def layout(place, name, folder):
    if not (place / folder).exists():
        (place / folder).mkdir()
        MAKE[name](place / folder)


@pytest.mark.parametrize(("words", "shown"), COMMANDS)
def test_the_commands_run_on_the_miniature(place, words, shown, monkeypatch):
    if words[0] == "experiment":
        pytest.importorskip("matplotlib")
    monkeypatch.chdir(place)
    listeners = []

    def listening(*args, build=tasks_by_name.build_task, **kwargs):
        task = build(*args, **kwargs)
        listeners.append((task, Listener(task.pipe)))
        return task

    monkeypatch.setattr(tasks_by_name, "build_task", listening)
    if words[0] != "evaluate":
        for word in words:
            if "=" in word and word.partition("=")[0] in MAKE:
                layout(place, *word.split("="))
        more = ["--overwrite"] if words[0] == "experiment" else []
        check_shown(shown, run_command(*words, *more).stdout)
        return
    options = dict(zip(words[1::2], words[2::2], strict=True))
    task_name, name = options["--task"], options["--dataset"]
    layout(place, name, options["--data-dir"])
    printed = run_command(*words, "--overwrite").stdout
    check_shown(shown, printed)
    ((task, listener),) = listeners
    assert task.main_metric == METRICS.get((task_name, name), MAIN.get(task_name, "accuracy"))
    assert f"metric {task.main_metric}" in printed
    assert "reported" not in printed or name in UNCOUNTED, (
        "a miniature is a part, beside which no figure of a paper stands"
    )
    if task_name in ("linear-probe", "fine-tune"):
        assert not listener.said
    elif task.prompts:
        sentences = [task.prompt] if task_name == "closed" else task.prompts
        begins = tuple(sentence.partition("{}")[0].strip() for sentence in sentences)
        assert listener.said and all(text.startswith(begins) for text in listener.said)
        assert f'asked "{task.prompts[0]}"' in printed
    else:
        assert any(ASKED[task_name] in text.lower() for text in listener.said), listener.said[:5]


def test_the_page_has_every_experiment_that_runs_a_model():
    named = {words[1] for words, _ in commands() if words[0] == "experiment"}
    assert set(EXPERIMENTS) - named == {"rating-sheet", "rating-agreement"}  # these need people


def test_the_page_has_every_benchmark_of_the_zero_shot_table():
    named = {words[words.index("--dataset") + 1] for words, _ in commands() if "zero-shot" in words}
    fitting = {name for name, each in BENCHMARKS.items() if each.paper and "zero-shot" in each.tasks}
    assert fitting - named == {"nsynth-source"}
