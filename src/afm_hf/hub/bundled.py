"""Checkpoints and clips that come with the package."""

import os
from pathlib import Path

from .parts import complete

ASSETS = Path(__file__).parents[1] / "assets"


# Which system a bundled checkpoint stands for, and the name of the official one for `afm-hf convert`.
STANDS_FOR = {
    "clap-small": ("CLAP", "clap-2023"),
    "pengi-small": ("Pengi", "pengi"),
    "adiff-small": ("ADIFF", "adiff"),
    "mellow-small": ("Mellow", "mellow"),
}
# Names of earlier versions, and what has taken their place.
REPLACED = {f"{kind}-tiny": f"{kind}-small" for kind in ("clap", "pengi", "mellow", "adiff")}


def introduce(folder: str | os.PathLike[str]) -> None:
    """Says once what a bundled model is good for; of any other folder it says nothing.

    The notice is a warning of the logger `afm_hf`.

    Raises:
        ValueError: a bundled model is not in this installation.
    """
    from transformers.utils import logging

    path = Path(folder)
    if path.name not in STANDS_FOR:
        return
    official, known_as = STANDS_FOR[path.name]
    remedy = (
        f"convert the official checkpoint of {official} (`afm-hf convert {known_as}`) and pass its folder as the model"
    )
    if not (path / "config.json").is_file():
        raise ValueError(f"The default model {path.name!r} is not bundled with this installation of afm-hf: {remedy}.")
    logging.get_logger("afm_hf").warning_once(
        f"{path.name} is a small demonstration model that comes with afm-hf, and is often wrong. The official "
        f"checkpoint is better: for real use {remedy}."
    )


def bundled_model(name: str = "clap-small") -> Path:
    """Folder of a bundled checkpoint, for `from_pretrained` and `pipeline`.

    Models that share weights lie in parts in the package; the folder, an ordinary and complete one, is then put
    together in the cache (`HF_HOME`) on first use.

    Args:
        name (`str`, *optional*, defaults to `"clap-small"`): Name of the checkpoint. A name of an earlier version is
            answered with what has taken its place, and a warning.

    Returns:
        The folder.

    Raises:
        ValueError: if there is no such checkpoint; the message lists those that there are.
        OSError: the folder cannot be put together: there is no space, or the installation is damaged.
    """
    if name in REPLACED:
        name = told_successor(name)
    folder = ASSETS / name
    if not (folder / "config.json").is_file():
        raise ValueError(f"There is no bundled model {name!r}; the bundled models are {bundled_names()}.")
    introduce(folder)
    return complete(folder)


def told_successor(name: str) -> str:
    """The model that has taken the place of one of an earlier version; a warning says so."""
    from transformers.utils import logging

    logging.get_logger("afm_hf").warning_once(
        f"The model {name!r} is no longer bundled: {REPLACED[name]!r} has taken its place and is used here. What was "
        f"computed with {name}, as an index of embeddings, has to be computed anew."
    )
    return REPLACED[name]


def bundled_names() -> list[str]:
    """The names of the bundled models."""
    return sorted(path.parent.name for path in ASSETS.glob("*/config.json"))


def bundled_audio() -> list[Path]:
    """The bundled demo clips, by name. `metadata.csv` beside them gives label, caption, licence and author of each."""
    return sorted(path for path in (ASSETS / "clips").iterdir() if path.suffix in (".ogg", ".wav", ".flac"))
