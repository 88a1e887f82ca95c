"""Takes the pictures of `docs/demo.md`: the page in a headless Chromium, with the bundled clips and models.

Needs the extra `demo`, selenium, and Chromium with its driver.
"""

import argparse
import sys
import time
from pathlib import Path

from PIL import Image

from afm_hf import bundled_audio

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from browser import Visitor, chromium, missing, page_served  # noqa: E402 - it lies with the tests

MOST_BYTES = 150_000
COLOURS = 128


def clip(name: str) -> Path:
    """A bundled clip by the beginning of its name."""
    return next(path for path in bundled_audio() if path.name.startswith(name))


def classify(visitor: Visitor) -> None:
    visitor.upload("classify-clip", clip("birds"))
    visitor.click("classify-button")
    visitor.scores("classify-scores")


def ask(visitor: Visitor) -> None:
    visitor.open_tab("Caption and ask")
    visitor.until(lambda: visitor.find("#answers-ask-button"))
    visitor.upload("answers-first-clip", clip("rain"))
    visitor.click("answers-caption-button")
    visitor.until(lambda: visitor.text("#answers-said textarea"))
    visitor.write("answers-choices", "rain, cow mooing, applause")
    visitor.click("answers-ask-button")
    visitor.scores("answers-shares")


def difference(visitor: Visitor) -> None:
    visitor.open_tab("Difference")
    visitor.until(lambda: visitor.find("#difference-button"))
    visitor.upload("difference-first-clip", clip("rain"))
    visitor.upload("difference-second-clip", clip("cow"))
    visitor.click("difference-button")
    visitor.until(lambda: visitor.text("#difference-text textarea"))


def adaptation(visitor: Visitor) -> None:
    visitor.open_tab("Test-time adaptation")
    visitor.until(lambda: visitor.find("#adaptation-button"))
    visitor.click("adaptation-examples")
    visitor.until(lambda: "cow" in visitor.text("#adaptation-clips"))
    visitor.click("adaptation-button")
    visitor.until(lambda: visitor.text("#adaptation-said textarea"))


def take(visitor: Visitor, path: Path) -> None:
    """A picture of the whole page, small enough to commit."""
    time.sleep(2)  # transitions end, plots are loaded
    height = visitor.driver.execute_script("return document.querySelector('.gradio-container').scrollHeight")
    visitor.driver.set_window_size(1120, min(1700, height + 150))
    visitor.driver.execute_script("window.scrollTo(0, 0)")
    time.sleep(1)
    visitor.driver.save_screenshot(str(path))
    Image.open(path).convert("RGB").quantize(COLOURS).save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path.name}: {size // 1000} kB")
    if size > MOST_BYTES:
        raise SystemExit(f"{path.name} has {size} bytes; at most {MOST_BYTES} are wanted.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images", help="folder for the pictures")
    arguments = parser.parse_args()
    if reason := missing("gradio", "matplotlib"):
        raise SystemExit(f"No pictures: {reason}.")
    arguments.output.mkdir(parents=True, exist_ok=True)
    with page_served() as address:
        for scene in (classify, ask, difference, adaptation):
            with chromium() as driver:
                visitor = Visitor(driver, address)
                scene(visitor)
                take(visitor, arguments.output / f"demo_{scene.__name__}.png")


if __name__ == "__main__":
    main()
