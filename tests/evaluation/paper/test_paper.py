"""Reported numbers: the data are sound, are found by name, compare with measured ones, and the docs show them."""

import csv
import dataclasses
import io
import json
import re
import runpy
import statistics
from importlib.resources import files
from pathlib import Path

import pytest
from typer.testing import CliRunner

from afm_hf.cli.app import app
from afm_hf.evaluation.paper import tables as paper_tables
from afm_hf.evaluation.paper.figures import PaperFigure, difference, find, load

ROOT = Path(__file__).parents[3]
DATA = json.loads((files("afm_hf.evaluation.paper") / "paper_results.json").read_text(encoding="utf-8"))
FIGURES = DATA["figures"]


def slug(text):
    return re.sub("[^a-z0-9]+", "-", text.lower().replace("'", " prime ")).strip("-")


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["paper", *arguments])
    assert result.exit_code == code, result.output
    return result


# -- the data ---------------------------------------------------------------------------------------------------------


def test_every_figure_has_all_fields_in_their_types():
    optional = {"variant", "size", "subset", "split"}
    for figure in FIGURES:
        assert set(figure) == {field.name for field in dataclasses.fields(PaperFigure)}, figure["id"]
        for name in set(figure) - {"value", "higher_is_better", "sources", "doubts"}:
            value = figure[name]
            assert (value is None and name in optional) or (value == value.strip() and value), (figure["id"], name)
        assert type(figure["value"]) is float and type(figure["higher_is_better"]) is bool, figure["id"]
        assert figure["sources"] and len(set(figure["sources"])) == len(figure["sources"]), figure["id"]


def test_values_lie_in_the_range_of_their_unit():
    for figure in load():
        assert figure.unit in ("fraction", "percent")
        assert difference(figure.value, figure, unit=figure.unit).difference == 0, figure.id
        if figure.unit == "percent":
            assert figure.value > 1, f"{figure.id}: a fraction among per cent?"


def test_ids_are_made_of_the_names_unique_and_sorted():
    ids = [figure["id"] for figure in FIGURES]
    assert ids == sorted(set(ids))
    for figure in FIGURES:
        names = ("system", "variant", "task", "dataset", "subset", "split", "metric")
        assert figure["id"] == "/".join(slug(figure[name]) for name in names if figure[name])


def test_one_name_is_spelt_one_way():
    for field in ("system", "task", "dataset", "metric"):
        names = {figure[field] for figure in FIGURES}
        assert len({slug(name).replace("-", "") for name in names}) == len(names), field


def test_all_sources_and_doubts_are_used_and_known():
    for group in ("sources", "doubts"):
        assert {key for figure in FIGURES for key in figure[group]} == set(DATA[group])


def test_a_metric_of_a_dataset_has_one_direction_and_a_table_one_unit():
    directions, units = {}, {}
    for figure in FIGURES:
        assert directions.setdefault(figure["metric"], figure["higher_is_better"]) is figure["higher_is_better"]
        for source in set(figure["sources"]) - {"clap23-tasks"}:  # which has one fine-tuned result in per cent
            assert units.setdefault(source, figure["unit"]) == figure["unit"], figure["id"]


def test_averages_of_mmau_are_the_means_or_say_that_they_are_not():
    averages = find(dataset="MMAU", subset="average")
    assert len(averages) == 15 * 2 + 14  # 15 systems on two splits, 14 ablations of Mellow on one
    for figure in averages:
        rows = find(system=figure.system, variant=figure.variant or "", dataset="MMAU", split=figure.split)
        parts = [row.value for row in rows if row.subset != "average"]
        assert len(parts) == 3
        agrees = abs(statistics.mean(parts) - figure.value) <= 0.0151  # two roundings and a cut digit
        assert agrees != any("is not the mean" in doubt for doubt in figure.doubts), figure.id


