"""The ablations of the papers are files, and one command trains and evaluates a table of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "examples" / "configs" / "ablations"
FILES = sorted(TABLES.rglob("*.yaml"))
sys.path.insert(0, str(ROOT / "examples"))

ablations = pytest.importorskip("ablations")


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_every_row_is_a_model_with_what_it_says(file):
    row = ablations.read_row(file)
    model, processor = ablations.make_model(row, ["a dog barks", "rain falls"], seed=0)
    for name, value in row["config"].items():
        made = getattr(model.config, name)
        assert (made.to_dict() if hasattr(made, "to_dict") else made) == value or isinstance(value, dict)
    assert model.config.num_placeholders == processor.prefix_length
    if row["language_model"]:
        assert model.config.text_config.n_embd == row["language_model"]["width"]


def test_the_table_of_adiff_has_the_experiments_of_the_slide():
    rows = [yaml.safe_load(file.read_text()) for file in sorted((TABLES / "adiff").glob("*.yaml"))]
    assert [row["row"].partition(",")[0].partition(" ")[0] for row in rows][:6] == ["A", "B", "C", "C'", "D", "E"]
    tuned = ["language_model" in row["train"] for row in rows]
    assert tuned == [False, False, False, True, False, True, True, True]
    assert [row.get("position_captions", False) for row in rows] == [False] * 4 + [True] * 4
    assert rows[0]["start"] == "random" and "start" not in rows[1] and rows[0]["config"] == rows[1]["config"]


def test_an_encoder_of_random_weights_has_heard_nothing():
    rows = [ablations.read_row(TABLES / "adiff" / f"{name}.yaml") for name in ("1_a", "2_b")]
    towers = [ablations.make_model(row, ["a dog"], seed=0)[0].model.audio_tower.state_dict() for row in rows]
    assert any((towers[0][name] != towers[1][name]).any() for name in towers[0])


def test_unknown_settings_are_refused(tmp_path):
    (tmp_path / "x.yaml").write_text("row: X\narchitecture: adiff\ncolour: red\n")
    with pytest.raises(ValueError, match=r"has \['colour'\]"):
        ablations.read_row(tmp_path / "x.yaml")


def test_the_command_writes_the_table(tmp_path):
    command = [sys.executable, "examples/ablations.py", "examples/configs/ablations/pengi", "--data", "examples/sounds"]
    command += ["--output", str(tmp_path), "--steps", "1", "--language_steps", "1"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    table = (tmp_path / "table.md").read_text()
    assert table in done.stdout + "\n" and table.splitlines()[0].startswith("| experiment | loss | BLEU-4 |")
    assert len(table.splitlines()) == 4
    found = json.loads((tmp_path / "1_text_encoder.json").read_text())
    assert found["made"]["steps"] == 1 and found["figures"]["loss"] > 0
