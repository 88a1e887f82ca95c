"""
A key-value cache that is not copied at every step.

transformers' dynamic cache appends a token by copying all keys and values, and beam search copies them once more to
bring them into the order of the new beams. Here there is room behind the last token, and the prompt, which all beams of
an example have in common, stays where it is. The tokens are those of the plain cache.
"""

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM = 64  # tokens that fit behind the last one before everything is copied


class SharedPrompt:
    """
    What the `repeats` rows of each example have in common.

    Args:
        length (`int`): Tokens that are the same in all rows of an example.
        repeats (`int`): Rows of each example.
    """

    def __init__(self, length: int, repeats: int) -> None:
        self.length = length
        self.repeats = repeats
        self.moves: list[tuple[int, int]] | None = None
        self._seen: torch.Tensor | None = None

    def still_holds(self, rows: torch.Tensor) -> bool:
        """
        Whether every row goes on from a row of its own example; if one does not, never again.

        All layers are asked with the same tensor, and only the first has it looked at. `moves` are then the rows that
        become copies of others, `(to, from)`, if all that are copied stay where they are, which needs no second copy.
        """
        if rows is not self._seen and self.length:
            own = torch.arange(len(rows), device=rows.device) // self.repeats
            if not torch.equal(rows // self.repeats, own.to(rows.dtype)):
                self.length = 0
            self._seen, self.moves = rows, None
            if rows.device.type == "cpu":
                moves = [(to, of) for to, of in enumerate(rows.tolist()) if to != of]
                leave = {to for to, _ in moves}
                self.moves = None if any(of in leave for _, of in moves) else moves
        return self.length > 0


class AfmGrowingLayer(DynamicLayer):
    """
    A layer of a [`DynamicCache`] with room behind its last token.

    `keys` and `values` `(rows, heads, tokens, head_dim)` are the filled parts of larger tensors. Whoever replaces them
    makes the next update start anew with fresh ones, so that all other operations are those of the plain layer.

    Args:
        layer (`DynamicLayer`): The filled layer whose place it takes.
        shared ([`SharedPrompt`]): Its rows are repeated as often as this says.
    """

    def __init__(self, layer: DynamicLayer, shared: SharedPrompt) -> None:
        super().__init__()
        # transformers up to 5.23 reads the dtype here, newer ones that of the keys.
        self.dtype, self.device, self.is_initialized = layer.keys.dtype, layer.device, True
        self.shared = shared
        self._room: dict[str, torch.Tensor] = {}
        for name in ("keys", "values"):
            state = getattr(layer, name)
            self._take(name, state.repeat_interleave(shared.repeats, dim=0) if shared.repeats > 1 else state)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Writes new keys and values `(rows, heads, new tokens, head_dim)` behind the others; returns all of them."""
        is_plain = torch.compiler.is_compiling() or not self.is_initialized or key_states.requires_grad
        if is_plain:  # a graph, or a gradient, must not be written over
            return super().update(key_states, value_states, *args, **kwargs)
        for name, state in (("keys", key_states), ("values", value_states)):
            old, new = getattr(self, name).shape[-2], state.shape[-2]
            if not self._fits(name, new):
                self._take(name, getattr(self, name), new)
            self._room[name][..., old : old + new, :] = state
            setattr(self, name, self._room[name][..., : old + new, :])
        return self.keys, self.values

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Brings the rows into the order of the new beams; only what comes after the shared prompt moves."""
        in_place = len(beam_idx) == len(self.keys) and self._fits("keys", 0) and self._fits("values", 0)
        if not in_place or not self.shared.still_holds(beam_idx):
            self.shared.length = 0
            super().reorder_cache(beam_idx)
            return
        for state in (self.keys, self.values):
            own = state[..., self.shared.length :, :]
            if self.shared.moves is None:
                own.copy_(own.index_select(0, beam_idx.to(state.device)))
            else:
                for to, of in self.shared.moves:
                    own[to] = own[of]

    def reset(self) -> None:
        self._room, self.shared.length = {}, 0
        super().reset()

    def crop(self, tokens_to_remove: int) -> None:
        super().crop(tokens_to_remove)
        self.shared.length = min(self.shared.length, self.get_seq_length())

    def batch_repeat_interleave(self, repeats: int) -> None:
        self.shared.length = 0
        super().batch_repeat_interleave(repeats)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self.shared.length = 0
        super().batch_select_indices(indices)

    def _take(self, name: str, state: torch.Tensor, new: int = 0) -> None:
        """Copies `state` to where there is room for `new` tokens and more."""
        rows, heads, tokens, width = state.shape
        self._room[name] = state.new_empty(rows, heads, tokens + new + max(ROOM, tokens // 4), width)
        self._room[name][..., :tokens, :] = state
        setattr(self, name, self._room[name][..., :tokens, :])

    def _fits(self, name: str, new: int) -> bool:
        """Whether `new` tokens fit behind those that are there, and may be written."""
        state, room = getattr(self, name), self._room.get(name)
        return (
            room is not None
            and state.data_ptr() == room.data_ptr()
            and state.stride() == room.stride()
            and state.shape[:2] == room.shape[:2]
            and state.shape[-2] + new <= room.shape[-2]
            and room.is_inference() == torch.is_inference_mode_enabled()
        )


def give_room(cache: DynamicCache, repeats: int = 1) -> None:
    """
    After the prompt has been run: repeats every row of the cache `repeats` times, and gives its layers room to grow.

    Layers of other kinds (sliding windows, ...) are repeated and stay as they are, and so is the whole cache if it is
    kept on another device than the model.
    """
    shared = SharedPrompt(cache.get_seq_length(), repeats)
    for index, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer and layer.is_initialized and layer.keys.ndim == 4 and not cache.offloading:
            cache.layers[index] = AfmGrowingLayer(layer, shared)
        elif repeats > 1:
            layer.batch_repeat_interleave(repeats)


__all__ = ["AfmGrowingLayer", "SharedPrompt", "give_room"]
