"""Draws the pictures of sounds in the README and the first hour: what `make demo` draws, and a clip as models hear it.

python scripts/draw_sounds.py          # writes docs/images/demo.png and sound.png; needs the extra `demo`
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from transformers import AutoFeatureExtractor

import afm_hf
from afm_hf.demo.pictures import drawn_front_end

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
CLIP = "cow_mooing"
COLOURS = 96


def save_small(picture: Path, target: Path, width: int) -> None:
    """The picture in few colours, and no wider than a page."""
    image = Image.open(picture).convert("RGB")
    image.thumbnail((width, width))
    image.quantize(COLOURS).save(target, optimize=True)
    print(f"{target.name}: {target.stat().st_size // 1000} kB")


def draw_demo(scratch: Path) -> Path:
    """The picture of `examples/demo.py`."""
    subprocess.run([sys.executable, ROOT / "examples" / "demo.py", "--output", scratch], check=True)
    return scratch / "demo.png"


def draw_sound(scratch: Path) -> Path:
    """Waveform and log-mel of one clip, side by side."""
    clip = next(path for path in afm_hf.bundled_audio() if path.name.startswith(CLIP))
    extractor = drawn_front_end(AutoFeatureExtractor.from_pretrained(afm_hf.bundled_model("clap-small")))
    rate = extractor.sampling_rate
    waveform = afm_hf.load_audio(clip, rate)
    features = extractor([clip], return_tensors="np", padding="repeat", truncation="first")
    log_mel = features["input_features"][0, 0]  # (frames, mels)
    seconds = len(log_mel) * extractor.hop_length / rate

    figure = Figure(figsize=(10, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(np.arange(len(waveform)) / rate, waveform, linewidth=0.5)
    left.set(title="waveform", xlabel="time (s)", ylabel="amplitude", xlim=(0, seconds), ylim=(-1, 1))
    image = right.imshow(log_mel.T, origin="lower", aspect="auto", extent=(0, seconds, 0, log_mel.shape[1]))
    right.set(title="log-mel, the clip repeated to the window's length", xlabel="time (s)", ylabel="mel band")
    figure.colorbar(image, ax=right, label="log-mel")
    figure.savefig(scratch / "sound.png", dpi=100)
    return scratch / "sound.png"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        save_small(draw_demo(Path(folder)), IMAGES / "demo.png", width=900)
        save_small(draw_sound(Path(folder)), IMAGES / "sound.png", width=1000)


if __name__ == "__main__":
    main()
