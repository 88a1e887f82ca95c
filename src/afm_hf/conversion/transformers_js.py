"""CLAP for transformers.js: a folder that its `zero-shot-audio-classification` pipeline loads, in browsers and Node.

The pipeline gives a `ClapModel` token ids and whatever its feature extractor makes, and reads `logits_per_audio`. It
has no extractor that makes the log-mels of this package, but one that hands samples on as they are (Encodec's). So the
graph takes samples: windows, resampling, STFT and mel bank are part of it; see `front_end`. Beside it lies the same in
eight bits, which transformers.js takes by itself in browsers.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..models.clap_afm.modeling_clap_afm import ClapAfmModel
from ..models.clap_afm.texts_clap_afm import UNLIMITED, longest_text, places_of
from ..models.common.feature_extraction_afm import AfmFeatureExtractor
from .export import DEFAULT_OPSET, DESCRIPTION, EXAMPLE_TOKENS, check_export, to_onnx, whole_or_nothing
from .front_end import CutWindows, FrontEnd

FORMAT = "transformers.js"
OUTPUTS = ["logits_per_audio", "logits_per_text", "text_embeds", "audio_embeds"]


class _Hear(nn.Module):
    """`(windows, length)` samples -> `(windows, dim)`, before they are averaged."""

    def __init__(self, model: ClapAfmModel, extractor: AfmFeatureExtractor) -> None:
        super().__init__()
        self.front_end, self.model = FrontEnd(extractor), model

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        return self.model.get_audio_features(self.front_end(windows), normalize=False).pooler_output


class _Compare(nn.Module):
    """Texts, and the windows of a clip with their shares, to what a `ClapModel` gives."""

    def __init__(self, model: ClapAfmModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, projected: torch.Tensor, shares: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        text_embeds = self.model.get_text_features(input_ids, attention_mask).pooler_output
        clip = (projected * shares[:, None]).sum(dim=0, keepdim=True) / shares.sum()  # no number where nothing is heard
        audio_embeds = F.normalize(clip, dim=-1)
        logits = self.model.logit_scale.exp() * audio_embeds @ text_embeds.t()
        return logits, logits.t(), text_embeds, audio_embeds


def export_transformers_js(
    model: ClapAfmModel,
    feature_extractor: AfmFeatureExtractor,
    tokenizer: Any,
    folder: str | os.PathLike[str],
    opset: int = DEFAULT_OPSET,
) -> Path:
    """
    Writes a CLAP as transformers.js loads it: `pipeline("zero-shot-audio-classification", ...)`.

    The folder holds `onnx/model.onnx` (`dtype: "fp32"`), `onnx/model_quantized.onnx` (`"q8"`), tokenizer, and a
    `config.json` and `preprocessor_config.json` for transformers.js alone. The graphs take `input_values`
    `(1, 1, samples)` at the extractor's rate, `input_ids` and `attention_mask` `(texts, tokens)`, and give
    `logits_per_audio` `(1, texts)`, its transpose, and the normalised embeddings of texts and clip. Long clips are
    heard as the feature extractor hears them. Of a silent clip the logits are NaN.

    Args:
        model ([`ClapAfmModel`]): In float32, on the CPU. It is exported in evaluation mode.
        feature_extractor ([`AfmFeatureExtractor`]): Of the model; its settings become part of the graph.
        tokenizer: Of the model; a fast one.
        folder: Where to; made if need be. A half export, where one was killed, is known as such.
        opset (`int`, *optional*, defaults to 18): ONNX opset.

    Raises:
        ValueError: if the model is no CLAP or not float32, the tokenizer is none of `tokenizers`, the extractor's
            features are not known here or of a random part of a clip, or the folder holds other files.
        ImportError: if `onnx`, `onnxscript` or `onnxruntime` are not installed.
        WriteError: (an `OSError`) if the folder cannot be written.
    """
    check_export(model, "onnx", None)
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(f"transformers.js reads tokenizer.json, which {type(tokenizer).__name__} has not.")
    try:
        import onnx
        import onnxruntime.quantization  # noqa: F401
    except ImportError as error:
        raise ImportError("An export for transformers.js needs `pip install onnx onnxscript onnxruntime`.") from error
    hear, cut = _Hear(model, feature_extractor), CutWindows(feature_extractor)
    with whole_or_nothing(model, folder) as partial:
        (partial / "onnx").mkdir()
        onnx.save(_graph(cut, hear, _Compare(model), opset), partial / "onnx/model.onnx")
        _write_int8(partial / "onnx/model.onnx", partial / "onnx/model_quantized.onnx")
        _write_settings(model, feature_extractor, tokenizer, partial)
        (partial / DESCRIPTION).write_text(json.dumps({"format": FORMAT}) + "\n", encoding="utf-8")
    return Path(folder)


def _graph(cut: CutWindows, hear: _Hear, compare: _Compare, opset: int) -> Any:
    """The three parts, each exported with the dimensions that are free in it, as one model."""
    from onnx import compose, helper

    windows, texts = torch.export.Dim("windows"), torch.export.Dim("texts")
    length = torch.export.Dim("length", max=places_of(compare.model.text_model) or UNLIMITED)
    ids = torch.ones(2, EXAMPLE_TOKENS, dtype=torch.long)
    width = hear.model.config.projection_dim
    text, rows = {0: texts, 1: length}, {0: windows}
    made = [
        _exported(
            cut, (torch.randn(1, 1, 3 * cut.length),), ({2: torch.export.Dim("samples")},),
            ["input_values"], ["windows", "shares"], opset,
        ),
        _exported(hear, (torch.randn(2, cut.length),), (rows,), ["windows"], ["projected"], opset),
        _exported(
            compare, (ids, torch.ones_like(ids), torch.randn(2, width), torch.ones(2)), (text, text, rows, rows),
            ["input_ids", "attention_mask", "projected", "shares"], OUTPUTS, opset,
        ),
    ]  # fmt: skip
    parts = [
        compose.add_prefix(each, f"{name}/", rename_inputs=False, rename_outputs=False)
        for name, each in zip(("cut", "hear", "compare"), made, strict=True)
    ]
    heard = compose.merge_models(parts[0], parts[1], io_map=[("windows", "windows")])
    whole = compose.merge_models(heard, parts[2], io_map=[("projected", "projected"), ("shares", "shares")])
    opsets = [helper.make_opsetid("", opset)]  # merged, it would be named once for each part
    return helper.make_model(whole.graph, opset_imports=opsets, ir_version=whole.ir_version, producer_name="afm-hf")


def _exported(
    part: nn.Module, example: tuple[torch.Tensor, ...], shapes: Any, inputs: list[str], outputs: list[str], opset: int
) -> Any:
    with torch.no_grad():
        program = torch.export.export(part.eval(), example, dynamic_shapes=shapes, strict=False)
    return to_onnx(program, shapes, inputs, outputs, opset).model_proto


def _write_int8(whole: Path, quantized: Path) -> None:
    """The same graph with the weights of the encoders in eight bits; those of the front-end stay as they are.

    Matrix products are computed in eight bits, too. Convolutions are not: with one scale for all channels of what is
    heard, the embeddings of clap-small would be at a cosine of 0.52 to those in 32 bits.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    nodes = onnx.load(whole).graph.node
    exact = [node.name for node in nodes if node.op_type == "Conv" or _is_of_front_end(node)]
    quantize_dynamic(whole, quantized, weight_type=QuantType.QUInt8, per_channel=True, nodes_to_exclude=exact)
    model = onnx.load(quantized)
    _store_convolutions_in_int8(model.graph)
    onnx.save(model, quantized)


