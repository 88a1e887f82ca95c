"""What every way of embedding files shares: names that can be kept, a progress bar, a list of reasons."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm


def check_names(files: Sequence[str], what: str) -> None:
    """Raise `ValueError` if `what`, whose texts are UTF-8, cannot hold the name of a file."""
    for path in files:
        try:
            path.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError(
                f"{what} cannot hold the name {path!r}, which is no UTF-8. Rename it, or write a .safetensors file."
            ) from None


def progress_bar(total: int, initial: int) -> "tqdm[Any]":
    """A bar on stderr that counts files."""
    from tqdm import tqdm

    return tqdm(total=total, initial=initial, unit="file", desc="embedding", file=sys.stderr)


def report(bar: "tqdm[Any]", embedded: int, failures: Mapping[str, str]) -> None:
    """Move the bar on by a batch, and name its files that cannot be used."""
    for path, reason in failures.items():
        bar.write(f"skipped {path}: {reason}", file=bar.fp)
    bar.update(embedded + len(failures))


def none_usable(count: int, failures: Mapping[str, str]) -> ValueError:
    """The error where no file can be used, with the reasons of the first three."""
    reasons = "; ".join(f"{path}: {reason}" for path, reason in list(failures.items())[:3])
    return ValueError(f"None of the {count} files can be used ({reasons}).")


__all__ = ["check_names", "none_usable", "progress_bar", "report"]
