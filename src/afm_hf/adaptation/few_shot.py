"""
A few labelled clips: classifiers for new sounds from a handful of examples of each class.

Three ways, each of which gives an ordinary model: [`fit_linear_probe`] puts a classifier on CLAP's frozen audio encoder
(`Freeze_L1` of the first CLAP paper, arXiv 2206.04769, section 3.3); [`fit_lora`] changes CLAP's audio tower by
low-rank matrices and keeps the texts of the labels as the classifier; [`fit_mapper`] trains what lies between the
frozen audio encoder and the frozen language model of CLAPCAP, Pengi, ADIFF or Mellow, with the labels as answers. The
last is what SELM (Interspeech 2024, arXiv 2407.15300) adapts; its number of steps and learning rate are not known,
those here are ours. The model that is given stays as it is.
"""

import copy
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ..models.clap_afm.embedding_clap_afm import embed_texts
from ..models.clap_afm.modeling_clap_afm import ClapAfmForAudioClassification
from .logistic import fit_logistic

TEMPLATE = "This is a sound of {}."  # as in the zero-shot pipeline
ENCODE_BATCH = 16


@dataclass
class FewShotFit:
    """
    What a fit gave.

    Args:
        model: The fitted model, in evaluation mode.
        labels (`list[str]`): The classes, in the order of the classifier.
        clips (`int`): Labelled clips that were used.
        losses (`list[float]`): Training loss of every step.
        settings (`dict`): How it was fitted, with the seed.
    """

    model: Any = field(repr=False)
    labels: list[str]
    clips: int
    losses: list[float] = field(repr=False)
    settings: dict[str, Any]

    def __str__(self) -> str:
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        return (
            f"{self.clips} clips of {len(self.labels)} classes: loss {self.losses[0]:.3f} -> {self.losses[-1]:.3f} in "
            f"{len(self.losses)} steps ({settings})"
        )

    def to_dict(self) -> dict[str, Any]:
        """All but the model, for JSON."""
        return {name: value for name, value in asdict(_without_model(self)).items() if name != "model"}


def _without_model(fit: FewShotFit) -> FewShotFit:
    return FewShotFit(None, fit.labels, fit.clips, fit.losses, fit.settings)


def draw_shots(labels: Sequence[str], shots: int, seed: int = 0) -> list[int]:
    """
    Indices of `shots` clips of every class, drawn at random.

    Args:
        labels (`list[str]`): The label of every clip.
        shots (`int`): Clips of each class.
        seed (`int`, *optional*, defaults to 0): The same seed draws the same clips.

    Returns:
        `list[int]`: In ascending order, `shots` times the number of classes.

    Raises:
        ValueError: if `shots` is no positive number, or a class has fewer clips.
    """
    if shots < 1:
        raise ValueError(f"`shots` is {shots}; expected 1 or more clips of each class.")
    counts = Counter(labels)
    few = {label: count for label, count in sorted(counts.items()) if count < shots}
    if few or not counts:
        raise ValueError(
            f"{shots} clips of each class were asked for, but there are only {few or 'none'}. Leave these classes out, "
            "or ask for fewer."
        )
    generator = random.Random(seed)
    chosen: list[int] = []
    for label in sorted(counts):
        chosen += generator.sample([i for i, other in enumerate(labels) if other == label], shots)
    return sorted(chosen)


def fit_linear_probe(
    model: Any, feature_extractor: Any, clips: Sequence[Any], labels: Sequence[str], l2: float = 0.1, steps: int = 100
) -> FewShotFit:
    """
    A linear classifier on CLAP's frozen audio encoder, by logistic regression.

    The features are standardised for the fit, so that `l2` means the same for every encoder; the returned classifier
    has this folded in and reads the encoder's own features.

    Args:
        model ([`ClapAfmModel`] or another with the audio encoder): The model, which stays as it is.
        feature_extractor: Its feature extractor or processor.
        clips (`list`): Anything that [`load_audio`] takes; bare arrays are taken to be at the model's rate, with a
            warning.
        labels (`list[str]`): Their labels.
        l2 (`float`, *optional*, defaults to 0.1): Weight decay, as in the mean cross-entropy plus `l2 / 2 * |W|^2`.
        steps (`int`, *optional*, defaults to 100): Most steps of L-BFGS.

    Returns:
        [`FewShotFit`] with a [`ClapAfmForAudioClassification`], which works in `pipeline("audio-classification")`.

    Raises:
        ValueError: if clips and labels are not as many, there are fewer than two classes, or a clip cannot be used.
    """
    _classes(clips, labels)  # refused before the clips are heard
    encoder = model.audio_model
    features = _encoded(encoder, getattr(feature_extractor, "feature_extractor", feature_extractor), clips)
    classes, weight, bias, losses = fit_on_features(features, labels, l2, steps)
    probe = _classifier(model, encoder, classes)
    head: Any = probe.classifier[-1]
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.copy_(bias)
    return FewShotFit(probe, classes, len(clips), losses, {"method": "linear probe", "l2": l2, "steps": steps})


