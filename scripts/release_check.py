"""What a release must pass: wheel and sdist, an installation without the repository, and the cost of `import afm_hf`.

    python scripts/release_check.py            # or `make release-check`; some minutes, needs the package index

It builds both files, looks into them, makes the wheel again from the sdist and compares, installs the wheel (and no
extras) into an environment of its own, uses it from an empty folder, runs every Python block of the README there and
compares with what the README shows, and measures the import.
"""

import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from shown_output import check_shown  # noqa: E402 - it lies with the tests

NEEDED = (
    "afm_hf/py.typed",
    "afm_hf/__init__.pyi",
    "afm_hf/hub/official_checkpoints.json",
    "afm_hf/evaluation/paper/paper_results.json",
    "afm_hf/assets/ears.safetensors",
    "afm_hf/assets/clap-small/own.safetensors",
    "afm_hf/assets/mellow-small/own.safetensors",
    "afm_hf/assets/clips/metadata.csv",
    "afm_hf/conversion/mellow.py",
)
MOST_MB = 45
IMPORT_MS = 50  # beyond transformers' own import
RUNS = 9
USE = """
import afm_hf, sys
from transformers import pipeline
assert "site-packages" in afm_hf.__file__, afm_hf.__file__
clip = str(afm_hf.bundled_audio()[4])
print(pipeline("zero-shot-audio-classification")(clip, candidate_labels=["cow mooing", "rain"])[0])
print(pipeline("audio-captioning")(clip))
"""
# The folder of sounds that the README's readers have.
MY_SOUNDS = """
import afm_hf, csv, pathlib, shutil
folder = pathlib.Path("my-sounds")
folder.mkdir()
with (folder / "metadata.csv").open("w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["file_name", "caption"])
    for clip in afm_hf.bundled_audio():
        shutil.copy(clip, folder)
        table.writerow([clip.name, clip.stem.replace("_", " ")])
"""
README_BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", re.M | re.S)


def say(what: str) -> None:
    print(f"== {what}", flush=True)


def environment(folder: Path) -> Path:
    """A new environment; gives its Python."""
    venv.create(folder, with_pip=True)
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


def run(*command: object, folder: Path | None = None) -> str:
    """Standard output of a command; its troubles end this script."""
    done = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"failed: {' '.join(map(str, command))}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def install(python: Path, *what: object) -> None:
    quiet = ("--quiet", "--disable-pip-version-check", "--constraint", ROOT / "constraints.txt")
    run(python, "-m", "pip", "install", *quiet, *what)


def contents(wheel: Path) -> dict[str, str]:
    """Names and digests of a wheel's files, without the list of files itself."""
    with zipfile.ZipFile(wheel) as file:
        return {
            name: hashlib.sha256(file.read(name)).hexdigest() for name in file.namelist() if not name.endswith("RECORD")
        }


def check_files(wheel: Path, sdist: Path) -> None:
    names = contents(wheel)
    strays = [name for name in names if not name.startswith(("afm_hf/", "afm_hf-"))]
    missing = [name for name in NEEDED if name not in names]
    caches = [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".orig"))]
    size = wheel.stat().st_size / 1e6
    if strays or missing or caches or size > MOST_MB:
        sys.exit(f"{wheel.name}, {size:.1f} MB: strays {strays[:5]}, missing {missing}, caches {caches[:5]}")
    with tarfile.open(sdist) as file:
        parts = {name.split("/")[1] for name in file.getnames() if "/" in name}
    lacking = {"src", "tests", "examples", "docs", "conversions", "constraints.txt", "README.md", "LICENSE"} - parts
    if lacking:
        sys.exit(f"{sdist.name} lacks {sorted(lacking)}")
    print(f"{wheel.name} {size:.1f} MB, {len(names)} files; {sdist.name} {sdist.stat().st_size / 1e6:.1f} MB")


def import_cost(python: Path, folder: Path) -> float:
    """Milliseconds that `import afm_hf` adds to `import transformers`, median over processes in turns."""
    program = "import time, transformers; a = time.perf_counter(); import afm_hf; print(time.perf_counter() - a)"
    return 1000 * statistics.median(float(run(python, "-c", program, folder=folder)) for _ in range(RUNS))


def check_readme(python: Path, folder: Path) -> None:
    """Runs the README's Python blocks as a reader does who has installed nothing else."""
    run(python, "-c", MY_SOUNDS, folder=folder)
    for number, (block, shown) in enumerate(README_BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))):
        if "push_to_hub" in block or "push_with_code" in block:
            print(f"block {number}: left out, it needs a Hub (tests/test_documents.py has one on this machine)")
            continue
        began = time.perf_counter()
        check_shown(shown, run(python, "-c", block, folder=folder))
        what = "prints what is shown" if shown else "runs"
        print(f"block {number} {what}, {time.perf_counter() - began:.0f} s")


def main() -> None:
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        empty = work / "empty"
        empty.mkdir()
        say("wheel and sdist")
        builder = environment(work / "builder")
        install(builder, "hatchling")
        run(builder, "-m", "hatchling", "build", "--directory", work / "dist", folder=ROOT)
        (wheel,), (sdist,) = (work / "dist").glob("*.whl"), (work / "dist").glob("*.tar.gz")
        check_files(wheel, sdist)

        say("the wheel again, from the sdist")
        with tarfile.open(sdist) as file:
            file.extractall(work / "unpacked", filter="data")
        (source,) = (work / "unpacked").iterdir()
        run(builder, "-m", "hatchling", "build", "--target", "wheel", "--directory", work / "again", folder=source)
        (again,) = (work / "again").glob("*.whl")
        if contents(again) != contents(wheel):
            differ = {name for name, _ in contents(again).items() ^ contents(wheel).items()}
            sys.exit(f"the wheel of the sdist differs in {sorted(differ)[:5]}")

        say("an installation without the repository")
        python = environment(work / "user")
        install(python, wheel)
        command = python.with_name("afm-hf")
        clips = json.loads(
            run(python, "-c", "import afm_hf, json; print(json.dumps([str(c) for c in afm_hf.bundled_audio()]))")
        )
        print(run(command, "classify", clips[0], "--labels", "applause,rain", folder=empty).strip())
        print(run(command, "caption", clips[4], folder=empty).strip())
        print(run(command, "ask", clips[4], "--question", "what is the sound?", folder=empty).strip())
        run(command, "models", folder=empty)
        print(run(python, "-c", USE, folder=empty).strip())

        say("the README")
        check_readme(python, empty)

        say("the cost of the import")
        cost = import_cost(python, empty)
        print(f"{cost:.1f} ms beyond transformers' own (at most {IMPORT_MS})")
        if cost > IMPORT_MS:
            sys.exit("too slow")
    print(f"all passed, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
