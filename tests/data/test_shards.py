"""Data sets as tar files that stream: written, resumed, read, trained on, and the papers' data put together."""

import json
import tarfile
from pathlib import Path

import pytest
from audio_files import write_clip, write_csv
from commands import run_command
from torch.utils.data import DataLoader

import afm_hf
from afm_hf.data import read_table
from afm_hf.data.mixtures import compose, composition_names, read_shards, write_shards
from afm_hf.training.collators import ClapCollator

datasets = pytest.importorskip("datasets")


def table(folder, names="abcdef", columns="file_name,caption,label", second=False):
    for number, name in enumerate(names):
        write_clip(folder / f"{name}.wav", 0.1 + number / 100)
    rows = [[f"{name}.wav", f"A {name} is heard.", name] for name in names]
    if second:
        columns, rows = f"{columns},file_name2", [[*row, f"{names[number - 1]}.wav"] for number, row in enumerate(rows)]
    return read_table(write_csv(folder / "clips.csv", columns, *rows))[0]


def test_rows_come_back_as_they_were_with_the_clips_bytes(tmp_path):
    data = table(tmp_path / "clips", second=True)
    made = write_shards(data, data.column_names, tmp_path / "shards", rows_per_shard=4)
    assert made["train"] == {"rows": 6, "left_out": 0, "shards": ["train-00000.tar", "train-00001.tar"]}
    stream, report = read_shards(tmp_path / "shards")
    rows = sorted(stream, key=lambda row: row["label"])
    assert report.kept == 6 and list(rows[0]) == data.column_names
    for row, old in zip(rows, data, strict=True):
        assert row["captions"] == old["captions"] and row["source"] == old["source"]
        for name in ("audio", "audio2"):
            assert row[name]["bytes"] == Path(old[name]["path"]).read_bytes()
            assert row[name]["path"] == Path(old[name]["path"]).name
    assert [row["label"] for row in stream] != sorted(data["label"])  # shuffled
    assert afm_hf.load_audio(rows[0]["audio"], 8000).shape[-1] == 800


def test_other_readers_of_webdataset_read_them(tmp_path):
    data = table(tmp_path / "clips")
    write_shards(data, data.column_names, tmp_path / "shards")
    files = [str(path) for path in (tmp_path / "shards").glob("train-*.tar")]
    found = list(datasets.load_dataset("webdataset", data_files={"train": files}, split="train", streaming=True))
    assert len(found) == 6 and {row["json"]["label"] for row in found} == set("abcdef")
    assert found[0]["audio"][:4] == b"RIFF"


def test_the_same_rows_give_the_same_files_and_a_stopped_run_goes_on(tmp_path):
    data = table(tmp_path / "clips")
    write_shards(data, data.column_names, tmp_path / "whole", rows_per_shard=2)

    class StoppedError(Exception):
        pass

    def stopping(jobs, total):
        for number, job in enumerate(jobs):
            if number == 2:
                raise StoppedError
            yield job

    with pytest.raises(StoppedError):
        write_shards(data, data.column_names, tmp_path / "made", rows_per_shard=2, progress=stopping)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "made").glob("*.tar")}
    assert len(kept) == 2
    write_shards(data, data.column_names, tmp_path / "made", rows_per_shard=2)
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    for path in sorted((tmp_path / "whole").iterdir()):
        assert (tmp_path / "made" / path.name).read_bytes() == path.read_bytes()
    with pytest.raises(ValueError, match="other rows or settings"):
        write_shards(data, data.column_names, tmp_path / "made", rows_per_shard=3)
    other = tmp_path / "foreign"
    other.mkdir()
    (other / "x.tar").write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds x\.tar, but no shards\.json"):
        write_shards(data, data.column_names, other)


def test_clips_that_are_held_out_are_in_no_row_of_training(tmp_path):
    data = table(tmp_path / "clips", second=True)
    made = write_shards(data, data.column_names, tmp_path / "shards", held_out=0.4)
    parts = {name: list(read_shards(tmp_path / "shards", name)[0]) for name in ("train", "held_out")}
    clips = {name: {row[c]["path"] for row in rows for c in ("audio", "audio2")} for name, rows in parts.items()}
    assert parts["train"] and parts["held_out"] and not clips["train"] & clips["held_out"]
    assert made["train"]["rows"] + made["held_out"]["rows"] < 6  # pairs with a clip of each are in neither


