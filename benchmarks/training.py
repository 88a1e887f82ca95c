"""
Speed and memory of training: every recipe, and what checkpointing, GradCache, bf16 and dataloader workers do.

    python benchmarks/training.py [--quick] [--cpu-time] [--threads 1] [--width 64 --layers 2] [--json FILE]

Every case is a process of its own that trains under `Trainer` on the clips of examples/sounds, with the models of the
examples: clap-small; CLAPCAP, Pengi, Mellow and ADIFF with its audio encoder and a GPT-2 of `--width` and `--layers`.

* `step_s` is the median of the steps after the first, `waits_for_data` the share of it before the batch is there.
* `bare_step_s` is the same step by hand on a batch in memory (forward, backward, optimiser), in turns with the real
  ones; `share_of_bare_loop` says what is left of its speed with data, augmentation and `Trainer` around it.
* `peak_mb` is what training takes beyond the loaded model (batch, activations, gradients, optimiser): resident memory
  on a CPU (without the workers' own), allocated memory on a GPU.
* `--cpu-time` counts the processor time of the training process alone, which other work on the machine does not change;
  time in which workers load data then counts as none.
* Effects are ratios against the first case of their group: `times_faster` and `times_the_memory`.
* `against transformers` trains a `ClapModel` and a [`ClapAfmModel`] of the same sizes on the same clips, each with its
  own front-end and collator, in turns, in processor time of one process: `times_faster` is that of the whole step. In
  `waiting for data` the clock is read, and worker processes load.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import training_peers
from clap import processor_name, show
from figures import GOALS, Figure, ratios
from peak_memory import peak_mb, peak_mb_from_now_on
from transformers import AutoModel, AutoProcessor, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

import afm_hf
from afm_hf.data import read_audio_folder
from afm_hf.training.collators import ClapCollator, LabelCollator, PrefixLMCollator
from afm_hf.training.contrastive_trainer import ContrastiveTrainer
from afm_hf.training.freezing import freeze_batch_norms

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "examples"))


@dataclass(frozen=True)
class Case:
    """One training run."""

    name: str
    recipe: str  # clap, probe, or an architecture of examples/fresh_prefix_lm.py
    batch: int = 16
    lora: int = 0
    workers: int = 0
    cached_chunk: int | None = None
    checkpointing: bool = False
    bf16: bool = False
    bare: bool = False  # whether bare steps are taken in turns
    steps: int = 5
    width: int = 64
    layers: int = 2
    threads: int = 1
    cpu_time: bool = False
    rounds: int = 1  # how often a case is run, in turns with the others of its group


RECIPES = [
    Case("CLAP", "clap", bare=True),
    Case("CLAPCAP, prefix", "clapcap", bare=True),
    Case("Pengi, prefix", "pengi", bare=True),
    Case("Mellow, prefix", "mellow", batch=8, bare=True),
    Case("Mellow, LoRA (8, 16)", "mellow", batch=8, lora=8, bare=True),
    Case("ADIFF, prefix", "adiff", batch=8, bare=True),
    Case("linear probe", "probe", bare=True),
]
GROUPS = {
    "gradient checkpointing": [Case("without", "clap", 32), Case("with", "clap", 32, checkpointing=True)],
    "GradCache": [Case("plain", "clap", 64), *(Case(f"chunks of {n}", "clap", 64, cached_chunk=n) for n in (16, 8))],
    "dataloader workers": [Case(f"{n} workers", "clap", workers=n) for n in (0, 1, 2)],
    "against transformers": [
        Case("ClapModel", "stock", 8, cpu_time=True, rounds=2),
        Case("ClapAfmModel", "ours", 8, cpu_time=True, rounds=2),
        Case("ClapAfmModel, bf16", "ours", 8, bf16=True, cpu_time=True, rounds=2),
    ],
    "waiting for data": [
        Case("ClapModel, 1 worker", "stock", 8, workers=1),
        Case("ClapAfmModel, no worker", "ours", 8),
        Case("ClapAfmModel, 1 worker", "ours", 8, workers=1),
    ],
    "bf16 autocast": [Case("fp32", "clap", 8), Case("bf16", "clap", 8, bf16=True)],
}


class Clock(TrainerCallback):
    """Times of a `Trainer`'s steps, and bare steps in turns with them."""

    def __init__(self, bare: bool, cpu_time: bool) -> None:
        self.read = time.process_time if cpu_time else time.perf_counter
        self.bare, self.steps, self.waits, self.bare_steps = bare, [], [], []
        self.trainer: Any = None
        self.inputs: Any = None

    def now(self) -> float:
        """Seconds, after all work of the device."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return self.read()

    def watch(self, trainer: Any) -> None:
        """Notes when the trainer asks for a batch and when it has it."""
        self.trainer, ask = trainer, trainer.get_batch_samples

        def timed(*args: Any) -> Any:
            self.began = self.now()
            batches, count = ask(*args)
            self.waits.append(self.now() - self.began)
            self.inputs = batches[0] if batches else self.inputs
            return batches, count

        trainer.get_batch_samples = timed

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.steps.append(self.now() - self.began)
        if not self.bare:
            return
        inputs = self.trainer._prepare_inputs(self.inputs)
        start = self.now()
        model(**inputs).loss.backward()
        self.trainer.optimizer.step()
        model.zero_grad()
        self.bare_steps.append(self.now() - start)


def peak() -> float:
    """Most memory so far, in MB; that of the GPU if there is one."""
    return torch.cuda.max_memory_allocated() / 1e6 if torch.cuda.is_available() else peak_mb()


def make(case: Case) -> tuple[type[Trainer], Any, Any, list[dict[str, Any]]]:
    """Trainer, model, collator and rows of a case."""
    data, _ = read_audio_folder(ROOT / "examples" / "sounds", check="exists")
    folder = afm_hf.bundled_model("clap-small")
    if case.recipe in ("ours", "stock"):
        tokenizer = AutoProcessor.from_pretrained(folder).tokenizer
        rows = [{**row, "text": row["captions"]} for row in data]
        return *{"ours": training_peers.ours, "stock": training_peers.stock}[case.recipe](tokenizer), rows
    if case.recipe == "clap":
        model = AutoModel.from_pretrained(folder)
        if case.cached_chunk:
            freeze_batch_norms(model)
        return ContrastiveTrainer, model, ClapCollator(AutoProcessor.from_pretrained(folder)), list(data)
    if case.recipe == "probe":
        labels = sorted(set(data["label"]))
        classifier = afm_hf.ClapAfmForAudioClassification.from_pretrained(folder, num_labels=len(labels))
        classifier.freeze_audio_encoder()
        return Trainer, classifier, LabelCollator(AutoProcessor.from_pretrained(folder), labels), list(data)
    from fresh_prefix_lm import build
    from train_prefix_lm import PrefixLMArguments, choose_what_learns, make_rows

    settings = PrefixLMArguments(model="", lora_r=case.lora)
    texts = [text for texts in data["captions"] for text in texts]
    model, processor = build(case.recipe, texts, case.width, case.layers)
    rows = make_rows(data, settings, processor, seed=0)
    rows = [rows[index] for index in range(len(rows))]
    return Trainer, choose_what_learns(model, settings), PrefixLMCollator(processor), rows


def measure(case: Case) -> dict[str, Any]:
    """Figures of a case; runs in a process of its own."""
    torch.set_num_threads(case.threads)
    torch.manual_seed(0)
    trainer_class, model, collator, rows = make(case)
    peak_mb_from_now_on()
    beginning = peak()
    clock = Clock(case.bare, case.cpu_time)
    own = {"cached_chunk": case.cached_chunk} if case.recipe == "clap" else {}
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            max_steps=case.steps + 1,
            per_device_train_batch_size=case.batch,
            dataloader_num_workers=case.workers,
            dataloader_drop_last=True,
            dataloader_persistent_workers=case.workers > 0,
            gradient_checkpointing=case.checkpointing,
            bf16=case.bf16,
            use_cpu=not torch.cuda.is_available(),  # without it bf16 asks for a GPU
            save_strategy="no",
            remove_unused_columns=False,
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=torch.cuda.is_available(),
            logging_steps=10**6,
        )
        repeated = rows * (case.batch * (case.steps + 3) // len(rows) + 1)  # one epoch: workers start once
        trainer = trainer_class(model, arguments, collator, train_dataset=repeated, callbacks=[clock], **own)
        trainer.remove_callback(PrinterCallback)
        clock.watch(trainer)
        trainer.train()
    step = statistics.median(clock.steps[1:])
    figures = {
        "batch": case.batch,
        "samples_per_s": case.batch / step,
        "step_s": step,
        "waits_for_data": sum(clock.waits[1 : len(clock.steps)]) / sum(clock.steps[1:]),
        "peak_mb": peak() - beginning,
    }
    if case.bare:
        bare = statistics.median(clock.bare_steps[1:])
        figures |= {"bare_step_s": bare, "share_of_bare_loop": bare / step}
    return figures


def in_a_process(case: Case) -> dict[str, Any]:
    """`measure(case)` in a fresh process, which has imported everything and done nothing yet."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["datasets", "transformers.trainer", "afm_hf.training.contrastive_trainer"])
    with ProcessPoolExecutor(1, mp_context=context) as pool:  # not a `Pool`, whose processes may not have workers
        return pool.submit(measure, case).result()


