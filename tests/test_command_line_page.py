"""The page of the command line says what the commands say."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_page_of_the_command_line_is_not_stale():
    script = runpy.run_path(str(ROOT / "scripts" / "command_line_page.py"))
    page = (ROOT / "docs" / "command_line.md").read_text()
    assert page == script["page"](), "run `python scripts/command_line_page.py` and commit docs/command_line.md"


def test_every_command_and_option_is_on_the_page():
    script = runpy.run_path(str(ROOT / "scripts" / "command_line_page.py"))
    page = (ROOT / "docs" / "command_line.md").read_text()
    for name, function in script["commands"]().items():
        assert f"### {name}\n" in page
        part = page.partition(f"### {name}\n")[2].partition("\n### ")[0]
        for parameter in script["parameters_of"](function):
            assert all(f"`{written}`".replace("|", "\\|") in part for written in parameter.names), (name, parameter)
