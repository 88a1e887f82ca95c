"""Rating sheets: blind, shuffled, one page that loads nothing; and what filled sheets say."""

import base64
import csv
import io
import json
import re

import pytest
import soundfile

pytest.importorskip("datasets")
pytest.importorskip("matplotlib")

from commands import run_command
from conftest import write_clips

from afm_hf.evaluation.experiments.measuring import Data
from afm_hf.evaluation.experiments.rating_agreement import rating_agreement
from afm_hf.evaluation.experiments.rating_sheet import CRITERIA, page_of, rating_sheet

NAMES = [each[0] for each in CRITERIA]
NASTY = '</script><script>alert(1)</script> "quoted", =1+1\nline two & \u2028'


@pytest.fixture
def runs(tmp_path):
    """Six captioned clips and two systems' predictions of them; the second could not answer one."""
    rows = [{"caption": f"a sound of {name}"} for name in ("rain", "dogs", "wind", "cars", "bells", "a horn")]
    data = write_clips(tmp_path / "clips", rows)
    for system in ("good", "bad"):
        folder = tmp_path / system
        folder.mkdir()
        lines = [{"id": f"metadata.csv:{i + 2}", "prediction": {"text": f"{system} text {i}"}} for i in range(6)]
        if system == "bad":
            lines[0] = {"id": "metadata.csv:2", "failure": "deaf"}
            lines[1]["prediction"]["text"] = NASTY
        (folder / "predictions-0.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Data("folder", str(data)), {"good": tmp_path / "good", "bad": tmp_path / "bad"}


def table(path):
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))


def sheet_in(page):
    return json.loads(re.search(r'<script id="sheet" type="application/json">(.*?)</script>', page, re.S)[1])


def test_the_sheet_is_blind_shuffled_and_whole(runs, tmp_path):
    data, systems = runs
    made = rating_sheet("captioning", data, systems, tmp_path / "out", items=4, seed=1)
    assert (made.texts, made.items, made.left_out) == (8, 4, {})
    page, blank, key = made.page.read_text(encoding="utf-8"), table(made.table), table(made.key)
    sheet = sheet_in(page)
    assert [row["id"] for row in sheet["rows"]] == [row["id"] for row in blank] == [row["id"] for row in key]
    texts = {row["id"]: row["text"] for row in sheet["rows"]}
    for row in key:  # the key is right
        number = int(row["item"].rpartition(":")[2]) - 2
        assert texts[row["id"]] in (f"{row['system']} text {number}", NASTY.strip())
        assert row["item"] != "metadata.csv:2"  # which one system could not answer
    assert sorted(row["system"] for row in key) == ["bad"] * 4 + ["good"] * 4
    # nothing but the texts themselves tells a system, and the order does not, either
    about = {**sheet, "rows": [{**row, "text": ""} for row in sheet["rows"]], "clips": [], "title": ""}
    seen = json.dumps(about)
    assert not re.search("good|bad|metadata.csv", seen)
    assert len({row["system"] for row in key[:4]}) == 2
    assert all(not row[name] for row in blank for name in (*NAMES, "rater", "comment"))


def test_the_same_seed_draws_the_same_sheet_and_another_one_another(runs, tmp_path):
    data, systems = runs
    drawn = [
        table(rating_sheet("captioning", data, systems, tmp_path / name, items=3, seed=seed).key)
        for name, seed in (("a", 0), ("b", 0), ("c", 5))
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_clips_are_in_the_page_and_can_be_played(runs, tmp_path):
    data, systems = runs
    sheet = sheet_in(rating_sheet("captioning", data, systems, tmp_path / "out", items=2).page.read_text("utf-8"))
    assert len(sheet["clips"]) == 2
    mime, _, content = sheet["clips"][0].partition(";base64,")
    assert mime in ("data:audio/mpeg", "data:audio/ogg")
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(content)))
    assert rate == 32000 and len(samples) > 0.4 * rate and abs(samples).max() > 0.1


def test_no_text_can_get_out_of_the_page_and_the_page_loads_nothing():
    page = page_of({"rows": [{"text": NASTY}], "title": "</script>"})
    assert page.count("</script>") == 2 and sheet_in(page)["rows"][0]["text"] == NASTY
    assert "default-src 'none'" in page
    assert not re.search(r'(?:src|href)="(?!data:)|@import|https?://|fetch\(|XMLHttpRequest', page)


def test_references_stand_among_the_systems_if_they_are_wanted(runs, tmp_path):
    data, systems = runs
    made = rating_sheet("captioning", data, systems, tmp_path / "out", items=2, reference=True)
    assert {row["system"] for row in table(made.key)} == {"good", "bad", "reference"} and made.texts == 6
    assert any(row["text"].startswith("a sound of") for row in table(made.table))


