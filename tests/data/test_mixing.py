"""Data sets mixed by weights, and the training recipes that take such mixtures."""

import sys
from pathlib import Path

import pytest
from audio_files import write_clip, write_csv

datasets = pytest.importorskip("datasets")
sys.path.append(str(Path(__file__).parents[2] / "examples"))

from recipes import DataArguments, mixed_parts, read_parts, sources_of  # noqa: E402

from afm_hf.data.mixtures import mix, mix_streams, mixed_order, parse_weights, read_layout  # noqa: E402


def test_names_with_and_without_weights():
    assert parse_weights(["a=0.5", "b=3", "c=1e-2"]) == [("a", 0.5), ("b", 3.0), ("c", 0.01)]
    assert parse_weights(["a", "b"]) == [("a", None), ("b", None)]


@pytest.mark.parametrize("words", [["a=0"], ["a=-1"], ["a=nan"], ["a=inf"], ["a=half"], ["a="], ["=1"], [""]])
def test_weights_that_are_none_are_refused(words):
    with pytest.raises(ValueError, match="a name and a positive number"):
        parse_weights(words)


def test_all_have_a_weight_or_none_has():
    with pytest.raises(ValueError, match="b has no weight, but others have"):
        parse_weights(["a=0.5", "b"])


def test_shares_follow_the_weights_whatever_their_scale():
    order = mixed_order([400, 400], [6, 2], seed=1)
    first = [part for part, _ in order[:400]]
    assert 0.7 < first.count(0) / len(first) < 0.8
    assert order == mixed_order([400, 400], [0.6, 0.2], seed=1) != mixed_order([400, 400], [6, 2], seed=2)


def test_how_a_mixture_ends():
    whole = mixed_order([3, 30], [0.5, 0.5], seed=0)
    assert {row for part, row in whole if part == 0} == {0, 1, 2} and {row for part, row in whole if part} == {
        *range(30)
    }
    assert len(whole) > 33  # the small part again and again
    short = mixed_order([3, 30], [0.5, 0.5], seed=0, stopping="first_exhausted")
    assert len(set(short)) == len(short) < 33 and short == whole[: len(short)]
    assert mixed_order([2, 1]) == [(0, 0), (0, 1), (1, 0)]  # without weights: each row once


@pytest.mark.parametrize(
    ("sizes", "weights", "stopping", "message"),
    [
        ([2, 0], None, "all_exhausted", "expected some in each"),
        ([2, 2], [1.0], "all_exhausted", "1 weights for 2"),
        ([2, 2], [1.0, 1.0], "never", "'first_exhausted'"),
    ],
)
def test_mixtures_that_do_not_fit(sizes, weights, stopping, message):
    with pytest.raises(ValueError, match=message):
        mixed_order(sizes, weights, stopping=stopping)


def test_data_sets_and_lists_and_streams():
    one = datasets.Dataset.from_dict({"text": ["a", "b"], "label": ["x", "y"]})
    two = datasets.Dataset.from_dict({"text": ["c"]})
    both = mix([one, two])
    assert both["text"][:] == ["a", "b", "c"] and both["label"][:] == ["x", "y", None]
    rows = mix([["a", "b"], ["c"]], [1, 1], seed=0)
    assert {rows[index] for index in range(len(rows))} == {"a", "b", "c"}
    stream = mix_streams([one.to_iterable_dataset(), two.to_iterable_dataset()], [1, 1], seed=0)
    assert {row["text"] for row in stream} == {"a", "b", "c"}
    assert [row["text"] for row in mix_streams([one.to_iterable_dataset(), two.to_iterable_dataset()])] == [
        "a",
        "b",
        "c",
    ]
    with pytest.raises(ValueError, match="weights for 1"):
        mix_streams([one.to_iterable_dataset()], [1, 2])


def folder_of(root, names, columns="file_name,caption"):
    for number, name in enumerate(names):
        write_clip(root / f"{name}.wav", 0.1 + number / 100)
    rows = [[f"{name}.wav", *([f"A {name}."] * (columns.count(",")))] for name in names]
    write_csv(root / "metadata.csv", columns, *rows)
    return str(root)


