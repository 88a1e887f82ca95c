"""The ablations of the papers are files, and one command trains and evaluates a table of them."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
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
    assert processor.prompt_length == row.get("prompt_length", processor.prompt_length)
    if row["language_model"]:
        assert model.config.text_config.hidden_size == row["language_model"]["width"]
        assert model.config.text_config.model_type == row["language_model"].get("language_model", "gpt2")


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


def command_on(table, output, *more):
    command = [sys.executable, "examples/ablations.py", str(table), "--output", str(output), *more]
    command += ["--steps", "1", "--language_steps", "1"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_the_command_writes_the_table(tmp_path):
    done = command_on("examples/configs/ablations/pengi", tmp_path, "--data", "examples/sounds")
    assert done.returncode == 0, done.stderr[-2000:]
    table = (tmp_path / "table.md").read_text()
    assert table in done.stdout + "\n" and table.splitlines()[0].startswith("| experiment | loss | BLEU-4 |")
    assert len(table.splitlines()) == 4
    found = json.loads((tmp_path / "1_text_encoder.json").read_text())
    assert found["made"]["steps"] == 1 and found["figures"]["loss"] > 0


def made_of(captions, file):
    """Two questions and a difference about each clip, as `afm-hf make-data` writes them."""
    rows = []
    for number, (name, caption) in enumerate(captions):
        other, other_caption = captions[(number + 1) % len(captions)]
        about = {"taskname": "made", "filepath1": name, "filepath2": "", "caption1": caption, "caption2": ""}
        ends = {"questions": ("what is heard?", caption), "choices": ("what is it? a) that b) this", "a) that")}
        rows += [{**about, "input": q, "answer": a, "subtype": f"made-{kind}"} for kind, (q, a) in ends.items()]
        rows.append({**about, "input": "is it so? a) yes b) no", "answer": "a) yes", "subtype": "made-neutral"})
        pair = {**about, "filepath2": other, "caption2": other_caption}
        rows.append(
            {**pair, "input": "explain the difference", "answer": f"{caption} {other_caption}", "subtype": "made-brief"}
        )
    file.write_text(json.dumps(rows))


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """The bundled clips, with made data about them."""
    from afm_hf import bundled_audio

    folder = bundled_audio()[0].parent
    file = tmp_path_factory.mktemp("made") / "train.json"
    data, _ = ablations.read_audio_folder(folder, check="none")
    made_of([(Path(row["audio"]["path"]).name, row["captions"][0]) for row in data], file)
    return ablations.read_material(folder, file, f"folder={folder}")


def test_each_row_of_the_data_table_learns_from_more_and_all_answer_the_same(material):
    rows = [ablations.read_row(file) for file in sorted((TABLES / "mellow_data").glob("*.yaml"))]
    settings = ablations.PrefixLMArguments(model="", position_captions=False)
    _, processor = ablations.make_model(rows[0], material.texts, seed=0)
    parts = [ablations.parts_of(row, material, settings, processor, seed=0) for row in rows]
    learned = [[(row["prompt"], str(row["answer"])) for row in train] for train, _ in parts]
    assert [set(before) < set(after) for before, after in itertools.pairwise(learned)] == [True] * 4
    asked = [[(row["audio"]["path"], row["prompt"], row["answer"]) for row in held] for _, held in parts]
    assert all(each == asked[0] for each in asked)
    held = {path for path, _, _ in asked[0]}
    assert all(not {row["audio"]["path"] for row in train} & held for train, _ in parts)


def test_rows_say_which_data_they_lack(material):
    row = ablations.read_row(TABLES / "mellow_data" / "5_wavcaps.yaml")
    settings = ablations.PrefixLMArguments(model="")
    _, processor = ablations.make_model(row, material.texts, seed=0)
    for lacks, words in (("made", "give `--made`"), ("further", "give `--further`")):
        with pytest.raises(ValueError, match=words):
            ablations.parts_of(row, ablations.replace(material, **{lacks: None}), settings, processor, seed=0)
    with pytest.raises(ValueError, match="nothing was made"):
        ablations.parts_of({**row, "kinds": ["songs"]}, material, settings, processor, seed=0)


def test_a_row_of_data_is_trained_and_judged(material, tmp_path):
    row = ablations.read_row(TABLES / "mellow_data" / "5_wavcaps.yaml")
    figures = ablations.run_row(row, material, tmp_path, steps=1, language_steps=1, seed=0)
    assert figures["loss"] > 0 and 0 <= figures["rouge_l"] <= 1
    again = json.loads((tmp_path / "5_wavcaps.json").read_text())
    (tmp_path / "5_wavcaps.json").write_text(json.dumps({**again, "figures": {"loss": 7.0}}))
    assert ablations.run_row(row, material, tmp_path, steps=1, language_steps=1, seed=0) == {"loss": 7.0}  # kept


def test_few_clips_are_drawn_several_times(tmp_path):
    pytest.importorskip("matplotlib", reason="draws a picture (the extra `demo`)")
    folder = tmp_path / "clips"
    folder.mkdir()
    lines = ["file_name,label,caption"]
    for number in range(6):
        label = ("calm", "angry")[number % 2]
        soundfile.write(folder / f"{number}.wav", np.sin(np.arange(8000) * (0.02 + number / 50)), 16_000)
        lines.append(f"{number}.wav,{label},Somebody is {label}.")
    (folder / "metadata.csv").write_text("\n".join(lines))
    row = {**ablations.read_row(TABLES / "selm" / "1_1_shots.yaml"), "draws": 2}
    material = ablations.read_material(folder, None, None)
    figures = ablations.run_row(row, material, tmp_path, steps=1, language_steps=1, seed=0)
    table = ablations.as_table([row], [figures]).splitlines()
    assert table[0] == "| experiment | accuracy without clips (%) | with them (%) |"
    assert table[2].startswith("| 1 clip of each label | ") and table[2].count(" ± ") == 2
    assert len((tmp_path / "1_1_shots" / "draws.jsonl").read_text().splitlines()) == 2
    unlabelled = ablations.replace(material, data=material.data.remove_columns("label"))
    with pytest.raises(ValueError, match="needs clips with a `label`"):
        ablations.run_row(row, unlabelled, tmp_path / "other", steps=1, language_steps=1, seed=0)
