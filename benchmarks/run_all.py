"""
All goals of speed and memory, as ratios against peers that the same run brings up: what `make bench` calls.

    python benchmarks/run_all.py [--only files labels ...] [--rounds 3] [--output bench.json]

Each part is a process of its own, one after the other, so that none finds the memory or the threads of another; all but
search compute on one thread. A part that fails is reported with its reason, and the others go on; a goal without a
figure is listed as not measured. With `--only`, an output of the same machine that is there already keeps its other
parts. `python scripts/performance_page.py bench.json` makes the tables of `docs/performance.md` of it.

Ten million vectors are not among what `make bench` does (21 GB of disk, an hour): `--only search --vectors 10000000`.
"""

import argparse
import json
import multiprocessing
import os
import resource
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from figures import GOALS, Figure, not_measured, say


@dataclass(frozen=True)
class Options:
    """
    How much is measured.

    Attributes:
        rounds: of each measurement, after one that is not counted where that is cheap; 0 for the part's own number.
        vectors: rows that are searched.
        minutes: length of the long clip.
        tokens: that are generated.
    """

    rounds: int = 0
    vectors: int = 1_000_000
    minutes: int = 60
    tokens: int = 64


# ---------------------------------------------------------------------------------------------------------------------
# Parts; each imports what it needs, so that a missing package stops it alone
# ---------------------------------------------------------------------------------------------------------------------


def files(options: Options) -> Iterable[Figure]:
    import clap_peers

    return clap_peers.in_a_folder(clap_peers.files, options.rounds)


def labels(options: Options) -> Iterable[Figure]:
    import clap_peers

    return clap_peers.in_a_folder(clap_peers.labels, options.rounds)


def start(options: Options) -> Iterable[Figure]:
    import clap_peers

    return clap_peers.in_a_folder(clap_peers.start, options.rounds)


def pieces(options: Options) -> Iterable[Figure]:
    import clap

    return clap.pieces(threads=1)


def generation(options: Options) -> Iterable[Figure]:
    import generation
    import torch

    torch.set_num_threads(1)
    return generation.against_the_authors(options.rounds, options.tokens)


def search(options: Options) -> Iterable[Figure]:
    import search

    return search.searches(options.vectors)


def memory(options: Options) -> Iterable[Figure]:
    import long_clips

    return long_clips.against_a_minute(options.minutes)


def training(options: Options) -> Iterable[Figure]:
    import training

    return training.against_transformers(options.rounds)


@dataclass(frozen=True)
class Part:
    """
    A part of the run.

    Attributes:
        measure: gives its figures one after the other.
        rounds: so many as keep the whole run below twenty minutes on two cores; 1 where rounds are not a part's own.
        lacking: why one of its goals is not measured though it did not fail.
    """

    measure: Callable[[Options], Iterable[Figure]]
    rounds: int = 1
    lacking: str = "this run has no figure of it"


PARTS = {
    "files": Part(files, rounds=3),
    "labels": Part(labels, rounds=2),
    "generation": Part(generation, rounds=1, lacking="it is of 64 tokens"),
    "start": Part(start, rounds=3),
    "search": Part(search, lacking="run with --only search --vectors 10000000"),
    "memory": Part(memory, lacking="it is of 60 minutes"),
    "training": Part(training, rounds=2),
    "pieces": Part(pieces),
}


# ---------------------------------------------------------------------------------------------------------------------
# Run
# ---------------------------------------------------------------------------------------------------------------------


def measure(part: Part, options: Options) -> tuple[list[Figure], str]:
    """What a part finds, and why it ended early, if it did; runs in a process of its own."""
    found: list[Figure] = []
    try:
        for figure in say(part.measure(replace(options, rounds=options.rounds or part.rounds))):
            found.append(figure)
    except Exception as error:
        traceback.print_exc()
        return found, f"{type(error).__name__}: {error}"
    return found, ""


