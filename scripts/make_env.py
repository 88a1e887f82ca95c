"""Makes the development environment in `.venv`, or leaves none: run by the Makefile, needs only Python.

The environment counts as made only when `.venv/.complete` holds the fingerprint of the files that define it. Anything
else (an interrupted install, changed requirements) is removed and made anew.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
COMPLETE = ENVIRONMENT / ".complete"
DEFINED_BY = ("pyproject.toml", "constraints.txt", "scripts/make_env.py")


def fingerprint() -> str:
    """Hash of the files that define the environment, of its place and of the Python that makes it."""
    digest = hashlib.sha256(f"{sys.version} {ROOT}".encode())
    for name in DEFINED_BY:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def is_complete() -> bool:
    return COMPLETE.is_file() and COMPLETE.read_text() == fingerprint()


def install() -> None:
    """Creates the environment and installs the package with its development extras."""
    python = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin") / "python"
    venv.create(ENVIRONMENT, with_pip=True, clear=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, "--constraint", "constraints.txt", "--editable", ".[dev]"], cwd=ROOT, check=True)


def main() -> int:
    if sys.version_info < (3, 10):  # noqa: UP036 - this runs before pip could refuse
        print(f"afm-hf needs Python 3.10 or newer, but this is {sys.version.split()[0]}.", file=sys.stderr)
        return 1
    with (ROOT / ".venv.lock").open("w") as lock:
        _wait_for(lock)
        if is_complete():
            return 0
        print(f"Making the environment in {ENVIRONMENT.name} (some minutes the first time) ...", flush=True)
        try:
            install()
            COMPLETE.write_text(fingerprint())
        except BaseException as error:
            shutil.rmtree(ENVIRONMENT, ignore_errors=True)
            print(f"The environment could not be made and was removed again: {error}", file=sys.stderr)
            if isinstance(error, subprocess.CalledProcessError | OSError | KeyboardInterrupt):
                return 1
            raise
    return 0


def _wait_for(lock: object) -> None:
    """Waits until no other `make` is at work here (where the system has file locks)."""
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(lock, fcntl.LOCK_EX)  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())
