"""Lays out CLAP as a model of transformers, tests it there, and compares it with this package's.

    python scripts/upstream_clap.py --output DIR                     # some minutes
    python scripts/upstream_clap.py --output DIR --no-tests          # seconds
    python scripts/upstream_clap.py --output DIR --checkpoint CLAP   # compares outputs of a converted checkpoint, too

DIR then holds what belongs into a checkout of transformers, and `auto_mappings.patch` for its tables of Auto classes;
docs/upstreaming.md says what to do with it. The tests are transformers' common ones and those of the folder; they run
against the installed transformers, of which nothing is changed. The common ones are fetched by
`scripts/fetch_common_tests.py`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from upstream import checks, layout, recipe
from upstream.joined import join

ROOT = Path(__file__).resolve().parent.parent


def common_tests() -> Path:
    """Where the common tests of the installed transformers are, or would be."""
    from fetch_common_tests import PACKAGE, TARGET

    return Path(os.environ.get("UPSTREAM_COMMON_TESTS", TARGET / PACKAGE))


def compare(checkpoints: dict[str, Path]) -> bool:
    """Prints how far the outputs are from this package's; returns whether all are near enough."""
    near = True
    for name, checkpoint in checkpoints.items():
        for output, difference in checks.largest_differences(checkpoint).items():
            near &= difference <= checks.ALLOWED
            print(f"CLAP {name}, {output}: {difference:.1e} of its scale from ours at most")
    return near


def run_tests(folder: Path, options: list[str]) -> int:
    """Runs the laid-out tests in a process of their own; returns its exit status."""
    paths = [str(ROOT / "scripts"), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    names = {"UPSTREAM_FOLDER": str(folder), "UPSTREAM_COMMON_TESTS": str(common_tests())}
    environment = {**os.environ, **names, "PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "upstream.pytest_upstream", "-p", "no:cacheprovider"]
    place = ["-c", os.devnull, "--rootdir", str(folder), f"tests/models/{recipe.NAME}"]
    return subprocess.run([*command, *place, *options], cwd=folder, env=environment, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="the folder to write; what is there is replaced")
    parser.add_argument("--checkpoint", type=Path, nargs="+", default=[], help="CLAPs of this package, to compare, too")
    parser.add_argument("--no-tests", action="store_true", help="write and compare, but run no tests")
    arguments = parser.parse_args()
    folder = arguments.output.resolve()
    for file in layout.lay_out(folder):
        print(folder / file)
    join(folder)
    with tempfile.TemporaryDirectory() as place:
        checkpoints = checks.tiny_checkpoints(Path(place))
        near = compare({**checkpoints, **{str(checkpoint): checkpoint for checkpoint in arguments.checkpoint}})
    if not near:
        print(f"The outputs are further than {checks.ALLOWED:g} of their scale from this package's.", file=sys.stderr)
    if arguments.no_tests:
        return int(not near)
    if not common_tests().is_dir():
        print("transformers' common tests are not here; `python scripts/fetch_common_tests.py` fetches them.")
        return 1
    return run_tests(folder, []) or int(not near)


if __name__ == "__main__":
    sys.exit(main())
