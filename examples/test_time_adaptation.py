"""Test-time adaptation on held-out clips: does a domain vector help, on what, and why (not)?

    python examples/test_time_adaptation.py --sounds examples/sounds

The clips fall into four tasks by their labels (animals, instruments, machines, things). Accuracies are per cent, gains
percentage points over the hand-written prompt on the same clips, with 95 % bootstrap intervals over the draws of the
clips that are adapted to; these are left out of the test. Labels are used for measuring only.
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

import torch
from evaluate_small_clap import read_metadata
from transformers import pipeline

from afm_hf import TestTimeAdaptationPipeline, bundled_model
from afm_hf.evaluation.test_time_study import (
    GeneralizationReport,
    Task,
    adapt_to_task,
    bootstrap_interval,
    generalization_report,
    hits,
)

GROUPS = {
    "animals": "dog cat bird cow horse lion monkey sheep insect pig elephant chicken cricket wolf rooster owl duck",
    "instruments": (
        "accordion drum cello church clarinet cymbal flute guitar harp music piano tambourine violin trumpet xylophone "
        "bell"
    ),
    "machines": "train ship propeller car factory saw tyres jet helicopter clock telephone cash camera",
}  # words of the labels; all others are "things"
PROMPTS = {
    "the label alone": ("{}",),
    "This is a sound of {}. (the default)": ("This is a sound of {}.",),
    "this is the sound of {}": ("this is the sound of {}",),
    "I can hear {}.": ("I can hear {}.",),
    "a recording of {}": ("a recording of {}",),
    "mean of these five": (
        *("{}", "This is a sound of {}.", "this is the sound of {}", "I can hear {}.", "a recording of {}"),
    ),
}
VARIANTS: dict[str, dict[str, Any]] = {
    "1 step": {"steps": 1},
    "3 steps": {"steps": 3},
    "30 steps": {"steps": 30},
    "all views": {"keep": 1.0},
    "temperature 3": {"temperature": 3.0},
    "diversity 1": {"diversity": 1.0},
    "no guards": {"guard": False, "min_entropy": 0.0},
    "prompt after the label": {"position": "after", "prompt": "can be heard"},
    "starts at zero": {"start": "zero"},
    "additive": {"kind": "embedding"},
}


PARTS = ["prompts", "tasks", "all", "each", "why", "variants"]


def group_of(label: str) -> str:
    """The task that a label belongs to."""
    words = label.split()
    found = (name for name, stems in GROUPS.items() if any(w.startswith(s) for w in words for s in stems.split()))
    return next(found, "things")


def interval(values: tuple[float, float, float]) -> str:
    """`+1.2 [0.3, 2.1]`."""
    mean, low, high = values
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def show(name: str, report: GeneralizationReport) -> None:
    """One line a report."""
    others = "" if len(report.zero_shot) == 1 else f"  others {interval(report.others)}"
    print(f"  {name:24s} own {interval(report.own)}{others}  stopped {report.stopped}", flush=True)


def one_by_one(adapter: TestTimeAdaptationPipeline, task: Task, **settings: Any) -> tuple[float, float, float]:
    """Gain where every clip has a vector of its own, learned from this clip and used for it alone.

    The interval is over the clips.
    """
    gains = []
    for index, truth in enumerate(task.truth):
        result = adapt_to_task(adapter, task, [index], **settings)
        gains.append(100.0 * ((result.after[0][0]["label"] == truth) - (result.before[0][0]["label"] == truth)))
    return bootstrap_interval(gains)


@torch.no_grad()
def sureness(adapter: TestTimeAdaptationPipeline, task: Task, vector: Any = None) -> dict[str, float]:
    """Accuracy, mean score of the best label (per cent), entropy (nats) and number of labels that are ever named."""
    template = "This is a sound of {}." if vector is None else vector.template
    texts = adapter.label_embeddings(tuple(task.labels), (template,), vector)
    clips = torch.stack([views[0] for views in task.views])
    scores = (adapter.model.logit_scale.exp() * clips @ texts.T).softmax(-1)
    return {
        "accuracy": 100 * statistics.mean(hits(adapter, task, vector)),
        "score of the best": 100 * scores.max(-1).values.mean().item(),
        "entropy": -(scores * scores.log()).sum(-1).mean().item(),
        "labels named": len(scores.argmax(-1).unique()),
    }


def views_of_labels(adapter: TestTimeAdaptationPipeline, task: Task) -> None:
    """Whether entropy says anything about being right: accuracy of the views, by their entropy."""
    texts = adapter.label_embeddings(tuple(task.labels), ("This is a sound of {}.",))
    views = torch.stack(list(task.views))  # (clips, views, dim)
    scores = (adapter.model.logit_scale.detach().exp() * views @ texts.T).softmax(-1)
    right = scores.argmax(-1) == torch.tensor([[task.labels.index(label)] for label in task.truth])
    order = -(scores * scores.log()).sum(-1)
    quarter = order.argsort(dim=1).split(views.shape[1] // 4, dim=1)
    cells = ", ".join(f"{100 * right.gather(1, part).float().mean().item():.1f}" for part in quarter[:4])
    print(f"  accuracy of each clip's views, from the surest quarter to the least sure: {cells}")


def why(adapter: TestTimeAdaptationPipeline, task: Task) -> None:
    """How sure and how right the model is, before and after, with and without the guards."""
    views_of_labels(adapter, task)
    few = list(range(0, len(task.truth), max(1, len(task.truth) // 5)))[:5]
    print(f"  {'without':16s}", {k: round(v, 2) for k, v in sureness(adapter, task).items()}, flush=True)
    free = {"guard": False, "min_entropy": 0.0}
    runs: dict[str, dict[str, Any]] = {"10 steps": {}, "10, no guards": free, "100, no guards": {**free, "steps": 100}}
    for name, settings in runs.items():
        vector = adapt_to_task(adapter, task, few, **settings).vector
        print(f"  {name:16s}", {k: round(v, 2) for k, v in sureness(adapter, task, vector).items()}, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sounds", type=Path, required=True, help="folder with metadata.csv")
    parser.add_argument("--model", default=str(bundled_model("clap-small")))
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--views", type=int, default=64)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()

    adapter = pipeline("test-time-adaptation", model=arguments.model, device="cpu")
    rows = read_metadata(arguments.sounds)
    views = adapter.encode([str(arguments.sounds / row["file_name"]) for row in rows], views=arguments.views)
    truth = [row["label"] for row in rows]
    tasks = {}
    for name in sorted({group_of(label) for label in truth}):
        mine = [index for index, label in enumerate(truth) if group_of(label) == name]
        tasks[name] = Task([views[i] for i in mine], [truth[i] for i in mine])
    every = Task(views, truth)
    shared: dict[str, Any] = {"draws": arguments.draws, "views": arguments.views}

    sizes = ", ".join(f"{name} {len(task.truth)} of {len(task.labels)}" for name, task in tasks.items())
    print(f"{len(rows)} clips, {len(every.labels)} labels. Clips of labels: {sizes}")
    if "prompts" in arguments.parts:
        print("prompts written by hand: accuracy, " + ", ".join([*tasks, "all"]))
        for name, templates in PROMPTS.items():
            figures = [100 * statistics.mean(hits(adapter, task, None, templates)) for task in [*tasks.values(), every]]
            print(f"  {name:38s}" + "  ".join(f"{figure:5.1f}" for figure in figures), flush=True)
    if "tasks" in arguments.parts:
        print("adapted on each task: gain on it, and on the three others")
        for count in (1, 5):
            report = generalization_report(adapter, tasks, clips=count, **shared)
            show(f"{count} clip(s)", report)
            for name, gains in report.gains.items():
                print(f"    on {name:14s}" + "  ".join(f"{other} {gain:+.1f}" for other, gain in gains.items()))
    if "all" in arguments.parts:
        print("adapted on clips of all labels")
        for count in (1, 5):
            show(f"{count} clip(s)", generalization_report(adapter, {"all": every}, clips=count, **shared))
    if "each" in arguments.parts:
        print("every clip by itself, all labels: gain " + interval(one_by_one(adapter, every, views=arguments.views)))
    if "why" in arguments.parts:
        print("why: all labels, adapted to five clips")
        why(adapter, every)
    if "variants" in arguments.parts:
        print("other settings: five clips, all labels")
        for name, variant in VARIANTS.items():
            show(name, generalization_report(adapter, {"all": every}, clips=5, **shared, **variant))


if __name__ == "__main__":
    main()
