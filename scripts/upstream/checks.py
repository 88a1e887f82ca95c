"""Whether what was laid out computes what this package computes, from the same checkpoint."""

import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoModel, AutoProcessor, ZeroShotAudioClassificationPipeline

import afm_hf
from upstream import layout

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

import tiny_models

ALLOWED = (
    1e-5  # of the largest number of an output; sums in another order, as other processors form them, differ by 1e-6
)
TEXTS = ["rain", "a dog barks!", "an engine that idles"]
SHARES = (0.4, 1.0, 1.8)  # lengths of the clips, of what a model hears


def take_over(checkpoint: Path, folder: Path) -> None:
    """
    Copies a checkpoint of this package's CLAP, in transformers' names: those of classes and types alone differ.

    Args:
        checkpoint: A folder that `save_pretrained`, or a conversion, has written.
        folder: Where to.
    """
    shutil.copytree(checkpoint, folder, ignore=shutil.ignore_patterns("*.py", "README.md"), dirs_exist_ok=True)
    for name in ("config.json", "processor_config.json", "preprocessor_config.json"):
        if (folder / name).exists():
            text = layout.renamed((folder / name).read_text(encoding="utf-8"))
            (folder / name).write_text(re.sub(r',?\s*"(?:auto_map|custom_pipelines)": \{[^}]*\}', "", text))


def largest_differences(checkpoint: Path) -> dict[str, float]:
    """
    How far the outputs of this package and of the laid-out model are from each other at most, as parts of the largest
    number, each with its own reader.

    Args:
        checkpoint: A folder with a model and its processor, as this package saves them.
    """
    ours, our_reader = _read(afm_hf.ClapAfmModel, afm_hf.ClapAfmProcessor, checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        take_over(checkpoint, Path(folder))
        theirs, their_reader = _read(AutoModel, AutoProcessor, Path(folder))
    if type(theirs) is not transformers.MSClapModel:
        raise ValueError(f"The checkpoint was loaded as a {type(theirs).__name__}; expected the laid-out MSClapModel.")
    our_inputs, their_inputs = _inputs(our_reader), _inputs(their_reader)
    with torch.no_grad():
        expected, found = ours(**our_inputs, return_loss=True), theirs(**their_inputs, return_loss=True)
    differences = {"input_features": _far(our_inputs["input_features"], their_inputs["input_features"])}
    for name in ("audio_embeds", "text_embeds", "logits_per_audio", "loss"):
        differences[name] = _far(expected[name], found[name])
    differences["scores of the zero-shot pipeline"] = _far(_scores(ours, our_reader), _scores(theirs, their_reader))
    return differences


def _read(model_class: Any, processor_class: Any, folder: Path) -> tuple[Any, Any]:
    """A model in evaluation mode and its processor."""
    model, loading = model_class.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    if missing := {name: keys for name, keys in loading.items() if keys}:
        raise ValueError(f"{type(model).__name__} was not loaded whole: {missing}.")
    processor = processor_class.from_pretrained(folder)
    return model.eval(), processor


def _inputs(processor: Any) -> Any:
    """What a processor makes of the same clips and texts."""
    rate = processor.feature_extractor.sampling_rate
    options = {"sampling_rate": rate, "padding": True, "return_tensors": "pt"}
    return processor(audio=_clips(processor.feature_extractor), text=TEXTS, **options)


def _clips(extractor: Any) -> list[np.ndarray]:
    """Noise, shorter than what the model hears, as long, and longer."""
    noise = np.random.default_rng(0)
    lengths = [round(share * extractor.max_length_s * extractor.sampling_rate) for share in SHARES]
    return [noise.normal(scale=0.1, size=length).astype(np.float32) for length in lengths]


def _scores(model: Any, processor: Any) -> torch.Tensor:
    """Scores of transformers' own pipeline, one row a clip, one column a text."""
    extractor = processor.feature_extractor
    pipeline = ZeroShotAudioClassificationPipeline(
        model=model, tokenizer=processor.tokenizer, feature_extractor=extractor, device="cpu"
    )
    rows = [pipeline(clip, candidate_labels=TEXTS) for clip in _clips(extractor)]
    return torch.tensor(
        [[score for _, score in sorted((each["label"], each["score"]) for each in row)] for row in rows]
    )


def _far(first: torch.Tensor, second: torch.Tensor) -> float:
    if first.shape != second.shape:
        raise ValueError(f"The outputs have the shapes {tuple(first.shape)} and {tuple(second.shape)}.")
    return float((first - second).abs().max() / first.abs().max())


def tiny_checkpoints(folder: Path) -> dict[str, Path]:
    """Saves a tiny CLAP of each kind, with random weights."""
    _, tokenizer, extractor = tiny_models.clap_parts()
    made = {}
    for name, config in (("2023", tiny_models.clap_config()), ("2022", tiny_models.clap_2022_config())):
        torch.manual_seed(0)
        model = tiny_models.perturb(afm_hf.ClapAfmModel(config))
        made[name] = folder / name
        model.save_pretrained(made[name])
        afm_hf.ClapAfmProcessor(extractor, tokenizer).save_pretrained(made[name])
    return made