def fit_on_features(
    features: torch.Tensor, labels: Sequence[str], l2: float = 0.1, steps: int = 100
) -> tuple[list[str], torch.Tensor, torch.Tensor, list[float]]:
    """
    The classifier of [`fit_linear_probe`] for clips that the encoder has heard already.

    Args:
        features (`torch.Tensor`): What the audio encoder made of each clip, float32 `(clips, hidden)`.
        labels (`list[str]`), l2 (`float`), steps (`int`): As there.

    Returns:
        The classes, weights `(classes, hidden)` and bias `(classes,)` for the features, the loss of every step.

    Raises:
        ValueError: as [`fit_linear_probe`].
    """
    classes, targets = _classes(features, labels)
    return classes, *fit_logistic(features, targets.to(features.device), len(classes), l2, steps)


def fit_lora(
    model: Any,
    processor: Any,
    clips: Sequence[Any],
    labels: Sequence[str],
    template: str = TEMPLATE,
    rank: int = 8,
    alpha: int = 16,
    steps: int = 50,
    learning_rate: float = 1e-3,
    batch_size: int = 16,
    seed: int = 0,
) -> FewShotFit:
    """
    LoRA on CLAP's audio tower: clips move towards the texts of their labels, which stay.

    Args:
        model ([`ClapAfmModel`]): The model, which stays as it is.
        processor ([`ClapAfmProcessor`]): Its processor.
        clips, labels: As for [`fit_linear_probe`].
        template (`str`, *optional*, defaults to `"This is a sound of {}."`): The sentence of a label.
        rank, alpha (`int`, *optional*, default to 8 and 16): Of the low-rank matrices.
        steps, learning_rate, batch_size, seed (*optional*): Of AdamW.

    Returns:
        [`FewShotFit`] with a `PeftModel`: `save_pretrained` writes the adapter alone, `merge_and_unload()` gives a
        [`ClapAfmModel`] for the zero-shot pipeline.

    Raises:
        ImportError: without peft.
        ValueError: as for [`fit_linear_probe`].
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ImportError("`fit_lora` needs peft: run `pip install peft`.") from error
    classes, targets = _classes(clips, labels)
    inputs = _features(processor.feature_extractor, clips, model)
    with torch.no_grad():
        text_embeds = embed_texts(model, processor.tokenizer, [template.format(label) for label in classes])
        scale = model.logit_scale.float().exp()
    torch.manual_seed(seed)
    names = _lora_targets(model)
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=names, lora_dropout=0.0)
    adapted = get_peft_model(copy.deepcopy(model).eval(), config)
    base: Any = adapted.get_base_model()
    targets = targets.to(text_embeds.device)

    def loss_of(rows: list[int]) -> torch.Tensor:
        batch = {name: value[rows] for name, value in inputs.items()}
        audio = base.get_audio_features(**batch).pooler_output.float()
        return F.cross_entropy(scale * audio @ text_embeds.T, targets[rows])

    losses = _minimise(adapted.parameters(), loss_of, len(clips), steps, learning_rate, batch_size, seed)
    settings = {"method": "LoRA", "rank": rank, "alpha": alpha, "template": template}
    settings |= {"steps": steps, "learning_rate": learning_rate, "batch_size": batch_size, "seed": seed}
    return FewShotFit(adapted.eval(), classes, len(clips), losses, settings)


def fit_mapper(
    model: Any,
    processor: Any,
    clips: Sequence[Any],
    labels: Sequence[str],
    prompt: str | None = None,
    steps: int = 50,
    learning_rate: float = 1e-4,
    batch_size: int = 16,
    seed: int = 0,
) -> FewShotFit:
    """
    Trains what lies between the frozen audio encoder and the frozen language model, with the labels as answers.

    Args:
        model: CLAPCAP, Pengi, ADIFF or Mellow, which stays as it is.
        processor: Its processor.
        clips, labels: As for [`fit_linear_probe`]; for models of two clips a pair counts as a clip.
        prompt (`str`, *optional*): What the model is asked, for example `"this is a sound of"`.
        steps, learning_rate, batch_size, seed (*optional*): Of AdamW; dropout is off.

    Returns:
        [`FewShotFit`] with a model of the same class. Classify with it by the likelihood of the labels.

    Raises:
        ValueError: as for [`fit_linear_probe`].
    """
    classes, targets = _classes(clips, labels)
    answers = [classes[target] for target in targets]
    inputs = processor(audio=list(clips), text=prompt, text_target=answers).to(model.device)
    adapted = copy.deepcopy(model).eval()
    adapted.requires_grad_(True)
    adapted.freeze_audio_tower()
    adapted.freeze_language_model()

    def loss_of(rows: list[int]) -> torch.Tensor:
        return adapted(**{name: value[rows] for name, value in inputs.items()}).loss

    losses = _minimise(adapted.parameters(), loss_of, len(clips), steps, learning_rate, batch_size, seed)
    settings = {"method": "mapper", "prompt": prompt, "steps": steps, "learning_rate": learning_rate}
    settings |= {"batch_size": batch_size, "seed": seed}
    return FewShotFit(adapted.eval(), classes, len(clips), losses, settings)


# ---------------------------------------------------------------------------------------------------------------------
# Parts of the three
# ---------------------------------------------------------------------------------------------------------------------


def _classes(clips: Sequence[Any] | torch.Tensor, labels: Sequence[str]) -> tuple[list[str], torch.Tensor]:
    """The classes by name, and the index of each clip's `(clips,)`."""
    if len(clips) != len(labels):
        raise ValueError(f"There are {len(clips)} clips, but {len(labels)} labels; give one label for every clip.")
    classes = sorted(set(labels))
    if len(classes) < 2:
        raise ValueError(f"All {len(labels)} clips have the label(s) {classes}; expected two classes or more.")
    return classes, torch.tensor([classes.index(label) for label in labels])


