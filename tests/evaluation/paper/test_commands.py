"""Every reported figure has a command that stands beside it, or a reason why there is none; none is of another."""

import shlex
from collections import Counter
from functools import cache

import click
import pytest
import typer
from commands import run_command

from afm_hf.cli.app import app
from afm_hf.evaluation.benchmark import split_in_papers
from afm_hf.evaluation.datasets import BENCHMARKS
from afm_hf.evaluation.paper.commands import OWN_TRAINING, TRAINED, benchmark_of, way_to
from afm_hf.evaluation.paper.figures import find, load
from afm_hf.evaluation.paper.reported import reported
from afm_hf.evaluation.runner import EvaluationResult

BOTH_WAYS = [f"{way} {name}" for way in ("audio to text", "text to audio") for name in ("recall@1", "map@10")]
SAID = ["bleu_4", "meteor", "spice", "spider"]
MACRO = ["macro F1", "macro precision", "macro recall"]
METRICS = {  # what the tasks compute, as far as the papers have it
    "zero-shot": ["accuracy", "mAP", "F1"],
    "closed": ["accuracy", "mAP", "F1"],
    "adaptation": ["accuracy", "F1", "before"],
    "linear-probe": ["accuracy", "mAP"],
    "fine-tune": ["accuracy", "mAP"],
    "retrieval": BOTH_WAYS,
    "captioning": SAID,
    "difference": [f"tier {tier} {name}" for tier in (1, 2, 3) for name in SAID],
    "entailment": ["accuracy", "accuracy, published", *MACRO],
    "entailment-probe": ["accuracy", *MACRO],
    "mmau": [name + end for name in ("sound", "music", "speech") for end in ("", ", letter")] + ["accuracy", "letter"],
    "clotho-aqa": ["binary", "binary, published"],
}
OLD = {"version": "2025-03-25 (784d794ee9fc)"}  # of MMAU, as the papers had it


GROUP = typer.main.get_command(app)


@cache
def options_of(command):
    """The options of a command, and that it can be read."""
    words, group = shlex.split(command), GROUP
    with click.Context(group) as context:
        group.get_command(context, words[0]).make_context(words[0], words[1:])
    return dict(zip(words[1::2], words[2::2], strict=True))


def result_of(options, metric, **changes):
    """A whole result of a command."""
    name, task = options["--dataset"], options["--task"]
    benchmark = BENCHMARKS[name]
    settings = {"clips": int(options.get("--adapt-clips", 0)), "templates": [options.get("--template", "this is {}")]}
    settings["premise"] = "both" if "--captioner" in options else "audio"
    main = benchmark.main_metric if task == "adaptation" and benchmark.multi_label else "accuracy"
    split = split_in_papers(benchmark, task, None)
    made = {"main_metric": main, "split": split, "settings": settings, "details": OLD, **changes}
    return EvaluationResult(task=task, dataset=name, metrics={metric: 0.5}, **made)


def test_every_figure_has_a_command_or_a_reason():
    for figure in load():
        way = way_to(figure)
        assert way.command or way.note, figure.id
        if way.command:
            options = options_of(way.command)
            assert options["--task"] in BENCHMARKS[options["--dataset"]].tasks, figure.id
            assert options["--dataset"] == benchmark_of(figure)


def test_every_figure_of_a_released_form_stands_beside_the_metric_of_its_command():
    count = 0
    for figure in load():
        way = way_to(figure)
        if not way.command or way.note.startswith(OWN_TRAINING.partition("{")[0]):
            continue
        options = options_of(way.command)
        beside = [
            metric
            for metric in METRICS[options["--task"]]
            for each in reported(result_of(options, metric)).get(metric, [])
            if each.figure.id == figure.id
        ]
        assert len(beside) == 1, (figure.id, beside)
        count += 1
    assert count > 150


def test_reasons_are_few_kinds():
    reasons = Counter(way_to(figure).note for figure in load() if not way_to(figure).command)
    kinds = Counter("others' model" if "others' model" in reason else reason for reason in reasons)
    assert len(kinds) <= 12 and {row.system for row in load() if row.variant in TRAINED} == {"CLAP 22"}


def test_no_figure_stands_beside_another_metric_or_split():
    def beside(task, dataset, metric, **changes):
        made = {"main_metric": "accuracy", "details": OLD, **changes}
        return reported(EvaluationResult(task=task, dataset=dataset, metrics={metric: 0.5}, **made)).get(metric, [])

    assert beside("zero-shot", "dcase17", "F1") and not beside("zero-shot", "dcase17", "mAP")
    assert beside("zero-shot", "esc50-actions", "mAP") and not beside("zero-shot", "esc50-actions", "accuracy")
    assert not beside("closed", "esc50", "accuracy by likelihood")
    assert beside("zero-shot", "fsd50k", "mAP", split="test") and not beside("zero-shot", "fsd50k", "mAP", split="dev")
    assert not beside("linear-probe", "tut2017", "accuracy", split="development")
    assert not beside("zero-shot", "esc50", "accuracy", partial=["the first 3 of 2000 rows"])
    mini = {row.figure.system for row in beside("mmau", "mmau", "accuracy", split="test-mini")}
    assert "Qwen2-Audio" in mini and "Mellow" not in mini
    assert [row.figure.value for row in beside("mmau", "mmau", "letter", split="test-mini")] == [48.4]
    assert not beside("mmau", "mmau", "letter", split="test-mini", details={"version": "2025-08-09 (60d07d56bfdb)"})
    assert not beside("mmau", "mmau", "letter", split="test-mini", details={"version": "unknown (1234)"})
    assert {row.figure.system for row in beside("entailment", "cle", "accuracy, published")} == {"Mellow"}
    assert "Mellow" not in {row.figure.system for row in beside("entailment", "cle", "accuracy")}
    assert not beside("adaptation", "esc50", "accuracy", settings={"clips": 3})
    assert [row.figure.variant for row in beside("adaptation", "esc50", "accuracy", settings={"clips": 5})] == [
        "five audio"
    ]


def test_the_command_says_how(capsys):
    printed = run_command("paper", "clap 23", "--task", "test-time-adaptation", "--dataset", "sesa", "--how").stdout
    assert (
        "afm-hf evaluate --task adaptation --dataset sesa --data-dir FOLDER --model clap-2023 --adapt-clips 5"
        in printed
    )
    assert "no command  (it is the rate of guessing" in run_command("paper", "random", "--how").stdout


def test_figures_of_no_benchmark_are_told():
    (row,) = find(system="CLAP 22", task="zero-shot", variant="", dataset="Average")
    with pytest.raises(ValueError, match="There is no benchmark for clap-22/zero-shot/average"):
        benchmark_of(row)
