"""Checkpoints and clips that come with the package."""

import os
from pathlib import Path

ASSETS = Path(__file__).parents[1] / "assets"


# Which system a bundled checkpoint stands for, and the name of the official one for `afm-hf convert`.
STANDS_FOR = {
    "clap-tiny": ("CLAP", "clap-2023"),
    "pengi-tiny": ("Pengi", "pengi"),
    "adiff-tiny": ("ADIFF", "adiff"),
    "mellow-tiny": ("Mellow", "mellow"),
}


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
        f"{path.name} is a tiny demonstration model that comes with afm-hf: it knows little, and is often wrong. For "
        f"real use {remedy}."
    )


def bundled_model(name: str = "clap-tiny") -> Path:
    """Folder of a bundled checkpoint, for `from_pretrained` and `pipeline`.

    Args:
        name (`str`, *optional*, defaults to `"clap-tiny"`): Name of the checkpoint.

    Returns:
        The folder.

    Raises:
        ValueError: if there is no such checkpoint; the message lists those that there are.
    """
    folder = ASSETS / name
    if not (folder / "config.json").is_file():
        known = sorted(path.parent.name for path in ASSETS.glob("*/config.json"))
        raise ValueError(f"There is no bundled model {name!r}; the bundled models are {known}.")
    introduce(folder)
    return folder


def bundled_audio() -> list[Path]:
    """The bundled demo clips, by name. `metadata.csv` beside them gives label, caption, licence and author of each."""
    return sorted(path for path in (ASSETS / "clips").iterdir() if path.suffix in (".ogg", ".wav", ".flac"))
