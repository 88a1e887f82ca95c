"""Clips and labels to embeddings, for any CLAP: this package's, or transformers' own `ClapModel`.

What every way of using a CLAP shares: a clip's features, the embeddings of clips and of texts, checked labels and
templates.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F
from transformers.feature_extraction_utils import BatchFeature

from ...audio.audio_checks import AudioDecodeError, describe_source
from ...audio.audio_loading import load_audio
from ...audio.audio_samples import clip_of_row
from ..common.feature_extraction_afm import IN_WINDOWS, TRUNCATIONS
from ..common.label_texts_afm import split_labels
from .kept_texts_clap_afm import FEWEST_TEXTS, KeptTexts, text_key
from .text_trees_clap_afm import embed_trees, takes_trees
from .texts_clap_afm import Tokens, longest_text

DEFAULT_TEMPLATE = "This is a sound of {}."
TEXTS_PER_BATCH = 32

# ---------------------------------------------------------------------------------------------------------------------
# One clip, a batch of clips, texts: for any CLAP
# ---------------------------------------------------------------------------------------------------------------------


def extract_features(
    extractor: Any,
    audio: Any,
    sampling_rate: int | None = None,
    truncation: str | None = None,
) -> BatchFeature:
    """A model's inputs for one clip, a batch of one, whichever CLAP the feature extractor belongs to.

    Args:
        extractor: The feature extractor.
        audio: The clip; see [`load_audio`]. A mapping may hold it under `"audio"`, as rows of `datasets` do.
        sampling_rate (`int`, *optional*): Rate in Hz of bare samples; the extractor's, with a warning, if not given.
        truncation (`str`, *optional*): What of a long clip is taken; the extractor's own setting if not given.

    Returns:
        The extractor's output. Of a clip of many windows `input_features` is a [`StreamedWindows`], of which the model
        makes them while it encodes them; it has been read to its end once.

    Raises:
        AudioDecodeError: the clip cannot be used.
        ValueError: the extractor does not know that truncation.
    """
    if isinstance(audio, Mapping) and "audio" in audio and not audio.keys() & {"array", "raw", "path", "bytes"}:
        audio = clip_of_row(audio)
    options: dict[str, Any] = (
        {"return_tensors": "pt"} if truncation is None else {"return_tensors": "pt", "truncation": truncation}
    )
    if not hasattr(extractor, "window_hop_s"):
        if truncation in TRUNCATIONS:
            raise ValueError(
                f"`truncation={truncation!r}` needs a feature extractor of this package; "
                f"{type(extractor).__name__} does not know it. Leave it out."
            )
        waveform = load_audio(audio, extractor.sampling_rate, source_sampling_rate=sampling_rate)
        return extractor([waveform], sampling_rate=extractor.sampling_rate, **options)
    try:
        if (truncation or extractor.truncation) in IN_WINDOWS:
            options["stream_windows"] = True
        return extractor([audio], sampling_rate=sampling_rate, **options)
    except AudioDecodeError as error:
        # The extractor counts the clips of its batch, which here has but one.
        raise AudioDecodeError(describe_source(audio), error.reason, error.hint) from error


def logit_scale(model: Any) -> torch.Tensor | None:
    """The learned temperature (a logarithm) of a model that embeds audio and text apart; None for other models."""
    if not (hasattr(model, "get_audio_features") and hasattr(model, "get_text_features")):
        return None
    scale = getattr(model, "logit_scale", None)
    return getattr(model, "logit_scale_a", None) if scale is None else scale


def is_another_of_ours(model: Any) -> bool:
    """Whether it is of this family, but no CLAP. Others may compare audio and text without towers."""
    return str(getattr(getattr(model, "config", None), "model_type", "")).startswith(("afm_", "clap_afm_"))


def embed_audio(model: Any, features: Mapping[str, Any]) -> torch.Tensor:
    """Embeddings of a batch of clips, float32 `(batch, dim)`, L2-normalised."""
    return unit_rows(model.get_audio_features(**features))


def embed_texts(
    model: Any, tokenizer: Any, texts: Sequence[str], kept_as: Callable[[], str | None] | None = None
) -> torch.Tensor:
    """Embeddings of texts, float32 `(texts, dim)`, L2-normalised.

    Texts of like length are padded together; a causal tower takes them without padding, and computes what they begin
    with alike once, as the words of a template (see [`embed_trees`]). Texts longer than the tokenizer's limit or the
    tower are cut, as in training, with one warning.

    Args:
        model, tokenizer: Of any CLAP.
        texts (`Sequence[str]`): The texts.
        kept_as (`Callable`, *optional*): Gives what the embeddings follow from besides the tokens, as a string, or
            None. Of many texts those that were embedded before are then read from disk; see [`KeptTexts`].
    """
    batches = _token_batches(model, tokenizer, texts)
    store = KeptTexts.usual() if kept_as is not None and len(texts) >= FEWEST_TEXTS else None
    name = kept_as() if store is not None and kept_as is not None else None
    if store is None or name is None:
        embedded = _embed_batches(model, batches)
    else:
        embedded = _embed_or_find(model, batches, store, name)
    places = torch.tensor([place for batch in batches for place in batch.places]).argsort()
    return embedded[places.to(embedded.device)]


class _TokenBatch(NamedTuple):
    """Texts as tokens, padded, and the texts' places in the list."""

    places: list[int]
    tokens: Any

    def mask(self) -> torch.Tensor:
        mask: torch.Tensor | None = self.tokens.get("attention_mask")
        return torch.ones_like(self.tokens["input_ids"]) if mask is None else mask

    def tokens_of_texts(self) -> list[list[int]]:
        """Of each text its tokens, without padding."""
        mask = self.mask().bool()
        return [row[kept].tolist() for row, kept in zip(self.tokens["input_ids"], mask, strict=True)]

    def is_padded_left(self) -> bool:
        return not bool(self.mask()[:, 0].all())

    def only(self, chosen: list[int]) -> "_TokenBatch":
        """Some of its texts."""
        tokens = {name: values[chosen] for name, values in self.tokens.items()}
        return _TokenBatch([self.places[i] for i in chosen], tokens)