@pytest.mark.parametrize("variant", ["zero-shot baseline", "one audio", "five audio"])
def test_the_average_of_test_time_adaptation_is_the_mean_of_its_column(variant):
    rows = find(task="test-time-adaptation", variant=variant)
    (average,) = (row for row in rows if row.dataset == "Average")
    parts = [row.value for row in rows if row is not average]
    assert len(parts) == 12
    assert statistics.mean(parts) == pytest.approx(average.value, abs=0.0101)  # 62.938 is printed as 62.93


def test_the_average_of_clap_22_is_as_its_doubt_says():
    rows = [row for row in find(system="CLAP 22", task="zero-shot", variant="") if row.dataset != "Average"]
    assert len(rows) == 16
    (average,) = find(system="CLAP 22", task="zero-shot", variant="", dataset="Average")
    without = [row.value for row in rows if row.dataset != "GTZAN Music/Speech"]
    for mean in (statistics.mean(row.value for row in rows), statistics.mean(without)):
        assert f"{mean:.4f}" in average.doubts[0]


def test_recall_is_accuracy_where_classes_are_balanced():
    recalls = find(metric="macro recall")
    assert len(recalls) == 4
    for row in recalls:
        same = find(system=row.system, variant=row.variant, dataset=row.dataset, metric="accuracy")
        assert [other.value for other in same] == [row.value]


@pytest.mark.parametrize(
    ("names", "value"),
    [
        ({"system": "clap 22", "variant": "", "task": "zero-shot", "dataset": "fsd50k"}, 0.3024),
        ({"system": "clap2023", "task": "zero-shot", "dataset": "us8k"}, 0.823),
        ({"system": "pengi", "task": "closed-ended", "dataset": "nsynth", "subset": "pitch"}, 0.8676),
        ({"system": "mellow", "variant": "", "dataset": "mmau", "subset": "average", "split": "test"}, 52.11),
        ({"system": "mellow", "variant": "LoRA (8, 16)", "dataset": "ace"}, 84.15),
        ({"system": "qwen-ac", "dataset": "ace", "variant": "zero-shot", "metric": "macro f1"}, 0.4975),
        ({"system": "adiff", "variant": "", "dataset": "cld", "subset": "tier 3", "metric": "spider"}, 0.417),
        ({"system": "qwen-ac", "variant": "(f)", "dataset": "cld", "subset": "tier 2", "metric": "bleu4"}, 0.273),
        ({"dataset": "sesa", "variant": "one audio"}, 73.3),
        ({"system": "mace", "dataset": "clotho-eval", "subset": "all"}, 79.0),
        ({"system": "clapcap", "dataset": "audiocaps"}, 0.455),
    ],
)
def test_known_figures_are_found_by_loosely_written_names(names, value):
    (figure,) = find(**names)
    assert figure.value == value


# -- lookup and comparison --------------------------------------------------------------------------------------------


def test_an_unknown_name_is_told_with_the_like_of_it():
    with pytest.raises(ValueError, match=r"dataset 'esc-51'. Did you mean ESC-50\?"):
        find(dataset="esc-51")
    with pytest.raises(ValueError, match=r"system 'clap'. Did you mean CLAP 22, CLAP 23"):
        find(system="clap")
    assert find(dataset="esc-51", missing_ok=True) == []
    assert find(system="ADIFF", dataset="ESC-50") == []  # both known, not together


def test_a_difference_is_in_the_unit_of_the_reported_figure():
    (percent,) = find(system="mellow", variant="", dataset="mmau", subset="average", split="test")
    for compared in (difference(0.5, percent), difference(50.0, percent, unit="percent")):
        assert (compared.measured, compared.difference, compared.is_better) == (50.0, -2.11, False)
    (fraction,) = find(system="clap 23", task="zero-shot", dataset="esc50")
    for compared in (difference(0.95, fraction), difference(95, fraction, unit="percent")):
        assert (compared.measured, compared.difference, compared.is_better) == (0.95, 0.011, True)
    lower = dataclasses.replace(fraction, higher_is_better=False)
    assert not difference(0.95, lower).is_better
    assert str(difference(0.95, fraction)).endswith("reported 0.939 (CLAP 23), measured 0.95, difference +0.011")


