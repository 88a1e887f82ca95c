"""What docs/experiments.md shows below a command is what it prints, with bundled models on the clips of examples."""

import os
import re
import shlex
from pathlib import Path

import pytest
from commands import run_command
from shown_output import check_shown

from afm_hf import bundled_audio

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "experiments.md"
BLOCK = re.compile(r"^```sh\n(afm-hf [^\n]*)\n```\n\n```text\n(.*?)^```", re.M | re.S)  # a command, and what it prints
PYTHON = re.compile(r"^```python\n(.*?)^```", re.M | re.S)  # makes the folders that commands speak of
SHOWN = BLOCK.findall(PAGE.read_text())


@pytest.mark.slow
@pytest.mark.parametrize(("command", "shown"), SHOWN, ids=[shlex.split(command)[2] for command, _ in SHOWN])
def test_the_experiments_print_what_the_page_shows(command, shown, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    assert bundled_audio() and (ROOT / "examples" / "sounds" / "metadata.csv").is_file()
    monkeypatch.chdir(tmp_path)
    os.symlink(ROOT / "examples", tmp_path / "examples")
    for block in PYTHON.findall(PAGE.read_text()):
        exec(compile(block, "document", "exec"), {"__name__": "document"})
    check_shown(shown, run_command(*shlex.split(command)[1:]).stdout)


def test_the_page_has_every_experiment():
    from afm_hf.cli.experiments.app import COMMANDS

    page = PAGE.read_text()
    assert [name for name in COMMANDS if f"afm-hf experiment {name} " not in page] == []
