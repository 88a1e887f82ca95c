"""
Embeddings of labels whose prompt is a domain vector, with gradients for the vector.

The text is tokenised with the words of the prompt in it, and the vector takes the place of their tokens: a vector that
holds their embeddings gives exactly what the words give. In a causal tower (GPT-2) nothing before the vector depends on
it, so that is run once for all steps; and where the labels come after the vector, the vector is run once for all of
them. Towers that look both ways (BERT) run everything.
"""

from collections.abc import Sequence
from string import Formatter
from typing import Any

import torch
from torch.nn import functional as F

from ...models.clap_afm.prefixes_clap_afm import States, is_causal, run_causal
from .domain_vector import DomainVector


class PromptedLabels:
    """
    Labels in the sentence `template`, with a prompt before or after them that a vector takes the place of.

    Args:
        model ([`ClapAfmModel`]): In evaluation mode. It is only read.
        tokenizer: Its tokenizer; a fast one, for only these say which token stands for which letters.
        labels (`Sequence[str]`): The labels.
        prompt, template, position (`str`): As in [`DomainVector`].
        share (`bool`, *optional*, defaults to `True`): Whether a causal tower runs what labels share only once.

    Raises:
        ValueError: the model takes no embeddings in place of tokens, or a text is too long.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        labels: Sequence[str],
        prompt: str,
        template: str,
        position: str = "before",
        share: bool = True,
    ) -> None:
        if not (hasattr(model, "text_model") and hasattr(model, "text_projection")):
            raise ValueError(f"Domain vectors need a ClapAfmModel, but the model is a {type(model).__name__}.")
        if not getattr(tokenizer, "is_fast", False):
            raise ValueError(f"Domain vectors need a fast tokenizer, but this is a {type(tokenizer).__name__}.")
        self.model, self.labels = model, tuple(labels)
        heads, prompts, tails = _split(tokenizer, self.labels, prompt, template, position)
        self.prompt_ids = prompts[0]
        self._heads, self._tails = heads, tails
        longest = max(len(head) + len(tail) for head, tail in zip(heads, tails, strict=True))
        room = getattr(model.config.text_config.encoder_config, "max_position_embeddings", None)
        self.max_tokens = None if room is None else room - longest
        self._rows = _CausalRows(model, heads, tails) if share and is_causal(model) else _PlainRows(model, heads, tails)

    @torch.no_grad()
    def prompt_embeddings(self) -> torch.Tensor:
        """The word embeddings of the prompt, float32 `(tokens, hidden)`: where a vector starts."""
        ids = torch.tensor(self.prompt_ids, device=self.model.device)
        return self.model.get_input_embeddings()(ids).float().clone()

    def embed(self, tensor: torch.Tensor) -> torch.Tensor:
        """
        Embeddings of the labels, float32 `(labels, dim)`, L2-normalised; gradients flow to `tensor`.

        Args:
            tensor (`torch.Tensor` of shape `(tokens, hidden)`): What stands in the prompt's place.

        Raises:
            ValueError: it has another width than the tower, or there is no room for so many tokens.
        """
        hidden = self.model.get_input_embeddings().weight.shape[-1]
        if tensor.shape[-1] != hidden:
            raise ValueError(f"The vector has {tensor.shape[-1]} numbers a token, but the text tower has {hidden}.")
        if self.max_tokens is not None and len(tensor) > self.max_tokens:
            raise ValueError(
                f"The longest label leaves room for {self.max_tokens} tokens of the text tower, but the vector has "
                f"{len(tensor)}. Take fewer tokens, or shorter labels."
            )
        pooled = self._rows.pool(tensor.to(self.model.device, self.model.dtype))  # (labels, hidden)
        return F.normalize(self.model.text_projection(pooled).float(), dim=-1)


def embed_with_vector(
    model: Any, tokenizer: Any, labels: Sequence[str], vector: DomainVector, template: str | None = None
) -> torch.Tensor:
    """
    Embeddings of labels under a vector, float32 `(labels, dim)`, L2-normalised.

    Args:
        model ([`ClapAfmModel`]), tokenizer: Of the vector; see [`DomainVector.check`].
        labels (`Sequence[str]`): The labels.
        vector ([`DomainVector`]): The vector.
        template (`str`, *optional*): The sentence around prompt and label; the vector's own if not given.
    """
    prompted = PromptedLabels(model, tokenizer, labels, vector.prompt, template or vector.template, vector.position)
    if vector.kind == "tokens":
        return prompted.embed(vector.tensor)
    texts = prompted.embed(prompted.prompt_embeddings())
    return add_to_embeddings(texts, vector.tensor.to(texts.device))


def add_to_embeddings(texts: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """The additive vector: `(labels, dim)` plus `(1, dim)`, L2-normalised again."""
    if texts.shape[-1] != tensor.shape[-1]:
        raise ValueError(f"The vector has {tensor.shape[-1]} numbers, but the texts' embeddings {texts.shape[-1]}.")
    return F.normalize(texts + tensor, dim=-1)


# ---------------------------------------------------------------------------------------------------------------------
# Tokens
# ---------------------------------------------------------------------------------------------------------------------

Ids = list[list[int]]


def _split(tokenizer: Any, labels: Sequence[str], prompt: str, template: str, position: str) -> tuple[Ids, Ids, Ids]:
    """For each label the tokens before the prompt, those of the prompt, and those after it."""
    start = len(next(iter(Formatter().parse(template)))[0])
    texts, spans = [], []
    for label in labels:
        texts.append(template.format(f"{prompt} {label}" if position == "before" else f"{label} {prompt}"))
        begin = start if position == "before" else start + len(label) + 1
        spans.append((begin, begin + len(prompt)))
        if texts[-1][slice(*spans[-1])] != prompt:
            raise ValueError(f"The template {template!r} does more than put the label at {{}}; a vector cannot.")
    tokens = tokenizer(texts, return_offsets_mapping=True, return_special_tokens_mask=True)
    parts: tuple[Ids, Ids, Ids] = ([], [], [])
    columns = (tokens["input_ids"], tokens["offset_mapping"], tokens["special_tokens_mask"])
    for text, (begin, end), ids, offsets, special in zip(texts, spans, *columns, strict=True):
        inside = [
            index for index, (first, last) in enumerate(offsets) if not special[index] and first < end and last > begin
        ]
        if not inside:
            raise ValueError(f"The tokenizer makes no token of the prompt {prompt!r} in {text!r}.")
        for part, piece in zip(
            parts, (ids[: inside[0]], ids[inside[0] : inside[-1] + 1], ids[inside[-1] + 1 :]), strict=True
        ):
            part.append(list(piece))
    return parts


def _pad(rows: Ids, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids `(rows, longest)`, filled up with zeros on the right, and their mask."""
    longest = max(map(len, rows))
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask[index, : len(row)] = 1
    return ids.to(device), mask.to(device)


