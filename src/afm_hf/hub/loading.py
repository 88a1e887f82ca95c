"""Checkpoints by name, and the device they run on."""

import os
from pathlib import Path
from typing import Any

import torch

from ..models.clap_afm.embedding_clap_afm import logit_scale
from .bundled import ASSETS, bundled_model


def resolve_model(model: str | os.PathLike[str] = "clap-tiny") -> str:
    """Folder or Hub id for `from_pretrained`: a folder as it is, the name of a bundled checkpoint, or else a Hub id.

    Raises:
        ValueError: there is no such folder, or `clap-tiny` is asked for, but is not bundled.
    """
    name = os.fspath(model)
    if Path(name).is_dir():
        return os.path.abspath(name)
    if name == "clap-tiny" or (ASSETS / name / "config.json").is_file():
        return str(bundled_model(name))
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name:
        raise ValueError(f"There is no folder {name!r} with a model in it.")
    return name


def load_clap(model: str | os.PathLike[str] = "clap-tiny", dtype: str | None = None) -> tuple[Any, Any, Any]:
    """Model (in evaluation mode), feature extractor and tokenizer.

    Args:
        model: the name of a bundled checkpoint, a folder, or a Hub id.
        dtype: "float32", "bfloat16", ...; None keeps the checkpoint's.

    Raises:
        ValueError: the model does not embed audio and text apart.
        OSError: there is no such checkpoint.
    """
    from transformers import AutoFeatureExtractor, AutoModel, AutoTokenizer

    source, name = resolve_model(model), os.fspath(model)
    try:
        loaded = AutoModel.from_pretrained(source, dtype=dtype or "auto").eval()
        if logit_scale(loaded) is None:
            raise ValueError(f"{name} holds a {type(loaded).__name__}, which does not embed audio and text apart.")
        extractor, tokenizer = AutoFeatureExtractor.from_pretrained(source), AutoTokenizer.from_pretrained(source)
    except OSError as error:
        raise OSError(f"The model {name!r} cannot be loaded: {error}") from error
    return loaded, extractor, tokenizer


def pick_device(device: str | None = None) -> torch.device:
    """The device of that name; None takes a GPU if there is one. `ValueError` if it cannot be used."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"The device {device!r} cannot be used: {str(error).splitlines()[0]}") from None
    return torch.device(device)


__all__ = ["load_clap", "pick_device", "resolve_model"]
