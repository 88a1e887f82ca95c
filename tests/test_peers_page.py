"""The table of peers: behind each "yes" of this package is a test that runs with every change."""

import ast
import os
import re
from importlib import resources
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "peers.md").read_text(encoding="utf-8")
OURS = re.findall(r"^\| (.+) \| (yes|no) \| `(.+?)::(.+?)` \|$", PAGE, re.M)
OTHERS = [row.split(" | ") for row in re.findall(r"^\| (.+) \|$", PAGE.partition("## The others")[2], re.M)]


@pytest.mark.parametrize(("feature", "said", "file", "name"), OURS)
def test_behind_each_yes_is_a_test_that_runs_every_time(feature, said, file, name):
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    named = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    assert said == "yes" and len(named) == 1, f"{file} has no test {name}; docs/peers.md names it for {feature}"
    marks = [ast.unparse(mark) for mark in named[0].decorator_list]
    marks += [
        ast.unparse(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and "pytestmark" in ast.unparse(node)
    ]
    whole = [
        mark for mark in marks if not mark.startswith("pytest.mark.parametrize")
    ]  # of which single rows may be slow
    assert not any("slow" in mark or "gpu" in mark for mark in whole)


def test_the_page_has_all_features_and_every_cell_filled():
    head, *rows = OTHERS
    assert [row[0] for row in rows] == [feature for feature, *_ in OURS] and len(rows) == 24
    assert all(len(row) == len(head) and set(row[1:]) <= {"yes", "part", "no", "–"} for row in rows)
    assert {row[1] for row in rows} == {"yes"}


def test_every_change_is_checked():
    checks = ROOT / ".ci" / "run"
    assert os.access(checks, os.X_OK)
    assert {"make lint", "make test", "make docs"} <= set(checks.read_text(encoding="utf-8").splitlines())


def test_type_checkers_find_the_types():
    assert resources.files("afm_hf").joinpath("py.typed").is_file()
