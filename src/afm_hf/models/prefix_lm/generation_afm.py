"""
The beam search of CLAPCAP and Pengi, as a `custom_generate` function with a KV cache.

The authors' rule (ClipCap's, Mokady et al. 2021) is not transformers': beams are ranked at every step by their
*average* log-probability, a beam that has ended keeps its place and its length, and the search ends when all have. The
released code runs the whole sequence again at every step and one clip at a time; this one does neither, and it runs the
prompt once for each example, not for each beam.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F
from transformers import DynamicCache, GenerationConfig, LogitsProcessorList, StoppingCriteriaList
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer
from transformers.generation.utils import GenerateBeamDecoderOnlyOutput
from transformers.utils import ModelOutput

from ..common.cache_names_afm import CACHE
from .cache_afm import give_room

GROUP = 64  # numbers of which the largest is found at once


def average_log_prob_beam_search(
    model: Any,
    input_ids: torch.Tensor,
    logits_processor: LogitsProcessorList,
    stopping_criteria: StoppingCriteriaList,
    generation_config: GenerationConfig,
    **model_kwargs: Any,
) -> torch.Tensor | GenerateBeamDecoderOnlyOutput:
    r"""
    For `model.generate(..., custom_generate=average_log_prob_beam_search, num_beams=5)`.

    Of the generation config it obeys `num_beams`, `num_return_sequences`, `max_length` and `max_new_tokens`,
    `eos_token_id` (a number or a list), `pad_token_id`, `temperature` (0 counts as 1, as in the released code) and
    `return_dict_in_generate`. Logits processors (repetition penalty, suppressed tokens, ...) act before the softmax.

    Returns:
        `torch.Tensor` of shape `(batch * num_return_sequences, tokens)`: prompt and continuation, best first, filled
        up with the padding token behind the stop token; or an output object with `sequences` and
        `sequences_scores` (average log-probability of the new tokens).

    Raises:
        ValueError: if more sequences are asked for than there are beams, or an encoder-decoder model is given.
    """
    if model.config.is_encoder_decoder:
        raise ValueError("`average_log_prob_beam_search` is for decoder-only models.")
    beams, wanted = generation_config.num_beams or 1, generation_config.num_return_sequences or 1
    if wanted > beams:
        raise ValueError(f"`num_return_sequences` ({wanted}) cannot be larger than `num_beams` ({beams}).")
    model_kwargs.pop("synced_gpus", None)
    if beams == 1 and wanted == 1:
        model_kwargs.setdefault("use_cache", True)

    rows, prompt_length = input_ids.shape  # rows = batch * beams: generate() has repeated every example already
    batch, device = rows // beams, input_ids.device
    stop_ids = _stop_ids(generation_config, device)
    first_row = torch.arange(batch, device=device)[:, None] * beams  # of each example, for indices into rows
    scores = torch.zeros(batch, beams, device=device)  # sums of log-probabilities
    lengths = torch.zeros(batch, beams, device=device)
    stopped = torch.zeros(batch, beams, dtype=torch.bool, device=device)
    steps = generation_config.max_length - prompt_length

    for step in range(steps):
        log_probs, model_kwargs = _next_log_probs(
            model, input_ids, logits_processor, generation_config, step == 0, beams, model_kwargs
        )
        log_probs = log_probs.view(batch, beams, -1)  # (batch, beams, vocab_size)
        if step == 0:  # all beams are still the same: choose among the words of the first
            scores, token = log_probs[:, 0].topk(beams, dim=-1)
            source = torch.zeros_like(token)
            lengths += 1
        else:
            scores, token, source, lengths = _advance(log_probs, scores, lengths, stopped)
        rows_kept = (first_row + source).flatten()
        input_ids = torch.cat([input_ids[rows_kept], token.view(-1, 1)], dim=-1)
        model_kwargs = _follow(model_kwargs, rows_kept)
        stopped = stopped.gather(1, source) | torch.isin(token, stop_ids)
        if bool(stopped.all()):
            break

    return _finish(input_ids, scores / lengths.clamp(min=1), lengths, prompt_length, wanted, generation_config)


def _stop_ids(generation_config: GenerationConfig, device: torch.device) -> torch.Tensor:
    stop = generation_config.eos_token_id
    ids = [] if stop is None else stop if isinstance(stop, list) else [stop]
    return torch.tensor(ids, dtype=torch.long, device=device)


def _next_log_probs(
    model: Any,
    input_ids: torch.Tensor,
    logits_processor: LogitsProcessorList,
    generation_config: GenerationConfig,
    is_first: bool,
    beams: int,
    model_kwargs: dict[str, Any],
) -> tuple[torch.Tensor, dict[str, Any]]:
    """One forward pass: `(rows, vocab_size)` in fp32, and the arguments of the next one."""
    use_cache = model_kwargs.get("use_cache", True)
    # With a cache, all steps but the first see the newest token alone.
    next_sequence_length = None if is_first or not use_cache else 1

    def run(ids: torch.Tensor, arguments: dict[str, Any]) -> ModelOutput:
        inputs = model.prepare_inputs_for_generation(
            ids, next_sequence_length=next_sequence_length, is_first_iteration=is_first, **arguments
        )
        return model(**inputs, return_dict=True)

    outputs = run_once_per_example(run, input_ids, model_kwargs, beams if is_first else 1)
    model_kwargs = model._update_model_kwargs_for_generation(outputs, model_kwargs, is_encoder_decoder=False)
    logits = outputs.logits[:, -1].float()
    temperature = generation_config.temperature
    if temperature is not None and temperature > 0:
        logits = logits / temperature
    return F.log_softmax(logits_processor(input_ids, logits), dim=-1), model_kwargs


def _advance(
    log_probs: torch.Tensor, scores: torch.Tensor, lengths: torch.Tensor, stopped: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """
    The next beams by average log-probability.

    Returns:
        Sums, tokens, the beams that they go on from, and lengths, each `(batch, beams)`. A beam that is gone on from
        keeps its place, so that little of the cache has to move.
    """
    batch, beams, vocabulary = log_probs.shape
    # No beam is followed by more than `beams` others: the likeliest words of each are enough.
    best, words = largest(log_probs.view(batch * beams, -1), min(beams, vocabulary))
    best, words = best.view(batch, beams, -1), words.view(batch, beams, -1)
    # A beam that has ended goes on in one way only, which costs nothing and does not make it longer.
    ended = stopped[:, :, None]
    best = best.masked_fill(ended, float("-inf"))
    best[:, :, 0] = best[:, :, 0].masked_fill(stopped, 0.0)
    words = words.masked_fill(ended, 0)
    lengths = lengths + (~stopped).to(lengths.dtype)
    average = (scores[:, :, None] + best) / lengths[:, :, None]
    chosen, index = average.view(batch, -1).topk(beams, dim=-1)
    source = index // best.shape[-1]
    order = in_their_places(source)
    chosen, index, source = (each.gather(1, order) for each in (chosen, index, source))
    lengths = lengths.gather(1, source)
    return chosen * lengths, words.view(batch, -1).gather(1, index), source, lengths


def largest(values: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """
    `values.topk(count)` for long rows: the largest are among those of the groups with the largest maxima.

    Args:
        values (`torch.Tensor` of shape `(rows, numbers)`): Any.
        count (`int`): So many of each row.

    Returns:
        The largest numbers of each row, in order, and their places, `(rows, count)`.
    """
    rows, numbers = values.shape
    groups = numbers // GROUP
    if groups < 2 * count or values.device.type != "cpu":
        return values.topk(count, dim=-1)
    maxima = values[:, : groups * GROUP].unflatten(1, (groups, GROUP)).amax(dim=-1)
    first = maxima.topk(count, dim=-1).indices * GROUP
    inside = (first[:, :, None] + torch.arange(GROUP)).flatten(1)
    behind = torch.arange(groups * GROUP, numbers).expand(rows, -1)
    places = torch.cat([inside, behind], dim=1)
    found, index = values.gather(1, places).topk(count, dim=-1)
    return found, places.gather(1, index)


def in_their_places(source: torch.Tensor) -> torch.Tensor:
    """
    In which order new beams `(batch, beams)`, given by those they go on from, keep as many of these as can be in place.

    Returns:
        Of each place the new beam that comes there: the first that goes on from the beam that was there, or, where none
        does, one of the others.
    """
    goes_on = source[:, None, :] == torch.arange(source.shape[1], device=source.device)[:, None]  # (batch, old, new)
    keeps = goes_on & (goes_on.cumsum(dim=2) == 1)
    free, other = ~keeps.any(dim=2), ~keeps.any(dim=1)
    fills = (free.cumsum(dim=1)[:, :, None] == other.cumsum(dim=1)[:, None, :]) & free[:, :, None] & other[:, None, :]
    return (keeps | fills).long().argmax(dim=2)


def run_once_per_example(
    run: Callable[[torch.Tensor, dict[str, Any]], ModelOutput],
    input_ids: torch.Tensor,
    model_kwargs: dict[str, Any],
    repeats: int,
) -> ModelOutput:
    """
    The first forward pass of a batch in which every example stands `repeats` times, running each example once.

    `generate()` repeats the examples before the prompt is run, although beams, and samples of one prompt, only differ
    afterwards. For a prompt with audio this saves the audio encoder, too.

    Args:
        run (`Callable`): The forward pass, of token ids and the model's other arguments.
        input_ids (`torch.Tensor` of shape `(batch * repeats, tokens)`): The repeats of an example follow each other.
        model_kwargs (`dict`): Its other arguments, with the batch in the first dimension (positions of three
            dimensions: in the second).
        repeats (`int`): Rows of each example.

    Returns:
        `ModelOutput`: Output and cache as of a run of all rows; the cache has room for what follows. Where it is not an
        empty [`DynamicCache`], which is the one that can be repeated, all rows are run.
    """
    cache = model_kwargs.get(CACHE)
    if cache is None or not _is_empty_and_repeatable(cache):
        return run(input_ids, model_kwargs)
    if repeats == 1:
        outputs = run(input_ids, model_kwargs)
    else:
        once = {name: _first_of_each(name, value, repeats) for name, value in model_kwargs.items()}
        outputs = run(input_ids[::repeats], once)
        for name, value in outputs.items():
            if value is not cache:
                outputs[name] = _repeated(value, repeats)
    give_room(cache, repeats)
    return outputs


def _is_empty_and_repeatable(cache: Any) -> bool:
    kinds = (DynamicLayer, DynamicSlidingWindowLayer)
    return (
        type(cache) is DynamicCache
        and cache.get_seq_length() == 0
        and all(type(layer) in kinds for layer in cache.layers)
    )


def _first_of_each(name: str, value: Any, repeats: int) -> Any:
    if not isinstance(value, torch.Tensor) or value.ndim == 0:
        return value
    return value[:, ::repeats] if name == "position_ids" and value.ndim == 3 else value[::repeats]


def _repeated(value: Any, repeats: int) -> Any:
    if isinstance(value, torch.Tensor) and value.ndim:
        return value.repeat_interleave(repeats, dim=0)
    return tuple(_repeated(part, repeats) for part in value) if isinstance(value, tuple) else value


def _follow(model_kwargs: dict[str, Any], rows: torch.Tensor) -> dict[str, Any]:
    """Brings the cache into the order of the new beams."""
    cache = model_kwargs.get(CACHE)
    if cache is not None:
        cache.reorder_cache(rows)
    return model_kwargs


def _finish(
    input_ids: torch.Tensor,
    averages: torch.Tensor,
    lengths: torch.Tensor,
    prompt_length: int,
    wanted: int,
    generation_config: GenerationConfig,
) -> torch.Tensor | GenerateBeamDecoderOnlyOutput:
    """Best beams first, padded behind their ends."""
    batch, beams = averages.shape
    averages, order = averages.sort(dim=-1, descending=True, stable=True)
    rows = (torch.arange(batch, device=order.device)[:, None] * beams + order[:, :wanted]).flatten()
    sequences = input_ids[rows]
    ends = prompt_length + lengths.gather(1, order)[:, :wanted].flatten()
    pad = generation_config.pad_token_id
    behind = torch.arange(sequences.shape[1], device=rows.device) >= ends[:, None]
    sequences = sequences.masked_fill(behind, 0 if pad is None else pad)
    if not generation_config.return_dict_in_generate:
        return sequences
    return GenerateBeamDecoderOnlyOutput(sequences=sequences, sequences_scores=averages[:, :wanted].flatten())


__all__ = ["average_log_prob_beam_search", "in_their_places", "largest", "run_once_per_example"]
