"""Checkpoints by name, and the device they run on."""

import os
from pathlib import Path
from typing import Any

import torch

from ..models.clap_afm.embedding_clap_afm import logit_scale
from ..models.common.fused_linear_afm import fuse_gelus, pack_linear_layers
from ..models.common.int8_afm import is_int8, quantize_audio_encoder
from .bundled import ASSETS, REPLACED, bundled_model, introduce
from .catalogue import find_checkpoint
from .parts import complete
from .precision import pick_dtype


def resolve_model(model: str | os.PathLike[str] = "clap-small") -> str:
    """Folder or Hub id for `from_pretrained`: a folder as it is, the name of a bundled checkpoint, or else a Hub id.

    Raises:
        ValueError: there is no such folder, or a bundled model is asked for that is not there.
    """
    name = os.fspath(model)
    if Path(name).is_dir():
        if Path(name).absolute().parent == ASSETS:
            introduce(name)
            return str(complete(Path(name).absolute()))
        return os.path.abspath(name)
    if name == "clap-small" or name in REPLACED or (ASSETS / name / "config.json").is_file():
        return str(bundled_model(name))
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name:
        raise ValueError(f"There is no folder {name!r} with a model in it.")
    official = find_checkpoint(name)
    if official is not None:
        raise ValueError(
            f"{name!r} is an official checkpoint, which has to be converted once: run `afm-hf convert {official.name} "
            f"--output {official.name}`, then give that folder as the model."
        )
    return name


def check_model(pipeline: str, model: str | os.PathLike[str]) -> None:
    """
    Looks at the configuration of a model, before it is loaded: is it one for a task?

    Args:
        pipeline (`str`): Name of the pipeline, as `"audio-captioning"`.
        model (`str`): A bundled model, a folder, or a Hub id.

    Raises:
        ValueError: the pipeline does not take such models.
        OSError: there is no such model.

    Example:
    ```python
    >>> check_model("audio-captioning", "pengi-small")
    >>> check_model("audio-captioning", "clap-small")
    Traceback (most recent call last):
    ...
    ValueError: clap-small is a 'clap_afm' model; 'audio-captioning' takes afm_adiff, afm_mellow, ...

    ```
    """
    from transformers import AutoConfig
    from transformers.pipelines import PIPELINE_REGISTRY

    config: Any = AutoConfig.from_pretrained(resolve_model(model))
    classes = PIPELINE_REGISTRY.check_task(pipeline)[1]["pt"]
    fitting = {known.model_type: known for each in classes for known in each._model_mapping}
    if not any(isinstance(config, known) for known in fitting.values()):
        ours = sorted(name for name, known in fitting.items() if known.__module__.startswith("afm_hf."))
        raise ValueError(
            f"{Path(model).name} is a {config.model_type!r} model; {pipeline!r} takes {', '.join(ours)}. Choose "
            "another model, or another task."
        )


def load_pipeline(
    task: str,
    model: str | os.PathLike[str],
    device: str | torch.device = "cpu",
    dtype: str | None = None,
    **options: Any,
) -> Any:
    """
    `transformers.pipeline`, in the number format that was asked for or not at all.

    transformers' own goes on in float32 where a model cannot be in eight bits, with a warning.

    Args:
        task (`str`): Name of the pipeline.
        model (`str`): A folder or Hub id, of [`resolve_model`].
        device (`str` or `torch.device`): Where the model will run.
        dtype (`str`, *optional*): `"auto"`, `"float32"`, `"int8"`, ..., see [`pick_dtype`]; None is the checkpoint's.
        options: Passed on.

    Raises:
        ValueError: the model cannot be in that number format.
        OSError: there is no such model.
    """
    from transformers import pipeline

    picked = pick_dtype(dtype, device)
    pipe: Any = pipeline(task, model=os.fspath(model), device=device, dtype=picked or "auto", **options)
    if picked == "int8" and not is_int8(pipe.model):
        if not hasattr(pipe.model, "put_in_int8"):
            raise ValueError(
                f"dtype='int8' is for models of this package, but {model} is a {type(pipe.model).__name__}. Take "
                "dtype='float32' or 'bfloat16'."
            )
        pipe.model.put_in_int8()  # says why it could not be
    return pipe


def load_clap(
    model: str | os.PathLike[str] = "clap-small",
    dtype: str | None = None,
    device: str | torch.device = "cpu",
) -> tuple[Any, Any, Any]:
    """Model (in evaluation mode, on the CPU), feature extractor and tokenizer.

    Args:
        model: the name of a bundled checkpoint, a folder, or a Hub id.
        dtype: "auto", "float32", "bfloat16", "int8", ..., see [`pick_dtype`]; None keeps the checkpoint's.
        device: where the model will run, which decides what "auto" is.

    Raises:
        ValueError: the model does not embed audio and text apart, or cannot be in that number format.
        OSError: there is no such checkpoint.
    """
    from transformers import AutoFeatureExtractor, AutoModel, AutoTokenizer

    source, name, picked = resolve_model(model), os.fspath(model), pick_dtype(dtype, device)
    try:
        loaded = AutoModel.from_pretrained(source, dtype="float32" if picked == "int8" else picked or "auto").eval()
        if logit_scale(loaded) is None:
            raise ValueError(
                f"{name} holds a {type(loaded).__name__}, which does not embed audio and text apart; expected a CLAP, "
                "for example clap-small."
            )
        extractor, tokenizer = AutoFeatureExtractor.from_pretrained(source), AutoTokenizer.from_pretrained(source)
    except OSError as error:
        raise OSError(f"The model {name!r} cannot be loaded: {error}") from error
    fuse_gelus(loaded)
    if picked == "int8":
        quantize_audio_encoder(loaded)
    elif torch.device(device).type == "cpu":
        pack_linear_layers(getattr(loaded, "audio_model", loaded))
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


__all__ = ["check_model", "load_clap", "load_pipeline", "pick_device", "resolve_model"]
