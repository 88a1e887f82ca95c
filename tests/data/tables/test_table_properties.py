"""The same table gives the same rows, or an error, in whatever file it is written; so do lists in cells."""

import csv
import io
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("datasets")
sys.path.insert(0, str(Path(__file__).parents[1]))

from afm_hf.data import read_table
from afm_hf.data.tables.cells import NoListError, list_in

ODD = "\"',;\t|\n\r\\[](){}#=\u2028\u0085\u00a0\ufeff\u0301éÅ日😀aN "
TEXTS = st.text(st.one_of(st.sampled_from(ODD), st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
FILLED = TEXTS.filter(str.strip)
LISTS = st.lists(FILLED, min_size=1, max_size=3)
ROWS = st.lists(
    st.fixed_dictionaries({"caption": FILLED, "label": TEXTS, "labels": LISTS, "choices": LISTS, "remark": FILLED}),
    min_size=1,
    max_size=3,
)
COLUMNS = ("file_name", "caption", "label", "labels", "choices", "remark")


def in_cell(value, write):
    return write(value) if isinstance(value, list) else value


def as_csv(rows, delimiter=",", end="\n", write=json.dumps, quoting=csv.QUOTE_MINIMAL):
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerows([COLUMNS, *([in_cell(row[column], write) for column in COLUMNS] for row in rows)])
    return file.getvalue()


def every_form(rows):
    """Name of the file -> its bytes."""
    as_numpy = lambda texts: str(np.array(texts, dtype=object))  # noqa: E731
    # All is quoted where lines end in newlines alone: Python leaves a carriage return at the end of a row unquoted.
    yield "plain.csv", as_csv(rows, quoting=csv.QUOTE_ALL).encode()
    yield "excel.csv", ("\ufeff" + as_csv(rows, ";", "\r\n", str)).encode()
    yield "numpy.csv", as_csv(rows, write=as_numpy, quoting=csv.QUOTE_ALL).encode()
    yield "tabs.tsv", as_csv(rows, "\t", "\r\n", lambda texts: json.dumps(texts, ensure_ascii=False)).encode("utf-16")
    frame = pd.DataFrame({c: [in_cell(row[c], np.array) for row in rows] for c in COLUMNS})
    yield "pandas.csv", frame.to_csv(quoting=csv.QUOTE_ALL).encode()
    yield "lines.jsonl", "\r\n".join(map(json.dumps, rows)).encode("utf-8-sig")
    yield "odd.jsonl", "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()
    yield "list.json", json.dumps(rows, indent=1, ensure_ascii=False).encode("utf-32")
    buffer = io.BytesIO()
    pd.DataFrame(rows).to_parquet(buffer)
    yield "columns.parquet", buffer.getvalue()


def read(path):
    """What a table holds, or that it is refused."""
    try:
        data, report = read_table(path, check="none")
    except ValueError as error:
        assert path.name in str(error) or "rows of" in str(error), error  # whoever reads it knows which file it is
        return None
    kept = [{name: value for name, value in row.items() if name != "source"} for row in data]
    return kept, report.kept, report.skipped


def same_in_every_form(rows):
    full = [{"file_name": "a.wav", **row} for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for name, content in every_form(full):
            (Path(folder) / name).write_bytes(content)
            found[name] = read(Path(folder) / name)
    readable = {name: what for name, what in found.items() if what is not None}
    assert all(what == next(iter(readable.values())) for what in readable.values()), readable
    assert ("lines.jsonl" in readable) == ("odd.jsonl" in readable) == ("columns.parquet" in readable)


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(ROWS)
def test_a_table_has_the_same_rows_in_every_form_or_is_refused(rows):
    same_in_every_form(rows)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ROWS)
def test_many_tables_have_the_same_rows_in_every_form(rows):
    same_in_every_form(rows)


def test_plain_tables_are_never_refused():
    row = {"caption": "a dog, [barking]; \"loud\"\nand 'long'", "label": "dog", "labels": ["a, b", "it's", "[c]"]}
    rows = [{"file_name": "a.wav", **row, "choices": ["yes", "no"], "remark": "\\ 日\u2028"}]
    with tempfile.TemporaryDirectory() as folder:
        for name, content in every_form(rows):
            (Path(folder) / name).write_bytes(content)
            kept, count, skipped = read(Path(folder) / name)
            assert count == 1 and skipped == 0, name
            assert kept[0]["captions"] == [row["caption"]] and kept[0]["labels"] == row["labels"], name


WRITERS = [
    json.dumps,
    str,
    lambda texts: str(tuple(texts)),
    lambda texts: str(np.array(texts, dtype=object)),
    lambda texts: repr(np.array(texts, dtype=object)),
    lambda texts: str(list(np.array(texts))),
]


def written_and_read(texts):
    for write in WRITERS:
        try:
            found = list_in(write(texts))
        except NoListError:
            assert write not in WRITERS[:3], texts  # by JSON and Python every list is read
            continue
        ends = [text.rstrip("\0") for text in texts] if write is WRITERS[-1] else texts  # arrays of texts drop zeros
        assert found == ends or (found is None and not texts)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.text(st.one_of(st.sampled_from(ODD), st.characters(exclude_categories=["Cs"]))), min_size=1))
def test_a_list_is_read_as_it_was_written_or_refused(texts):
    written_and_read(texts)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.text("['\"],a \\n.array(){}:1"))
def test_any_text_is_a_list_a_text_or_refused(text):
    try:
        found = list_in(text)
    except NoListError as error:
        assert str(error)
    else:
        assert found is None or isinstance(found, list)
