"""A report shows every figure, and nothing that comes from data can become markup."""

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest
from commands import run_command

from afm_hf.evaluation.paper.reported import reported
from afm_hf.evaluation.report.blocks import escape_markdown
from afm_hf.evaluation.report.plots import Bar, bars, clean, curve, heatmap
from afm_hf.evaluation.report.writing import main_metric, read_results, write_report
from afm_hf.evaluation.runner import EvaluationResult

HOSTILE = '<script>alert("x")</script> | `a` ![b](http://c) \x00\u202e</svg>'


def result(**changes):
    about = {
        "task": "zero-shot",
        "dataset": "esc50",
        "metrics": {"accuracy": 0.5, "macro F1": 0.25},
        "intervals": {"accuracy": [0.4, 0.6]},
        "count": 8,
        "failures": {"esc50.csv:3": "no audio in it"},
        "details": {
            "labels": ["dog", "rain"],
            "confusion": [[3, 1], [2, 2]],
            "per_class": {"dog": {"f1": 0.6, "support": 4}, "rain": {"f1": 0.4, "support": 4}},
            "by_group": {"fold": {"1": {"accuracy": 0.75}, "2": {"accuracy": 0.125}}},
            "examples": [{"id": "a", "said": "dog", "true": "rain"}],
            "baselines": {"trivial": {"accuracy": 0.375}},
            "curves": [{"title": "Entropy", "x": "step", "y": "nats", "lines": {"mean": [[0, 2.0], [1, 1.5]]}}],
        },
        "settings": {"model": "/home/someone/clap-small", "templates": ["this is a sound of {}"]},
    }
    return EvaluationResult(**{**about, **changes})


def test_everything_is_shown(tmp_path):
    page = write_report([result()], tmp_path, title="What it hears")
    for text in (page.read_text(), (tmp_path / "report.md").read_text()):
        for shown in ("What it hears", "0.500", "0.400 – 0.600", "0.375", "0.250", "no audio in it", "this is a sound"):
            assert shown in text
        assert "CLAP 23: 0.939" in text  # the papers, of the same task and dataset
        assert "0.125" in text and "By fold" in text
        assert "clap-small" in text and "/home/someone" not in text  # folders are nobody's business


def test_the_page_needs_nothing_beside_it_and_markdown_finds_its_plots(tmp_path):
    page = write_report([result()], tmp_path).read_text()
    assert not re.search(r"<(script|link|iframe|img)\b|\b(src|href)=", page)
    assert page.count("<svg") == 5  # overview, papers, confusions, labels, curve
    linked = re.findall(r"\]\((report/[\w.-]+\.svg)\)", (tmp_path / "report.md").read_text())
    assert sorted(linked) == sorted(f"report/{path.name}" for path in (tmp_path / "report").iterdir())
    for name in linked:
        ElementTree.parse(tmp_path / name)


def test_a_second_report_leaves_no_plot_of_the_first(tmp_path):
    write_report([result(), result(task="retrieval")], tmp_path)
    write_report([result(details={})], tmp_path)
    assert [path.name for path in (tmp_path / "report").iterdir() if path.stem not in ("overview", "papers")] == []


def test_hostile_data_stays_text(tmp_path):
    details = {
        "labels": [HOSTILE, "rain"],
        "confusion": [[3, 1], [2, 2]],
        "per_class": {HOSTILE: {"f1": 0.6, "support": 4}},
        "by_group": {HOSTILE: {HOSTILE: {HOSTILE: 0.5}}},
        "examples": [{HOSTILE: HOSTILE}],
        "left_out": {HOSTILE: HOSTILE},
        "baselines": {HOSTILE: {"accuracy": 0.1}},
        "curves": [{"title": HOSTILE, "x": HOSTILE, "y": HOSTILE, "lines": {HOSTILE: [[0, 1]]}}],
        "note": HOSTILE,
        "command": HOSTILE,
    }
    hostile = result(dataset=HOSTILE, failures={HOSTILE: HOSTILE}, details=details, settings={HOSTILE: HOSTILE})
    page = write_report([hostile], tmp_path, title=HOSTILE, introduction=HOSTILE).read_text()
    text = re.sub(r"```text\n.*?\n```", "", (tmp_path / "report.md").read_text(), flags=re.S)  # shown to the letter
    for made in (page, text):
        assert "<script" not in made and "\x00" not in made and "\u202e" not in made
    assert "![b]" not in text and "http://" not in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in tables if "examples" not in line}
    assert all(width >= 2 for width in widths)
    for plot in (tmp_path / "report").iterdir():
        ElementTree.parse(plot)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a|b", r"a\|b"), ("# no title", r"\# no title"), ("1. no list", r"1\. no list"), ("0.5", "0.5"), ("a\nb", "a b")],
)
def test_markdown_is_escaped_where_it_must_be(text, shown):
    assert escape_markdown(text) == shown


