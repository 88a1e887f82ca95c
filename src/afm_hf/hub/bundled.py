"""Checkpoints and clips that come with the package."""

from pathlib import Path

ASSETS = Path(__file__).parents[1] / "assets"


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
    return folder


def bundled_audio() -> list[Path]:
    """The bundled demo clips, by name. `metadata.csv` beside them gives label, caption, licence and author of each."""
    return sorted(path for path in (ASSETS / "clips").iterdir() if path.suffix in (".ogg", ".wav", ".flac"))
