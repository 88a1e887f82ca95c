"""
How likely a model finds given answers: the closed-ended use of CLAPCAP, Pengi, ADIFF and Mellow.

The log-probability of an answer's tokens after audio and prompt. Audio and prompt are read once for each example; its
KV cache is then copied for the answers, which go through the language model in batches of their own.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from ..common.cache_names_afm import CACHE


@dataclass
class AnswerScores:
    """
    Log-likelihoods of answers, `(examples, answers)` each; of examples with fewer answers the rest is minus infinity.

    Args:
        sum (`torch.Tensor`): Log-probability of the whole answer, float32.
        mean (`torch.Tensor`): The same for each of its tokens, on average: long answers are not worse for being long.
        tokens (`torch.Tensor`): How many tokens were counted, int64; 0 where there is no answer.
    """

    sum: torch.Tensor
    mean: torch.Tensor
    tokens: torch.Tensor


@torch.no_grad()
def score_answers(
    model: Any,
    processor: Any,
    inputs: Any,
    answers: Sequence[str] | Sequence[Sequence[str]],
    with_end: bool = True,
    batch_size: int = 32,
) -> AnswerScores:
    """
    Log-likelihoods of answers, given audio and prompt.

    With the end of the answer, as here by default, minus the mean is the loss that the model would have with the answer
    as its label.

    Args:
        model: A model with a prefix and a language head, in evaluation mode.
        processor: Its processor.
        inputs: What the processor made of audio and prompts, filled up on the left if at all; on the model's device.
        answers (`list[str]` or `list[list[str]]`): The answers, for all examples or of each.
        with_end (`bool`, *optional*, defaults to `True`):
            Whether the end counts, which every answer had in training. Without it "rain" is a part of "rain on a roof".
        batch_size (`int`, *optional*, defaults to 32): Answers in one forward pass.

    Returns:
        [`AnswerScores`], `(examples, answers)`.

    Raises:
        ValueError: if there are no answers, one is blank, or their lists are not as many as the examples.
    """
    examples = len(inputs["input_ids"])
    rows = _rows(answers, examples)
    most = max(len(row) for row in rows)
    known = {text: answer_tokens(processor, text, with_end) for row in rows for text in row}
    flat = [(example, place, known[text]) for example, row in enumerate(rows) for place, text in enumerate(row)]

    device = inputs["input_ids"].device
    front = _Front(model, inputs)
    total = torch.full((examples, most), float("-inf"), device=device)
    tokens = torch.zeros(examples, most, dtype=torch.long, device=device)
    for start in range(0, len(flat), batch_size):
        chunk = flat[start : start + batch_size]
        example = torch.tensor([entry[0] for entry in chunk], device=device)
        place = torch.tensor([entry[1] for entry in chunk], device=device)
        total[example, place] = front.log_likelihood(example, [entry[2] for entry in chunk])
        tokens[example, place] = torch.tensor([len(entry[2]) for entry in chunk], device=device)
    return AnswerScores(total, total / tokens.clamp(min=1), tokens)


def answer_tokens(processor: Any, answer: str, with_end: bool = True) -> list[int]:
    """Token ids of an answer as in training: with its end, and in lower case where the model was trained so."""
    if getattr(processor, "train_lower_case", False):
        answer = answer.lower()
    return processor.answer_ids(answer) if with_end else processor.encode(answer)


class _Front:
    """What stands before the answers: the language model's state after audio and prompt of each example."""

    def __init__(self, model: Any, inputs: Any) -> None:
        self.model = model
        self.mask = inputs["attention_mask"]  # (examples, front tokens)
        positions = (self.mask.cumsum(dim=-1) - 1).clamp(min=0)
        outputs = model(**inputs, position_ids=positions, use_cache=True, logits_to_keep=1)
        self.cache = outputs.cache
        self.first = F.log_softmax(outputs.logits[:, -1].float(), dim=-1)  # (examples, vocabulary)

    def log_likelihood(self, example: torch.Tensor, answers: list[list[int]]) -> torch.Tensor:
        """Sums of log-probabilities `(answers,)`; `example` says what each answer follows."""
        longest = max(map(len, answers))
        ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids in answers], device=example.device)
        real = torch.arange(longest, device=ids.device) < torch.tensor([[len(a)] for a in answers], device=ids.device)
        log_probs = self.first[example, ids[:, 0]][:, None]  # (answers, 1)
        if longest > 1:
            rest = F.log_softmax(self._logits(example, ids[:, :-1], real[:, :-1]).float(), dim=-1)
            rest = rest.gather(-1, ids[:, 1:, None])[..., 0]  # (answers, longest - 1)
            log_probs = torch.cat([log_probs, rest], dim=1)
        return log_probs.masked_fill(~real, 0.0).sum(dim=1)

    def _logits(self, example: torch.Tensor, ids: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """What follows each token of `ids` `(answers, tokens)`: `(answers, tokens, vocabulary)`."""
        cache = copy.deepcopy(self.cache)  # the forward pass writes into it
        cache.batch_select_indices(example)
        mask = self.mask[example]
        first_position = mask.sum(dim=-1, keepdim=True)
        outputs = self.model(
            input_ids=ids,
            attention_mask=torch.cat([mask, real.to(mask.dtype)], dim=1),
            position_ids=first_position + torch.arange(ids.shape[1], device=ids.device),
            use_cache=True,
            **{CACHE: cache},
        )
        return outputs.logits


def _rows(answers: Sequence[str] | Sequence[Sequence[str]], examples: int) -> list[list[str]]:
    """The checked answers of each example."""
    if isinstance(answers, str):
        raise ValueError(f"`answers` is the string {answers!r}; expected a list of strings, also for one answer.")
    if all(isinstance(answer, str) for answer in answers):
        rows = [[str(answer) for answer in answers]] * examples
    else:
        rows = [list(row) for row in answers]
    if len(rows) != examples:
        raise ValueError(f"`answers` has lists for {len(rows)} examples, but `inputs` has {examples} examples.")
    for index, row in enumerate(rows):
        if not row or not all(isinstance(answer, str) and answer.strip() for answer in row):
            raise ValueError(f"The answers of example {index} are {row!r}; expected strings that are not blank.")
    return rows


__all__ = ["AnswerScores", "score_answers"]
