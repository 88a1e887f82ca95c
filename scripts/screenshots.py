"""Takes the pictures of `docs/demo.md` and of the rating sheet in `docs/experiments.md`, in a headless Chromium.

The pages are those of the bundled clips and models. Needs the extra `demo`, selenium, and Chromium with its driver.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from afm_hf import bundled_audio
from afm_hf.data import read_audio_folder
from afm_hf.evaluation.experiments.measuring import Data
from afm_hf.evaluation.experiments.rating_sheet import rating_sheet

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


def sheet(folder: Path) -> Path:
    """A sheet about bundled clips: their captions, and the captions of the clips before them."""
    clips = bundled_audio()[0].parent
    data, _ = read_audio_folder(clips)
    texts = [captions[0] for captions in data["captions"]]
    for name, shift in (("right", 0), ("exchanged", -1)):
        said = [
            {"id": row["source"], "prediction": {"text": texts[(number + shift) % len(texts)]}}
            for number, row in enumerate(data)
        ]
        (folder / name).mkdir()
        (folder / name / "predictions-0.jsonl").write_text("".join(json.dumps(line) + "\n" for line in said))
    systems = {name: folder / name for name in ("right", "exchanged")}
    return rating_sheet("captioning", Data("folder", str(clips)), systems, folder / "sheet", items=5).page


def take_sheet(path: Path) -> None:
    """A picture of a rating sheet on which the first question is answered."""
    with tempfile.TemporaryDirectory() as folder, chromium(height=1000) as driver:
        driver.get(sheet(Path(folder)).as_uri())
        time.sleep(1)
        driver.find_element("css selector", "body").send_keys("4")
        picture(driver, path)


def take(visitor: Visitor, path: Path) -> None:
    """A picture of the whole page."""
    time.sleep(2)  # transitions end, plots are loaded
    height = visitor.driver.execute_script("return document.querySelector('.gradio-container').scrollHeight")
    visitor.driver.set_window_size(1120, min(2000, height + 150))
    visitor.driver.execute_script("window.scrollTo(0, 0)")
    time.sleep(1)
    picture(visitor.driver, path)


def picture(driver: Any, path: Path) -> None:
    """What is seen, small enough to commit."""
    driver.save_screenshot(str(path))
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
    take_sheet(arguments.output / "rating_sheet.png")


if __name__ == "__main__":
    main()