def test_broken_clips_and_broken_shards_cost_what_they_hold_alone(tmp_path):
    data = table(tmp_path / "clips")
    (tmp_path / "clips" / "a.wav").unlink()
    made = write_shards(data, data.column_names, tmp_path / "shards", rows_per_shard=3, shuffle=False)
    assert made["train"]["rows"] == 5 and made["train"]["left_out"] == 1
    first = tmp_path / "shards" / "train-00000.tar"
    content = first.read_bytes()
    with tarfile.open(first) as file:
        cut = file.getmembers()[-1].offset_data + 10
    first.write_bytes(content[:cut])
    stream, report = read_shards(tmp_path / "shards")
    assert [row["label"] for row in stream] == ["b", "d", "e", "f"] and report.broken[0].audio == str(first)
    first.unlink()
    with pytest.raises(ValueError, match="lacks 1 of 2 shards"):
        read_shards(tmp_path / "shards")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / "shards.json").unlink(), "has no shards.json"),
        (lambda root: (root / "shards.json").write_text("[1]"), "is no list of shards"),
        (lambda root: (root / "shards.json").write_text("{"), "is no list of shards"),
    ],
)
def test_folders_that_are_none_are_refused(tmp_path, damage, message):
    data = table(tmp_path / "clips")
    write_shards(data, data.column_names, tmp_path / "shards")
    with pytest.raises(ValueError, match="no shards of 'held_out'; it has 'train'"):
        read_shards(tmp_path / "shards", "held_out")
    damage(tmp_path / "shards")
    with pytest.raises(ValueError, match=message):
        read_shards(tmp_path / "shards")


def test_workers_read_different_shards_and_the_collator_takes_the_rows(tmp_path):
    data = table(tmp_path / "clips")
    write_shards(data, data.column_names, tmp_path / "shards", rows_per_shard=2)
    stream, _ = read_shards(tmp_path / "shards")
    rows = DataLoader(stream.shuffle(seed=0, buffer_size=4), batch_size=None, num_workers=2)
    assert sorted(row["label"] for row in rows) == list("abcdef")
    processor = afm_hf.ClapAfmProcessor.from_pretrained(afm_hf.bundled_model("clap-small"))
    batch = next(iter(DataLoader(stream, batch_size=3, collate_fn=ClapCollator(processor))))
    assert len(batch["input_ids"]) == 3


def clap_2022(root):
    """Miniatures of the four data sets, in the official layouts."""
    for name in "123":
        write_clip(root / "fsd" / "FSD50K.dev_audio" / f"{name}.wav")
    rows = [["1", "Bark", "/m/1", "train"], ["2", "Rain", "/m/2", "train"], ["3", "Rain", "/m/2", "val"]]
    write_csv(root / "fsd" / "FSD50K.ground_truth" / "dev.csv", "fname,labels,mids,split", *rows)
    written = {
        "1": {"title": "dog.wav", "description": "My dog\nbarks.", "tags": ["dog"], "license": "", "uploader": ""},
        "2": {"title": "rain", "description": "", "tags": [], "license": "", "uploader": ""},
    }
    (root / "fsd" / "FSD50K.metadata").mkdir()
    (root / "fsd" / "FSD50K.metadata" / "dev_clips_info_FSD50K.json").write_text(json.dumps(written))
    for part in ("development", "validation", "evaluation"):
        captions = [f"caption {number} of {part}" for number in range(1, 6)]
        columns = ",".join(["file_name", *(f"caption_{number}" for number in range(1, 6))])
        write_csv(root / "clotho" / f"clotho_captions_{part}.csv", columns, [f"{part}.wav", *captions])
        write_clip(root / "clotho" / part / f"{part}.wav")
    columns = "audiocap_id,youtube_id,start_time,caption"
    write_csv(root / "audiocaps" / "train.csv", columns, ["7", "abcdefghijk", "30", "A man speaks."])
    write_clip(root / "audiocaps" / "train" / "abcdefghijk.wav")
    (root / "macs").mkdir()
    macs = "files:\n- filename: x.wav\n  annotations:\n  - sentence: birds sing\n    tags: [birds]\n"
    (root / "macs" / "MACS.yaml").write_text(macs + "  - sentence: adults talk\n    tags: [adults]\n")
    write_clip(root / "macs" / "audio" / "x.wav")
    return {"fsd50k": root / "fsd", "clotho": root / "clotho", "audiocaps": root / "audiocaps", "macs": root / "macs"}


