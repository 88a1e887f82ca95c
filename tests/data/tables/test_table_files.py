"""Tables as people have them: separators, encodings, headers, quotation marks, paths of Windows, lists of numpy."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

datasets = pytest.importorskip("datasets")
sys.path.insert(0, str(Path(__file__).parents[1]))

from audio_files import write_clip  # noqa: E402

from afm_hf.data import read_audio_folder, read_table  # noqa: E402
from afm_hf.data.tables import read_rows  # noqa: E402
from afm_hf.data.tables.cells import NoListError, list_in  # noqa: E402


@pytest.fixture
def folder(tmp_path):
    for name in ("a.wav", "b.wav", "sub/c.wav"):
        write_clip(tmp_path / name)
    return tmp_path


def captions(folder, content, name="t.csv"):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(folder / name)[0]["captions"][:]


# -- separators, line ends, encodings ---------------------------------------------------------------------------------

USUAL = 'file_name,caption\na.wav,"a dog, barking"\nb.wav,Ünder rain\n'
WANTED = [["a dog, barking"], ["Ünder rain"]]


@pytest.mark.parametrize(
    "content",
    [
        USUAL,
        USUAL.replace("\n", "\r\n"),
        USUAL.replace("\n", "\r"),
        "\n\n" + USUAL + ",,\n\n",
        "sep=,\r\n" + USUAL,
        "sep=;\n" + USUAL.replace("e,c", "e;c").replace("v,", "v;"),
        USUAL.replace("e,c", "e;c").replace("v,", "v;"),
        USUAL.replace("e,c", "e\tc").replace("v,", "v\t"),
        "\ufeff" + USUAL,
        USUAL.encode("utf-16"),
        USUAL.encode("utf-32"),
        ("\ufeff" + USUAL).encode("utf-16-be"),
    ],
    ids=["plain", "crlf", "cr", "blank lines", "sep=,", "sep=;", "semicolons", "tabs", "bom", "16", "32", "16be"],
)
def test_a_table_is_the_same_however_it_is_written(folder, content):
    content = content.replace(",,\n", ",\n") if isinstance(content, str) else content
    assert captions(folder, content) == WANTED


def test_tabs_in_a_tsv_and_in_parquet(folder):
    assert captions(folder, 'file_name\tcaption\na.wav\t"a dog, barking"\nb.wav\tÜnder rain\n', "t.tsv") == WANTED
    frame = pd.DataFrame({"file_name": ["a.wav", "b.wav"], "captions": [["a dog, barking"], np.array(["Ünder rain"])]})
    frame.to_parquet(folder / "metadata.parquet")
    data, _ = read_audio_folder(folder)
    assert data["captions"][:] == WANTED and data["source"][:] == ["metadata.parquet:1", "metadata.parquet:2"]
    (folder / "t.parquet").write_bytes(b"PAR1 no table PAR1")
    with pytest.raises(ValueError, match=r"t\.parquet is no Parquet file"):
        read_table(folder / "t.parquet")
    (folder / "metadata.csv").write_text("file_name\na.wav\n")
    with pytest.raises(ValueError, match=r"has metadata\.csv and metadata\.parquet\. Which is right"):
        read_audio_folder(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file_name;caption,long\na.wav;x,y\n", "the header has commas and semicolons"),
        ("a.wav,a dog barks\nb.wav,rain\n", "the first line is a row .'a.wav' is a clip.; expected the names"),
        ("file_name,caption\nb.wav,Caf\xe9\n".encode("latin-1"), r"not UTF-8 \(line 2, byte 0xe9\).*Windows-1252"),
        ("file_name,caption\na.wav,x\n".encode("utf-16-le"), r"t\.csv:1 holds zero bytes.*UTF-16 without"),
        ("file_name,caption\na.wav,x\n".encode("utf-16")[:-1], "begins as UTF-16 but is not"),
        ('file_name,caption\na.wav,"a dog\nb.wav,rain\n', r"t\.csv:2 is no CSV.*quotation mark not closed"),
        ('file_name,caption\na.wav,"a "dog" barks"\n', r"t\.csv:2 is no CSV.*not doubled"),
        ("file_name, file_name ,caption\na.wav,b.wav,x\n", "two columns of one name"),
        ("File Name,file_name,caption\na.wav,b.wav,x\n", "`File Name` and another column both mean `file_name`"),
        ("file_name,caption,\na.wav,a dog,barks\n", r"t\.csv:2 has 'barks' in a column without a name"),
        ("file_name,label\na.wav,\"['dog', 'rain']\"\n", "`label` is .*expected one label.*call the column `labels`"),
    ],
)
def test_what_can_be_read_in_two_ways_or_none_is_refused(folder, content, message):
    with pytest.raises(ValueError, match=rf"(?s){message}"):
        captions(folder, content)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"file_name": "a.wav", "caption": "x", "caption": "y"}', "has `caption` twice in one object"),
        ('{"file_name": "a.wav", "caption": "x", " caption": "y"}', "two columns of one name"),
        (r'{"file_name": "a.wav", "caption": "\ud83d"}', "half a character"),
        ('{"file_name": "a.wav", "caption": {"en": "x"}}', "`caption` is {'en': 'x'}; expected text"),
        ('{"file_name": "a.wav", "captions": ["x", NaN]}', "expected a list of texts"),
        ('{"file_name": "a.wav", "label": ["dog"]}', "expected one label"),
    ],
)
def test_objects_of_json_are_no_looser(folder, line, message):
    with pytest.raises(ValueError, match=message):
        captions(folder, line, "t.jsonl")


def test_headers_with_blanks_capitals_and_numbers_of_rows(folder):
    (folder / "t.csv").write_text(", File Name , Caption 1,CAPTION_2\n0,a.wav,a dog,barking\n1,b.wav,rain,\n")
    data, report = read_table(folder / "t.csv")
    assert data["captions"][:] == [["a dog", "barking"], ["rain"]]
    assert set(data.column_names) == {"audio", "captions", "source"}
    assert "`caption_2`" in str(report) and "'File Name' was read as `file_name`" in str(report)


def test_missing_values_of_pandas_are_missing(folder):
    frame = pd.DataFrame(
        {"file_name": ["a.wav", "b.wav"], "caption": ["a dog", None], "label": [np.nan, "rain"], "fold": [1, None]}
    )
    for name, write in (("t.csv", frame.to_csv), ("t.parquet", frame.to_parquet)):
        write(folder / name, index=False)
        data, report = read_table(folder / name)
        assert (data["label"][:], data["fold"][:]) == ([None], [1]), name
        assert [clip.reason for clip in report.textless] == ["no text in caption"]
        assert "`label` is blank (1 row)" in str(report)
    frame.to_json(folder / "t.jsonl", orient="records", lines=True)
    assert read_table(folder / "t.jsonl")[0]["label"][:] == [None]
    frame.astype(str).to_csv(folder / "t.csv", index=False, na_rep="nan")  # texts of missing values
    assert read_table(folder / "t.csv")[0]["label"][:] == [None]
    (folder / "t.jsonl").write_text(
        '{"file_name": "a.wav", "label": NaN, "n": NaN}\n{"file_name": "a.wav", "label": "x", "n": 1}'
    )
    data, _ = read_table(folder / "t.jsonl")
    assert (data["label"][:], data["n"][:]) == (["x"], ["1"])


# -- names of clips ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [r"sub\c.wav", r".\sub\c.wav", r"C:\Users\me\sub\c.wav", r"\\server\share\sub\c.wav", "sub//c.wav"]
)
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_paths_of_windows_are_paths(folder, name, suffix):
    row = {"file_name": name, "caption": "x"}
    text = json.dumps(row) if suffix == "jsonl" else f"file_name,caption\n{name},x\n"
    (folder / f"t.{suffix}").write_text(text)
    data, report = read_table(folder / f"t.{suffix}")
    assert Path(data[0]["audio"]["path"]) == folder / "sub" / "c.wav" and report.skipped == 0
    assert read_table(folder / f"t.{suffix}", check="none")[0][0]["audio"]["path"].count("\\") == 0


def test_a_backslash_in_the_name_of_a_file_is_one(folder):
    write_clip(folder / "a\\b.wav")
    (folder / "t.csv").write_text("file_name,caption\na\\b.wav,x\n")
    assert read_table(folder / "t.csv")[0][0]["audio"]["path"] == str(folder / "a\\b.wav")


def test_a_clip_of_another_folder_is_taken_by_name_but_not_in_silence(folder):
    write_clip(folder / "cats" / "1.wav")
    (folder / "t.csv").write_text("file_name,label\ndogs/1.wav,dog\nsub/c.wav,rain\n")
    data, report = read_table(folder / "t.csv")
    assert len(data) == 2 and "in another folder, as dogs/1.wav at cats/1.wav (1 row)" in str(report)


def test_a_caption_in_the_place_of_a_name_is_a_missing_clip(folder):
    (folder / "t.csv").write_text(f"file_name,caption\na.wav,x\n{'a dog barks ' * 60},y\n")
    _, report = read_table(folder / "t.csv")
    assert report.kept == 1 and len(report.missing) == 1


# -- lists in cells ---------------------------------------------------------------------------------------------------

TWO = ["a dog barks", "it's rain, [loud]"]


@pytest.mark.parametrize(
    "cell",
    [
        json.dumps(TWO),
        str(TWO),
        str(np.array(TWO)),
        repr(np.array(TWO, dtype=object)),
        repr(np.array(TWO)),
        str(list(np.array(TWO))),
        str(tuple(TWO)),
        f"  {TWO}\n",
    ],
)
def test_lists_are_read_as_they_were_written(cell):
    assert list_in(cell) == TWO


def test_the_index_of_pandas_is_a_list():
    assert list_in(repr(pd.Index(["a dog", "rain"], dtype=object))) == ["a dog", "rain"]


def test_long_lists_are_read_over_several_lines():
    texts = [f"sentence {i} is long enough to fill the line" for i in range(40)]
    assert list_in(str(np.array(texts, dtype=object))) == texts == list_in(repr(np.array(texts)))


@pytest.mark.parametrize(
    "cell",
    [
        "['a' 'b', 'c']",
        "['a''b']",
        "['it's a dog', 'rain']",
        "['a dog', 'ra",
        "['a' nan]",
        "[nan nan]",
        "[1 2]",
        "[0.5]",
        "{'a', 'b'}",
        '{"en": "a dog"}',
        str(np.array(list("ab") * 800, dtype=object)),
        str(pd.Series(["a dog", "rain"], name="captions")),
        "[['a'], ['b']]",
        "[None]",
        "array(['a', 'b'",
    ],
)
def test_what_is_no_list_of_texts_is_an_error(folder, cell):
    frame = pd.DataFrame({"file_name": ["a.wav"], "captions": [cell]})
    frame.to_csv(folder / "t.csv", index=False)
    with pytest.raises(ValueError, match=r"t\.csv:2: `captions`"):
        read_table(folder / "t.csv")


@pytest.mark.parametrize(
    "caption",
    [
        "[applause] and cheers", "[applause]", "[music] [cheers]", "(applause) and cheers", '["Hello"] she says',
        "array of birds", "{laughs}", "a dog's [bark]", "[", "('tis) raining",
    ],
)  # fmt: skip
def test_captions_in_brackets_are_captions(folder, caption):
    for column in ("caption", "captions", "text"):
        pd.DataFrame({"file_name": ["a.wav"], column: [caption]}).to_csv(folder / "t.csv", index=False)
        assert read_table(folder / "t.csv")[0]["captions"][:] == [[caption]]


def test_a_caption_column_of_one_text_takes_commas_in_brackets(folder):
    assert captions(folder, 'file_name,caption\na.wav,"[music, applause]"\n') == [["[music, applause]"]]
    with pytest.raises(ValueError, match="expected texts in quotation marks, with commas between them"):
        captions(folder, 'file_name,captions\na.wav,"[music, applause]"\n')


def test_an_empty_list_is_blank_in_all_files(folder):
    assert captions(folder, "file_name,captions\na.wav,[]\nb.wav,x\n") == [["x"]]
    (folder / "t.csv").write_text("file_name,labels\na.wav,[]\nb.wav,rain\n")
    data, report = read_table(folder / "t.csv")
    assert data["labels"][:] == [None, ["rain"]] and "`labels` is blank (1 row)" in str(report)


def test_nothing_in_a_cell_is_run():
    with pytest.raises(NoListError):
        list_in("['a', __import__('os').system('true')]")


# -- labels -----------------------------------------------------------------------------------------------------------


def test_labels_are_stripped_compared_and_counted(folder):
    content = "file_name,label\na.wav,dog\na.wav,dog \na.wav,\u00a0caf\u00e9\na.wav,cafe\u0301\na.wav,\na.wav,Dog\n"
    (folder / "t.csv").write_text(content)
    data, report = read_table(folder / "t.csv")
    assert data["label"][:] == ["dog", "dog", "caf\u00e9", "caf\u00e9", "Dog"]
    assert [clip.reason for clip in report.textless] == ["no text in label"]
    assert "'dog' and 'Dog' differ in case alone; they are two labels" in str(report)


def test_lists_of_labels_are_stripped_too(folder):
    (folder / "t.jsonl").write_text('{"file_name": "a.wav", "labels": [" dog", "cafe\u0301 "]}\n')
    assert read_table(folder / "t.jsonl")[0]["labels"][:] == [["dog", "caf\u00e9"]]


@pytest.mark.parametrize(("value", "number"), [("3", 3), ("3.0", 3), (" -2 ", -2)])
def test_whole_numbers_of_pandas_are_whole_numbers(folder, value, number):
    (folder / "t.csv").write_text(f"file_name,fold\na.wav,{value}\n")
    assert next(read_rows(folder / "t.csv")).number("fold") == number


@pytest.mark.parametrize("value", ["3.5", "1_0", "\u0663", "nan", "true"])
def test_other_numbers_are_not(folder, value):
    (folder / "t.csv").write_text(f"file_name,fold\na.wav,{value}\n")
    with pytest.raises(ValueError, match="expected a whole number"):
        next(read_rows(folder / "t.csv")).number("fold")
