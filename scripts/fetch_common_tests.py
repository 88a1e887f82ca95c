"""Fetches what transformers tests of all its models, so that `tests/transformers_common` can ask the same of ours.

The wheel of transformers has no tests, but its sdist has the common ones. Those of the installed version are put into
the environment, where they are found by `tests/transformers_common/mixins.py`; nothing of them becomes part of this
repository. Without a package index the script says so and ends well: the tests that need them are skipped then.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib import metadata
from pathlib import Path, PurePosixPath

VERSION = metadata.version("transformers")
TARGET = Path(sys.prefix) / "transformers-tests" / VERSION
PACKAGE = "transformers_tests"
SECONDS = 300
# What the common tests import, but the sdist leaves out: the tests of `generate()` and of exports, which are ours then,
# and a look-up of files that transformers' own machines keep.
STAND_INS = {
    f"{PACKAGE}/generation/test_utils.py": "class GenerationTesterMixin:\n    pass\n",
    f"{PACKAGE}/exporters/test_export.py": "class ExportTesterMixin:\n    pass\n",
    f"{PACKAGE}/utils/test_configuration_utils.py": "config_common_kwargs = {}\n",
    "utils/fetch_hub_objects_for_ci.py": "def url_to_local_path(url, *args):\n    return url\n",
}


def download(folder: Path) -> Path:
    """The sdist of the installed version, in `folder`."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--retries", "1"]
    options = ["--no-deps", "--no-binary", ":all:", "--dest", str(folder), f"transformers=={VERSION}"]
    subprocess.run([*command, *options], check=True, timeout=SECONDS, capture_output=True, text=True)
    return next(folder.glob("transformers-*.tar.gz"))


def unpack(sdist: Path, folder: Path) -> int:
    """Writes the common tests of an sdist into a package below `folder`; returns how many files these are."""
    count = 0
    with tarfile.open(sdist) as archive:
        for member in archive:
            place = PurePosixPath(member.name).parts[1:]  # below `transformers-<version>`
            content = archive.extractfile(member)
            if len(place) == 2 and place[0] == "tests" and place[1].endswith(".py") and content is not None:
                write(folder / PACKAGE / place[1], content.read().decode())
                count += 1
    for name, text in STAND_INS.items():
        if not (folder / name).exists():
            write(folder / name, text)
    return count


def write(file: Path, text: str) -> None:
    """Writes a file of a package, whose folders are made if they are not there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    (file.parent / "__init__.py").touch()
    file.write_text(text, encoding="utf-8")


def main() -> int:
    if TARGET.is_dir():
        return 0
    TARGET.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TARGET.parent) as folder:
        try:
            sdist = download(Path(folder))
        except (subprocess.SubprocessError, OSError, StopIteration) as error:
            said = (getattr(error, "stderr", "") or str(error)).strip().splitlines() or [repr(error)]
            print(f"transformers' common tests could not be fetched, and are left out: {said[-1]}", file=sys.stderr)
            return 0
        made = Path(folder) / "made"
        if not unpack(sdist, made):
            print(f"The sdist of transformers {VERSION} has no common tests; they are left out.", file=sys.stderr)
            return 0
        shutil.move(made, TARGET)
    print(f"transformers' common tests, {VERSION}: {TARGET}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