def test_the_pairs_of_clap_2022_from_the_official_layouts(tmp_path):
    folders = clap_2022(tmp_path)
    parts = [word for name, folder in folders.items() for word in ("--part", f"{name}={folder}")]
    result = run_command("make-shards", "--composition", "clap-2022", *parts, "-o", tmp_path / "shards")
    assert "fsd50k: 2 rows of 36796 in the paper" in result.stdout and "clotho: 15 rows of 29646" in result.stdout
    assert "train: 20 rows in 1 shards" in result.stdout and "not given" not in result.stdout
    rows = list(read_shards(tmp_path / "shards")[0])
    captions = sorted(row["captions"][0] for row in rows)
    assert len(rows) == 20 and all(len(row["captions"]) == 1 for row in rows)
    assert {"dog.wav My dog barks.", "rain", "A man speaks.", "birds sing", "adults talk"} <= set(captions)
    assert {row["part"] for row in rows} == {"fsd50k", "clotho", "audiocaps", "macs"}


def test_a_composition_says_what_it_lacks(tmp_path):
    made = compose("clap-2022", {"macs": clap_2022(tmp_path)["macs"]})
    assert made.absent == ["fsd50k", "clotho", "audiocaps"] and "not given: fsd50k" in str(made)
    assert made.counts == {"macs": 2} and made.expected == {"macs": 17276}


def test_pengis_triplets_ask_what_the_paper_asked(tmp_path):
    folders = clap_2022(tmp_path)
    write_csv(tmp_path / "fsd" / "FSD50K.ground_truth" / "vocabulary.csv", "0,Bark,/m/1", ["1", "Rain", "/m/2"])
    write_csv(
        tmp_path / "aqa" / "clotho_aqa_train.csv",
        "file_name,QuestionText,answer,confidence",
        *[["q.wav", "Is there a dog?", answer, "yes"] for answer in ("yes", "yes", "no")],
    )
    write_clip(tmp_path / "aqa" / "audio_files" / "q.wav")
    write_csv(tmp_path / "meld" / "meld.csv", "file_name,label", ["m.wav", "joy"])
    write_clip(tmp_path / "meld" / "m.wav")
    write_clip(tmp_path / "cochl" / "Bus" / "b.wav"), write_clip(tmp_path / "cochl" / "Park" / "p.wav", 0.2)
    parts = {
        **{name: folders[name] for name in ("fsd50k", "clotho", "audiocaps", "macs")},
        **{"clotho-aqa": tmp_path / "aqa", "meld": tmp_path / "meld" / "meld.csv", "cochlscene": tmp_path / "cochl"},
    }
    made = compose("pengi", parts)
    asked = {row["part"]: (row["prompt"], row["answer"]) for row in made.rows}
    assert made.columns == ["audio", "prompt", "answer", "part", "source"] and made.counts["clotho"] == 5
    assert asked["fsd50k"] == ("this is a sound of", "rain")
    assert asked["audiocaps"] == ("generate audio caption", "A man speaks.")
    assert asked["clotho-aqa"] == ("question: Is there a dog?", "yes")
    assert asked["meld"] == ("this emotion is", "joy")
    assert asked["macs"] == ("generate metadata", "adults talk")
    assert asked["cochlscene"][0] == "this acoustic scene is"
    assert "wavcaps" in made.absent


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--composition", "clap-1999"], "'clap-1999'; expected one of 'clap-2022', 'pengi'"),
        (["--composition", "pengi"], "Where are the parts"),
        (["--composition", "pengi", "--part", "moon=x"], "no part 'moon'"),
        (["--composition", "pengi", "--part", "macs"], "expected NAME=PATH"),
        (["--composition", "pengi", "--part", "macs=x", "--part", "macs=y"], "twice"),
        (["--data", "x", "--part", "macs=x"], "are for `--composition`"),
        ([], "Give `--data`"),
    ],
)
def test_commands_that_do_not_fit(tmp_path, options, message):
    assert message in run_command("make-shards", *options, "-o", tmp_path / "shards", code=2).stderr
    assert composition_names() == ["clap-2022", "pengi"]
