"""`examples/browser` as a visitor has it: Chromium, the npm package, an exported model, and no other server.

The npm package is not part of the repository: `npm install --ignore-scripts` in `examples/browser`, or the folder of an
installation in AFM_NODE_MODULES.
"""

import functools
import http.server
import json
import os
import re
import shutil
import threading
from pathlib import Path

import pytest
import soundfile
from browser import Visitor, chromium, missing
from commands import run_command
from transformers import pipeline

from afm_hf import bundled_audio, bundled_model

PAGE = Path(__file__).parents[2] / "examples/browser"
MODULES = Path(os.environ.get("AFM_NODE_MODULES", PAGE / "node_modules"))
LABELS = ["rain", "cow mooing", "applause"]


def why_not():
    """Why the page cannot be tried here, or None."""
    installed = MODULES / "@huggingface/transformers/package.json"
    wanted = json.loads((PAGE / "package.json").read_text())["dependencies"]["@huggingface/transformers"]
    if not installed.is_file():
        return f"@huggingface/transformers is not installed in {MODULES}"
    if (found := json.loads(installed.read_text())["version"]) != wanted:
        return f"@huggingface/transformers is {found}, and not {wanted}"
    return missing("onnx", "onnxscript", "onnxruntime")


REASON = why_not()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(REASON is not None, reason=f"no browser test: {REASON}")]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page with the model and the npm package beside it, served."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copy(PAGE / "index.html", folder)
    (folder / "node_modules").symlink_to(MODULES.resolve())
    run_command("export", "clap-small", "-o", folder / "models/clap-small", "--format", "transformers.js")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def ask(visitor, clip):
    """Uploads a clip and presses the button; what the page then says."""
    visitor.driver.set_script_timeout(300)  # the page stands still while the model is read, and while it listens
    visitor.until(lambda: visitor.text("#said") != "The model is being loaded.", 300)
    visitor.find("#clip").send_keys(str(clip))
    field = visitor.find("#labels")
    field.clear()
    field.send_keys(", ".join(LABELS))
    visitor.find("#classify-button").click()
    return visitor.until(lambda: said if (said := visitor.text("#said")) not in ("Ready.", "Listening.") else "", 300)


@pytest.mark.parametrize(("dtype", "apart"), [("fp32", 0.01), ("q8", 0.06)])
def test_the_page_says_what_python_says(address, dtype, apart):
    cow = next(path for path in bundled_audio() if path.name.startswith("cow"))
    expected = pipeline("zero-shot-audio-classification", model=str(bundled_model("clap-small")), device="cpu")(
        str(cow), candidate_labels=LABELS
    )
    with chromium() as driver:
        visitor = Visitor(driver, f"{address}?dtype={dtype}")
        assert ask(visitor, cow) == "Done."
        found = re.findall(r"^(.+): ([\d.]+)$", visitor.text("#scores"), re.MULTILINE)
        assert visitor.requested_hosts() == {"127.0.0.1"}
    assert found[0][0] == expected[0]["label"] == "cow mooing"
    wanted = {row["label"]: row["score"] for row in expected}
    assert {label: float(score) for label, score in found} == pytest.approx(wanted, abs=apart)


def test_silence_is_said(address, tmp_path):
    soundfile.write(tmp_path / "silent.wav", [0.0] * 16000, 16000)
    with chromium() as driver:
        assert "silent" in ask(Visitor(driver, address), tmp_path / "silent.wav")
