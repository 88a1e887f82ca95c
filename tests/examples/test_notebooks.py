"""The notebooks run from top to bottom, print what is stored in them, and are as Jupyter would save them."""

import importlib.util
import re
from pathlib import Path

import pytest
from shown_output import check_shown

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "notebooks.py"
specification = importlib.util.spec_from_file_location("notebooks", SCRIPT)
notebooks = importlib.util.module_from_spec(specification)
specification.loader.exec_module(notebooks)
PATHS = sorted(notebooks.FOLDER.glob("*.ipynb"))
MOST_BYTES = 20_000
# What belongs to the machine or the moment where a notebook was run, and to no reader.
OF_THE_MOMENT = re.compile(r"/home/|/root/|/tmp/|/Users/|[Ww]arning|\d%\||it/s|Traceback")

each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


@each_notebook
def test_a_notebook_prints_what_is_stored_in_it(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    notebook = notebooks.read(path)
    cells = notebooks.code_cells(notebook)
    for cell, text in zip(cells, notebooks.printed(notebook, path.stem), strict=True):
        check_shown(notebooks.stored(cell), text)
    assert sum(bool(notebooks.stored(cell)) for cell in cells) >= 4  # it shows what it does


@each_notebook
def test_a_notebook_is_small_and_holds_nothing_of_the_machine_it_ran_on(path):
    notebook = notebooks.read(path)
    assert 5 <= len(notebook["cells"]) <= 14
    assert path.stat().st_size < MOST_BYTES
    assert not OF_THE_MOMENT.search(path.read_text(encoding="utf-8"))
    order = [cell["execution_count"] for cell in notebooks.code_cells(notebook)]
    assert order == list(range(1, len(order) + 1))


@each_notebook
def test_a_notebook_is_valid_and_written_as_jupyter_writes_it(path, tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    nbformat.write(notebook, tmp_path / "again.ipynb")
    assert (tmp_path / "again.ipynb").read_text(encoding="utf-8") == path.read_text(encoding="utf-8")


def test_what_a_notebook_prints_is_stored_anew(tmp_path):
    cells = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["# Sums"]},
        *(
            {"cell_type": "code", "execution_count": 9, "id": name, "metadata": {}, "outputs": [], "source": [source]}
            for name, source in (
                ("b", "total = 1 + 1"),
                ("c", "import sys\nprint(total)\nprint('no', file=sys.stderr)"),
            )
        ),
    ]
    path = tmp_path / "sums.ipynb"
    notebooks.write(path, {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    assert notebooks.renew(path) and not notebooks.renew(path)
    first, second = notebooks.code_cells(notebooks.read(path))
    assert (first["outputs"], first["execution_count"], second["execution_count"]) == ([], 1, 2)
    assert second["outputs"] == [{"name": "stdout", "output_type": "stream", "text": ["2\n"]}]


def test_the_documents_lead_to_every_notebook():
    page = (ROOT / "docs" / "notebooks.md").read_text()
    for path in PATHS:
        assert f"examples/notebooks/{path.name}" in page, path.name
