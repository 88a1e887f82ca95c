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

from afm_hf import bundled_audio
from afm_hf.cli.app import app

ROOT = Path(__file__).parent.parent
BUNDLED_FOR = {"clap-2023": "clap-tiny"}  # official checkpoints that are not here
FOLDERS = ("clips", "recordings", "more")
# What needs files that nobody can bundle, or a server that does not end.
ONLY_PARSED = re.compile(r"--dataset|human_eval|my_clips|afm-hf (demo|convert|suite|compare|report|export)\b")


def command_lines(path: Path) -> list[list[str]]:
    """The words after `afm-hf`, of each line of the blocks for a shell."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", path.read_text(), re.M | re.S)
    lines = [
        line
        for language, block in blocks
        if language in ("", "sh", "bash", "console")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("afm-hf ")]


DOCUMENTS = [
    pytest.param(commands, id=path.name)
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    if (commands := command_lines(path))
]


def lay_out(folder: Path, commands: list[list[str]]) -> None:
    """The files that the commands speak of, with the sound of bundled clips."""
    clips = bundled_audio()
    for name in FOLDERS:
        (folder / name).mkdir()
        for number, clip in enumerate(clips[:2]):
            shutil.copy(clip, folder / name / f"{number}.wav")
    names = {word for words in commands for word in words if re.fullmatch(r"[\w-]+\.(wav|ogg|flac|mp3)", word)}
    for number, name in enumerate(sorted(names)):
        shutil.copy(clips[number % len(clips)], folder / name)
    with (folder / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["audio", "hypothesis"], ["clips/0.wav", "a dog is barking"]])


def expanded(words: list[str]) -> list[str]:
    """As a shell would, and with the bundled models in place of the official ones."""
    found = [sorted(glob.glob(word)) if "*" in word and " " not in word else [word] for word in words]
    return [BUNDLED_FOR.get(word, word) for group in found for word in group]


@pytest.mark.parametrize("commands", DOCUMENTS)
def test_the_commands_in_the_documents_run(commands, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path, commands)
    for words in commands:
        if ONLY_PARSED.search("afm-hf " + " ".join(words)):
            parses(words)
        else:
            run_command(*expanded(words))


def parses(words: list[str]) -> None:
    """The command is there, and takes these options."""
    group = typer.main.get_command(app)
    with click.Context(group) as context:
        command = group.get_command(context, words[0])
    assert command is not None, f"there is no command {words[0]!r}"
    command.make_context(words[0], words[1:])


def test_scripts_that_documents_name_are_there():
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for script in re.findall(
            r"\bpython ((?:examples|benchmarks|conversions|scripts)/[\w./-]+\.py)", path.read_text()
        ):
            assert (ROOT / script).is_file(), f"{path.name} names {script}"
