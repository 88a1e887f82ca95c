"""The command line, `afm-hf`. torch and transformers are imported by the command that is run."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import __version__
from .adapt import adapt
from .answers import ask, caption, difference
from .common import (
    FAILED,
    BatchOption,
    DeviceOption,
    Dtype,
    FormatOption,
    ModelOption,
    OutputFormat,
    TruncationOption,
    WorkersOption,
    errors_for_users,
    short_path,
)
from .compare import compare
from .demo import demo
from .entail import entail
from .evaluate import evaluate
from .export import export
from .models import convert, models
from .paper import paper
from .quality import quality
from .report import report
from .suite import suite

if TYPE_CHECKING:
    from ..pipelines.audio_files import FeatureBatch
    from ..pipelines.pipeline_zero_shot_audio_classification import ZeroShotAudioClassificationPipeline
    from ..retrieval.embedding import ClapEmbedder

app = typer.Typer(
    name="afm-hf",
    help="Audio foundation models: classify, embed, search, caption, question and compare audio.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Audio foundation models: classify, embed, search, caption, question and compare audio."""


@app.command()
def classify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Audio files, or folders of them.")],
    labels: Annotated[str | None, typer.Option(help="Labels, with commas between them.")] = None,
    labels_file: Annotated[Path | None, typer.Option(help="A text file with one label a line.")] = None,
    model: ModelOption = "clap-tiny",
    template: Annotated[
        list[str] | None,
        typer.Option(
            help="Sentence with {} for the label; repeat it for an ensemble.", show_default="This is a sound of {}."
        ),
    ] = None,
    domain_vector: Annotated[Path | None, typer.Option(help="A vector of `afm-hf adapt --save`.")] = None,
    multi_label: Annotated[bool, typer.Option("--multi-label", help="Score each label by itself.")] = False,
    top_k: Annotated[int, typer.Option(min=0, help="Labels shown per file; 0 for all.")] = 3,
    truncation: TruncationOption = None,
    batch_size: BatchOption = 8,
    device: DeviceOption = None,
    dtype: Annotated[Dtype | None, typer.Option(help="Number format.", show_default="the checkpoint's")] = None,
    num_workers: WorkersOption = 0,
    output_format: FormatOption = OutputFormat.TABLE,
) -> None:
    """Say which of your labels fits each file best.

    Files that cannot be used are named on stderr and skipped; the exit code is then 1.
    """
    with errors_for_users():
        from ..models.clap_afm.embedding_clap_afm import as_labels
        from ..pipelines.audio_files import find_audio, in_batches, read_batches

        options: dict[str, Any] = {"candidate_labels": as_labels(_read_labels(labels, labels_file))}
        options.update(multi_label=multi_label, top_k=top_k or None)
        if template:
            options["hypothesis_template"] = template
        if domain_vector is not None:
            options["domain_vector"] = domain_vector
        paths = find_audio(files)
        if not paths:
            raise ValueError("There are no audio files in the folders given.")
        pipe = _load_pipeline(model, device, dtype.value if dtype else None, options)
        failed = 0
        batches = in_batches(paths, batch_size)

        def results() -> Iterator[tuple[str, list[dict[str, Any]]]]:
            nonlocal failed
            how = truncation.value if truncation else None
            for batch in read_batches(pipe.feature_extractor, batches, how, num_workers):
                for path, reason in batch.failures.items():
                    failed += 1
                    typer.echo(f"skipped {path}: {reason}", err=True)
                yield from _classify_batch(pipe, batch)

        _write(results(), output_format, "file", "label")
        if failed:
            typer.echo(f"{failed} of {len(paths)} files could not be used.", err=True)
            raise typer.Exit(FAILED)


@app.command()
def embed(
    inputs: Annotated[list[Path], typer.Argument(metavar="DIR|FILE...", help="Folders of audio files, or files.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The index: *.safetensors or *.parquet.")],
    model: ModelOption = "clap-tiny",
    batch_size: BatchOption = 16,
    truncation: TruncationOption = None,
    device: DeviceOption = None,
    num_workers: WorkersOption = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start anew, whatever there is.")] = False,
) -> None:
    """Embed audio files into an index for `afm-hf search`.

    It can be stopped at any moment: the same command goes on from there. Files that cannot be used are named on stderr,
    skipped, and listed in the index; the exit code is then 1.
    """
    with errors_for_users("Interrupted. The same command (without --overwrite) goes on from here."):
        from ..retrieval.embedding import embed_files

        index = embed_files(
            inputs,
            output,
            model,
            batch_size=batch_size,
            truncation=truncation.value if truncation else None,
            device=device,
            num_workers=num_workers,
            progress=True,
            overwrite=overwrite,
        )
        typer.echo(f"{len(index)} files embedded in {output}; {len(index.failures)} could not be used.", err=True)
        if index.failures:
            raise typer.Exit(FAILED)


