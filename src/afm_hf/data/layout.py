"""What the readers of official data sets share: where the tables lie, which parts there are."""

from collections.abc import Sequence
from pathlib import Path

from ..audio.audio_folders import is_litter


def find_file(root: Path, name: str, data_set: str, origin: str) -> Path:
    """
    A file of a data set: in its folder or one level below.

    Raises:
        ValueError: if it is not there, with what is and where the file is to be had, or if there are several.
    """
    if not root.is_dir():
        raise ValueError(f"There is no folder {root}. Pass the folder of {data_set}; get it from {origin}.")
    if (root / name).is_file():
        return root / name
    every = (path for path in root.glob(f"*/{name}") if path.is_file())
    found = sorted(path for path in every if not is_litter(path.relative_to(root).parts[0]))
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"{data_set}: {root} has {len(found)} files {name}: {', '.join(map(str, found))}. Pass one's folder."
        )
    inside = sorted(path.name for path in root.iterdir())
    shown = ", ".join(inside[:10]) + (", ..." if len(inside) > 10 else "") if inside else "nothing"
    raise ValueError(f"{data_set}: {root} has no {name} (it holds {shown}). Get it from {origin}.")


def check_choice(argument: str, value: str, choices: Sequence[str]) -> None:
    """
    Checks that an argument is one of its names.

    Raises:
        ValueError: if it is not.
    """
    if value not in choices:
        raise ValueError(f"`{argument}` is {value!r}; expected one of {', '.join(map(repr, choices))}.")


def check_folds(folds: Sequence[int] | None, last: int) -> tuple[int, ...]:
    """
    The folds to read; None: all.

    Raises:
        ValueError: for a fold that the data set does not have, or none.
    """
    if folds is None:
        return tuple(range(1, last + 1))
    wrong = [fold for fold in folds if fold not in range(1, last + 1)]
    if wrong or not folds:
        raise ValueError(f"`folds` is {list(folds)}; expected some of the folds 1 to {last}.")
    return tuple(folds)


def readable(label: str) -> str:
    """A label as the papers write it into a prompt: lower case, blanks for underscores."""
    return label.replace("_", " ").strip().lower()
