"""The lesson for newcomers, from top to bottom in one folder and one Python session, as they follow it."""

import re
import shlex
from pathlib import Path

from commands import run_command
from shown_output import check_shown

LESSON = Path(__file__).parent.parent / "docs" / "first_hour.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", re.M | re.S)
FAILS = re.compile(r"# exit code (\d)")


def test_the_first_hour_goes_as_it_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    session = {"__name__": "first hour"}
    blocks = [block for block in BLOCK.findall(LESSON.read_text()) if block[0] in ("python", "sh")]
    assert sum(bool(shown) for _, _, shown in blocks) > 8
    for language, block, shown in blocks:
        if language == "python":
            exec(compile(block, "first_hour.md", "exec"), session)
            check_shown(shown, capsys.readouterr().out)
        else:
            commands = [line for line in block.splitlines() if line.startswith("afm-hf ")]
            check_shown(shown, "".join(map(printed, commands)))


def printed(line: str) -> str:
    code = FAILS.search(line)
    return run_command(*shlex.split(line, comments=True)[1:], code=int(code[1]) if code else 0).output
