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
from .kept import KeptOption, OverwriteOption, interrupted, kept_results
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
    output: KeptOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Say which of your labels fits each file best.

    Files that cannot be used are named on stderr and skipped; the exit code is then 1. With --output the same command
    goes on where it was stopped; without it nothing is kept.
    """
    with errors_for_users(interrupted(output)):
        from ..models.clap_afm.embedding_clap_afm import as_labels
        from ..pipelines.audio_files import find_audio, in_batches, read_batches

        kept = kept_results(output, overwrite, output_format)
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
        how = truncation.value if truncation else None

        def results(paths: list[str]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
            nonlocal failed
            batches = in_batches(paths, batch_size)
            for batch in read_batches(pipe.feature_extractor, batches, how, num_workers, True):
                for path, reason in batch.failures.items():
                    failed += 1
                    typer.echo(f"skipped {short_path(path)}: {reason}", err=True)
                yield from _classify_batch(pipe, batch)

        if kept is None:
            write_ranked(results(paths), output_format, "file", "label")
        else:
            from ..evaluation.digests import weights_digest

            kept.claim({**options, "truncation": how, "weights of the model": weights_digest(pipe.model)})
            left = kept.left([{"file": path} for path in paths])
            found = results([row["file"] for row in left])
            kept.fill(left, (({"file": path}, {"results": entries}) for path, entries in found))
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