def test_numbers_that_cannot_be_the_metric_are_refused():
    (accuracy,) = find(system="clap 23", task="zero-shot", dataset="esc50")
    with pytest.raises(ValueError, match=r"93\.9 is no accuracy: as a fraction it lies between 0 and 1\..*per cent"):
        difference(93.9, accuracy)
    for wrong in (float("nan"), -0.1, float("inf")):
        with pytest.raises(ValueError, match="is no accuracy"):
            difference(wrong, accuracy)
    with pytest.raises(ValueError, match="'fraction' or 'percent'"):
        difference(0.9, accuracy, unit="%")
    (spider,) = find(system="clapcap", dataset="clotho")
    assert difference(1.2, spider).is_better  # SPIDEr goes beyond 1


# -- tables -----------------------------------------------------------------------------------------------------------


def test_text_has_one_line_a_figure_with_its_source_and_its_doubts_below():
    figures = find(system="mellow", variant="", dataset="mmau")
    head, *lines = paper_tables.as_text(figures).splitlines()
    assert head.split() == ["system", "task", "dataset", "split", "metric", "value", "source", "notes"]  # no empty one
    cells = [re.split("  +", line) for line in lines[:8]]
    assert [cell[5] for cell in cells] == [figure.printed for figure in figures]
    below = dict(line.split(" ", 1) for line in lines[9:])
    for cell, figure in zip(cells, figures, strict=True):
        assert [below[f"({letter})"] for letter in cell[6].split(",")] == [source.where for source in figure.sources]
        assert {below[f"({number})"] for number in cell[7].split(",")} == set(figure.doubts)


def test_markdown_has_each_figure_of_each_of_its_tables_in_one_cell():
    text = paper_tables.as_markdown(load())
    cells = [cell for line in text.splitlines() if line.startswith("| ") for cell in line.strip("| ").split(" | ")[1:]]
    values = [float(re.sub("<sup>.*", "", cell)) for cell in cells if re.match(r"\d[\d.]*(<sup>[\d,]+</sup>)?$", cell)]
    assert sorted(values) == sorted(figure.value for figure in load() for _ in figure.sources)


def test_json_and_csv_give_the_figures_back():
    figures = find(task="caption-metric")
    assert [row["id"] for row in json.loads(paper_tables.as_json(figures))] == [figure.id for figure in figures]
    assert [json.loads(line) for line in paper_tables.as_jsonl(figures).splitlines()] == [
        figure.to_row() for figure in figures
    ]
    rows = list(csv.DictReader(io.StringIO(paper_tables.as_csv(figures))))
    assert [(row["id"], float(row["value"])) for row in rows] == [(figure.id, figure.value) for figure in figures]


def test_the_page_of_the_docs_is_made_of_the_data():
    page = runpy.run_path(str(ROOT / "examples" / "paper_results_page.py"))["page"]()
    shown = (ROOT / "docs" / "paper_results.md").read_text(encoding="utf-8")
    assert shown == page, "run `python examples/paper_results_page.py`"


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_command_prints_what_fits():
    rows = json.loads(run("clap 23", "--task", "zero-shot", "--dataset", "esc50", "--format", "json").stdout)
    assert [row["value"] for row in rows] == [0.939]
    assert "0.939" in run("clap 23", "--dataset", "esc50", "--metric", "accuracy").stdout
    assert run("--format", "jsonl").stdout.count("\n") == len(load())
    assert "## CLAP 23" in run("clap 23", "--format", "markdown").stdout
    assert run("mace", "--format", "csv").stdout.startswith("id,system,")


def test_the_command_says_what_it_does_not_know():
    assert "Did you mean" in run("clap", code=2).stderr
    assert "Leave one out" in run("adiff", "--dataset", "esc50", code=2).stderr