def _token_batches(model: Any, tokenizer: Any, texts: Sequence[str]) -> list[_TokenBatch]:
    """The texts as tokens, short ones first, and one warning about those that were cut."""
    tokens = Tokens(tokenizer, longest_text(model, tokenizer))
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # texts of like length need little padding
    parts = [order[start : start + TEXTS_PER_BATCH] for start in range(0, len(order), TEXTS_PER_BATCH)]
    batches = [_TokenBatch(part, dict(tokens([texts[i] for i in part]))) for part in parts]
    tokens.say_what_was_cut(len(texts))
    return batches


def _embed_batches(model: Any, batches: Sequence[_TokenBatch]) -> torch.Tensor:
    """Embeddings of all texts of the batches, float32 `(texts, dim)`, L2-normalised."""
    texts = [row for batch in batches for row in batch.tokens_of_texts()]
    if len(texts) > 1 and all(texts) and takes_trees(model) and not any(batch.is_padded_left() for batch in batches):
        return F.normalize(embed_trees(model, texts).float(), dim=-1)
    made = []
    for batch in batches:
        tokens = {name: values.to(model.device) for name, values in batch.tokens.items()}
        made.append(unit_rows(model.get_text_features(**tokens)))
    return torch.cat(made)


def _embed_or_find(
    model: Any,
    batches: Sequence[_TokenBatch],
    store: KeptTexts,
    name: str,
) -> torch.Tensor:
    """The same, in one tensor on the model's device; only what is not kept is embedded, and kept then."""
    width = int(model.config.projection_dim)
    keys = [[text_key(row) for row in batch.tokens_of_texts()] for batch in batches]
    found = store.find(name, [key for each in keys for key in each], width)
    missing = [[i for i, key in enumerate(each) if key not in found] for each in keys]
    left = [batch.only(chosen) for batch, chosen in zip(batches, missing, strict=True) if chosen]
    if left:
        made = _embed_batches(model, left).detach().cpu().numpy()
        names = [keys[i][j] for i, chosen in enumerate(missing) for j in chosen]
        new = dict(zip(names, made, strict=True))
        store.keep(name, new)
        found |= new
    return torch.from_numpy(np.stack([found[key] for each in keys for key in each])).to(model.device)


