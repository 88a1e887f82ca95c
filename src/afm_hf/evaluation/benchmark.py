"""What a benchmark is: how its files are read, how the papers ask, and by which metric and on which part they judge."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .. import data

CLAP_2022 = "this is a sound of {}"  # section 4 of the CLAP 2022 paper
CLAP_2023 = "this is the sound of {}"  # released ESC-50 example of 2023; slides of test-time adaptation
TRAINED_ON_FOLDS = ("linear-probe", "fine-tune")


@dataclass(frozen=True)
class Benchmark:
    """
    A dataset as tasks use it.

    [`load_items`] reads it into items, whose `truth` has all columns but `audio`, `audio2` and `source`; [`labels_of`]
    has the candidates, of which `label` (or each of `labels`) is one. With `has_folds`, `truth["fold"]` is the fold in
    which the clip is tested; with `train_split`, `load_items(..., split=benchmark.train_split)` are the clips to learn
    from. A set with several kinds of labels is several benchmarks (`"nsynth-pitch"`, `"mridangam-tonic"`).

    Args:
        read: `(folder, split)` -> rows and report, of `afm_hf.data`.
        tasks (`tuple[str, ...]`): Names of the tasks that it can be used for.
        split (`str`, *optional*): The one that the papers test on; `None` is all.
        more_splits (`tuple[str, ...]`): Others that they test on as well.
        train_split (`str`, *optional*): The one that probes learn from, where there are official parts.
        has_folds (`bool`): Whether rows have a `fold`: probes then learn from the other folds.
        own_folds (`int`): Into how many folds probes deal the clips where there are neither folds nor parts; the papers
            say the number, and not which clip is in which.
        speaker: Path of a clip -> who speaks; a speaker's clips are then dealt to one fold.
        paper, subset (`str`): Its name, and that of its part, in `afm_hf.evaluation.paper.figures`.
        metric (`str`, *optional*): The papers' metric of zero-shot and closed-ended classification; accuracy, or mAP
            where a clip has several labels, if not given.
        probe_metric (`str`, *optional*): That of classifiers, where it is another one.
        templates (`tuple[str, ...]`): Sentences for zero-shot labels, of CLAP 2022.
        templates_2023 (`tuple[str, ...]`): Those of CLAP 2023, which test-time adaptation starts from.
        question (`str`): Which of Pengi's prompts asks for the labels, by its name in `load_templates("pengi")`.
        multi_label (`bool`): Whether a clip has several labels, `labels`, and not one, `label`.
        all_labels: `folder` -> labels in order, where they are known; by default those that occur, sorted.
        clips (`int`, *optional*): How many there are in what the papers test on, where that is known.
        partial (`tuple[str, ...]`): Why what was read is not the whole; filled by [`load_items`].
        notes (`tuple[str, ...]`): What else to know beside the figures, as folds of our own.
    """

    read: Callable[[str, str | None], tuple[Any, data.ReadReport]]
    tasks: tuple[str, ...]
    split: str | None = None
    more_splits: tuple[str, ...] = ()
    train_split: str | None = None
    has_folds: bool = False
    own_folds: int = 5
    speaker: Callable[[str], str] | None = None
    paper: str = ""
    subset: str | None = None
    metric: str | None = None
    probe_metric: str | None = None
    templates: tuple[str, ...] = (CLAP_2022,)
    templates_2023: tuple[str, ...] = (CLAP_2023,)
    question: str = "sound"
    multi_label: bool = False
    all_labels: Callable[[str], Sequence[str]] | None = None
    clips: int | None = None
    partial: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def main_metric(self) -> str:
        """The papers' metric of zero-shot and closed-ended classification."""
        return self.metric or ("mAP" if self.multi_label else "accuracy")

    def templates_for(self, model: Any) -> tuple[str, ...]:
        """The sentences that a CLAP is asked with: those of 2023 where its text tower is a GPT-2, as CLAP 2023's is."""
        tower = getattr(getattr(model, "config", None), "text_config", None)
        kind = getattr(getattr(tower, "encoder_config", None), "model_type", "")
        return self.templates_2023 if kind == "gpt2" and self.templates_2023 else self.templates


def split_in_papers(benchmark: Benchmark, task: str, split: str | None) -> str:
    """
    What was evaluated, in the words of the papers' figures.

    Args:
        benchmark: The benchmark.
        task (`str`): Its task: probes are tested fold by fold.
        split (`str`, *optional*): The part that was asked for; that of the papers if not given.

    Returns:
        `"test"`, `"folds"`, `"all folds"` (sets that are tested on as a whole), or the name of another part.
    """
    part = split or benchmark.split
    if part is not None and part not in (benchmark.split, *benchmark.more_splits):
        return part
    if benchmark.more_splits:  # several official ones, each by its own name
        return str(part)
    if part is not None:
        return "test"
    return "folds" if task in TRAINED_ON_FOLDS else "all folds"


__all__ = ["CLAP_2022", "CLAP_2023", "Benchmark", "split_in_papers"]