def test_figures_that_are_no_numbers_are_dashes(tmp_path):
    page = write_report([result(metrics={"accuracy": float("nan")}, intervals={}, details={})], tmp_path).read_text()
    assert "nan" not in page.lower().replace("finance", "")


def test_details_without_figures_are_left_out(tmp_path):
    nothing = {
        "labels": ["a"],
        "confusion": [],
        "per_class": {"a": {"f1": float("nan"), "support": 1}},
        "by_group": {"tier": {}},
        "curves": [{"title": "x"}, {"lines": {"a": []}}],
        "examples": ["no row"],
        "baselines": None,
    }
    page = write_report([result(details=nothing, dataset="mine")], tmp_path).read_text()
    assert page.count("<svg") == 1


def test_the_main_metric_is_named_or_guessed():
    assert main_metric(result()) == "accuracy"
    assert main_metric(result(details={"main_metric": "macro F1"})) == "macro F1"
    assert main_metric(result(metrics={"bleu_1": 0.1, "spider": 0.2})) == "spider"


def test_only_what_papers_report_is_compared():
    assert {"CLAP 22", "CLAP 23"} <= {each.figure.system for each in reported(result())["accuracy"]}
    assert reported(result(dataset="folder")) == {}
    assert reported(result(dataset="my own")) == {}


def test_results_are_found_in_folders_of_runs(tmp_path):
    for name in ("b", "a/control", "a"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "result.json").write_text(result(task=name).to_json())
    assert [each.task for each in read_results([tmp_path])] == ["a", "b"]  # what lies inside of a run belongs to it
    assert read_results([tmp_path / "a"])[0].to_dict() == result(task="a").to_dict()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no result\.json in .*empty"):
        read_results([tmp_path / "empty"])


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"task": "a"}',
        '{"task": "a", "dataset": "b", "metrics": [1]}',
        '{"task": "a", "dataset": "b", "metrics": {"accuracy": "0.9"}}',
        '{"task": "a", "dataset": "b", "metrics": {"accuracy": 0.9}, "intervals": {"accuracy": [0.1]}}',
    ],
)
def test_a_file_that_is_no_result_is_named(tmp_path, content):
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(ValueError, match=r"result\.json"):
        read_results([tmp_path])


def test_plots_refuse_what_they_cannot_draw():
    with pytest.raises(ValueError, match="no row"):
        bars([Bar("a", float("nan"))], "title")
    with pytest.raises(ValueError, match="2 labels"):
        heatmap(["a", "b"], [[1]], "title")
    with pytest.raises(ValueError, match="no points"):
        curve({"a": []}, "title")
    for svg in (bars([Bar("below", -0.2, (-0.4, 0.1)), Bar("above", 3.0)], "t"), curve({"a": [(1, 2)]}, "t")):
        ElementTree.fromstring(svg)
    assert clean("a\tb\n\x1bc\ud800") == "a b \ufffdc\ufffd"


def test_the_command_reports_runs(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "result.json").write_text(json.dumps(result().to_dict()))
    said = run_command("report", tmp_path / "run", "--output", tmp_path / "out", "--title", "Mine")
    assert "1 result in" in said.output
    assert "<h1>Mine</h1>" in (tmp_path / "out" / "report.html").read_text()
    assert "no result.json" in run_command("report", tmp_path / "out", "--output", tmp_path / "x", code=2).output


def dated(when, value, **changes):
    about = {"metrics": {"accuracy": value}, "details": {"made": {"when": when, "afm_hf": "0.9"}}}
    return result(**{**about, "intervals": {}, **changes})


def test_runs_of_one_kind_stand_in_the_order_in_which_they_were_made(tmp_path):
    later, first = dated("2026-03-01T10:00:00+00:00", 0.625), dated("2026-02-01T10:00:00+00:00", 0.5)
    text = (write_report([later, first], tmp_path).parent / "report.md").read_text()
    part = text.partition("## Over time")[2].partition("\n## ")[0]
    assert part.index("2026-02-01") < part.index("2026-03-01") and "+0.125" in part
    assert "report/over-time-1.svg" in part


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": "urbansound8k"},
        {"split": "development"},
        {"partial": ["the first 10 of 2000 rows"]},
        {"settings": {"model": "clap-small", "control": "noise"}},
        {"metrics": {"mAP": 0.625}},
    ],
)
def test_runs_of_another_kind_are_not_compared(changes, tmp_path):
    one, other = dated("2026-02-01T10:00:00+00:00", 0.5), dated("2026-03-01T10:00:00+00:00", 0.625, **changes)
    assert "Over time" not in write_report([one, other], tmp_path).read_text()


def test_runs_say_when_they_were_made_and_results_are_the_same_nevertheless(tmp_path):
    from afm_hf.evaluation.runner import write_result

    write_result(result(), tmp_path)
    (found,) = read_results([tmp_path])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", found.details["made"]["when"])
    assert json.loads((tmp_path / "result.json").read_text()) == result().to_dict()
