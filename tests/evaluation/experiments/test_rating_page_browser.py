"""The rating sheet as a rater has it: a headless Chromium listens, rates and saves; the agreement is then computed."""

import csv
import json
import time

import pytest
from browser import chromium, missing
from commands import run_command
from conftest import write_clips

pytest.importorskip("datasets")
pytest.importorskip("matplotlib")

from afm_hf.evaluation.experiments.measuring import Data
from afm_hf.evaluation.experiments.rating_sheet import rating_sheet

REASON = missing()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(REASON is not None, reason=f"no browser test: {REASON}")]


@pytest.fixture(scope="module")
def sheet(tmp_path_factory):
    """Three captioned clips, and what two systems say of them."""
    folder = tmp_path_factory.mktemp("rated")
    names = ("rain", "dogs", "wind")
    data = write_clips(folder / "clips", [{"caption": f"a sound of {name}"} for name in names])
    for system in ("good", "bad"):
        (folder / system).mkdir()
        said = [
            {"id": f"metadata.csv:{i + 2}", "prediction": {"text": f"{system}, {n} \u00e9"}}
            for i, n in enumerate(names)
        ]
        (folder / system / "predictions-0.jsonl").write_text("\n".join(map(json.dumps, said)) + "\n")
    systems = {name: folder / name for name in ("good", "bad")}
    return rating_sheet("captioning", Data("folder", str(data)), systems, folder / "sheet", items=3)


class Rater:
    """Somebody with the page open."""

    def __init__(self, driver, page):
        self.driver = driver
        driver.get(page.resolve().as_uri())

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def text(self, selector):
        return self.find(selector).text

    def press(self, *keys):
        self.find("body").send_keys(*keys)

    def until(self, true, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := true():
                return value
            time.sleep(0.05)
        raise TimeoutError(f"Waited in vain. The page says: {self.text('body')[:500]}")

    def save_as(self, name, folder):
        """Writes the name and saves; gives the file."""
        self.find("#rater").clear()
        self.find("#rater").send_keys(name)
        self.find("#save").click()
        return self.until(lambda: next(folder.glob(f"ratings-{name}.csv"), None))


def test_two_raters_fill_the_page_in_and_their_agreement_is_computed(sheet, tmp_path):
    from selenium.webdriver.common.keys import Keys

    saved = []
    with chromium(downloads=tmp_path) as driver:  # by keys alone
        ann = Rater(driver, sheet.page)
        assert ann.until(lambda: driver.execute_script("return document.querySelector('audio').duration > 0.4"))
        for number in range(sheet.texts):
            assert ann.text("#count") == f"{number} of {sheet.texts} rated"
            ann.press(*("555" if ann.text("blockquote").startswith("good") else "212"))
            ann.press(Keys.ARROW_RIGHT)
        assert ann.text("#said").startswith("All texts are rated")
        ann.press("s")
        assert "write your name" in ann.text("#said") and not list(tmp_path.glob("*.csv"))
        driver.refresh()  # what is rated stays in the browser
        assert ann.text("#count") == f"{sheet.texts} of {sheet.texts} rated"
        saved.append(ann.save_as("Ann", tmp_path))
        assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
    with chromium(downloads=tmp_path) as driver:  # by mouse, and one text is left out
        bob = Rater(driver, sheet.page)
        for number in range(sheet.texts - 1):
            for question in range(3):
                mark = 4 if bob.text("blockquote").startswith("good") else 2
                bob.find(f"label[for='q{question}-{mark}']").click()
            bob.find("textarea").send_keys('so, "so"')
            next(
                each for each in driver.find_elements("css selector", "nav button") if "Next \u2192" in each.text
            ).click()
            assert bob.text("#count").startswith(str(number + 1))
        saved.append(bob.save_as("Bob", tmp_path))
        assert f"1 of {sheet.texts} texts are not rated yet" in bob.text("#said")
    shown = run_command(
        "experiment", "rating-agreement", *saved, "--key", sheet.key, "--output", tmp_path / "out", "--bootstrap", 20
    )
    assert "2 raters, 5 texts rated by two or more" in shown.stdout
    assert "Bob has left 3 of 18 ratings out" in shown.stderr
    rows = {
        (row["criterion"], row["system"]): row for row in csv.DictReader((tmp_path / "out/rating-agreement.csv").open())
    }
    assert 4 < float(rows["correctness", "good"]["value"]) <= 5
    assert 1 <= float(rows["granularity", "bad"]["value"]) < 2


@pytest.mark.parametrize("width", [1120, 500])
def test_the_page_needs_no_scrolling_to_the_side_and_shows_its_scale(sheet, width):
    with chromium(width=width) as driver:
        rater = Rater(driver, sheet.page)
        assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        for question in range(3):
            boxes = [rater.find(f"label[for='q{question}-{mark}']").rect for mark in range(1, 6)]
            assert len({box["y"] for box in boxes}) == 1, "the five marks stand in one row"
