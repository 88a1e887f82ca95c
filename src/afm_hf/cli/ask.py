"""`afm-hf ask`: a question about each file."""

from typing import Annotated

import typer

from .answers import (
    AnswererOption,
    Answers,
    FilesArgument,
    LengthOption,
    TextFormat,
    TextFormatOption,
    find_files,
    given,
)
from .common import BatchOption, DeviceOption, DtypeOption, TruncationOption, WorkersOption, errors_for_users
from .kept import KeptOption, OverwriteOption, interrupted, kept_results


def ask(
    files: FilesArgument,
    question: Annotated[str, typer.Option("--question", "-q", help="The question.")],
    choices: Annotated[
        str | None, typer.Option(help="Answers to choose from, with commas between them, or a JSON list.")
    ] = None,
    model: AnswererOption = None,
    truncation: TruncationOption = None,
    max_new_tokens: LengthOption = None,
    batch_size: BatchOption = 4,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    num_workers: WorkersOption = 0,
    output_format: TextFormatOption = TextFormat.TEXT,
    output: KeptOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Answer a question about each file: in free words, or by the likeliest of your choices.

    Files that cannot be used are named on stderr and skipped; the exit code is then 1. With --output the same command
    goes on where it was stopped; without it nothing is kept.
    """
    with errors_for_users(interrupted(output)):
        kept = kept_results(output, overwrite, output_format)
        if not question.strip():
            raise ValueError("The question is blank.")
        rows = [{"file": path} for path in find_files(files)]
        options = given(question=question, truncation=truncation, max_new_tokens=max_new_tokens)
        if choices is not None:
            from ..models.common.label_texts_afm import split_labels
            from ..pipelines.pipeline_audio_question_answering import as_choices

            options["choices"] = as_choices(split_labels(choices, "choices of --choices"))
        keys = ["answer", "letter", "score", "scores", "generated_text", "generated_letter"] if choices else ["answer"]
        answers = Answers("audio-question-answering", model, device, dtype, options, batch_size, num_workers)
        answers.write(rows, dict(zip(keys, keys, strict=True)), output_format, "answer", kept)
