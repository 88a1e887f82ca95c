"""What `make demo` does, as a newcomer sees it."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="matplotlib draws the picture (the extra `demo`)")
def test_the_demo_tells_most_bundled_clips_apart_and_draws_a_picture(tmp_path):
    run = subprocess.run(
        [sys.executable, str(DEMO), "--output", str(tmp_path)], capture_output=True, text=True, check=True
    )
    right, total = map(int, next(line for line in run.stdout.splitlines() if " right among " in line).split()[:3:2])
    # Random guessing would get one right; the trained model must be far from that.
    assert total >= 10 and right >= total / 3
    assert (tmp_path / "demo.png").read_bytes()[:4] == b"\x89PNG"