def test_the_recipes_mix_and_evaluate_on_each_row_once(tmp_path, capsys):
    first = folder_of(tmp_path / "one", [f"dog{i}" for i in range(8)])
    second = folder_of(tmp_path / "two", [f"cat{i}" for i in range(8)])
    settings = DataArguments(data=[first, second], dataset=["folder=9", "folder=1"], held_out=0.25)
    train, held = read_parts(settings, seed=0)
    captions = [texts[0] for texts in train["captions"]]
    assert len(held) == 4 and not {row["path"] for row in train["audio"]} & {row["path"] for row in held["audio"]}
    assert sum("dog" in text for text in captions) > 2 * sum("cat" in text for text in captions) > 0
    assert {text for text in captions if "cat" in text} == {f"A cat{i}." for i in range(8)} - {
        t[0] for t in held["captions"]
    }
    assert capsys.readouterr().out.count("8 rows kept") == 2
    again = DataArguments(data=[first, second], dataset=["folder=3", "folder=1"], mixing_seed=5)
    assert read_parts(again, seed=0)[0]["captions"][:] != train["captions"][:]


def test_a_clip_that_one_data_set_holds_out_is_not_learned_from_another(tmp_path, capsys):
    first, second = folder_of(tmp_path / "one", "abcdefgh"), folder_of(tmp_path / "two", "ijkl")
    write_csv(tmp_path / "one" / "few.csv", "file_name,caption", ["a.wav", "A."], ["b.wav", "B."])
    names = {"data": [f"{first}/metadata.csv", f"{second}/metadata.csv"], "dataset": ["table", "table"]}
    train, held = read_parts(DataArguments(**names, eval_data=["-", f"{first}/few.csv"], held_out=0.5), seed=0)
    assert not {row["path"] for row in train["audio"]} & {row["path"] for row in held["audio"]}
    assert "their clip is held out of another data set" in capsys.readouterr().out
    with pytest.raises(ValueError, match="nothing of it is left"):
        read_parts(DataArguments(**names, eval_data=["-", f"{first}/metadata.csv"]), seed=0)


def test_each_part_of_a_mixture_is_changed_by_itself(tmp_path):
    first, second = (
        folder_of(tmp_path / "one", "abcd"),
        folder_of(tmp_path / "two", "efgh", "file_name,question,answer"),
    )
    settings = DataArguments(data=[first, second], dataset=["folder", "folder"])
    seen = []
    train, held = mixed_parts(settings, 0, lambda part: seen.append(part.column_names) or [dict(row) for row in part])
    assert ["captions" in names for names in seen] == [True, False, True, False]
    assert len(train) == 6 and len(held) == 2
    assert {"captions" in train[index] for index in range(len(train))} == {True, False}


def test_what_belongs_to_each_data_set_is_given_in_order():
    settings = DataArguments(
        data=["one.csv", "two"],
        dataset=["table=0.5", "clotho=0.5"],
        audio_dir=["clips", "-"],
        split=["-", "evaluation"],
    )
    first, second = sources_of(settings)
    assert (first.layout, first.data, first.audio_dir, first.split) == ("table", "one.csv", "clips", None)
    assert (second.layout, second.weight, second.split, second.audio_dir) == ("clotho", 0.5, "evaluation", None)
    assert DataArguments(data="one", dataset="table").data == ["one"]  # as a settings file may have it
    with pytest.raises(ValueError, match="names 2 data sets, but `--audio_dir` has 1"):
        sources_of(DataArguments(data=["a", "b"], dataset=["table", "table"], audio_dir=["c"]))
    with pytest.raises(ValueError, match="needs its path"):
        sources_of(DataArguments(data=["a", "-"], dataset=["table", "table"]))


def test_layouts_by_name_know_what_belongs_to_them(tmp_path):
    folder = folder_of(tmp_path, "ab")
    assert len(read_layout("folder", folder)[0]) == 2
    with pytest.raises(ValueError, match="knows where its clips are"):
        read_layout("folder", folder, audio_dir=folder)
    with pytest.raises(ValueError, match="no official parts"):
        read_layout("folder", folder, split="train")
    with pytest.raises(ValueError, match="'imagenet'; expected one of folder"):
        read_layout("imagenet", folder)
