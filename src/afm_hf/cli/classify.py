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
    DtypeOption,
    FormatOption,
    ModelOption,
    OutputFormat,
    TruncationOption,
    WorkersOption,
    dtype_for,
    errors_for_users,
    short_path,
)
from .kept import KeptOption, OverwriteOption, interrupted, kept_results
from .matching.calibrate import CalibratedOption, CalibrationOption, FalseAcceptOption, calibration_options
from .matching.label_check import CheckLabelsOption, say_what_is_alike
from .matching.labels import (
    TEMPLATE_HELP,
    LabelsColumnOption,
    LabelsFileOption,
    LabelsOption,
    read_labels,
    read_templates,
)
from .ranked import write_ranked
from .timeline import (
    EventsOption,
    HopOption,
    PictureOption,
    TimelineOption,
    as_row,
    picture_files,
    wish_of,
    with_pictures,
    write_timelines,
)

if TYPE_CHECKING:
    from ..pipelines.audio_files import FeatureBatch
    from ..pipelines.pipeline_zero_shot_audio_classification import ZeroShotAudioClassificationPipeline


def classify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Audio files, or folders of them.")],
    labels: LabelsOption = None,
    labels_file: LabelsFileOption = None,
    labels_column: LabelsColumnOption = None,
    model: ModelOption = "clap-small",
    template: Annotated[
        list[str] | None, typer.Option(help=TEMPLATE_HELP, show_default="This is a sound of {}.")
    ] = None,
    domain_vector: Annotated[Path | None, typer.Option(help="A vector of `afm-hf adapt --save`.")] = None,
    multi_label: Annotated[bool, typer.Option("--multi-label", help="Score each label by itself.")] = False,
    calibration: CalibrationOption = None,
    calibrated: CalibratedOption = False,
    false_accept: FalseAcceptOption = None,
    check_labels: CheckLabelsOption = False,
    top_k: Annotated[int, typer.Option(min=0, help="Labels shown per file; 0 for all.")] = 3,
    truncation: TruncationOption = None,
    timeline: TimelineOption = False,
    hop: HopOption = None,
    events: EventsOption = None,
    picture: PictureOption = None,
    batch_size: BatchOption = 8,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    num_workers: WorkersOption = 0,
    output_format: FormatOption = OutputFormat.TABLE,
    output: KeptOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Say which of your labels fits each file best.

    Files that cannot be used are named on stderr and skipped; the exit code is then 1. With --output the same command
    goes on where it was stopped; without it nothing is kept.

    --timeline says when: a row for each step in time, in seconds of the file, with its best labels. Each is judged by
    what is heard around it; where nothing is heard (-80 dB) there is no row. --events and --picture ask for it, too.

    With a calibration scores are probabilities, and there is one label more, "none of these".
    """
    with errors_for_users(interrupted(output)):
        from ..models.clap_afm.embedding_clap_afm import as_labels
        from ..models.clap_afm.timeline_clap_afm import plan_timeline
        from ..pipelines.audio_files import find_audio, in_batches, read_batches

        kept = kept_results(output, overwrite, output_format)
        wish = wish_of(timeline, hop, events, picture, top_k or None)
        options: dict[str, Any] = {"candidate_labels": as_labels(read_labels(labels, labels_file, labels_column))}
        # Events and pictures are of all labels; what is shown of the others is cut when it is written.
        options.update(multi_label=multi_label, top_k=None if wish else top_k or None)
        if template:
            options["hypothesis_template"] = read_templates(template)
        if domain_vector is not None:
            options["domain_vector"] = domain_vector
        options |= calibration_options(calibration, calibrated, false_accept, model)
        paths = find_audio(files)
        if not paths:
            raise ValueError("There are no audio files in the folders given.")
        drawn = picture_files(wish, paths) if wish else {}
        pipe = _load_pipeline(model, device, dtype, options)
        if check_labels:
            say_what_is_alike(pipe, options)
        plan = plan_timeline(pipe.model, pipe.feature_extractor, wish.hop_s) if wish else None
        failed = 0
        how = truncation.value if truncation else None

        def results(paths: list[str]) -> Iterator[tuple[str, Any]]:
            nonlocal failed
            batches = in_batches(paths, batch_size)
            for batch in read_batches(pipe.feature_extractor, batches, how, num_workers, plan):
                for path, reason in batch.failures.items():
                    failed += 1
                    typer.echo(f"skipped {short_path(path)}: {reason}", err=True)
                yield from _classify_batch(pipe, batch)

        if kept is None and wish:
            write_timelines(with_pictures(results(paths), drawn), output_format, wish)
        elif kept is None:
            write_ranked(results(paths), output_format, "file", "label")
        else:
            from ..evaluation.digests import weights_digest

            asked = {"timeline": {"hop_s": wish.hop_s, "events": wish.events, "top_k": wish.top_k}} if wish else {}
            kept.claim({**options, "truncation": how, **asked, "weights of the model": weights_digest(pipe.model)})
            left = kept.left([{"file": path} for path in paths])
            found = with_pictures(results([row["file"] for row in left]), drawn)
            rows = ((path, as_row(result, wish) if wish else {"results": result}) for path, result in found)
            kept.fill(left, (({"file": path}, row) for path, row in rows))
        if failed:
            typer.echo(f"{failed} of {len(paths)} files could not be used.", err=True)
            raise typer.Exit(FAILED)


def _load_pipeline(
    model: str, device: str | None, dtype: Dtype | None, options: dict[str, Any]
) -> "ZeroShotAudioClassificationPipeline":
    from ..hub.loading import load_clap, pick_device
    from ..pipelines.pipeline_zero_shot_audio_classification import ZeroShotAudioClassificationPipeline

    place = pick_device(device)
    clap, extractor, tokenizer = load_clap(model, dtype_for(dtype, place), place)
    return ZeroShotAudioClassificationPipeline(
        model=clap, feature_extractor=extractor, tokenizer=tokenizer, device=place, **options
    )


def _classify_batch(pipe: "ZeroShotAudioClassificationPipeline", batch: "FeatureBatch") -> Iterator[tuple[str, Any]]:
    if batch.features is None:
        return
    for file, result in zip(batch.files, pipe.classify_features(batch.features), strict=True):
        yield file.path, result
