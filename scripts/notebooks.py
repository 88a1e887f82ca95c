"""Runs the notebooks of `examples/notebooks` and stores what they print, without Jupyter.

    python scripts/notebooks.py              # all of them
    python scripts/notebooks.py caption      # one

The cells of a notebook run from top to bottom in one namespace, in the notebook's own folder. What they print is kept
beside them, as Jupyter keeps it; what goes to the error stream (progress bars, warnings) is not.
"""

import argparse
import contextlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "notebooks"
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def read(path: Path) -> dict[str, Any]:
    """A notebook, which is JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def write(path: Path, notebook: dict[str, Any]) -> None:
    """As Jupyter writes it, so that opening and saving there changes nothing."""
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells that run."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def stored(cell: dict[str, Any]) -> str:
    """What is kept beside a cell."""
    return "".join("".join(output["text"]) for output in cell["outputs"])


def printed(notebook: dict[str, Any], name: str) -> Iterator[str]:
    """Runs the cells one after the other, and gives what each of them prints."""
    session = {"__name__": name}
    for number, cell in enumerate(code_cells(notebook), 1):
        with contextlib.redirect_stdout(io.StringIO()) as said:
            exec(compile("".join(cell["source"]), f"{name}, cell {number}", "exec"), session)
        yield said.getvalue()


def renew(path: Path) -> bool:
    """Stores what the notebook prints now; says whether that is something else than before."""
    notebook = read(path)
    before = json.dumps(notebook)
    with working_in(path.parent):
        texts = list(printed(notebook, path.stem))
    for number, (cell, text) in enumerate(zip(code_cells(notebook), texts, strict=True), 1):
        stream = {"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)}
        cell.update(execution_count=number, outputs=[stream] if text else [])
    write(path, notebook)
    return json.dumps(notebook) != before


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Another current folder for a while."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; all if none is given")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - set(known)):
        parser.error(f"there is no notebook {', '.join(unknown)}; there are {', '.join(known)}.")
    for name in arguments.names or known:
        print(f"{name}: {'renewed' if renew(FOLDER / f'{name}.ipynb') else 'as it was'}")


if __name__ == "__main__":
    main()