def run(name: str, part: Part, options: Options) -> dict[str, Any]:
    """A part with its figures, the goals that it did not come to, and what it took, as it stands in the file."""
    began, before = time.perf_counter(), children_seconds()
    try:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            found, failed = pool.submit(measure, part, options).result()
    except Exception as error:  # the process died: out of memory, a signal
        found, failed = [], f"{type(error).__name__}: {error}"
    found += say(not_measured(name, found, f"the part failed: {failed}" if failed else part.lacking))
    if failed and all(figure.values for figure in found):
        found += say([Figure(f"the rest of {name}", unmeasured=f"the part failed: {failed}")])
    took = {"minutes": (time.perf_counter() - began) / 60, "processor_minutes": (children_seconds() - before) / 60}
    print(f"{name}: {took['minutes']:.1f} minutes, {took['processor_minutes']:.1f} of a processor", flush=True)
    return {"options": asdict(options), "failed": failed, **took, "figures": [figure.as_json() for figure in found]}


def children_seconds() -> float:
    """Processor time of all processes that this one has started, and theirs; not of what a fork server starts."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def figures_of(report: dict[str, Any]) -> list[Figure]:
    """All figures of a report, and whether the whole of it took no longer than it shall."""
    found = [Figure.from_json(said) for part in report["parts"].values() for said in part["figures"]]
    goal, missing = GOALS["all", "make bench"], [name for name in PARTS if name not in report["parts"]]
    if missing:
        return [*found, Figure("make bench", unit=goal.unit, goal=goal, unmeasured=f"without {', '.join(missing)}")]
    minutes = sum(part["minutes"] for part in report["parts"].values())
    return [*found, Figure("make bench", "", [minutes], goal.unit, goal)]


def summary(report: dict[str, Any]) -> str:
    """All that stands beside a goal, and how many are met."""
    beside = [figure for figure in figures_of(report) if figure.goal is not None]
    said = [figure.verdict for figure in beside]
    counts = ", ".join(f"{said.count(verdict)} {verdict}" for verdict in ("met", "MISSED", "not measured"))
    return "\n".join(["", "Goals", *map(str, beside), f"{len(beside)} figures beside goals: {counts}"])


def machine() -> dict[str, Any]:
    """What decides about speed."""
    import torch
    import transformers
    from clap import processor_name

    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    return {"processor": processor_name(), "cores": os.cpu_count(), **versions}


def opened(path: Path, own: dict[str, Any], keep: bool) -> dict[str, Any]:
    """The report to be filled: the one that is there, of which parts shall be kept, or an empty one.

    Raises:
        ValueError: what is there is of another machine, or is no report.
    """
    if not (keep and path.is_file()):
        return {"machine": own, "parts": {}}
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        there, _ = report["machine"], report["parts"].items()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no report of this benchmark; give another --output.") from error
    if there != own:
        raise ValueError(f"{path} is of another machine ({there}, this one is {own}); give another --output.")
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="parts to run")
    parser.add_argument("--rounds", type=int, default=0, help="of each measurement; by default each part's own number")
    parser.add_argument("--vectors", type=int, default=Options.vectors, help="rows that are searched")
    parser.add_argument("--minutes", type=int, default=Options.minutes, help="length of the long clip")
    parser.add_argument("--tokens", type=int, default=Options.tokens, help="that are generated")
    parser.add_argument("--output", type=Path, default=Path("bench.json"))
    arguments = parser.parse_args()
    for name in ("rounds", "vectors", "minutes", "tokens"):
        if getattr(arguments, name) < (0 if name == "rounds" else 1):
            parser.error(f"--{name} {getattr(arguments, name)} is no number of them.")
    try:
        report = opened(arguments.output, machine(), keep=set(arguments.only) < set(PARTS))
    except ValueError as error:
        parser.error(str(error))
    options = Options(arguments.rounds, arguments.vectors, arguments.minutes, arguments.tokens)
    load = os.getloadavg()[0]
    print("  ".join(f"{name} {value}" for name, value in report["machine"].items()), f" load average {load:.1f}")
    if load > 0.5:
        print("Other work is running on this machine: amounts by the clock will be too large.")
    for name in arguments.only:
        print(f"\n{name}", flush=True)
        report["parts"][name] = {"load_average": os.getloadavg()[0], **run(name, PARTS[name], options)}
        report["parts"] = {each: report["parts"][each] for each in PARTS if each in report["parts"]}
        arguments.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(summary(report))


if __name__ == "__main__":
    main()
