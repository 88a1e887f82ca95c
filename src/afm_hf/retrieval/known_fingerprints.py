"""Fingerprints of checkpoints, remembered, so that weights and vocabulary are not read and hashed at every start."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import transformers
from huggingface_hub import constants

from .. import __version__
from ..models.common.writing_afm import write_text

WEIGHTS = (".safetensors", ".bin")
SETTINGS = (".json", ".txt", ".model")


def remembered(folder: str | os.PathLike[str], settings: str, compute: Callable[[], str]) -> str:
    """
    The fingerprint of a model whose weights lie in a folder.

    It is known again by the place, size, time and inode of the weights' files, by what stands in the other files of the
    folder, and by the releases that read them, and lies below `HF_HOME/afm_hf/fingerprints`, a small file for each;
    delete them as you like. What is not a folder, and what takes weights from elsewhere (an adapter), is computed every
    time, as is all where the cache cannot be used.

    Args:
        folder (`str` or `os.PathLike`): The checkpoint.
        settings (`str`): What the fingerprint depends on besides the folder, as the number format.
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
        others = sorted(path for path in folder.iterdir() if path.suffix in SETTINGS)
        texts = [[path.name, hashlib.sha256(path.read_bytes()).hexdigest()] for path in others]
    except OSError:
        return None
    marks = [[name, state.st_size, state.st_mtime_ns, state.st_ino] for state, name in states]
    made_by = [2, marks, texts, settings, __version__, transformers.__version__]
    return hashlib.sha256(json.dumps(made_by).encode()).hexdigest()