def _features(feature_extractor: Any, clips: Sequence[Any], model: Any) -> dict[str, torch.Tensor]:
    """The encoder's inputs of all clips, `(clips, ...)` each, on the model's device and in its dtype."""
    inputs = feature_extractor(list(clips), return_tensors="pt")
    return dict(inputs.to(model.device, model.dtype))


@torch.no_grad()
def _encoded(encoder: Any, feature_extractor: Any, clips: Sequence[Any]) -> torch.Tensor:
    """What the audio encoder makes of each clip, float32 `(clips, hidden)`; windows of a long clip are averaged."""
    training = encoder.training
    encoder.eval()
    parts = []
    for start in range(0, len(clips), ENCODE_BATCH):
        inputs = _features(feature_extractor, clips[start : start + ENCODE_BATCH], encoder)
        parts.append(encoder(**inputs).pooler_output.float())
    encoder.train(training)
    return torch.cat(parts)


def _classifier(model: Any, encoder: Any, classes: list[str]) -> ClapAfmForAudioClassification:
    """An untrained classifier on a copy of the encoder, frozen."""
    config = copy.deepcopy(model.config)
    config.classifier_layers = 1
    config.id2label = dict(enumerate(classes))
    config.label2id = {label: index for index, label in enumerate(classes)}
    probe = ClapAfmForAudioClassification(config)
    probe.audio_model.load_state_dict(encoder.state_dict())
    probe.freeze_audio_encoder()
    return probe.to(encoder.device, encoder.dtype).eval()


def _lora_targets(model: Any) -> list[str]:
    """
    Full names of the audio tower's layers that get low-rank matrices: attention in HTSAT, convolutions elsewhere.

    Depthwise convolutions, as YAMNet's, are left out: each channel has nine weights, of which there is no lower rank.
    """
    modules = [(name, module) for name, module in model.named_modules() if name.startswith("audio_model.")]
    attention = [name for name, _ in modules if name.endswith((".attn.qkv", ".attn.proj"))]
    return attention or [name for name, module in modules if isinstance(module, nn.Conv2d) and module.groups == 1]


def _minimise(
    parameters: Iterable[nn.Parameter],
    loss_of: Callable[[list[int]], torch.Tensor],
    clips: int,
    steps: int,
    learning_rate: float,
    batch_size: int,
    seed: int,
) -> list[float]:
    """AdamW over shuffled batches; the loss of every step."""
    if steps < 1 or batch_size < 1:
        raise ValueError(f"`steps` is {steps} and `batch_size` {batch_size}; expected 1 or more of both.")
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate)
    generator = random.Random(seed)
    losses: list[float] = []
    waiting: list[int] = []
    for _ in range(steps):
        if not waiting:
            waiting = generator.sample(range(clips), clips)
        rows, waiting = waiting[:batch_size], waiting[batch_size:]
        loss = loss_of(rows)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


__all__ = ["FewShotFit", "draw_shots", "fit_linear_probe", "fit_lora", "fit_mapper", "fit_on_features"]
