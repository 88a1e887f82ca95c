"""Every `afm-hf` line of the README and the docs: it runs on the bundled clips, or at least its options exist."""

import csv
import glob
import re
import shlex
import shutil
from pathlib import Path

import click
import pytest
import typer
from commands import run_command
from shown_output import check_shown

from afm_hf import bundled_audio
from afm_hf.cli.app import app

ROOT = Path(__file__).parent.parent
LESSON = ROOT / "docs" / "first_hour.md"  # its commands go on from one another: test_first_hour.py
PAGES = [ROOT / "README.md", *sorted(set((ROOT / "docs").glob("*.md")) - {LESSON})]
# A block of commands and, right below it, what they print.
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", re.M | re.S)
BUNDLED_FOR = {"clap-2023": "clap-small"}  # official checkpoints that are not here
FOLDERS = ("clips", "recordings", "more")
# What needs files that nobody can bundle, or a server that does not end.
ONLY_PARSED = re.compile(
    r"--dataset|human_eval|my_clips|afm-hf (demo|serve|convert|experiment|suite|compare|report|export|make-\w+)\b"
)


def command_lines(path: Path) -> list[tuple[list[str], str]]:
    """The words after `afm-hf`, of each line of the blocks for a shell; with what is shown below a single line."""
    lines = []
    for language, block, shown in BLOCK.findall(path.read_text()):
        if language in ("", "sh", "bash", "console"):
            found = [line for line in block.replace("\\\n", " ").splitlines() if line.startswith("afm-hf ")]
            lines += [(shlex.split(line, comments=True)[1:], shown if len(found) == 1 else "") for line in found]
    return lines


DOCUMENTS = [pytest.param(commands, id=path.name) for path in PAGES if (commands := command_lines(path))]


def lay_out(folder: Path, commands: list[list[str]]) -> None:
    """The files that the commands speak of, with the sound of bundled clips: rain.wav rains, others are any of them."""
    clips = bundled_audio()
    for name in FOLDERS:
        (folder / name).mkdir()
        for number, clip in enumerate(clips[:2]):
            shutil.copy(clip, folder / name / f"{number}.wav")
    names = {word for words in commands for word in words if re.fullmatch(r"[\w-]+\.(wav|ogg|flac|mp3)", word)}
    for number, name in enumerate(sorted(names)):
        named = [clip for clip in clips if clip.stem.startswith(Path(name).stem)]
        shutil.copy((named or clips)[0 if named else number % len(clips)], folder / name)
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["file_name", "label", "fold"], ["clips/0.wav", "rain", 1], ["clips/1.wav", "dog", 2]]
        )
    with (folder / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["audio", "hypothesis"], ["clips/0.wav", "a dog is barking"]])


def expanded(words: list[str]) -> list[str]:
    """As a shell would, and with the bundled models in place of the official ones."""
    found = [sorted(glob.glob(word)) if "*" in word and " " not in word else [word] for word in words]
    return [BUNDLED_FOR.get(word, word) for group in found for word in group]


@pytest.mark.parametrize("commands", DOCUMENTS)
def test_the_commands_in_the_documents_run(commands, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path, [words for words, _ in commands])
    for words, shown in commands:
        if ONLY_PARSED.search("afm-hf " + " ".join(words)):
            parses(words)
        else:
            check_shown(shown, run_command(*expanded(words)).output)


def parses(words: list[str]) -> None:
    """The command is there, and takes these options."""
    group = typer.main.get_command(app)
    while isinstance(group, click.Group):
        with click.Context(group) as context:
            command = group.get_command(context, words[0])
        assert command is not None, f"there is no command {words[0]!r}"
        group, words = command, words[1:]
    group.make_context(group.name, words)


def test_scripts_that_documents_name_are_there():
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for script in re.findall(
            r"\bpython ((?:examples|benchmarks|conversions|scripts)/[\w./-]+\.py)", path.read_text()
        ):
            assert (ROOT / script).is_file(), f"{path.name} names {script}"
