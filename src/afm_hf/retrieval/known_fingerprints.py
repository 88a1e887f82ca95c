"""Fingerprints of checkpoints, remembered, so that not all weights are read and hashed at every start."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import constants

from ..models.common.writing_afm import write_text

WEIGHTS = (".safetensors", ".bin")


def remembered(folder: str | os.PathLike[str], settings: str, compute: Callable[[], str]) -> str:
    """
    The fingerprint of a model whose weights lie in a folder.

    It is known again by the place, size, time and inode of the weights' files and by everything else that it is made
    of, and lies below `HF_HOME/afm_hf/fingerprints`, a small file for each; delete them as you like. What is not a
    folder, and what takes weights from elsewhere (an adapter), is computed every time, as is all where the cache cannot
    be used.

    Args:
        folder (`str` or `os.PathLike`): The checkpoint.
        settings (`str`): All that the fingerprint depends on besides the weights.
        compute (`Callable`): Makes the fingerprint, 64 hexadecimal digits.
    """
    key = _key(Path(folder), settings)
    if key is None:
        return compute()
    place = Path(constants.HF_HOME) / "afm_hf" / "fingerprints" / key
    try:
        known = place.read_text()
        if len(known) == 64 and set(known) <= set("0123456789abcdef"):
            return known
    except (OSError, UnicodeDecodeError):
        pass
    made = compute()
    with contextlib.suppress(OSError):  # a full disk, or a cache that is read only: computed again next time
        write_text(place, made, "the fingerprint of a model")
    return made


def _key(folder: Path, settings: str) -> str | None:
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix in WEIGHTS)
        if not files or (folder / "adapter_config.json").exists():
            return None
        states = [(path.stat(), os.path.realpath(path)) for path in files]
    except OSError:
        return None
    marks = [[name, state.st_size, state.st_mtime_ns, state.st_ino] for state, name in states]
    return hashlib.sha256(json.dumps([1, marks, settings]).encode()).hexdigest()
