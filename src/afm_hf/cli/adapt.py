"""`afm-hf adapt`: learn a domain vector from unlabelled files, for `afm-hf classify --domain-vector`."""

import csv
import json
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import (
    FAILED,
    DeviceOption,
    Dtype,
    DtypeOption,
    FormatOption,
    ModelOption,
    OutputFormat,
    TruncationOption,
    dtype_for,
    errors_for_users,
    note,
    progress_bar,
    short_path,
)
from .matching.labels import LabelsColumnOption, LabelsFileOption, LabelsOption, read_labels

if TYPE_CHECKING:
    import torch

    from ..adaptation.test_time.optimization import AdaptationResult
    from ..pipelines.pipeline_test_time_adaptation import TestTimeAdaptationPipeline


class Kind(str, Enum):
    """What is learned."""

    TOKENS = "tokens"
    EMBEDDING = "embedding"


class Position(str, Enum):
    """Where the prompt stands."""

    BEFORE = "before"
    AFTER = "after"


def adapt(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Unlabelled audio files, or folders of them.")],
    labels: LabelsOption = None,
    labels_file: LabelsFileOption = None,
    labels_column: LabelsColumnOption = None,
    save: Annotated[Path | None, typer.Option(help="Where to write the vector: *.safetensors.")] = None,
    each: Annotated[
        bool, typer.Option("--each", help="Learn from each file by itself, not from all together.")
    ] = False,
    domain_vector: Annotated[Path | None, typer.Option(help="A saved vector to go on from.")] = None,
    model: ModelOption = "clap-small",
    kind: Annotated[
        Kind, typer.Option(help="Learned tokens, or a vector added to the texts' embeddings.")
    ] = Kind.TOKENS,
    prompt: Annotated[str, typer.Option(help="The words that the tokens start as.")] = "This is a sound of",
    template: Annotated[str, typer.Option(help="Sentence with {} for prompt and label.")] = "{}.",
    position: Annotated[Position, typer.Option(help="The prompt before or after the label.")] = Position.BEFORE,
    views: Annotated[int, typer.Option(min=1, help="Views of each file, itself included.")] = 64,
    keep: Annotated[float, typer.Option(help="Share of the views that count, the surest.")] = 0.1,
    steps: Annotated[int, typer.Option(min=0, help="Steps of AdamW.")] = 10,
    learning_rate: Annotated[float, typer.Option(help="Its learning rate.")] = 5e-3,
    temperature: Annotated[float, typer.Option(help="Divides the logits while the vector is learned.")] = 1.0,
    diversity: Annotated[float, typer.Option(help="How much files are kept from all becoming one label.")] = 0.0,
    guard: Annotated[bool, typer.Option("--guard/--no-guard", help="Stop before predictions collapse.")] = True,
    seed: Annotated[int, typer.Option(min=0, help="Of the views.")] = 0,
    truncation: TruncationOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    output_format: FormatOption = OutputFormat.TABLE,
) -> None:
    """Adapt to unlabelled files at test time: what is heard in them before and after, and the learned vector.

    Files that cannot be used are named on stderr and skipped; the exit code is then 1.
    """
    with errors_for_users():
        from ..adaptation.test_time.optimization import AdaptationSettings
        from ..models.clap_afm.embedding_clap_afm import as_labels
        from ..models.common.writing_afm import check_file
        from ..pipelines.audio_files import find_audio

        settings: dict[str, Any] = {
            **{"kind": kind.value, "prompt": prompt, "template": template, "position": position.value},
            **{"views": views, "keep": keep, "steps": steps, "learning_rate": learning_rate, "seed": seed},
            **{"temperature": temperature, "diversity": diversity, "guard": guard},
        }
        AdaptationSettings(**settings)  # what is wrong is said before anything is loaded
        checked = as_labels(read_labels(labels, labels_file, labels_column))
        paths = find_audio(files)
        if not paths:
            raise ValueError("There are no audio files in the folders given.")
        if save is not None and each and len(paths) > 1:
            raise ValueError(
                f"--save keeps one vector, but --each makes one for each of {len(paths)} files. Leave one out."
            )
        if save is not None:
            check_file(save, "the domain vector")
        adapter = _load(model, device, dtype)
        encoded = _encode(adapter, paths, settings, truncation.value if truncation else None)
        if not encoded:
            raise ValueError(f"None of the {len(paths)} files could be used.")
        groups = [[name] for name in encoded] if each else [list(encoded)]
        results = []
        for group in groups:
            clips = [encoded[name] for name in group]
            results.append((group, adapter.adapt_to(clips, checked, settings, domain_vector)))
        _write(results, output_format)
        if save is not None:
            results[0][1].vector.save(save)
            note(f"The vector is in {save}; use it with `afm-hf classify --domain-vector {save}`.")
        if len(encoded) < len(paths):
            typer.echo(f"{len(paths) - len(encoded)} of {len(paths)} files could not be used.", err=True)
            raise typer.Exit(FAILED)


