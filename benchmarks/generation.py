"""
Speed of generation on this machine: the sizes of the four models, against a loop that runs everything again.

    python benchmarks/generation.py [--threads 1 2] [--only mellow clapcap] [--json FILE]

64 new tokens, in processor time. The reference of the same run is the plain loop: no cache, one clip at a time, and at
every step the whole sequence with the logits of all its places, for each beam. It comes in two variants, from one and
the same run of it:

* `everything_again`: audio encoder and mapper run at every step, too (for one clip, not for each beam);
* `official_loop`: they run once, as in the released code, and only the language model runs over the growing sequence.

Both use this package's own encoder, mapper and language model, so that the ratios are of the loops alone. The reference
really makes all the tokens, and our runs take turns with it: one before its first step, others spread over its steps.
Its seconds are a sum and ours a mean, so that other work on the machine meets both alike. Eight clips are one batch of
ours, against eight times the loop.

`against_the_authors`, which `run_all.py` calls, makes only every eighth step of the loop, over what ours has said, and
takes the mean of these steps for all: the time of a step grows with its places, of which they are an even sample.

Several questions about one clip are asked at once, against one after the other. `int8` is the model in eight bits, as
`dtype="int8"` loads it, from which other tokens may come: its whole generation stands beside the same loop in fp32, and
a step of it beside one in fp32 of as many rows.

A decoding step cannot be faster than reading the language model's weights once; how fast this machine reads them is
measured by a matrix-vector product of 512 MiB in turns with the generation. Weights are random, which does not change
the work, and no token stops the generation.
"""

import copy
import functools
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from clap import best_seconds, run_parts, show
from figures import GOALS, MODELS, Figure
from transformers import DynamicCache, LogitsProcessor, LogitsProcessorList

from afm_hf import (
    AdiffConfig,
    AdiffForConditionalGeneration,
    ClapAfmCaptioningConfig,
    ClapAfmForConditionalGeneration,
    MellowConfig,
    MellowForCausalLM,
    PengiConfig,
    PengiForConditionalGeneration,
    average_log_prob_beam_search,
)
from afm_hf.models.common.few_rows_afm import prepare_for_few_rows
from afm_hf.models.common.int8_text_afm import has_int8_kernels
from afm_hf.models.prefix_lm.cache_afm import give_room
from afm_hf.models.prefix_lm.questions_afm import heard_once

FRAMES, MELS, NEW_TOKENS, BETWEEN, BATCH, QUESTIONS, EVERY = 1001, 64, 64, 20, 8, 4, 8


@dataclass
class Case:
    """A model with the inputs of one example and its way of decoding."""

    name: str
    model: Any
    input_ids: torch.Tensor  # (1, tokens)
    input_features: torch.Tensor
    new_tokens: int = NEW_TOKENS
    beams: int = 1
    prompt: dict[str, torch.Tensor] = field(default_factory=dict)  # what the prefix reads beside the audio

    def generate(self, batch: int = 1, clock: "Clock | None" = None) -> torch.Tensor:
        """New tokens, `(batch, new_tokens)`."""
        decoding = {"custom_generate": average_log_prob_beam_search, "num_beams": self.beams} if self.beams > 1 else {}
        ids = self.input_ids.expand(batch, -1)
        if clock is not None:
            clock.start()
        made = self.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            input_features=self.input_features.expand(batch, *[-1] * (self.input_features.ndim - 1)),
            **{name: value.expand(batch, -1) for name, value in self.prompt.items()},
            max_new_tokens=self.new_tokens,
            do_sample=False,
            logits_processor=LogitsProcessorList([] if clock is None else [clock]),
            **decoding,
        )
        return made[:, ids.shape[1] :]


class Clock(LogitsProcessor):
    """Notes when the logits of each step are there."""

    def start(self) -> None:
        self.times = [time.process_time()]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.times.append(time.process_time())
        return scores

    @property
    def prefill_s(self) -> float:
        return self.times[1] - self.times[0]

    @property
    def step_s(self) -> float:
        """Of a decoding step, the median."""
        return statistics.median(after - before for before, after in zip(self.times[1:], self.times[2:], strict=False))


def mellow() -> Case:
    """Two clips of 10 s and a prompt, 389 places; SmolLM2-135M; greedy."""
    model = MellowForCausalLM(MellowConfig()).eval()
    audio, separator = torch.full((1, 129), model.config.audio_token_id), torch.zeros(1, 1, dtype=torch.long)
    prompt = torch.randint(1, 49000, (1, 129))
    ids = torch.cat([audio, separator, audio, separator, prompt], dim=1)
    return Case("mellow", without_end(model), ids, log_mels(1, 2))