def embed_labels(
    model: Any,
    tokenizer: Any,
    labels: Sequence[str],
    templates: Sequence[str],
    kept_as: Callable[[], str | None] | None = None,
) -> torch.Tensor:
    """Embeddings of labels in templates, float32 `(labels, dim)`, L2-normalised; of several templates their mean."""
    texts = [template.format(label) for template in templates for label in labels]
    embeddings = embed_texts(model, tokenizer, texts, kept_as)
    return mean_of_templates(embeddings, len(templates))


def mean_of_templates(embeddings: torch.Tensor, templates: int) -> torch.Tensor:
    """`(templates * labels, dim)`, template by template -> `(labels, dim)`, L2-normalised."""
    if templates == 1:
        return embeddings
    return F.normalize(embeddings.view(templates, -1, embeddings.shape[-1]).mean(dim=0), dim=-1)


def unit_rows(output: Any) -> torch.Tensor:
    """`(batch, dim)` in float32, of length 1. What the model has normalised, in whatever dtype, is left as it is."""
    embeddings = getattr(output, "pooler_output", output).float()
    length = embeddings.norm(dim=-1, keepdim=True)
    return torch.where((length - 1).abs() < 0.02, embeddings, F.normalize(embeddings, dim=-1))


# ---------------------------------------------------------------------------------------------------------------------
# Arguments
# ---------------------------------------------------------------------------------------------------------------------


def as_labels(labels: str | Iterable[str]) -> tuple[str, ...]:
    """Checked labels; a string is a JSON list, or cut at its commas, see [`split_labels`].

    Raises:
        ValueError: there are none, one is no string or blank, one comes twice, or a string can be read in two ways.
    """
    if isinstance(labels, str):
        labels = split_labels(labels, "`candidate_labels`")
    if not isinstance(labels, Iterable):
        raise ValueError(f"`candidate_labels` must be a list of strings, but is {labels!r}.")
    checked = tuple(labels)
    if not checked:
        raise ValueError("`candidate_labels` is empty; give at least one label.")
    seen = set()
    for index, label in enumerate(checked):
        if not isinstance(label, str) or not label.strip():
            raise ValueError(f"candidate_labels[{index}] is {label!r}; expected a string that is not blank.")
        if label in seen:
            raise ValueError(f"candidate_labels[{index}], {label!r}, is there twice. Name every label once.")
        seen.add(label)
    return checked


def as_templates(templates: str | Sequence[str]) -> tuple[str, ...]:
    """Checked templates: each has a place, `{}`, for the label.

    Raises:
        ValueError: there are none, or one has no such place.
    """
    checked = (templates,) if isinstance(templates, str) else tuple(templates)
    if not checked:
        raise ValueError("`hypothesis_template` is an empty list; give at least one template, as 'This is {}.'.")
    for template in checked:
        try:
            has_place = isinstance(template, str) and template.format("a") != template.format("b")
        except (LookupError, ValueError, AttributeError):
            has_place = False
        if not has_place:
            raise ValueError(
                f"The template {template!r} has no place for the label. Write one as {{}}, as in {DEFAULT_TEMPLATE!r}."
            )
    return checked


__all__ = [
    "as_labels",
    "as_templates",
    "embed_audio",
    "embed_labels",
    "embed_texts",
    "extract_features",
    "logit_scale",
    "mean_of_templates",
    "unit_rows",
]