# ---------------------------------------------------------------------------------------------------------------------
# Towers
# ---------------------------------------------------------------------------------------------------------------------


class _PlainRows:
    """Every row whole: for towers that look both ways, and to test the other against."""

    def __init__(self, model: Any, heads: Ids, tails: Ids) -> None:
        self.model, self.heads, self.tails = model, heads, tails
        self._laid_out = 0  # for a vector of so many tokens

    def pool(self, tensor: torch.Tensor) -> torch.Tensor:
        """`(tokens, hidden)` -> `(labels, hidden)`."""
        count = len(tensor)
        if count != self._laid_out:
            self._lay_out(count)
        rows = torch.arange(len(self.heads), device=tensor.device)[:, None].expand_as(self.places)
        embeds = self.words.index_put((rows, self.places), tensor.expand(len(self.heads), -1, -1))
        return self.model.text_model(inputs_embeds=embeds, attention_mask=self.mask).pooler_output

    @torch.no_grad()
    def _lay_out(self, count: int) -> None:
        """Word embeddings `(labels, tokens, hidden)` with room for the vector."""
        pairs = zip(self.heads, self.tails, strict=True)
        ids, self.mask = _pad([head + [0] * count + tail for head, tail in pairs], self.model.device)
        self.words = self.model.get_input_embeddings()(ids)
        begins = torch.tensor([len(head) for head in self.heads], device=ids.device)
        self.places = begins[:, None] + torch.arange(count, device=ids.device)  # (labels, count)
        self._laid_out = count


class _CausalRows:
    """A causal tower: what comes before the vector is run once, the vector once for all labels where it can be."""

    def __init__(self, model: Any, heads: Ids, tails: Ids) -> None:
        self.model = model
        self.count = len(heads)
        # One head for all labels (they come after the vector), or one each (they come before it).
        self.shared = all(head == heads[0] for head in heads) and all(tails)
        with torch.no_grad():
            words = model.get_input_embeddings()
            ids, self.head_mask = _pad(heads[:1] if self.shared else heads, model.device)
            self.head_lengths = self.head_mask.sum(dim=1)
            self.past: States = []
            if ids.shape[1]:
                places = torch.arange(ids.shape[1], device=ids.device)
                _, self.past = run_causal(model, words(ids), self.head_mask, places, [])
            tail_ids, self.tail_mask = _pad(tails, model.device)
            self.tail_words = words(tail_ids)

    def pool(self, tensor: torch.Tensor) -> torch.Tensor:
        """`(tokens, hidden)` -> `(labels, hidden)`: the state of the last token."""
        count, past, words = len(tensor), self.past, self.tail_words
        seen = torch.cat([self.head_mask, self.head_mask.new_ones(len(self.head_mask), count)], dim=1)
        begin = self.head_lengths
        if self.shared:
            place = begin[:, None] + torch.arange(count, device=tensor.device)
            _, past = run_causal(self.model, tensor[None], seen, place, past)
            past = [(k.expand(self.count, -1, -1, -1), v.expand(self.count, -1, -1, -1)) for k, v in past]
            begin, seen, skipped = begin + count, seen.expand(self.count, -1), 0
        else:
            words, skipped = torch.cat([tensor.expand(self.count, -1, -1), words], dim=1), count
        mask = torch.cat([seen, self.tail_mask], dim=1)
        place = begin[:, None] + torch.arange(words.shape[1], device=tensor.device)
        states, _ = run_causal(self.model, words, mask, place.expand(self.count, -1), past)
        last = skipped + self.tail_mask.sum(dim=1) - 1
        return states[torch.arange(self.count, device=tensor.device), last]


__all__ = ["PromptedLabels", "add_to_embeddings", "embed_with_vector"]