def _is_of_front_end(node: Any) -> bool:
    return any("front_end." in name for name in node.input)


def _store_convolutions_in_int8(graph: Any) -> None:
    """Kernels of convolutions as int8, with a scale for each channel that comes out; unpacked where they are used."""
    from onnx import helper, numpy_helper

    weights = {each.name: each for each in graph.initializer}
    used = {node.input[1] for node in graph.node if node.op_type == "Conv" and not _is_of_front_end(node)}
    for name in sorted(used & weights.keys()):
        kernel = numpy_helper.to_array(weights[name])
        scale = np.abs(kernel).reshape(len(kernel), -1).max(axis=1).clip(min=1e-12) / 127
        rounded = np.rint(kernel / scale.reshape(-1, *[1] * (kernel.ndim - 1))).astype(np.int8)
        graph.initializer.remove(weights[name])
        for kind, values in (("int8", rounded), ("scale", scale.astype(np.float32))):
            graph.initializer.append(numpy_helper.from_array(values, f"{name}_{kind}"))
        unpack = helper.make_node(
            "DequantizeLinear", [f"{name}_int8", f"{name}_scale"], [name], f"{name}_unpack", axis=0
        )
        graph.node.insert(0, unpack)


def _write_settings(model: ClapAfmModel, extractor: AfmFeatureExtractor, tokenizer: Any, folder: Path) -> None:
    """Config, preprocessor and tokenizer as transformers.js reads them."""
    tokenizer.save_pretrained(folder)
    place = folder / "tokenizer_config.json"
    settings = json.loads(place.read_text(encoding="utf-8"))
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"  # all is in tokenizer.json; other names it may not know
    if (limit := longest_text(model, tokenizer)) is not None:
        settings["model_max_length"] = limit
    config = {"model_type": "clap", "architectures": ["ClapModel"], "projection_dim": model.config.projection_dim}
    samples = {
        "feature_extractor_type": "EncodecFeatureExtractor",  # which hands samples on
        "feature_size": 1,
        "sampling_rate": extractor.sampling_rate,
        "padding_value": 0.0,
        "return_attention_mask": False,
    }
    files = {"tokenizer_config.json": settings, "config.json": config, "preprocessor_config.json": samples}
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


__all__ = ["export_transformers_js"]
