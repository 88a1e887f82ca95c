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
)
from .common import BatchOption, DeviceOption, DtypeOption, TruncationOption, WorkersOption, errors_for_users
from .kept import KeptOption, OverwriteOption, interrupted, kept_results


def caption(
    files: FilesArgument,
    model: AnswererOption = None,
    prompt: Annotated[str | None, typer.Option(help="What to ask.", show_default="the model's own words")] = None,
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
    """Say in a sentence what is heard in each file.

    Files that cannot be used are named on stderr and skipped; the exit code is then 1. With --output the same command
    goes on where it was stopped; without it nothing is kept.
    """
    with errors_for_users(interrupted(output)):
        kept = kept_results(output, overwrite, output_format)
        rows = [{"file": path} for path in find_files(files)]
        options = given(prompt=prompt, truncation=truncation, max_new_tokens=max_new_tokens)
        answers = Answers("audio-captioning", model, device, dtype, options, batch_size, num_workers)
        answers.write(rows, {"caption": "generated_text"}, output_format, "caption", kept)
