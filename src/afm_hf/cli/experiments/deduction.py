"""`afm-hf experiment stop-words` and `cannot-tell`: two findings of Audio Entailment."""

from enum import Enum
from typing import Annotated

import typer

from ..common import errors_for_users
from .common import GOES_ON, DatasetOption, OutputOption, Running, with_running


class Reading(str, Enum):
    """How the answers of Pengi and Mellow are read; as the pipeline's `scoring`."""

    LETTER = "letter"
    TEXT = "text"
    LIKELIHOOD = "likelihood"


JudgeOption = Annotated[
    str | None,
    typer.Option("--model", help="A CLAP with thresholds, Pengi or Mellow.", show_default="clap-small"),
]
ScoringOption = Annotated[
    Reading | None,
    typer.Option(
        "--scoring",
        help="Of Pengi and Mellow: by the answer's letter or text, or by the likelihood of each option.",
        show_default="likelihood for Pengi, letter for Mellow",
    ),
]
STOP_WORD_COLUMNS = {
    "wording": "wording",
    "texts_changed": "questions changed",
    "deductions_changed": "deductions changed",
    "value": "accuracy",
    "change": "points more",
}
CANNOT_TELL_COLUMNS = {
    "way": "asked",
    "said of entailment": "said of entailment",
    "said of neutral": "of neutral",
    "said of contradiction": "of contradiction",
    "recall": "recall",
    "precision": "precision",
    "value": "F1",
    "accuracy": "accuracy",
}


@with_running
def stop_words(
    dataset: DatasetOption,
    output: OutputOption,
    model: JudgeOption = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            help="OLD=NEW, as it=the, several with commas, OLD= drops a word; repeat it.",
            show_default="it, the, a, no articles, is and are",
        ),
    ] = None,
    scoring: ScoringOption = None,
    *,
    running: Running,
) -> None:
    """Change stop words of hypothesis and prompt, and see how many deductions change.

    Each change is one run of entailment with the same clips. Printed are the share of questions that hold the word, the
    share of these whose deduction changes, and the accuracy with its paired difference.
    """
    with errors_for_users(GOES_ON):
        from ...evaluation.experiments.deduction import parse_changes, stop_word_robustness

        (data,) = running.data([dataset])
        changes = parse_changes(change) if change else None
        found = stop_word_robustness(data, output, model, changes, **running.options(scoring=scoring and scoring.value))
        running.show(found, STOP_WORD_COLUMNS, output)


@with_running
def cannot_tell(
    dataset: DatasetOption,
    output: OutputOption,
    model: JudgeOption = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="For Pengi and Mellow: a further question with {hypothesis}, {options}; repeat it."),
    ] = None,
    scoring: ScoringOption = None,
    *,
    running: Running,
) -> None:
    """Look at "cannot tell" in entailment: how often it is said of which relation, and whether that is heard.

    Beside the model's own question stand others (--prompt), the same with other clips, and of a CLAP narrower and wider
    bands between its thresholds.
    """
    with errors_for_users(GOES_ON):
        from ...evaluation.experiments.deduction import cannot_tell as look_at

        (data,) = running.data([dataset])
        found = look_at(data, output, model, prompt or (), **running.options(scoring=scoring and scoring.value))
        running.show(found, CANNOT_TELL_COLUMNS, output)
