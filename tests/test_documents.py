"""Every Python block of the README and the docs runs, top to bottom, offline, and prints what is shown below it."""

import csv
import inspect
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from local_hub import environment, local_hub
from shown_output import check_shown
from transformers.pipelines import any_to_any

import afm_hf
from afm_hf import bundled_audio

ROOT = Path(__file__).parent.parent
LESSON = ROOT / "docs" / "first_hour.md"  # its blocks go on from one another: test_first_hour.py
PAGES = [ROOT / "README.md", *sorted(set((ROOT / "docs").glob("*.md")) - {LESSON})]
NOT_IN_EVERY_ENVIRONMENT = ("sentence_transformers", "langchain_core")  # the blocks that import them are left out there
FOLDERS = "tests|src|examples|docs|benchmarks|scripts|conversions"
# A block of code and, right below it, what it prints.
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", re.M | re.S)
BLOCKS = [
    pytest.param(block, shown, id=f"{path.name}-{number}")
    for path in PAGES
    for number, (block, shown) in enumerate(BLOCK.findall(path.read_text()))
]


@pytest.fixture
def my_sounds(tmp_path):
    """The folder of their own that readers are told to bring."""
    folder = tmp_path / "my-sounds"
    folder.mkdir()
    with (folder / "metadata.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file_name", "caption"])
        for clip in bundled_audio():
            shutil.copy(clip, folder)
            rows.writerow([clip.name, clip.stem.replace("_", " ")])


@pytest.mark.usefixtures("my_sounds")
@pytest.mark.parametrize(("block", "shown"), BLOCKS)
def test_the_code_in_the_documents_runs(block, shown, tmp_path, monkeypatch, capsys):
    for library in NOT_IN_EVERY_ENVIRONMENT:
        if f"from {library}" in block:
            pytest.importorskip(library)
    if '"any-to-any"' in block and "librosa" in inspect.getsource(any_to_any):  # transformers 5.20 asks for it in vain
        pytest.importorskip("librosa")
    monkeypatch.chdir(tmp_path)
    if "push_to_hub" in block or "push_with_code" in block:  # with a Hub on this machine
        with local_hub() as (_, address):
            variables = {**os.environ, **environment(address, tmp_path / "home"), "OMP_NUM_THREADS": "1"}
            done = subprocess.run([sys.executable, "-c", block], env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        check_shown(shown, done.stdout)
        return
    exec(compile(block, "document", "exec"), {"__name__": "document"})
    check_shown(shown, capsys.readouterr().out)


def test_links_between_the_documents_lead_somewhere():
    for path in [ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_files_and_modules_that_the_documents_name_are_there():
    for path in [ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")]:
        text = path.read_text()
        for file in re.findall(rf"`((?:{FOLDERS})/[\w./-]+)`", text):
            assert (ROOT / file).exists(), f"{path.name} names {file}"
        for name in set(re.findall(r"\bafm_hf(?:\.\w+)+", text)):
            assert pkgutil.resolve_name(name) is not None, f"{path.name} names {name}"


def test_the_api_page_has_every_public_name():
    page = (ROOT / "docs" / "api.md").read_text()
    for name in set(afm_hf.__all__) - {"__version__"}:
        module = getattr(afm_hf, name).__module__
        whole = {module, module.rpartition(".")[0]}  # the page shows all of a module, or of a room that exports it
        assert re.search(rf"\b{name}\b", page) or any(f"::: {shown}\n" in page for shown in whole), name


def test_every_page_is_in_the_table_of_contents():
    contents = (ROOT / "mkdocs.yml").read_text()
    for path in (ROOT / "docs").glob("*.md"):
        assert f": {path.name}\n" in contents, f"{path.name} is not in the nav of mkdocs.yml"
