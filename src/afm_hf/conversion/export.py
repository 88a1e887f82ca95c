"""CLAP without its Python code: the two towers as ONNX or `torch.export` files, and a model that runs them.

Each tower is one file with two outputs: the L2-normalised embedding, and the projection before it is normalised, which
the windows of a long clip are averaged in. Batch, and the length of texts, are free unless a fixed batch is asked for.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from ..models.clap_afm.configuration_clap_afm import ClapAfmConfig
from ..models.clap_afm.modeling_clap_afm import ClapAfmModel
from ..models.common.modeling_afm_common import average_windows, flatten_windows
from ..models.common.writing_afm import check_folder, explained, write_text

FORMATS = {"onnx": ".onnx", "torch-export": ".pt2"}
DESCRIPTION = "export.json"
UNFINISHED, PARTIAL = {"finished": False}, ".partial-"
DEFAULT_OPSET = 18
EXAMPLE_TOKENS = 7
Tower = Callable[[dict[str, torch.Tensor]], torch.Tensor]


class _AudioTower(nn.Module):
    def __init__(self, model: ClapAfmModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        projected = self.model.get_audio_features(input_features, normalize=False).pooler_output
        return F.normalize(projected, dim=-1), projected


class _TextTower(nn.Module):
    def __init__(self, model: ClapAfmModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        projected = self.model.get_text_features(input_ids, attention_mask, normalize=False).pooler_output
        return F.normalize(projected, dim=-1), projected


def export_clap(
    model: ClapAfmModel,
    folder: str | os.PathLike[str],
    frames: int,
    format: str = "onnx",
    batch_size: int | None = None,
    opset: int = DEFAULT_OPSET,
) -> Path:
    """Writes both towers of a CLAP, its config and its scale into a folder, for [`ExportedClap`] or any other runtime.

    Args:
        model ([`ClapAfmModel`]): In float32, on the CPU. It is exported in evaluation mode.
        folder: Where to; made if need be. A half export, where one was killed, is known as such.
        frames (`int`): Frames of the log-mel of a clip, which are fixed: `input_features.shape[-2]`.
        format (`str`, *optional*, defaults to `"onnx"`): `"onnx"` or `"torch-export"`.
        batch_size (`int`, *optional*): A fixed batch of clips and of texts; if not given it is free.
        opset (`int`, *optional*, defaults to 18): ONNX opset.

    Raises:
        ValueError: if the model is no CLAP, is not float32, the format is unknown, or the folder holds other files.
        ImportError: if ONNX is asked for and `onnx` or `onnxscript` are not installed.
        WriteError: (an `OSError`) if the folder cannot be written.
    """
    check_export(model, format, batch_size)
    with whole_or_nothing(model, folder) as partial:
        _write_export(model, partial, frames, format, batch_size, opset)
    return Path(folder)


@contextlib.contextmanager
def whole_or_nothing(model: nn.Module, folder: str | os.PathLike[str]) -> Iterator[Path]:
    """
    A folder to write an export of a model into, which is in evaluation mode meanwhile. Its files, among them the
    description, become those of `folder` in the end.

    Raises:
        ValueError: `folder` holds other files than those of an export.
        WriteError: (an `OSError`) it cannot be written.
    """
    weights = sum(weight.nbytes for weight in model.state_dict().values())
    folder = check_folder(folder, "the export", weights)
    inside = list(folder.iterdir()) if folder.exists() else []
    if any(not each.name.startswith(".") for each in inside) and not (folder / DESCRIPTION).is_file():
        raise ValueError(f"{folder} holds files that are no export; give an empty or a new folder.")
    for each in inside:
        if each.name.startswith(PARTIAL):  # an export was killed
            shutil.rmtree(each, ignore_errors=True)
    partial = folder / f"{PARTIAL}{os.getpid()}"
    training = model.training
    try:
        model.eval()
        with explained(folder, "the export"):
            partial.mkdir(parents=True)
            yield partial
            write_text(folder / DESCRIPTION, json.dumps(UNFINISHED), "the export")
            files = (file for file in partial.rglob("*") if file.is_file())
            # The description goes last: until then the folder says that it is not whole.
            for file in sorted(files, key=lambda file: file.name == DESCRIPTION):
                place = folder / file.relative_to(partial)
                place.parent.mkdir(exist_ok=True)
                file.replace(place)
    finally:
        model.train(training)
        shutil.rmtree(partial, ignore_errors=True)


def _write_export(
    model: ClapAfmModel, folder: Path, frames: int, format: str, batch_size: int | None, opset: int
) -> None:
    """Both towers, the config, and what they are."""
    for name in ("audio", "text"):
        program, shapes = _traced(model, name, frames, batch_size)
        _save(program, shapes, folder / f"{name}{FORMATS[format]}", name, opset)
    model.config.save_pretrained(folder)
    facts: dict[str, Any] = {"format": format, "batch_size": batch_size, "frames": frames}
    facts["logit_scale"] = float(model.logit_scale.detach())
    (folder / DESCRIPTION).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def check_export(model: Any, format: str, batch_size: int | None) -> None:
    """Raises where a model, or what is asked of its export, makes no sense; see [`export_clap`]."""
    if not isinstance(model, ClapAfmModel):
        raise ValueError(f"Only a ClapAfmModel is exported; this is a {type(model).__name__}.")
    if format not in FORMATS:
        raise ValueError(f"`format` is {format!r}; expected one of {', '.join(map(repr, FORMATS))}.")
    if model.dtype != torch.float32 or model.device.type != "cpu":
        raise ValueError(f"The model is {model.dtype} on {model.device}; expected torch.float32 on the CPU.")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"`batch_size` is {batch_size}; expected 1 or more, or None for any.")
    if format == "onnx":
        try:
            import onnx  # noqa: F401
            import onnxscript  # noqa: F401
        except ImportError as error:
            raise ImportError("An export to ONNX needs `pip install onnx onnxscript onnxruntime`.") from error


def _traced(model: ClapAfmModel, name: str, frames: int, batch_size: int | None) -> tuple[Any, Any]:
    """The tower as a `torch.export` program, and its free dimensions."""
    rows = batch_size or 2  # a batch of 1 would be taken for a constant
    batch = torch.export.Dim("batch")
    tower: nn.Module
    inputs: tuple[torch.Tensor, ...]
    if name == "audio":
        mels = model.config.audio_config.encoder_config.num_mel_bins
        tower, inputs = _AudioTower(model), (torch.randn(rows, 1, frames, mels),)
        free: list[dict[int, Any]] = [{0: batch}]
    else:
        most = int(getattr(model.config.text_config.encoder_config, "max_position_embeddings", 77))
        ids = torch.ones(rows, min(EXAMPLE_TOKENS, most), dtype=torch.long)
        tower, inputs = _TextTower(model), (ids, torch.ones_like(ids))
        length = torch.export.Dim("length", max=most)
        free = [{1: length} if batch_size else {0: batch, 1: length}] * 2
    shapes = None if batch_size and name == "audio" else tuple(free)
    with torch.no_grad():
        return torch.export.export(tower.eval(), inputs, dynamic_shapes=shapes, strict=False), shapes


def _save(program: Any, shapes: Any, path: Path, name: str, opset: int) -> None:
    if path.suffix == ".pt2":
        torch.export.save(program, path)
        return
    inputs = ["input_features"] if name == "audio" else ["input_ids", "attention_mask"]
    to_onnx(program, shapes, inputs, [f"{name}_embeds", f"{name}_projected"], opset).save(path)


def to_onnx(program: Any, shapes: Any, inputs: list[str], outputs: list[str], opset: int) -> Any:
    """A `torch.export` program as an ONNX program, with names for what goes in and comes out."""
    converted = torch.onnx.export(
        program, dynamo=True, verbose=False, opset_version=opset, input_names=inputs, output_names=outputs,
        dynamic_shapes=shapes,
    )  # fmt: skip
    if converted is None:
        raise RuntimeError(f"torch.onnx.export gave no program that makes {', '.join(outputs)}.")
    return converted


class ExportedClap(PreTrainedModel):
    """Runs the towers that [`export_clap`] wrote, with the methods that pipelines ask of a CLAP; on the CPU.

    ```python
    model = ExportedClap.load("exported")
    pipe = pipeline("zero-shot-audio-classification", model=model, tokenizer=..., feature_extractor=...)
    ```

    Files of `torch.export` hold pickled parts: load only what you have made or trust.
    """

    config: ClapAfmConfig
    main_input_name = "input_features"

    def __init__(self, config: ClapAfmConfig, audio: Tower, text: Tower, facts: dict[str, Any]) -> None:
        super().__init__(config)
        self._audio, self._text = audio, text
        self._fixed_batch: int | None = facts["batch_size"]
        self.logit_scale = nn.Parameter(torch.tensor(facts["logit_scale"]), requires_grad=False)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], threads: int = 0) -> "ExportedClap":
        """Opens an export; `threads` are those of onnxruntime, 0 for as many as there are cores.

        Raises:
            ValueError: if the folder holds no whole export.
            ImportError: if it is ONNX and `onnxruntime` is not installed.
        """
        folder = Path(folder)
        if not (folder / DESCRIPTION).is_file():
            raise ValueError(f"{folder} holds no {DESCRIPTION}; expected a folder that `export_clap` wrote.")
        facts = json.loads((folder / DESCRIPTION).read_text())
        if facts == UNFINISHED:
            raise ValueError(f"The export in {folder} was stopped before it was whole. Export again.")
        if facts["format"] not in FORMATS:
            raise ValueError(
                f"The export in {folder} is for {facts['format']}; expected one of {', '.join(FORMATS)}, whose towers "
                "are files of their own."
            )
        audio, text = (_opened(folder / f"{name}{FORMATS[facts['format']]}", threads) for name in ("audio", "text"))
        return cls(ClapAfmConfig.from_pretrained(folder), audio, text, facts).eval()

    def _in_batches(self, tower: Tower, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Projections; a fixed batch is filled up with the last row."""
        size, rows = self._fixed_batch, len(next(iter(inputs.values())))
        if size is None:
            return tower(inputs)
        chosen = torch.arange(-(-rows // size) * size).clamp(max=rows - 1).split(size)
        return torch.cat([tower({name: value[part] for name, value in inputs.items()}) for part in chosen])[:rows]

    def get_audio_features(
        self,
        input_features: torch.Tensor,
        input_features_mask: torch.Tensor | None = None,
        normalize: bool = True,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        """As [`ClapAfmModel.get_audio_features`], with `pooler_output` alone."""
        features, owners = flatten_windows(input_features, input_features_mask)
        parts = [features] if isinstance(features, torch.Tensor) else features
        windows = [self._in_batches(self._audio, {"input_features": part.float()}) for part in parts]
        embeddings = average_windows(torch.cat(windows), owners)
        return BaseModelOutputWithPooling(pooler_output=F.normalize(embeddings, dim=-1) if normalize else embeddings)

    def get_text_features(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        normalize: bool = True,
        token_type_ids: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        """As [`ClapAfmModel.get_text_features`], with `pooler_output` alone.

        Raises:
            ValueError: if there are token types other than 0, which were not exported.
        """
        if token_type_ids is not None and bool(token_type_ids.any()):
            raise ValueError("The exported text tower knows no `token_type_ids` other than 0.")
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        embeddings = self._in_batches(self._text, {"input_ids": input_ids.long(), "attention_mask": mask.long()})
        return BaseModelOutputWithPooling(pooler_output=F.normalize(embeddings, dim=-1) if normalize else embeddings)


def _opened(path: Path, threads: int) -> Tower:
    """The projection of a tower as a function of its inputs by name."""
    if path.suffix == ".pt2":
        module = torch.export.load(path).module()
        return lambda inputs: module(*inputs.values())[1]
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError("An ONNX export is run by onnxruntime: `pip install onnxruntime`.") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        arrays = {name: value.numpy() for name, value in inputs.items()}
        return torch.from_numpy(session.run(None, arrays)[1])

    return run
