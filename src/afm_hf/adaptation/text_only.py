"""
A captioner trained without any audio.

Deshmukh et al., "Training Audio Captioning Models without Audio" (ICASSP 2024, arXiv
2309.07372): CLAP's *text* embedding of a caption becomes the prefix of a frozen language model, which learns to say the
caption; afterwards CLAP's *audio* embedding takes its place. The two lie apart in CLAP's space (the modality gap), so
in training the embedding gets Gaussian noise, or a learned adapter, or both. The authors released no code; the size of
the noise and the form of the adapter are ours: [`modality_gap`] measures what noise would bridge it.

The result is an ordinary [`ClapAfmForConditionalGeneration`] that hears.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from ..models.clap_afm.embedding_clap_afm import embed_texts
from ..models.clapcap.configuration_clap_afm_captioning import ClapAfmCaptioningConfig
from ..models.clapcap.modeling_clap_afm_captioning import ClapAfmForConditionalGeneration
from ..models.clapcap.processing_clap_afm_captioning import ClapAfmCaptioningProcessor
from ..models.common.processing_afm import pad
from ..models.prefix_lm.inputs_afm import IGNORED
from ..models.prefix_lm.modeling_afm_prefix_lm import AfmPrefixLMModel
from ..models.prefix_lm.processing_afm_prefix_lm import AUDIO_TOKEN


@dataclass
class ModalityGap:
    """
    How far CLAP's audio embeddings lie from those of their captions; both have length 1.

    Args:
        pairs (`int`): Clips with captions that were compared.
        cosine (`float`): Mean cosine of a clip and its caption.
        distance (`float`): Mean Euclidean distance of the two.
        largest (`float`): Mean of the largest difference in one coordinate.
        noise_std (`float`): Standard deviation of a Gaussian noise with that distance, `distance / sqrt(dimensions)`.
        shift (`list[float]`): Mean audio embedding minus mean text embedding, one number per dimension.
    """

    pairs: int
    cosine: float
    distance: float
    largest: float
    noise_std: float
    shift: list[float] = field(repr=False)

    def __str__(self) -> str:
        return (
            f"{self.pairs} pairs: cosine {self.cosine:.3f}, distance {self.distance:.3f}, largest coordinate "
            f"{self.largest:.3f}; noise of that size has a standard deviation of {self.noise_std:.4f}"
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@torch.no_grad()
def modality_gap(clap: Any, processor: Any, clips: Sequence[Any], captions: Sequence[str]) -> ModalityGap:
    """
    Measures the gap on some clips with captions; thirty are enough.

    Args:
        clap ([`ClapAfmModel`]): The model, in evaluation mode.
        processor ([`ClapAfmProcessor`]): Its processor.
        clips (`list`): Anything that [`load_audio`] takes; bare arrays are taken to be at the model's rate, with a
            warning.
        captions (`list[str]`): Their captions.

    Raises:
        ValueError: if there are no pairs, clips and captions are not as many, or a clip cannot be used.
    """
    if not clips or len(clips) != len(captions):
        raise ValueError(f"There are {len(clips)} clips and {len(captions)} captions; give one caption for every clip.")
    features = processor.feature_extractor(list(clips), return_tensors="pt")
    audio = clap.get_audio_features(**features.to(clap.device, clap.dtype)).pooler_output.float()  # (pairs, dim)
    text = embed_captions(clap, processor, captions).to(audio.device)
    difference = audio - text
    distance = difference.norm(dim=-1).mean().item()
    return ModalityGap(
        pairs=len(clips),
        cosine=(audio * text).sum(-1).mean().item(),
        distance=distance,
        largest=difference.abs().amax(-1).mean().item(),
        noise_std=distance / audio.shape[1] ** 0.5,
        shift=difference.mean(0).tolist(),
    )


@torch.no_grad()
def embed_captions(clap: Any, processor: Any, captions: Sequence[str]) -> torch.Tensor:
    """CLAP's text embeddings of length 1, float32 `(captions, projection_dim)`, on the model's device."""
    blank = [index for index, caption in enumerate(captions) if not isinstance(caption, str) or not caption.strip()]
    if blank:
        raise ValueError(f"captions[{blank[0]}] is {captions[blank[0]]!r}; expected text.")
    return embed_texts(clap, processor.tokenizer, captions)


def captioner_from_clap(
    clap: Any, clap_processor: Any, language_model: Any, tokenizer: Any, **config: Any
) -> tuple[ClapAfmForConditionalGeneration, ClapAfmCaptioningProcessor]:
    """
    A captioner with CLAP's audio tower, a causal language model and a mapper that has yet to learn.

    Audio tower, projection and language model are copies, and frozen; the mapper is all that trains.

    Args:
        clap ([`ClapAfmModel`]), clap_processor ([`ClapAfmProcessor`]): The trained CLAP.
        language_model:
            A causal language model, for example `GPT2LMHeadModel`; or a model of this package that answers in words,
            whose language model is taken.
        tokenizer:
            Its tokenizer, which is given the placeholder `<|audio|>` if it has none. If it has one, the language model
            may have a row for it, or not yet.
        **config: For [`ClapAfmCaptioningConfig`]: `prefix_length`, `mapper`, `mapper_layers`, ...

    Returns:
        The captioner and its processor.

    Raises:
        ValueError: if tokenizer and language model have different vocabularies, or the tokenizer has no end token.
    """
    if tokenizer.eos_token is None:
        raise ValueError("The tokenizer has no `eos_token`, with which captions could end.")
    placeholder = _placeholder(language_model, tokenizer)
    text_config = language_model.config.get_text_config()
    words = max(placeholder + 1, len(language_model.get_input_embeddings().weight))
    text_config = type(text_config)(**{**text_config.to_dict(), "vocab_size": words})
    captioner = ClapAfmForConditionalGeneration(
        ClapAfmCaptioningConfig(
            audio_config=clap.config.audio_config.encoder_config,
            text_config=text_config,
            projection_dim=clap.config.projection_dim,
            audio_token_id=placeholder,
            pad_token_id=tokenizer.pad_token_id,
            **config,
        )
    )
    _copy_weights(captioner, clap, language_model)
    captioner.generation_config.eos_token_id = tokenizer.eos_token_id
    captioner.generation_config.pad_token_id = tokenizer.pad_token_id
    captioner.freeze_audio_tower()
    captioner.model.audio_projection.requires_grad_(False)
    captioner.freeze_language_model()
    processor = ClapAfmCaptioningProcessor(
        clap_processor.feature_extractor,
        tokenizer,
        prefix_length=captioner.config.prefix_length,
        answer_suffix=tokenizer.eos_token,
    )
    return captioner.to(clap.device).eval(), processor


def _placeholder(language_model: Any, tokenizer: Any) -> int:
    """Id of the placeholder, which the tokenizer is given if it has none; refuses what does not belong together."""
    rows, had_one = len(language_model.get_input_embeddings().weight), AUDIO_TOKEN in tokenizer.get_vocab()
    if not had_one:
        tokenizer.add_special_tokens({"extra_special_tokens": [AUDIO_TOKEN]})
    placeholder = int(tokenizer.convert_tokens_to_ids(AUDIO_TOKEN))
    if placeholder != rows and not (had_one and len(tokenizer) == rows):
        raise ValueError(
            f"The tokenizer's words before the placeholder are {placeholder}, but the language model has {rows}; "
            "they do not belong together. (A language model that knows the placeholder has as many as the tokenizer: "
            f"{len(tokenizer)}.)"
        )
    return placeholder


@torch.no_grad()
def _copy_weights(captioner: ClapAfmForConditionalGeneration, clap: Any, language_model: Any) -> None:
    model: Any = captioner.model
    model.audio_tower.load_state_dict(clap.audio_model.encoder.state_dict())
    model.audio_projection.load_state_dict(clap.audio_projection.state_dict())
    decoder = language_model.base_model
    if isinstance(decoder, AfmPrefixLMModel):
        decoder = decoder.language_model
    weights = dict(decoder.state_dict())
    table = language_model.get_input_embeddings().weight
    name = next(name for name, value in decoder.named_parameters() if value is table)
    rows = len(model.get_input_embeddings().weight)
    weights[name] = _with_rows(table, rows)
    model.language_model.load_state_dict(weights)
    head = language_model.get_output_embeddings().weight
    if head is not table:  # not tied
        captioner.lm_head.weight.copy_(_with_rows(head, rows))


def _with_rows(table: torch.Tensor, rows: int) -> torch.Tensor:
    """`(words, width)` with the mean as the placeholder's row, if it has none."""
    return table if len(table) == rows else torch.cat([table, table.mean(0, keepdim=True)])


