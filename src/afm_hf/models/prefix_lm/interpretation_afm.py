"""
What a prefix says: the words of the vocabulary that lie nearest to its vectors.

CLAPCAP, Pengi, ADIFF and Mellow hand audio to a language model as vectors in the space of its words. The words nearest
to them are a rough reading of what it is told, part by part: ADIFF's paper compares its ablations so.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch.nn import functional as F

ROWS = 512  # prefix vectors that are compared with the whole vocabulary at once


@dataclass
class PrefixWord:
    """
    A word near a prefix vector.

    Args:
        text (`str`): The word, with its leading space if it has one.
        token_id (`int`): Its row of the word table.
        similarity (`float`): Cosine, or dot product if that was asked for.
    """

    text: str
    token_id: int
    similarity: float


@dataclass
class PrefixPart:
    """
    One part of a prefix.

    Args:
        name (`str`): What it stands for: "audio", "first audio", "separator", "prompt", ...
        start (`int`): Place of its first vector in the prefix.
        vectors (`list[list[PrefixWord]]`): The nearest words of each of its vectors, the nearest first.
    """

    name: str
    start: int
    vectors: list[list[PrefixWord]] = field(repr=False)

    @property
    def words(self) -> list[str]:
        """The nearest word of each vector, without spaces around it, each word once, in the vectors' order."""
        return list(dict.fromkeys(near[0].text.strip() for near in self.vectors))

    def __str__(self) -> str:
        return f"{self.name} ({len(self.vectors)} vectors): {', '.join(map(repr, self.words))}"


@dataclass
class PrefixReading:
    """
    The prefix of one example, in words; prints as a table.

    Args:
        parts (`list[PrefixPart]`): Its parts, in their order.
    """

    parts: list[PrefixPart]

    def __getitem__(self, name: str) -> PrefixPart:
        for part in self.parts:
            if part.name == name:
                return part
        raise KeyError(f"The prefix has no part {name!r}; its parts are {[part.name for part in self.parts]}.")

    def __iter__(self) -> Iterator[PrefixPart]:
        return iter(self.parts)

    def __str__(self) -> str:
        return "\n".join(map(str, self.parts))

    def to_dict(self) -> dict[str, list[list[dict[str, Any]]]]:
        """`{part: [[{"text", "token_id", "similarity"}, ...] of each vector]}`, ready for JSON."""
        return {part.name: [[asdict(word) for word in near] for near in part.vectors] for part in self.parts}


@torch.no_grad()
def interpret_prefix(
    model: Any,
    inputs: Mapping[str, Any],
    processor: Any,
    top_k: int = 5,
    similarity: Literal["cosine", "dot"] = "cosine",
) -> list[PrefixReading]:
    """
    The words nearest to each prefix vector, as it is handed to the language model (so after ADIFF's cross-projection).

    Args:
        model: CLAPCAP, Pengi, ADIFF or Mellow with its language head.
        inputs: What the processor made of audio and prompts, on the model's device. Parts of a prompt that are words
            themselves, as in Mellow, are no part of the prefix.
        processor: The model's processor, or its tokenizer.
        top_k (`int`, *optional*, defaults to 5): Words for each vector.
        similarity (`str`, *optional*, defaults to `"cosine"`): `"cosine"`, or `"dot"` for the dot product, in which
            words with long vectors are nearer.

    Returns:
        `list[PrefixReading]`: One for each example. The placeholder is never among the words.

    Raises:
        ValueError: if there is no audio, or `top_k` or `similarity` make no sense.

    Example:
    ```python
    >>> readings = interpret_prefix(model, processor(audio=pair, text=prompt), processor)  # doctest: +SKIP
    >>> print(readings[0])  # doctest: +SKIP
    first audio (40 vectors): 'bird', 'chirp', 'wind'
    separator (1 vectors): 'and'
    second audio (40 vectors): 'rain', 'thunder'
    prompt (40 vectors): 'explain', 'difference'

    ```
    """
    table = model.get_input_embeddings().weight
    _check(model, inputs, top_k, similarity, len(table))
    prefix = _prefix_of(model, inputs)
    ids, scores = _nearest(prefix.flatten(0, 1), table, model.config.audio_token_id, top_k, similarity)
    ids, scores = ids.unflatten(0, prefix.shape[:2]), scores.unflatten(0, prefix.shape[:2])
    tokenizer = getattr(processor, "tokenizer", processor)
    texts = {token: tokenizer.decode([token]) for token in set(ids.flatten().tolist())}
    return [
        _reading(model.config.prefix_parts, rows, values, texts)
        for rows, values in zip(ids.tolist(), scores.tolist(), strict=True)
    ]


def _check(model: Any, inputs: Mapping[str, Any], top_k: int, similarity: str, vocab_size: int) -> None:
    if inputs.get("input_features") is None:
        raise ValueError(f"`inputs` has {sorted(inputs)}, but no `input_features`: make it with the model's processor.")
    if similarity not in ("cosine", "dot"):
        raise ValueError(f"`similarity` is {similarity!r}; expected 'cosine' or 'dot'.")
    if not 1 <= top_k < vocab_size:
        raise ValueError(f"`top_k` is {top_k}; it must be between 1 and the {vocab_size - 1} words of the vocabulary.")


def _prefix_of(model: Any, inputs: Mapping[str, Any]) -> torch.Tensor:
    """`(batch, vectors, hidden_size)`, made in evaluation mode."""
    extra = {name: inputs[name] for name in model.prefix_input_names if inputs.get(name) is not None}
    was_training = model.training
    model.eval()
    try:
        return model.get_prefix(inputs["input_features"], **extra)
    finally:
        model.train(was_training)


def _nearest(
    vectors: torch.Tensor, table: torch.Tensor, placeholder: int, top_k: int, similarity: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and similarities `(vectors, top_k)` of the nearest rows of the word table, the nearest first."""
    vectors, table = vectors.float(), table.float()
    if similarity == "cosine":
        vectors, table = F.normalize(vectors, dim=-1), F.normalize(table, dim=-1)
    ids, values = [], []
    for rows in vectors.split(ROWS):
        scores = rows @ table.T  # (rows, vocabulary)
        scores[:, placeholder] = float("-inf")
        best = scores.topk(top_k, dim=-1)
        ids.append(best.indices)
        values.append(best.values)
    return torch.cat(ids), torch.cat(values)


def _reading(
    spans: Mapping[str, tuple[int, int]], ids: list[list[int]], scores: list[list[float]], texts: Mapping[int, str]
) -> PrefixReading:
    near = [
        [PrefixWord(texts[token], token, score) for token, score in zip(tokens, values, strict=True)]
        for tokens, values in zip(ids, scores, strict=True)
    ]
    return PrefixReading([PrefixPart(name, start, near[start:stop]) for name, (start, stop) in spans.items()])


__all__ = ["PrefixPart", "PrefixReading", "PrefixWord", "interpret_prefix"]