def _load(model: str, device: str | None, dtype: Dtype | None) -> "TestTimeAdaptationPipeline":
    from ..hub.loading import load_clap, pick_device
    from ..pipelines.pipeline_test_time_adaptation import TestTimeAdaptationPipeline

    place = pick_device(device)
    clap, extractor, tokenizer = load_clap(model, dtype_for(dtype, place), place)
    return TestTimeAdaptationPipeline(model=clap, feature_extractor=extractor, tokenizer=tokenizer, device=place)


def _encode(
    adapter: "TestTimeAdaptationPipeline", paths: list[str], settings: dict[str, Any], truncation: str | None
) -> dict[str, "torch.Tensor"]:
    """The views of each file that can be used; the others are named."""
    from ..audio.audio_loading import AudioDecodeError

    encoded = {}
    options = {"views": settings["views"], "seed": settings["seed"]}
    if truncation is not None:
        options["truncation"] = truncation
    for path in progress_bar(paths, len(paths), desc="encoding views", unit="file"):
        try:
            encoded[path] = adapter.encode(path, **options)
        except AudioDecodeError as error:
            typer.echo(f"skipped {short_path(path)}: {error}", err=True)
    return encoded


def _write(results: list[tuple[list[str], "AdaptationResult"]], output_format: OutputFormat) -> None:
    """Write to stdout what is heard in every file, before and after; the entropies to stderr."""
    rows = []
    for group, result in results:
        if output_format in (OutputFormat.TABLE, OutputFormat.CSV):
            first, last = result.entropies[0], result.entropies[-1]
            note(f"entropy {first:.3f} -> {last:.3f} nats, stopped by {result.stopped}")
        for index, name in enumerate(group):
            rows.append((short_path(name), result.before[index], result.after[index], result))
    if output_format in (OutputFormat.JSON, OutputFormat.JSONL):
        entries = [
            {"file": name, "before": old, "after": new, "entropies": of.entropies, "stopped": of.stopped}
            for name, old, new, of in rows
        ]
        lines = [json.dumps(entries, indent=2)] if output_format is OutputFormat.JSON else map(json.dumps, entries)
        for line in lines:
            typer.echo(line)
    elif output_format is OutputFormat.CSV:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["file", "before", "score_before", "after", "score_after"])
        for name, old, new, _ in rows:
            writer.writerow(
                [name, *(cell for best in (old[0], new[0]) for cell in (best["label"], f"{best['score']:.6f}"))]
            )
    else:
        _write_table([(name, old[0], new[0]) for name, old, new, _ in rows])


def _write_table(rows: list[tuple[str, dict[str, Any], dict[str, Any]]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in ("file", "before", "", "after", ""):
        table.add_column(column, justify="left" if column else "right", overflow="fold")
    for name, old, new in rows:
        cells = (part for best in (old, new) for part in (Text(best["label"]), f"{best['score']:.3f}"))
        table.add_row(Text(short_path(name)), *cells)
    Console(width=None if sys.stdout.isatty() else 200).print(table)
