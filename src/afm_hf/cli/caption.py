"""`afm-hf caption`: what is heard in each file."""

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
    write_answers,
)
from .common import BatchOption, DeviceOption, TruncationOption, WorkersOption, errors_for_users


def caption(
    files: FilesArgument,
    model: AnswererOption = None,
    prompt: Annotated[str | None, typer.Option(help="What to ask.", show_default="the model's own words")] = None,
    truncation: TruncationOption = None,
    max_new_tokens: LengthOption = None,
    batch_size: BatchOption = 4,
    device: DeviceOption = None,
    num_workers: WorkersOption = 0,
    output_format: TextFormatOption = TextFormat.TEXT,
) -> None:
    """Say in a sentence what is heard in each file.

    Files that cannot be used are named on stderr and skipped; the exit code is then 1.
    """
    with errors_for_users():
        rows = [{"file": path} for path in find_files(files)]
        options = given(prompt=prompt, truncation=truncation, max_new_tokens=max_new_tokens)
        answers = Answers("audio-captioning", model, device, options, batch_size, num_workers)
        write_answers(answers.of(rows, {"caption": "generated_text"}), output_format, "caption")
        answers.end()
