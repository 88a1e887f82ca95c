"""`afm-hf calibrate`: probabilities from a model's scores, fitted on labelled clips; and the options that use them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..common import DeviceOption, Dtype, ModelOption, TruncationOption, errors_for_users, note, progress_bar
from .labels import TEMPLATE_HELP, read_templates

CalibrationOption = Annotated[
    Path | None,
    typer.Option(help="A file of `afm-hf calibrate`: scores are probabilities, and one more label, none of these."),
]
CalibratedOption = Annotated[
    bool, typer.Option("--calibrated", help="The same, with the calibration that lies beside the model.")
]
FalseAcceptOption = Annotated[
    float | None,
    typer.Option(
        help="With a calibration: of clips that hold none of the labels, give only about this share one: 0.05, 0.1, "
        "0.2 or 0.3.",
        show_default="the likeliest label",
    ),
]


def calibration_options(
    calibration: Path | None, calibrated: bool, false_accept: float | None, model: str
) -> dict[str, Any]:
    """What of a pipeline's arguments these options ask for.

    Raises:
        ValueError: both files are asked for, or there is none for a rate of false accepts.
    """
    if calibration is not None and calibrated:
        raise ValueError("Give either --calibration FILE or --calibrated, which takes the one beside the model.")
    if calibrated:
        from ...hub.loading import resolve_model
        from ...models.clap_afm.calibration_clap_afm import CALIBRATION_FILE

        calibration = Path(resolve_model(model)) / CALIBRATION_FILE
    if calibration is None:
        if false_accept is not None:
            raise ValueError("--false-accept needs a calibration: --calibration FILE, or --calibrated.")
        return {}
    return {"calibration": calibration} | ({} if false_accept is None else {"false_accept": false_accept})


def calibrate(
    sounds: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Labelled clips that the model was not trained on: metadata.csv, or a folder a label."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The calibration, *.json.")],
    none: Annotated[
        list[Path] | None, typer.Option(help="Files or folders of clips that hold none of the labels; repeatable.")
    ] = None,
    model: ModelOption = "clap-small",
    template: Annotated[
        list[str] | None, typer.Option(help=TEMPLATE_HELP, show_default="This is a sound of {}.")
    ] = None,
    none_share: Annotated[
        float, typer.Option(help="How many clips hold none of the labels, where the calibration will be used.")
    ] = 0.5,
    truncation: TruncationOption = None,
    device: DeviceOption = None,
    dtype: Annotated[Dtype | None, typer.Option(help="Number format.", show_default="the checkpoint's")] = None,
) -> None:
    """Fit a calibration, so that scores of `afm-hf classify` are probabilities, and "none of these" is an answer.

    It holds for this model, number format and template, also for labels that the clips do not have. Clips that cannot
    be used are an error, as the calibration would be another.
    """
    with errors_for_users():
        from types import SimpleNamespace

        from ...adaptation.calibration import fit_calibration
        from ...hub.loading import load_clap, pick_device
        from ...models.common.writing_afm import check_file

        check_file(output, "the calibration")
        clips, labels = _labelled(sounds, none or [])
        place = pick_device(device)
        clap, extractor, tokenizer = load_clap(model, dtype.value if dtype else None)
        found = fit_calibration(
            clap.to(place),
            SimpleNamespace(feature_extractor=extractor, tokenizer=tokenizer),
            progress_bar(clips, len(clips), desc="listening", leave=False),
            labels,
            hypothesis_template=read_templates(template) or "This is a sound of {}.",
            truncation=truncation.value if truncation else None,
            none_share=none_share,
        )
        found.save(output)
        note(
            f"Fitted on {found.clips} clips of {len(found.labels)} labels, {found.none_clips} of them without one. Use "
            f"it with `afm-hf classify --calibration {output}`."
        )


def _labelled(sounds: Path, none: list[Path]) -> tuple[list[str], list[Any]]:
    """Clips and their labels; None for those that hold none."""
    from ...evaluation.datasets import load_items
    from ...pipelines.audio_files import find_audio

    items, _, report = load_items("folder", str(sounds), "zero-shot")
    if report.skipped or report.notes:
        typer.echo(str(report), err=True)
    others = find_audio(none)
    labels = [item.truth.get("labels") or item.truth["label"] for item in items]
    return [*(item.audio for item in items), *others], [*labels, *[None] * len(others)]
