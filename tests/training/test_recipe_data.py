"""What the recipes share: which rows are held out, and data sets that do not fit."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch.utils.data import DataLoader

pytest.importorskip("accelerate")
datasets = pytest.importorskip("datasets")
sys.path.append(str(Path(__file__).parents[2] / "examples"))

import recipes  # noqa: E402
from recipes import DataArguments, hold_out, read_parts  # noqa: E402


def table(**columns):
    """A data set as the readers make it, as far as it matters here."""
    clips = {
        name: [path and {"path": path} for path in columns.pop(name)] for name in ("audio", "audio2") if name in columns
    }
    return datasets.Dataset.from_dict({**clips, **columns})


def clips_of(data):
    return {row[name]["path"] for row in data for name in ("audio", "audio2") if row.get(name)}


def test_the_held_out_part_has_the_mix_of_labels():
    data = table(audio=[f"{i}.wav" for i in range(13)], label=["dog"] * 8 + ["rain"] * 4 + ["wind"])
    train, held = hold_out(data, 0.25, seed=0)
    assert sorted(held["label"]) == ["dog", "dog", "rain"] and len(train) == 10
    assert hold_out(data, 0.25, seed=0)[1]["audio"][:] == held["audio"][:]


def test_no_clip_is_in_both_parts(capsys):
    first = [f"{i % 8}.wav" for i in range(40)]
    second = [f"{(i * 3 + 1) % 8}.wav" if i % 3 else None for i in range(40)]
    train, held = hold_out(table(audio=first, audio2=second), 0.3, seed=1)
    assert len(train) and len(held) and not clips_of(train) & clips_of(held)
    assert f"{40 - len(train) - len(held)} rows left out" in capsys.readouterr().out


def test_data_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="expected one of folder"):
        read_parts(DataArguments(data="x", dataset="imagenet"), 0)
    with pytest.raises(ValueError, match="no official parts"):
        read_parts(DataArguments(data="x", split="train"), 0)
    with pytest.raises(ValueError, match="has official parts"):
        read_parts(DataArguments(data="x", dataset="clotho", eval_data="y"), 0)
    with pytest.raises(ValueError, match="too few"):
        hold_out(table(audio=["a.wav"]), 0.5, seed=0)
    with pytest.raises(ValueError, match="share between 0 and 1"):
        hold_out(table(audio=["a.wav"]), 1.0, seed=0)


def test_several_processes_share_a_stream_and_have_as_many_batches(monkeypatch):
    """Shards of unequal size: each process has its part of every batch, and no row is missing."""
    loaders = pytest.importorskip("accelerate.data_loader")

    def rows_of(shards):
        yield from ({"row": row} for shard in shards for row in shard)

    stream = datasets.IterableDataset.from_generator(rows_of, gen_kwargs={"shards": [[0, 1, 2, 3, 4], [5], [6]]})
    training = {"train_batch_size": 2, "gradient_accumulation_steps": 1, "num_train_epochs": 3, "max_steps": -1}
    arguments = SimpleNamespace(**training, world_size=2, accelerator_config=SimpleNamespace(dispatch_batches=None))
    monkeypatch.setattr(recipes, "read_manifest_rows", lambda folder: 7)
    shards = DataArguments(data="x", dataset="shards")
    parts = recipes.set_up_streams(arguments, shards, stream, stream)
    assert arguments.max_steps == 6 and arguments.accelerator_config.dispatch_batches is False
    for part in parts:
        seen = []
        for process in (0, 1):
            how = {"num_processes": 2, "process_index": process, "dispatch_batches": False}
            loader = loaders.prepare_data_loader(DataLoader(part, batch_size=2), **how)
            seen.append([batch["row"].tolist() for batch in loader])
        assert seen[0] == [[0, 1], [4, 5]] and seen[1] == [[2, 3], [6, 0]]  # the last one is filled up
    alone = SimpleNamespace(**vars(arguments) | {"world_size": 1})
    assert recipes.set_up_streams(alone, shards, stream) == (stream,)
    assert recipes.set_up_streams(alone, DataArguments(data="x"), "rows", "other") == ("rows", "other")