def clapcap() -> Case:
    """A clip, 40 places; mapper of 8 layers, GPT-2 base; the authors' five beams."""
    model = ClapAfmForConditionalGeneration(ClapAfmCaptioningConfig()).eval()
    ids = torch.full((1, model.config.prefix_length), model.config.audio_token_id)
    return Case("clapcap", without_end(model), ids, log_mels(1), beams=5)


def pengi() -> Case:
    """A clip and a prompt, 80 places; two mappers of 8 layers, GPT-2 base; the authors' three beams."""
    model = PengiForConditionalGeneration(PengiConfig()).eval()
    ids = torch.full((1, model.config.num_placeholders), model.config.audio_token_id)
    words = model.config.text_encoder_config
    prompt = torch.randint(1, 40000, (1, 77 if words is not None else 40))
    return Case("pengi", without_end(model), ids, log_mels(1), beams=3, prompt={"prompt_input_ids": prompt})


def adiff() -> Case:
    """Two clips of 10 s and a prompt, 121 places; GPT-2 base; greedy."""
    model = AdiffForConditionalGeneration(AdiffConfig()).eval()
    ids = torch.full((1, model.config.num_placeholders), model.config.audio_token_id)
    prompt = torch.randint(1, 40000, (1, 40))
    return Case("adiff", without_end(model), ids, log_mels(1, 2), prompt={"prompt_input_ids": prompt})


def log_mels(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, 1, FRAMES, MELS) * 20 - 30


def without_end(model: Any) -> Any:
    """
    No token ends the text; and words that differ more than those of fresh weights, lest rounding choose them.

    The language model is prepared as the pipelines do it.
    """
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(5.0)
    prepare_for_few_rows(model.model.language_model)
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model