def test_runs_that_do_not_fit_are_refused(runs, tmp_path):
    data, systems = runs
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="no predictions in"):
        rating_sheet("captioning", data, {"x": tmp_path / "none"}, tmp_path / "out")
    (tmp_path / "none" / "predictions-0.jsonl").write_text('{"id": "other", "prediction": {"text": "x"}}\n')
    with pytest.raises(ValueError, match=r"no item of .* that all systems have answered"):
        rating_sheet("captioning", data, {**systems, "x": tmp_path / "none"}, tmp_path / "out")
    with pytest.raises(ValueError, match="name of the reference's texts"):
        rating_sheet("captioning", data, {"reference": systems["good"]}, tmp_path / "out")


@pytest.fixture
def filled(runs, tmp_path):
    """A sheet, and a function that fills it in for a rater, with what to give each system."""
    data, systems = runs
    made = rating_sheet("captioning", data, systems, tmp_path / "sheet", items=5, seed=3)
    system = {row["id"]: row["system"] for row in table(made.key)}

    def fill(rater, marks, change=None, sign=","):
        rows = table(made.table)
        for number, row in enumerate(rows):
            row["rater"] = rater
            row |= {
                name: str(marks[system[row["id"]]] - (number % 2 if name == "readability" else 0)) for name in NAMES
            }
        if change:
            change(rows)
        path = tmp_path / f"{rater}.csv"
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=sign)
            writer.writeheader()
            writer.writerows(rows)
        return path

    return made, fill


def test_means_and_agreement_are_those_of_the_ratings(filled, tmp_path):
    made, fill = filled
    sheets = [fill("Ann", {"good": 5, "bad": 2}), fill("Bob", {"good": 4, "bad": 3}, sign=";")]
    shown = run_command(
        "experiment", "rating-agreement", *sheets, "--key", made.key, "--output", tmp_path / "out", "--bootstrap", 50
    ).stdout
    rows = {(row["criterion"], row["system"]): row for row in table(tmp_path / "out" / "rating-agreement.csv")}
    assert float(rows["correctness", "good"]["value"]) == 4.5 and float(rows["correctness", "bad"]["value"]) == 2.5
    assert float(rows["correctness", "good"]["change"]) == 2.0
    assert float(rows["correctness", "good"]["change_low"]) == 2.0  # the same on every item
    # of two raters over ten texts, with values 5, 4 and 2, 3: by hand
    assert float(rows["correctness", "good"]["alpha"]) == pytest.approx(float(rows["correctness", "bad"]["alpha"]))
    assert "2 raters, 10 texts rated by two or more; the same 0 %, at most 1 apart 100 %" in shown
    assert (tmp_path / "out" / "rating-agreement.png").stat().st_size > 5000


def test_missing_ratings_are_counted_and_the_rest_stays(filled, tmp_path):
    made, fill = filled

    def forget(rows):
        for row in rows[:3]:
            row["correctness"] = ""

    found = rating_agreement([fill("Ann", {"good": 5, "bad": 2}, forget)], made.key, tmp_path / "out", draws=0)
    assert found.notes == ["Ann has left 3 of 30 ratings out"]
    assert sum(row["ratings"] for row in found.rows if row["criterion"] == "correctness") == 7
    assert all(row["alpha"] is None for row in found.rows)  # of one rater alone


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("correctness", "6", "the rating is '6'; expected a whole number from 1 to 5"),
        ("readability", "good", "expected a whole number from 1 to 5"),
        ("id", "t999", "is not in the key"),
        ("sheet", "another", "is not in the key"),
        ("id", "t001", "comes twice"),
    ],
)
def test_sheets_that_are_wrong_are_refused_with_the_line(filled, tmp_path, column, value, words):
    made, fill = filled

    def spoil(rows):
        rows[4][column] = value

    path = fill("Ann", {"good": 5, "bad": 2}, spoil)
    with pytest.raises(ValueError, match=rf"Ann\.csv, line 6.*{words}"):
        rating_agreement([path], made.key, tmp_path / "out")


def test_other_files_are_no_sheets(filled, tmp_path):
    made, _ = filled
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="no filled sheet"):
        rating_agreement([tmp_path / "x.csv"], made.key, tmp_path / "out")
    with pytest.raises(ValueError, match="no key of a sheet"):
        rating_agreement([made.table], tmp_path / "x.csv", tmp_path / "out")
    with pytest.raises(ValueError, match="There is no rating in"):
        rating_agreement([made.table], made.key, tmp_path / "out")