def in_turns(cases: list[Case], run: Callable[[Case], dict[str, Any]]) -> list[dict[str, Any]]:
    """Figures of some cases, each the fastest of its rounds; a round runs all of them one after the other."""
    rounds = max(case.rounds for case in cases)
    runs = [[run(case) for case in cases] for _ in range(rounds)]
    return [min(of_case, key=lambda figures: figures["step_s"]) for of_case in zip(*runs, strict=True)]


def quick(case: Case) -> Case:
    """Two steps that count, and half the batch."""
    return replace(case, steps=2, batch=max(4, case.batch // 2))


def against_transformers(rounds: int) -> Iterator[Figure]:
    """For `run_all.py`: the same step as in `ClapModel` under `Trainer`, quick; and whether it waits for a worker."""
    formats = {"float32": [], "bf16": []} if has_bf16() else {"float32": []}
    stock, *cases = (quick(case) for case in GROUPS["against transformers"])
    waiting = next(case for case in GROUPS["waiting for data"] if case.recipe == "ours" and case.workers)
    runs: dict[str, list[dict[str, Any]]] = {"stock": [], **formats, "waiting": []}
    for _ in range(rounds):
        for name, case in zip(runs, [stock, *cases[: len(formats)], quick(waiting)], strict=True):
            runs[name].append(in_a_process(case))
    seconds, memory = ({name: [run[of] for run in runs[name]] for name in runs} for of in ("step_s", "peak_mb"))
    for name in formats:
        goal = GOALS["training", "a step"]
        yield Figure(
            f"a step of training, {name}", "ClapModel in Trainer", ratios(seconds["stock"], seconds[name]), goal=goal
        )
        yield Figure(f"memory of training, {name}", "ClapModel's over ours", ratios(memory["stock"], memory[name]))
    if "bf16" not in formats:
        yield Figure("a step of training, bf16", unmeasured="this processor has no bf16 instructions")
    share, goal = [run["waits_for_data"] for run in runs["waiting"]], GOALS["training", "waiting for data"]
    yield Figure("of a step, waiting for data (1 worker)", "", share, "", goal)


def has_bf16() -> bool:
    """Whether the device multiplies in bfloat16 itself."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags or " bf16" in flags


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two steps of each, half the batches")
    parser.add_argument("--cpu-time", action="store_true", help="processor time in place of the clock")
    parser.add_argument("--only", nargs="+", default=["recipes", *GROUPS], choices=["recipes", *GROUPS])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--width", type=int, default=64, help="of the prefix models' GPT-2")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--bf16", action="store_true", help="also where the processor has no instructions for it")
    parser.add_argument("--json", help="file for the figures")
    arguments = parser.parse_args()

    def run(case: Case) -> dict[str, Any]:
        case = replace(case, threads=arguments.threads, width=arguments.width, layers=arguments.layers)
        case = replace(case, cpu_time=arguments.cpu_time or case.cpu_time)
        return in_a_process(quick(case) if arguments.quick else case)

    machine = {"processor": processor_name(), "cores": os.cpu_count(), "torch": torch.__version__}
    machine |= {"bf16_instructions": has_bf16(), "load_average": os.getloadavg()[0], "arguments": vars(arguments)}
    print("  ".join(f"{name} {value}" for name, value in machine.items()))
    results: list[dict[str, Any]] = []
    if "recipes" in arguments.only:
        for case in RECIPES:
            show(results, case.name, **run(case))
    for group in (group for group in GROUPS if group in arguments.only):
        if group == "bf16 autocast" and not (machine["bf16_instructions"] or arguments.bf16):
            print("bf16 autocast left out: this processor has no bf16 instructions and is far slower with it (--bf16)")
            continue
        first: dict[str, Any] = {}
        cases = [case for case in GROUPS[group] if not case.bf16 or machine["bf16_instructions"] or arguments.bf16]
        found = in_turns(cases, run)
        for case, figures in zip(cases, found, strict=True):
            first = first or figures
            figures["times_faster"] = first["step_s"] / figures["step_s"]
            figures["times_the_memory"] = figures["peak_mb"] / first["peak_mb"]
            show(results, f"{group}: {case.name}", **figures)
    print(f"load average at the end: {os.getloadavg()[0]:.2f} (this run's own work included)")
    if arguments.json:
        cases = [asdict(case) for case in [*RECIPES, *(case for group in GROUPS.values() for case in group)]]
        Path(arguments.json).write_text(json.dumps({"machine": machine, "cases": cases, "results": results}, indent=2))


if __name__ == "__main__":
    main()
