"""
Several questions about one clip: it is heard once, and where its vectors stand before the question, read once, too.

Pengi's and ADIFF's language models read audio and prompt as one prefix, so that they share what the encoder and the
audio's mapper make. CLAPCAP's and Mellow's read the question behind the audio: its keys and values are shared as well.
"""

from collections.abc import Sequence
from typing import Any

import torch

from ..common.cache_names_afm import CACHE
from .cache_afm import give_room


@torch.no_grad()
def heard_once(
    model: Any, inputs: dict[str, Any], questions: Sequence[int], share_cache: bool = True
) -> dict[str, Any]:
    """
    Arguments of `generate`, or of a forward pass, for rows of which several are about one clip.

    Args:
        model: A model with a prefix and a language head.
        inputs: What the processor made: rows of tokens, and `input_features` of each clip, or pair of clips, once.
        questions: How many rows ask about each clip; they follow each other.
        share_cache (`bool`, *optional*, defaults to `True`):
            Also give a cache of what all rows have in common. Not for beams or several samples of a row, which
            `generate` repeats without the cache.

    Returns:
        The same, with `audio_vectors` of each row or a cache in the place of the features.
    """
    features = {name: inputs[name] for name in ("input_features", "input_features_mask") if name in inputs}
    rows = {name: value for name, value in inputs.items() if name not in features}
    vectors = model.get_audio_features(**features).pooler_output  # (clips, vectors, hidden_size)
    owners = torch.arange(len(questions)).repeat_interleave(torch.tensor(questions)).to(vectors.device)
    shared = _tokens_in_common(model, rows) if share_cache else 0
    if not shared:
        return {**rows, "audio_vectors": vectors[owners]}
    firsts = rows["input_ids"][: len(questions), :shared]  # all rows begin alike
    cache = model(input_ids=firsts, audio_vectors=vectors, use_cache=True, logits_to_keep=1).cache
    cache.batch_select_indices(owners)
    give_room(cache)
    return {**rows, CACHE: cache}


def _tokens_in_common(model: Any, rows: dict[str, Any]) -> int:
    """Columns in which all rows are alike, with all of their audio in them; 0 if they cannot be read beforehand."""
    ids, mask = rows["input_ids"], rows["attention_mask"]
    if any(name.startswith("prompt_") for name in model.prefix_input_names) or not bool(mask.all()):
        return 0
    alike = (ids == ids[:1]).all(dim=0).long().cumprod(dim=0)
    shared = min(int(alike.sum()), ids.shape[1] - 1)  # the last token is what an answer goes on from
    return 0 if bool((ids[:, shared:] == model.config.audio_token_id).any()) else shared


__all__ = ["heard_once"]
