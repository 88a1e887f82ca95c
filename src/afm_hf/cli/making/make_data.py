"""`afm-hf make-data`: training data that a language model writes from captions."""

import os
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..common import DeviceOption, Dtype, dtype_for, errors_for_users, note, progress_bar

_STOPPED = "Interrupted. What was answered is kept: the same command goes on."


class Kind(str, Enum):
    """What is made."""

    QUESTIONS = "questions"
    CHOICES = "choices"
    DIFFERENCES = "differences"
    ENTAILMENT = "entailment"


class Form(str, Enum):
    """How the language model answers."""

    JSON = "json"
    LINES = "lines"


def make_data(
    data: Annotated[Path, typer.Option(help="Folder or file of clips with captions.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for what is made; the same command goes on.")],
    dataset: Annotated[str, typer.Option(help="Layout of --data, as folder, table, wavtext5k, clotho.")] = "folder",
    split: Annotated[
        str | None, typer.Option(help="An official part of --data.", show_default="what is trained on")
    ] = None,
    audio_dir: Annotated[
        Path | None, typer.Option(help="Folder of the clips.", show_default="that of the table")
    ] = None,
    check: Annotated[
        str, typer.Option(help="How far clips are looked at: none (captions alone), exists, ...")
    ] = "none",
    model: Annotated[
        str | None,
        typer.Option(help="An instruct model: a folder, a *.gguf file, or a Hub id; with --endpoint its name there."),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="URL of an OpenAI-compatible API, as http://localhost:8000/v1.")
    ] = None,
    api_key_env: Annotated[
        str, typer.Option(help="Environment variable that holds the endpoint's key, if it wants one.")
    ] = "OPENAI_API_KEY",
    kind: Annotated[list[Kind] | None, typer.Option(help="What is made; repeat it.", show_default="all")] = None,
    form: Annotated[Form, typer.Option(help="How the model answers; lines for small models.")] = Form.JSON,
    examples: Annotated[bool, typer.Option(help="Whether the model is shown examples.")] = True,
    borrow_choices: Annotated[
        bool, typer.Option(help="Wrong choices are answers about other clips, and not the model's: for small models.")
    ] = False,
    aspect: Annotated[
        list[str] | None,
        typer.Option(
            help="What questions are about: events, objects, scenes, signal, meaning, feelings; repeat it.",
            show_default="all in turn",
        ),
    ] = None,
    per_clip: Annotated[int, typer.Option(min=1, help="Items of each kind for a clip.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many clips, drawn by --seed.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Requests at a time.")] = 16,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Length of an answer, in tokens, at most.")] = 200,
    temperature: Annotated[float, typer.Option(min=0, help="0: the most probable words; above: drawn.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of all draws.")] = 0,
    device: DeviceOption = None,
    dtype: Annotated[Dtype | None, typer.Option(help="Of the weights.", show_default="the model's own")] = None,
) -> None:
    """Make questions, multiple choice, differences and hypotheses from captions, with a language model.

    What cannot be read, repeats the caption, gives its answer away or was made before is dropped, and the report says
    how much of what. The folder then holds train.json in the layout of ReasonAQA (`--dataset reasonaqa` of the training
    recipes), and entailment.csv in that of Audio Entailment. Whether a text is true of a clip nobody has checked.
    """
    with errors_for_users(_STOPPED):
        from ...data.mixtures.layouts import clips_folder, read_layout
        from ...data.synthesis import clips_of, synthesize
        from ...data.synthesis.requests import check_schema_library

        check_schema_library()
        found, report = read_layout(dataset, data, split, audio_dir, check)
        note(str(report))
        clips = _some(clips_of(found, clips_folder(data, audio_dir)), limit, seed)
        how = {"max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed}
        writer = _writer(model, endpoint, os.environ.get(api_key_env), device, dtype, batch_size, how)
        made = synthesize(
            clips,
            writer,
            output,
            name=data.stem,
            groups=[each.value for each in kind or list(Kind)],
            per_clip=per_clip,
            aspects=aspect,
            form=form.value,
            with_examples=examples,
            borrow_choices=borrow_choices,
            batch_size=batch_size,
            seed=seed,
            progress=_bar,
        )
        typer.echo(str(made))


def _bar(batches: Iterable[Any], total: int) -> Any:
    return progress_bar(batches, total, unit="batch")


def _some(clips: list[Any], limit: int | None, seed: int) -> list[Any]:
    """A random choice of the clips, in their order."""
    import random

    if limit is None or limit >= len(clips):
        return clips
    chosen = set(random.Random(seed).sample(range(len(clips)), limit))
    return [clip for index, clip in enumerate(clips) if index in chosen]


def _writer(
    model: str | None,
    endpoint: str | None,
    api_key: str | None,
    device: str | None,
    dtype: Dtype | None,
    batch_size: int,
    how: dict[str, Any],
) -> Any:
    """What answers: a server, or a model that is loaded here."""
    if model is None:
        raise ValueError("Who is to write? Give `--model`: a folder, a *.gguf file, a Hub id, or a name at --endpoint.")
    if endpoint is not None:
        from ...data.synthesis import EndpointWriter

        if device is not None or dtype is not None:
            raise ValueError("`--device` and `--dtype` are for models that are loaded here, and not for --endpoint.")
        return EndpointWriter(endpoint, model, api_key, parallel=min(batch_size, 16), **how)
    from ...data.synthesis import TransformersWriter
    from ...hub.loading import pick_device

    place = pick_device(device)
    return TransformersWriter(model, str(place), dtype_for(dtype, place), **how)


__all__ = ["make_data"]
