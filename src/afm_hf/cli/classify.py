"""`afm-hf classify`: which of your labels fits each file best."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
from .ranked import read_labels, write_ranked

if TYPE_CHECKING:
    from ..pipelines.audio_files import FeatureBatch
    from ..pipelines.pipeline_zero_shot_audio_classification import ZeroShotAudioClassificationPipeline


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

        options: dict[str, Any] = {"candidate_labels": as_labels(read_labels(labels, labels_file))}
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
                    typer.echo(f"skipped {short_path(path)}: {reason}", err=True)
                yield from _classify_batch(pipe, batch)

        write_ranked(results(), output_format, "file", "label")
        if failed:
            typer.echo(f"{failed} of {len(paths)} files could not be used.", err=True)
            raise typer.Exit(FAILED)


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