@dataclass
class Rerun:
    """The plain loop; iterating makes one token after the other."""

    case: Case
    encoder_s: float = 0.0  # encoder and mapper, of all steps
    first_encoder_s: float = 0.0
    language_model_s: float = 0.0  # with the choice of the tokens

    def __iter__(self) -> Iterator[None]:
        model, ids = self.case.model, self.case.input_ids
        scores = torch.zeros(1)
        for step in range(self.case.new_tokens):
            start = time.process_time()
            prefix = model.get_prefix(self.case.input_features, **self.case.prompt)
            encoded = time.process_time()
            ids, scores = self.step(ids, prefix, scores, step + 1)
            self.encoder_s += encoded - start
            self.first_encoder_s = self.first_encoder_s or encoded - start
            self.language_model_s += time.process_time() - encoded
            self.tokens = ids[0, self.case.input_ids.shape[1] :]
            yield

    def step(
        self, ids: torch.Tensor, prefix: torch.Tensor, scores: torch.Tensor, length: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One more token in every beam, the best in average log-probability first; one beam is greedy decoding."""
        model, beams = self.case.model, self.case.beams
        embeds = model.model.insert_prefix(ids, model.get_input_embeddings()(ids), prefix.expand(len(ids), -1, -1))
        logits = model(inputs_embeds=embeds, use_cache=False).logits  # (beams, places, words): all are computed
        sums = scores[:, None] + logits[:, -1].log_softmax(-1)  # no beam ends, so all are of one length
        averages, index = (sums / length).flatten().topk(beams)
        beam, token = index // sums.shape[1], index % sums.shape[1]
        return torch.cat([ids[beam], token[:, None]], dim=1), averages * length


@torch.inference_mode()
def against_the_plain_loop(case: Case, threads: int, results: list[dict[str, Any]]) -> None:
    """Seconds for one clip by both loops, and how often ours goes into the other."""
    reference = Rerun(case)
    case.generate()
    seconds, tokens = timed(case.generate)
    runs = [seconds]
    for step, _ in enumerate(reference):
        if step % BETWEEN == BETWEEN - 1:
            runs.append(timed(case.generate)[0])
    ours = statistics.mean(runs)
    batch_s = timed(lambda: case.generate(BATCH))[0]
    everything = reference.encoder_s + reference.language_model_s
    official = reference.first_encoder_s + reference.language_model_s
    show(
        results,
        f"{case.name}, 1 clip",
        threads=threads,
        beams=case.beams,
        new_tokens=case.new_tokens,
        seconds=ours,
        official_loop_s=official,
        everything_again_s=everything,
        times_faster_than_official_loop=official / ours,
        times_faster_in_a_batch_of_eight=BATCH * official / batch_s,
        times_faster_than_everything_again=everything / ours,
        our_slowest_and_fastest=[round(max(runs), 3), round(min(runs), 3)],
        same_tokens=bool(torch.equal(reference.tokens, tokens[0])),
    )


@torch.inference_mode()
def against_the_authors(rounds: int, new_tokens: int) -> Iterator[Figure]:
    """Every model with one clip and a batch of eight, in turns with some steps of the loop; goals are of 64 tokens."""
    for name, make in zip(MODELS, (mellow, clapcap, pengi, adiff), strict=True):
        torch.manual_seed(0)
        yield from beside_the_loop(name, replace(make(), new_tokens=new_tokens), rounds)
        gc.collect()


def beside_the_loop(name: str, case: Case, rounds: int) -> Iterator[Figure]:
    """A model's figures, in fp32 and in eight bits; a batch takes long, and has every second round alone."""
    formats = {"": case}
    if has_int8_kernels():
        formats[", int8"] = replace(case, model=in_int8(case.model))
    words, *_ = (each.generate()[0] for each in formats.values())  # and the kernels' layouts are made
    found: dict[tuple[str, str], list[float]] = {}
    for round_ in range(rounds):
        loop = loop_seconds(case, words, EVERY)
        for of, each in formats.items():
            found.setdefault((of, ""), []).append(loop / timed(each.generate)[0])
            if round_ % 2 == 0:
                seconds = timed(functools.partial(each.generate, BATCH))[0]
                found.setdefault((of, ", batch of eight"), []).append(BATCH * loop / seconds)
    how = f"{case.new_tokens} tokens, " + (f"{case.beams} beams" if case.beams > 1 else "greedy")
    for (of, what), values in found.items():
        goal = GOALS["generation", f"{name}{what}"] if case.new_tokens == NEW_TOKENS else None
        yield Figure(f"{name}, {how}{what}{of}", "the authors' loop, clip by clip", values, goal=goal)


def in_int8(model: Any) -> Any:
    """A copy of a model, as `dtype="int8"` loads it."""
    small = copy.deepcopy(model)
    small.put_in_int8()
    return small


def loop_seconds(case: Case, words: torch.Tensor, every: int) -> float:
    """
    Processor time of the authors' loop: encoder, mapper and first step, and the others from a sample of them.

    Args:
        words: `(new_tokens,)`, what has been said: the beams of a step that is made all go on from it.
        every: one step of so many is made.
    """
    loop, start = Rerun(case), time.process_time()
    prefix = case.model.get_prefix(case.input_features, **case.prompt)
    ids, scores = loop.step(case.input_ids, prefix, torch.zeros(1), 1)
    first, times = time.process_time() - start, []
    for length in range(1 + (every - 1) // 2, case.new_tokens, every):
        said = words[:length].expand(case.beams, -1)
        ids = torch.cat([case.input_ids.expand(case.beams, -1), said], dim=1)
        times.append(timed(functools.partial(loop.step, ids, prefix, scores, length + 1))[0])
    return first + (case.new_tokens - 1) * (statistics.mean(times) if times else 0.0)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    made = work()
    return time.process_time() - start, made


@torch.inference_mode()
def throughput(case: Case, threads: int, results: list[dict[str, Any]]) -> None:
    """Tokens/s of 1 and 8 clips, and a step against reading the language model's weights once."""
    matrix, vector = torch.randn(8192, 16384), torch.randn(16384)  # 512 MiB
    megabytes = weights_read(case.model) / 1e6
    for batch, repeats in ((1, 2), (BATCH, 1)):
        clock, prefills, steps, totals, read_s = Clock(), [], [], [], float("inf")
        for _ in range(repeats):
            read_s = min(read_s, *(timed(lambda: matrix @ vector)[0] for _ in range(5)))
            totals.append(timed(functools.partial(case.generate, batch, clock))[0])
            prefills.append(clock.prefill_s)
            steps.append(clock.step_s)
        gigabytes_per_s = matrix.numel() * 4 / 1e9 / read_s
        step_s, floor_s = min(steps), megabytes / 1e3 / gigabytes_per_s
        show(
            results,
            f"{case.name}, throughput",
            threads=threads,
            batch=batch,
            beams=case.beams,
            tokens_per_s=batch * case.new_tokens / min(totals),
            seconds=min(totals),
            prefill_s=min(prefills),
            decoding_tokens_per_s=batch / step_s,
            step_ms=step_s * 1e3,
            weights_mb=megabytes,
            read_gb_per_s=gigabytes_per_s,
            floor_ms=floor_s * 1e3,
            times_the_floor=step_s / floor_s,
        )


@torch.inference_mode()
def steps(case: Case, threads: int, results: list[dict[str, Any]]) -> None:
    """A decoding step by rows, behind a prompt that is read already: in fp32, and in eight bits."""
    small = in_int8(case.model)
    plain, eight = ([each.model.language_model, each.lm_head] for each in (case.model, small))
    one_row = 0.0
    for rows in (1, 2, 4, BATCH):
        seconds = step_seconds(case, plain, rows)
        one_row = one_row or seconds
        show(
            results,
            f"{case.name}, a step",
            threads=threads,
            rows=rows,
            ms=seconds * 1e3,
            times_one_row=seconds / one_row,
            times_faster_in_int8=seconds / step_seconds(case, eight, rows),
        )


def step_seconds(case: Case, parts: Any, rows: int) -> float:
    """The shortest of some steps of language model and head."""
    config, tokens = case.model.config.text_config, case.input_ids.shape[1]
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = config.hidden_size // config.num_attention_heads
    cache = DynamicCache(config=config)
    for layer in range(config.num_hidden_layers):
        cache.update(*torch.randn(2, rows, heads, tokens, width), layer)
    give_room(cache)
    embeds, times = torch.randn(rows, 1, config.hidden_size), []
    for place in range(tokens, tokens + 5):
        mask, position = torch.ones(rows, place + 1, dtype=torch.long), torch.full((rows, 1), place)

        def step(mask: torch.Tensor = mask, position: torch.Tensor = position) -> torch.Tensor:
            named = {"attention_mask": mask, "position_ids": position, "past_key_values": cache, "use_cache": True}
            return parts[1](parts[0](inputs_embeds=embeds, **named).last_hidden_state)

        times.append(timed(step)[0])
    return min(times)


@torch.inference_mode()
def questions(case: Case, threads: int, results: list[dict[str, Any]]) -> None:
    """Several questions about one clip, of eight tokens' answer each: at once, against one after the other."""
    few = replace(case, new_tokens=8, beams=1)
    ids = case.input_ids.repeat(QUESTIONS, 1)
    if not case.prompt:
        ids[:, -1] = torch.arange(1, QUESTIONS + 1)  # questions differ somewhere
    rows = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "input_features": case.input_features}
    rows |= {name: value.repeat(QUESTIONS, 1) for name, value in case.prompt.items()}

    def together() -> torch.Tensor:
        asked = heard_once(case.model, rows, [QUESTIONS])
        return case.model.generate(**asked, max_new_tokens=few.new_tokens, do_sample=False, num_beams=1)

    few.generate()
    alone, at_once = timed(few.generate)[0], timed(together)[0]
    show(
        results,
        f"{case.name}, {QUESTIONS} questions about one clip",
        threads=threads,
        seconds=at_once,
        times_faster_than_one_by_one=QUESTIONS * alone / at_once,
    )


def weights_read(model: Any) -> int:
    """Bytes of the language model that a step reads: all but the positions; the word table is read as the head."""
    named = model.model.language_model.named_parameters()
    return sum(weight.numel() * weight.element_size() for name, weight in named if not name.startswith("wpe"))


@torch.inference_mode()
def prefill(case: Case, threads: int, results: list[dict[str, Any]]) -> None:
    """The prompt with the logits of its last place alone, as `generate()` wants them, against all logits."""
    embeds = torch.randn(1, case.input_ids.shape[1], case.model.config.hidden_size)

    def run(logits_to_keep: int) -> Any:
        return case.model(inputs_embeds=embeds, use_cache=True, logits_to_keep=logits_to_keep)

    last, every = best_seconds(lambda: run(1), lambda: run(0), repeats=3)
    show(
        results,
        f"{case.name}, prefill",
        threads=threads,
        places=embeds.shape[1],
        ms=last * 1e3,
        ms_with_all_logits=every * 1e3,
        times_faster=every / last,
    )


def part(make: Callable[[], Case]) -> Callable[..., None]:
    """All measurements of a model, which is in memory only for them."""

    def measure(threads: int, results: list[dict[str, Any]]) -> None:
        torch.manual_seed(0)
        case = make()
        for measurement in (steps, questions, against_the_plain_loop, throughput, prefill):
            measurement(case, threads, results)

    measure.__name__ = make.__name__
    return measure


if __name__ == "__main__":
    run_parts(__doc__, [part(make) for make in (mellow, clapcap, pengi, adiff)], threads=(1,))
