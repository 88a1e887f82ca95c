"""For every figure of the papers the command that measures it, or why there is none."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..datasets import BENCHMARKS
from .figures import PaperFigure
from .reported import ADAPTED, PROMPT_STUDY

MODELS = {  # as `afm-hf convert` calls the checkpoints
    "CLAP 22": "clap-2022",
    "CLAP 23": "clap-2023",
    "CLAPCAP": "clapcap",
    "Pengi": "pengi",
    "Mellow": "mellow",
    "ADIFF": "adiff",
    "LAION CLAP": "laion/clap-htsat-unfused",
}
TASKS = {
    "zero-shot": "zero-shot",
    "closed-ended": "closed",
    "test-time-adaptation": "adaptation",
    "linear-probe": "linear-probe",
    "supervised": "fine-tune",
    "fine-tune": "fine-tune",
    "captioning": "captioning",
    "difference": "difference",
    "entailment": "entailment",
    "mcq": "mmau",
    "audio-qa": "clotho-aqa",
    "audio-to-text-retrieval": "retrieval",
    "text-to-audio-retrieval": "retrieval",
}
NOT_HERE = {
    "Random": "it is the rate of guessing, which nothing has to be run for",
    "Literature": "it is another paper's best result",
    "CLAP* (Pengi's baseline)": "what this baseline is stands nowhere in the sources",
}
THRESHOLDS = "the thresholds are fitted on CLE's validation part first, see docs/entailment.md"
OWN_TRAINING = "no weights of this form are published: MODEL is one's own, {}"
TRAINED = {  # forms of systems that have to be trained first, by how
    "both encoders frozen": "trained by examples/train_clap.py with both encoders frozen",
    "audio encoder trained": "trained by examples/train_clap.py --freeze text",
    "text encoder trained": "trained by examples/train_clap.py --freeze audio",
}


@dataclass(frozen=True)
class Way:
    """
    How a figure is measured.

    Args:
        command (`str`): The words behind `afm-hf`, with `FOLDER` for the data; empty where there is none.
        note (`str`): What else it takes, or why there is no command.
    """

    command: str
    note: str = ""


def way_to(figure: PaperFigure) -> Way:
    """
    The command that measures a figure, or the reason why there is none.

    Args:
        figure: One of [`load`].

    Example:
    ```python
    >>> from afm_hf.evaluation.paper.figures import find
    >>> (row,) = find(system="CLAP 23", task="zero-shot", dataset="ESC-50")
    >>> way_to(row).command
    'evaluate --task zero-shot --dataset esc50 --data-dir FOLDER --model clap-2023 --output RUN'

    ```
    """
    if figure.system in NOT_HERE:
        return Way("", NOT_HERE[figure.system])
    if figure.task == "caption-metric":
        return _caption_metric(figure)
    if figure.system not in MODELS:
        return Way("", f"{figure.system} is others' model, which this package does not have")
    if figure.dataset == "Average":
        return Way("", "it is the mean of figures on single data sets, each of which has a command of its own")
    if figure.dataset == "MMAU" and figure.split == "test":
        return Way("", "the answers of MMAU's full test part are not public; its authors' server scores them")
    return _evaluation(figure)


def _evaluation(figure: PaperFigure) -> Way:
    """The command of a figure of a model that is here, or can be trained here."""
    task, dataset, variant = TASKS[figure.task], benchmark_of(figure), figure.variant or ""
    options: dict[str, str] = {"--task": task, "--dataset": dataset, "--data-dir": "FOLDER"}
    options["--model"], note = MODELS[figure.system], ""
    if figure.task == "test-time-adaptation":
        clips = {name: str(count) for count, name in ADAPTED.items()}
        options["--adapt-clips"] = clips.get(variant, "1")
    elif variant in PROMPT_STUDY.values():
        options["--template"] = next(repr(words) for words, name in PROMPT_STUDY.items() if name == variant)
    elif figure.task == "entailment":
        options, note = _entailment(options, figure)
        if not options:
            return Way("", note)
    elif figure.task == "closed-ended":
        options["--similarity-model"] = "clap-2023"
    elif variant in TRAINED:
        options["--model"], note = "MODEL", OWN_TRAINING.format(TRAINED[variant])
    if figure.task == "supervised":
        note = "the paper gives the better of this and of --task linear-probe"
    if figure.system in ("Mellow", "ADIFF") and variant:
        options["--model"] = "MODEL"
        note = OWN_TRAINING.format("trained as its file in examples/configs/ablations says")
        if variant in ("data type 2", "data type 3", "with WavCaps"):
            note = OWN_TRAINING.format("trained on that data, which is not published")
    return Way(_words(options), note)


def _entailment(options: dict[str, str], figure: PaperFigure) -> tuple[dict[str, str], str]:
    variant = figure.variant or ""
    if variant.startswith("linear probe"):
        if figure.system == "Pengi":
            return {}, "a probe on Pengi's own encoders is not in this package"
        more = {"--captioner": "clapcap"} if "captions first" in variant else {}
        return {**options, "--task": "entailment-probe", **more}, "the paper's classifier and features are not known"
    if figure.system == "Pengi":
        form = "pengi-no-text-encoder" if "without" in variant else "pengi"
        return {**options, "--model": form}, "the paper's prompt is not known"
    return options, THRESHOLDS if "CLAP" in figure.system else ""


def _caption_metric(figure: PaperFigure) -> Way:
    if figure.system == "MACE":
        return Way(
            "", "from Python: afm_hf.evaluation.metrics.pairwise on MACE's scores of the pairs, see docs/mace.md"
        )
    if figure.system == "CLAIR_A (GPT-4o)":
        return Way("", "it asks GPT-4o")
    return Way(
        "", f"from Python: afm_hf.evaluation.metrics.pairwise on the scores of {figure.system}, see docs/mace.md"
    )


def benchmark_of(figure: PaperFigure) -> str:
    """
    Our name of the data set of a figure.

    Raises:
        ValueError: there is no such benchmark.
    """
    task = TASKS[figure.task]
    fitting = [name for name, each in BENCHMARKS.items() if each.paper == figure.dataset and task in each.tasks]
    exact = [name for name in fitting if BENCHMARKS[name].subset == figure.subset]
    for name in exact or fitting:
        return name
    raise ValueError(f"There is no benchmark for {figure.id}.")


def _words(options: Mapping[str, str]) -> str:
    return " ".join(["evaluate", *(f"{name} {value}" for name, value in options.items()), "--output RUN"])


__all__ = ["Way", "benchmark_of", "way_to"]
