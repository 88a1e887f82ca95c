"""The page as a visitor has it: a headless Chromium uploads, types, clicks and reads."""

import pytest
import soundfile
from browser import Visitor, chromium, missing, page_served

from afm_hf import bundled_audio

REASON = missing("gradio", "matplotlib")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(REASON is not None, reason=f"no browser test: {REASON}")]


@pytest.fixture(scope="module")
def address():
    with page_served() as address:
        yield address


@pytest.fixture
def visitor(address):
    with chromium() as driver:
        visitor = Visitor(driver, address)
        yield visitor
        assert visitor.requested_hosts() == {"127.0.0.1"}  # whatever was done: nothing goes to another server


def clip(name):
    return next(path for path in bundled_audio() if path.name.startswith(name))


def test_a_clip_is_classified_and_pictured(visitor):
    visitor.upload("classify-clip", clip("cow"))
    visitor.write("classify-labels", "rain, cow mooing")
    visitor.click("classify-button")
    scores = visitor.scores("classify-scores")
    assert scores.index("cow mooing") < scores.index("rain")
    assert visitor.until(lambda: visitor.find(".picture img"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [("broken.wav", "broken.wav"), ("silent.wav", "silent"), ("empty.wav", "empty"), (None, "no clip")],
)
def test_a_bad_clip_is_refused_in_words(visitor, tmp_path, name, reason):
    (tmp_path / "broken.wav").write_bytes(b"no sound at all" * 100)
    (tmp_path / "empty.wav").write_bytes(b"")
    soundfile.write(tmp_path / "silent.wav", [0.0] * 16000, 16000)
    if name is not None:
        visitor.upload("classify-clip", tmp_path / name)
    visitor.click("classify-button")
    said = visitor.error()
    assert reason in said and "Traceback" not in said and str(tmp_path) not in said


def test_a_question_about_two_clips_is_answered(visitor):
    visitor.open_tab("Caption and ask")
    visitor.until(lambda: visitor.find("#answers-ask-button"))
    visitor.upload("answers-first-clip", clip("rain"))
    visitor.upload("answers-second-clip", clip("cow"))
    visitor.click("answers-caption-button")
    assert "rain" in visitor.until(lambda: visitor.text("#answers-said textarea"))
    visitor.write("answers-question", "which audio is higher?")
    visitor.click("answers-ask-button")
    assert visitor.until(lambda: visitor.text("#answers-answer textarea")) in ("the first", "the second")


def test_two_clips_are_compared_and_quality_is_scored(visitor):
    visitor.open_tab("Difference")
    visitor.until(lambda: visitor.find("#difference-button"))
    visitor.upload("difference-first-clip", clip("rain"))
    visitor.upload("difference-second-clip", clip("cow"))
    visitor.click("difference-button")
    assert "rain" in visitor.until(lambda: visitor.text("#difference-text textarea"))
    visitor.open_tab("Quality")
    visitor.until(lambda: visitor.find("#quality-button"))
    visitor.upload("quality-clip", clip("rain"))
    visitor.click("quality-button")
    assert "clear and clean" in visitor.scores("quality-scores")


def test_the_examples_are_adapted_to(visitor):
    visitor.open_tab("Test-time adaptation")
    visitor.until(lambda: visitor.find("#adaptation-button"))
    visitor.click("adaptation-examples")
    visitor.until(lambda: "cow" in visitor.text("#adaptation-clips"))
    visitor.click("adaptation-button")
    assert "of 6 clips" in visitor.until(lambda: visitor.text("#adaptation-said textarea"))
    assert visitor.until(lambda: "score after" in visitor.text("body"))


def test_the_keyboard_is_enough(visitor):
    """From the top of the page by Tab to an example, the labels and the button; Enter presses it."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    def focused():
        return visitor.driver.switch_to.active_element

    def tab_to(reached):
        for _ in range(60):
            focused().send_keys(Keys.TAB)
            if reached(focused()):
                return
        raise AssertionError("Tab never gets there.")

    visitor.driver.find_element(By.TAG_NAME, "body").click()
    tab_to(lambda element: element.text.strip() == "cow mooing")
    focused().send_keys(Keys.ENTER)
    visitor.until(lambda: visitor.find("#classify-clip button[aria-label='Clear']"))
    tab_to(
        lambda element: element.tag_name in ("textarea", "input") and "rain" in (element.get_attribute("value") or "")
    )
    focused().send_keys(Keys.CONTROL, "a")
    focused().send_keys("rain, cow mooing")
    tab_to(lambda element: element.get_attribute("id") == "classify-button")
    focused().send_keys(Keys.ENTER)
    scores = visitor.scores("classify-scores")
    assert scores.index("cow mooing") < scores.index("rain")


@pytest.mark.parametrize("width", [390, 1120])
def test_nothing_is_cut_off_and_nothing_scrolls_to_the_side(address, width):
    with chromium() as driver:
        phone = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
        Visitor(driver, address)
        assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        # The list of sources at the end holds an address without blanks.
        uncut = "every(e => e.scrollWidth <= Math.max(e.clientWidth, 1) + 1)"  # words within a line have no width
        assert driver.execute_script(f"return [...document.querySelectorAll('.small, .small *')].{uncut}")


def test_an_error_goes_away_by_itself(visitor):
    visitor.click("classify-button")
    assert "no clip" in visitor.error()
    assert visitor.until(lambda: not visitor.find(".toast-body"))