class TextOnlyTraining(nn.Module):
    """
    What `Trainer` trains: the captioner, hearing captions. Its checkpoints hold what learns, and nothing else.

    Args:
        captioner ([`ClapAfmForConditionalGeneration`]): The captioner, from [`captioner_from_clap`].
        noise_std (`float`, *optional*, defaults to 0.0):
            Standard deviation, in each dimension, of the noise on the embeddings in training mode; afterwards they get
            length 1 again.
        adapter (`bool`, *optional*, defaults to `False`):
            Whether to learn a linear residual layer in front of the mapper. [`~TextOnlyTraining.finish`] folds it into
            the mapper's first layer, so that the checkpoint is an ordinary one.

    Raises:
        ValueError: if the noise is negative.
    """

    def __init__(
        self, captioner: ClapAfmForConditionalGeneration, noise_std: float = 0.0, adapter: bool = False
    ) -> None:
        super().__init__()
        if noise_std < 0:
            raise ValueError(f"`noise_std` is {noise_std}; expected 0 or more.")
        self.captioner = captioner
        self.noise_std = noise_std
        self.adapter = nn.Linear(captioner.config.projection_dim, captioner.config.projection_dim) if adapter else None
        if self.adapter is not None:  # begins as if it were not there
            nn.init.zeros_(self.adapter.weight)
            nn.init.zeros_(self.adapter.bias)
        self.register_state_dict_post_hook(_drop_frozen)
        self.register_load_state_dict_post_hook(_miss_no_frozen)

    def forward(
        self,
        clap_embeds: torch.Tensor,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        labels: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """
        Loss and logits of captions.

        Args:
            clap_embeds (`torch.Tensor` of shape `(batch, projection_dim)`): CLAP's embeddings, of length 1.
            input_ids, attention_mask, labels (`torch.Tensor` of shape `(batch, tokens)`): See [`CaptionCollator`].
        """
        model: Any = self.captioner.model
        if self.training and self.noise_std:
            clap_embeds = F.normalize(clap_embeds + self.noise_std * torch.randn_like(clap_embeds), dim=-1)
        if self.adapter is not None:
            clap_embeds = clap_embeds + self.adapter(clap_embeds)
        words = model.get_input_embeddings()(input_ids)
        inputs_embeds = model.insert_prefix(input_ids, words, model.map_embedding(clap_embeds.to(words.dtype)))
        return self.captioner(inputs_embeds=inputs_embeds, attention_mask=attention_mask, labels=labels, **kwargs)

    @torch.no_grad()
    def finish(self) -> ClapAfmForConditionalGeneration:
        """The captioner that hears, in evaluation mode; an adapter is folded into it, and then gone."""
        if self.adapter is not None:
            mapper: Any = self.captioner.model.audio_mapper
            first = mapper.linear if hasattr(mapper, "linear") else mapper[0]
            # W (e + A e + a) + b  =  (W + W A) e + (W a + b)
            first.bias += first.weight @ self.adapter.bias
            first.weight += first.weight @ self.adapter.weight
            self.adapter = None
        return self.captioner.eval()


def _frozen(module: nn.Module) -> set[str]:
    """Names of what does not learn, buffers too."""
    learning = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    everything = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    return {name for name, _ in everything} - learning


def _drop_frozen(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    for name in _frozen(module):
        state.pop(prefix + name, None)


def _miss_no_frozen(module: nn.Module, keys: Any) -> None:
    frozen = _frozen(module)
    keys.missing_keys[:] = [key for key in keys.missing_keys if not any(key.endswith(name) for name in frozen)]


class CaptionDataset(Dataset[dict[str, Any]]):
    """
    Captions with CLAP's text embeddings, which are made once.

    Args:
        clap ([`ClapAfmModel`]), clap_processor ([`ClapAfmProcessor`]): What embeds them.
        captions (`list[str]`): The captions.
    """

    def __init__(self, clap: Any, clap_processor: Any, captions: Sequence[str]) -> None:
        self.captions = list(captions)
        self.embeddings = embed_captions(clap, clap_processor, self.captions).cpu()

    def __len__(self) -> int:
        return len(self.captions)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"clap_embeds": self.embeddings[index], "caption": self.captions[index]}


class CaptionCollator:
    """
    Joins rows of a [`CaptionDataset`]: placeholders and caption as `input_ids`, the caption alone as `labels`.

    Args:
        processor ([`ClapAfmCaptioningProcessor`]): The captioner's processor.
        max_tokens (`int`, *optional*, defaults to 77): Longest caption, its end included, as the papers' captioners.
    """

    def __init__(self, processor: Any, max_tokens: int = 77) -> None:
        self.processor = processor
        self.max_tokens = max_tokens

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        front = self.processor.front_ids(None)
        answers = [self.processor.answer_ids(row["caption"])[: self.max_tokens] for row in rows]
        return {
            "clap_embeds": torch.stack([row["clap_embeds"] for row in rows]),
            "input_ids": pad([front + answer for answer in answers], self.processor.pad_id, "right"),
            "attention_mask": pad([[1] * (len(front) + len(answer)) for answer in answers], 0, "right"),
            "labels": pad([[IGNORED] * len(front) + answer for answer in answers], IGNORED, "right"),
        }


__all__ = [
    "CaptionCollator",
    "CaptionDataset",
    "ModalityGap",
    "TextOnlyTraining",
    "captioner_from_clap",
    "embed_captions",
    "modality_gap",
]
