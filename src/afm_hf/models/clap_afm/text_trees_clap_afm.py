"""Many texts at once in a causal text tower (GPT-2): no padding, and what texts begin with alike is computed once.

In such a tower a token sees only those before it, so that two texts have the same states as far as they are the same.
Texts are put into one row as a tree: a token stands there once for all texts that have it after the same beginning,
and attention is allowed to a token's own ancestors only. Of AudioSet's class names in a template 1,827 tokens are left
behind the common words, 3,200 with padding in batches of 32, and 1,712 in trees.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch

from .prefixes_clap_afm import is_causal

# Attention costs the square of it: on a CPU little beside the products, on a GPU nothing, where rows should be long.
TOKENS_OF_A_TREE = {"cpu": 256}
TOKENS_ELSEWHERE = 2048


class TextTree(NamedTuple):
    """Some texts in one row of tokens."""

    tokens: list[int]
    places: list[int]  # of the tokens in their texts
    sees: torch.Tensor  # bool `(tokens, tokens)`: a token's ancestors, and itself
    ends: list[int]  # of each text, its last token


def takes_trees(model: Any) -> bool:
    """
    Whether texts can be embedded as trees: the model is a CLAP of this package with a causal text tower that is pooled
    at the last token, its way is its own (nobody looks on, no adapter adds tokens), and in float32. With fewer bits the
    two ways would differ by more than anyone expects.
    """
    text = getattr(model, "text_model", None)
    if text is None or not is_causal(model) or "get_text_features" in vars(model) or model.dtype != torch.float32:
        return False
    if model.config.text_config.pooling != "last_token":
        return False
    hooked = bool(text._forward_hooks or text._forward_pre_hooks or "forward" in vars(text))
    attention = getattr(text.encoder.config, "_attn_implementation", "")
    plain = hasattr(model, "text_projection") and not hooked and not getattr(model, "prompt_encoder", None)
    return plain and attention in ("sdpa", "eager")


def embed_trees(model: Any, texts: Sequence[Sequence[int]]) -> torch.Tensor:
    """
    Embeddings of texts, `(texts, dim)`, not normalised.

    Args:
        model ([`ClapAfmModel`]): One that [`takes_trees`].
        texts (`Sequence[Sequence[int]]`): The tokens of each, without padding, at least one.
    """
    order = sorted(range(len(texts)), key=lambda i: list(texts[i]))  # neighbours begin alike
    most = TOKENS_OF_A_TREE.get(model.device.type, TOKENS_ELSEWHERE)
    trees = text_trees([list(texts[i]) for i in order], most)
    embedded = torch.cat([_embed_tree(model, tree) for tree in trees])
    return embedded[torch.tensor(order).argsort().to(embedded.device)]


def text_trees(texts: Sequence[list[int]], most: int) -> Iterator[TextTree]:
    """
    Trees of texts, in their order; each takes texts until it has `most` tokens.

    Args:
        texts (`Sequence[list[int]]`): The tokens of each.
        most (`int`): A tree that has as many tokens takes no further text.
    """
    start = 0
    while start < len(texts):
        nodes: dict[tuple[int, int], int] = {}  # by the token before and the word
        tokens: list[int] = []
        places: list[int] = []
        parents: list[int] = []
        ends: list[int] = []
        while start < len(texts) and len(tokens) < most:
            path = [-1]
            for place, token in enumerate(texts[start]):
                node = nodes.setdefault((path[-1], token), len(tokens))
                if node == len(tokens):
                    tokens.append(token)
                    places.append(place)
                    parents.append(path[-1])
                path.append(node)
            ends.append(path[-1])
            start += 1
        yield TextTree(tokens, places, _ancestors(parents), ends)


def _ancestors(parents: list[int]) -> torch.Tensor:
    """Of each token those that it sees, bool `(tokens, tokens)`; parents stand before their children."""
    sees = torch.eye(len(parents), dtype=torch.bool)
    for node, parent in enumerate(parents):
        if parent >= 0:
            sees[node] |= sees[parent]
    return sees


def _embed_tree(model: Any, tree: TextTree) -> torch.Tensor:
    """Embeddings of a tree's texts, `(texts, dim)`, not normalised."""
    device = model.device
    words = model.get_input_embeddings()(torch.tensor([tree.tokens], device=device))
    unseen = torch.zeros(tree.sees.shape, dtype=words.dtype).masked_fill(~tree.sees, torch.finfo(words.dtype).min)
    outputs = model.text_model.encoder(
        inputs_embeds=words,
        attention_mask=unseen[None, None].to(device),  # of four dimensions: taken as it is
        position_ids=torch.tensor([tree.places], device=device),
        use_cache=False,
    )
    return model.text_projection(outputs.last_hidden_state[0, tree.ends])


__all__ = ["TextTree", "embed_trees", "takes_trees", "text_trees"]
