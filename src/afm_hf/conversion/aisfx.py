"""Converts the encoder of aiSFX into a transformers folder.

    python conversions/convert_aisfx.py --checkpoint aisfx-0.1.2-py2.py3-none-any.whl --output aisfx

Ma and Lerch, "Representation Learning for the Automatic Indexing of Sound Effects Libraries" (ISMIR 2022); the weights
come with the package `aisfx` (CC BY 4.0, (c) 2022 Alison B. Ma and Alexander Lerch), in `models/checkpoint.pth`.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel

from ..models.effects_cnn.configuration_afm_effects_cnn import AfmEffectsCnnConfig
from ..models.effects_cnn.feature_extraction_afm_effects_cnn import AfmEffectsCnnFeatureExtractor
from ..models.effects_cnn.modeling_afm_effects_cnn import AfmEffectsCnnModel
from .archive import unpacked
from .common import Conversion, ConversionError, Drop, Rename, StateDict, build, count_layers, rename_keys
from .folder import Converted, check_output

FILE = "checkpoint.pth"
# What the authors' file holds beside tensors: how many classes each library has, as NumPy's numbers.
_SCALAR: Any = (getattr(np, "_core", None) or np.core).multiarray.scalar
PLAIN: list[Any] = [
    *((_SCALAR, f"numpy.{name}.multiarray.scalar") for name in ("core", "_core")),  # before NumPy 2 and since
    (np.dtype, "numpy.dtype"),
    np.dtypes.Int64DType,
    np.dtypes.Float64DType,
]


def convert(checkpoint: str, output: str) -> Path:
    """Converts the encoder and returns the folder.

    Args:
        checkpoint (`str`): The wheel, or its `checkpoint.pth`.
        output (`str`): Folder to write.

    Raises:
        OSError: for files that cannot be read.
        ConversionError: for weights that are not those of aiSFX, or not complete.
    """
    check_output(output)
    with unpacked(checkpoint, [f"*models/{FILE}"]) as found:
        weights = read_weights(found if found.is_file() else next(found.rglob(FILE)))
    conversion = rename(weights)
    model = build(AfmEffectsCnnModel, make_config(conversion), conversion)
    return Converted(
        name="aiSFX's encoder",
        model=model,
        processor=AfmEffectsCnnFeatureExtractor(),
        conversion=conversion,
        facts={
            "variant": "aiSFX",
            "official_file": Path(checkpoint).name,
            "front_end": "The front-end has no weights.",
        },
        card=model_card(model.num_parameters()),
        reload=AutoModel.from_pretrained,
        inputs={"return_tensors": "pt"},
    ).finish(output)


def read_weights(file: Path) -> StateDict:
    """The tensors of the authors' file, a pair of weights and numbers of classes; nothing in it is executed."""
    try:
        with torch.serialization.safe_globals(PLAIN):
            held = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ConversionError(
            f"{file.name} could not be read as a checkpoint of plain tensors and numbers: damaged, or another file."
        ) from error
    weights = held[0] if isinstance(held, tuple | list) and held else held
    if not isinstance(weights, dict) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise ConversionError(f"{file.name} holds no table of tensors.")
    return dict(weights)


def rename(weights: StateDict) -> Conversion:
    """The weights under our names."""
    blocks = count_layers(weights, "embedding_net.conv_block", first=1)
    return rename_keys(
        weights,
        [
            *(Rename(f"embedding_net.conv_block{block + 1}.", f"blocks.{block}.") for block in range(blocks)),
            Drop(r"^fc\.", "heads for the categories of the libraries, whose names are not in the package"),
        ],
    )


def make_config(conversion: Conversion) -> AfmEffectsCnnConfig:
    """Sizes, read off the weights."""
    keys = sorted(key for key in conversion.state_dict if key.endswith(".conv2.weight"))
    return AfmEffectsCnnConfig(channels=[len(conversion.weight(key)) for key in keys])


def model_card(parameters: int) -> str:
    """README.md of the converted checkpoint."""
    return f"""---
library_name: transformers
license: cc-by-4.0
pipeline_tag: feature-extraction
tags: [audio, sound-effects, afm-hf]
---

# aiSFX's encoder

The embedding network of aiSFX ({parameters / 1e6:.2f} M parameters), trained on libraries of sound effects: Ma and
Lerch, "Representation Learning for the Automatic Indexing of Sound Effects Libraries" (ISMIR 2022). (c) 2022 Alison B.
Ma and Alexander Lerch, CC BY 4.0; converted from the package `aisfx`, unchanged but for the names of the weights.
`conversion.json` says where every official weight went.

```python
import torch
import afm_hf
from transformers import AutoFeatureExtractor, AutoModel

model, extractor = AutoModel.from_pretrained("PATH_OR_ID"), AutoFeatureExtractor.from_pretrained("PATH_OR_ID")
with torch.no_grad():
    print(model(**extractor("dog.wav", return_tensors="pt")).pooler_output.shape)
```

Audio is mono, 44.1 kHz; each clip is scaled to a peak of 1 (the authors' loader brings clips to one loudness), shorter
ones are repeated up to 2.3 s.
"""


__all__ = ["convert"]
