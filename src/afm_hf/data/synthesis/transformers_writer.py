"""
Answers of an instruct model that transformers loads: a folder, a GGUF file, or a Hub id.

Requests of one kind begin alike, with the same instruction and examples. What a decoder computes for them (the keys
and values of its attention) is computed once and kept: with short captions that is most of the work.
"""

import copy
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ...models.common.cache_names_afm import CACHE
from ...models.common.int8_text_afm import quantize_text_side
from .requests import Request, WriterError

_WORTH_IT = 24  # tokens that have to be alike


class TransformersWriter:
    """
    Writes answers in batches.

    Args:
        model: A folder, a `*.gguf` file (which needs the gguf package), or a Hub id.
        device: `"cpu"`, `"cuda"`, ...
        dtype: Number format of the weights, or its name; the checkpoint's own by default (GGUF: float32). In "int8",
            which is for CPUs, linear layers are in eight bits.
        max_new_tokens: Length of an answer, in tokens, at most.
        temperature: 0: always the most probable token; above: drawn.
        seed: Of the draws; the same batch is answered alike again.
        share_start: Whether the common beginning of requests is computed once.

    Raises:
        WriterError: if the model cannot be loaded, or has no chat template.
        ValueError: if it cannot be in eight bits there.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        device: str = "cpu",
        dtype: torch.dtype | str | None = None,
        max_new_tokens: int = 160,
        temperature: float = 0.0,
        seed: int = 0,
        share_start: bool = True,
    ) -> None:
        self.name = str(model)
        self.max_new_tokens, self.temperature, self.seed = max_new_tokens, temperature, seed
        self.share_start, self.dtype = share_start, dtype
        in_int8 = dtype in ("int8", torch.int8)
        self.tokenizer, self.model = _load(self.name, torch.float32 if in_int8 else dtype)
        if in_int8:
            quantize_text_side(self.model)
        self.model.to(device).eval()
        if getattr(self.tokenizer, "chat_template", None) is None:
            raise WriterError(f"The model {self.name} has no chat template: it is no instruct model. Choose one.")
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self._start: tuple[list[int], Any] | None = None  # tokens, and their keys and values

    def settings(self) -> dict[str, Any]:
        """What the answers depend on."""
        return {
            "model": self.name,
            "max_new_tokens": self.max_new_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
            **({} if self.dtype is None else {"dtype": str(self.dtype).removeprefix("torch.")}),
        }

    @torch.no_grad()
    def write(self, requests: Sequence[Request]) -> list[str | WriterError]:
        """The answers, each with the start of its request."""
        ids = [self._ids(request) for request in requests]
        shared = self._shared(ids)
        start = self._computed(shared) if shared else None
        width, pad = max(map(len, ids)), self.tokenizer.pad_token_id
        count = len(shared)
        # The common beginning, then padding, then the rest: positions come of the mask.
        rows = [row[:count] + [pad] * (width - len(row)) + row[count:] for row in ids]
        masks = [[1] * count + [0] * (width - len(row)) + [1] * (len(row) - count) for row in ids]
        inputs = {"input_ids": torch.tensor(rows), "attention_mask": torch.tensor(masks)}
        inputs = {name: value.to(self.model.device) for name, value in inputs.items()}
        if start is not None:
            cache = copy.deepcopy(start)
            cache.batch_repeat_interleave(len(rows))
            inputs[CACHE] = cache
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed + sum(sum(row) for row in ids))
            made = self.model.generate(**inputs, **self._how(requests))
        texts = self.tokenizer.batch_decode(made[:, width:], skip_special_tokens=True)
        return [request.start + text for request, text in zip(requests, texts, strict=True)]

    def _how(self, requests: Sequence[Request]) -> dict[str, Any]:
        how: dict[str, Any] = {"max_new_tokens": self.max_new_tokens, "pad_token_id": self.tokenizer.pad_token_id}
        # What a checkpoint says about draws is of no use where nothing is drawn, and transformers would warn.
        drawn = {"temperature": self.temperature} if self.temperature > 0 else {"temperature": None}
        how |= {"do_sample": self.temperature > 0, "top_p": None, "top_k": None, **drawn}
        stop = sorted({text for request in requests for text in request.stop})
        return {**how, "stop_strings": stop, "tokenizer": self.tokenizer} if stop else how

    def _ids(self, request: Request) -> list[int]:
        messages = list(request.messages)
        if request.start:
            messages.append({"role": "assistant", "content": request.start})
        how = {"continue_final_message": True} if request.start else {"add_generation_prompt": True}
        try:
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, **how)
        except Exception as error:
            # Templates say by an error of their own that they know no system message; it then opens the first question.
            if "system" not in str(error).lower() or messages[0]["role"] != "system":
                raise
            joined = f"{messages[0]['content']}\n\n{messages[1]['content']}"
            messages = [{"role": "user", "content": joined}, *messages[2:]]
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, **how)
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _shared(self, ids: Sequence[list[int]]) -> list[int]:
        """The tokens with which all begin; none if that is not worth it."""
        if not self.share_start:
            return []
        # At least one token of every row is left: its answer begins there.
        columns = zip(*(row[:-1] for row in ids), strict=False)
        shared = [column[0] for column in itertools.takewhile(lambda column: len(set(column)) == 1, columns)]
        if self._start is not None:  # what was computed before does, if it lacks little
            known = self._start[0]
            if shared[: len(known)] == known and len(shared) - len(known) < _WORTH_IT:
                return known
        return shared if len(shared) >= _WORTH_IT else []

    def _computed(self, shared: list[int]) -> Any:
        """Keys and values of a common beginning; None for models whose cache cannot be shared."""
        if self._start is None or self._start[0] != shared:
            ids = torch.tensor([shared], device=self.model.device)
            self._start = (shared, self.model(input_ids=ids, use_cache=True)[CACHE])
        return self._start[1]


def _load(name: str, dtype: torch.dtype | str | None) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path, how = Path(name), {}
    options: dict[str, Any] = {"dtype": dtype or "auto"}
    if path.suffix == ".gguf" and path.is_file():
        how = {"gguf_file": path.name}
        name = str(path.parent)
        options = {"dtype": dtype or torch.float32, **_dense()}
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **how)
        return tokenizer, AutoModelForCausalLM.from_pretrained(name, **how, **options)
    except (OSError, ValueError, ImportError) as error:
        raise WriterError(f"The model {name} cannot be loaded: {error}") from error


def _dense() -> dict[str, Any]:
    """Ordinary weights: what stays quantised is slower on a CPU."""
    try:
        from transformers import GgufConfig
    except ImportError:  # a transformers that knows only dense weights
        return {}
    return {"quantization_config": GgufConfig(dequantize=True)}


__all__ = ["TransformersWriter"]