@app.command()
def search(
    index: Annotated[Path, typer.Option("--index", "-i", help="An index made by `afm-hf embed`.")],
    queries: Annotated[list[str] | None, typer.Argument(metavar="QUERY...", help='Words, as "a dog barking".')] = None,
    audio: Annotated[list[Path] | None, typer.Option(help="An audio file to find the like of; repeatable.")] = None,
    model: Annotated[
        str | None, typer.Option(help="The model, if it has moved.", show_default="the one that made the index")
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Files shown per query.")] = 10,
    device: DeviceOption = None,
    output_format: FormatOption = OutputFormat.TABLE,
) -> None:
    """Find the files of an index that fit words, or sound like a file."""
    with errors_for_users():
        if not queries and not audio:
            raise ValueError('Nothing to search for: give words, as "a dog barking", or --audio FILE.')
        from ..retrieval.embedding import AudioIndex, ClapEmbedder

        found = AudioIndex.load(index)
        embedder = ClapEmbedder(model or found.model, device)
        found.check_model(embedder)

        def results() -> Iterator[tuple[str, list[dict[str, Any]]]]:
            for query, embedding in _embed_queries(embedder, queries or [], audio or [], found.settings):
                hits = found.search(embedding, top_k)[0]
                yield query, [{"score": hit.score, "file": hit.path} for hit in hits]

        _write(results(), output_format, "query", "file")


app.command()(adapt)
app.command()(caption)
app.command()(compare)
app.command()(convert)
app.command()(ask)
app.command()(demo)
app.command()(difference)
app.command()(entail)
app.command()(evaluate)
app.command()(export)
app.command()(models)
app.command()(paper)
app.command()(quality)
app.command()(report)
app.command()(suite)


def _embed_queries(
    embedder: "ClapEmbedder", texts: list[str], clips: list[Path], settings: dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Each query with its embedding, `(1, dim)`."""
    for text in texts:
        yield text, embedder.embed_text([text])
    for clip in clips:
        yield str(clip), embedder.embed_audio([clip], truncation=settings.get("truncation"))


def _load_pipeline(
    model: str, device: str | None, dtype: str | None, options: dict[str, Any]
) -> "ZeroShotAudioClassificationPipeline":
    from ..hub.loading import load_clap, pick_device
    from ..pipelines.pipeline_zero_shot_audio_classification import ZeroShotAudioClassificationPipeline

    place = pick_device(device)
    clap, extractor, tokenizer = load_clap(model, dtype)
    return ZeroShotAudioClassificationPipeline(
        model=clap, feature_extractor=extractor, tokenizer=tokenizer, device=place, **options
    )


def _classify_batch(
    pipe: "ZeroShotAudioClassificationPipeline", batch: "FeatureBatch"
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    if batch.features is None:
        return
    for file, result in zip(batch.files, pipe.classify_features(batch.features), strict=True):
        yield file.path, result


def _read_labels(labels: str | None, labels_file: Path | None) -> list[str] | str:
    if (labels is None) == (labels_file is None):
        raise ValueError("Give the labels either as --labels a,b,c or as --labels-file FILE, with one label a line.")
    if labels_file is None:
        return labels or ""
    lines = labels_file.read_text(encoding="utf-8-sig").splitlines()
    return [line.strip() for line in lines if line.strip()]


# ---------------------------------------------------------------------------------------------------------------------
# Output
# ---------------------------------------------------------------------------------------------------------------------

Results = Iterable[tuple[str, list[dict[str, Any]]]]  # (file or query, its entries with a score, best first)


def _write(results: Results, output_format: OutputFormat, subject: str, item: str) -> None:
    """Write results to stdout; all formats but the table line by line, as they come."""
    if output_format is OutputFormat.TABLE:
        _write_table(results, subject, item)
    elif output_format is OutputFormat.JSON:
        typer.echo(json.dumps([{subject: name, "results": entries} for name, entries in results], indent=2))
    elif output_format is OutputFormat.JSONL:
        for name, entries in results:
            typer.echo(json.dumps({subject: name, "results": entries}))
    else:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow([subject, item, "score"])
        for name, entries in results:
            writer.writerows([name, entry[item], f"{entry['score']:.6f}"] for entry in entries)


def _write_table(results: Results, subject: str, item: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column(subject, overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column(item, overflow="fold")
    for name, entries in results:
        for rank, entry in enumerate(entries):
            first = Text("" if rank else short_path(name))
            table.add_row(first, f"{entry['score']:.3f}", Text(short_path(entry[item])))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


if __name__ == "__main__":
    app()
