"""`afm-hf export`: a CLAP for other runtimes: its towers as ONNX or `torch.export` files, or all of it for browsers."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .common import errors_for_users


class ExportFormat(str, Enum):
    """Formats of exported towers."""

    ONNX = "onnx"
    TORCH_EXPORT = "torch-export"
    TRANSFORMERS_JS = "transformers.js"


def export(
    model: Annotated[str, typer.Argument(help="A bundled model, a folder, or a Hub id, of a CLAP.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")],
    format: Annotated[ExportFormat, typer.Option(help="What to write.")] = ExportFormat.ONNX,
    batch_size: Annotated[int | None, typer.Option(min=1, help="A fixed batch.", show_default="any")] = None,
    opset: Annotated[int, typer.Option(min=18, help="ONNX opset.")] = 18,
) -> None:
    """Write a CLAP, with tokenizer and feature extractor, for other runtimes.

    As ONNX or torch.export the audio and the text tower are a file each. For transformers.js both are one file that
    takes samples, and one more in eight bits, in the folder that its zero-shot-audio-classification pipeline loads.
    """
    with errors_for_users():
        import numpy as np
        from transformers import AutoFeatureExtractor, AutoModel, AutoTokenizer

        from ..conversion.export import export_clap
        from ..hub.loading import resolve_model
        from ..models.common.writing_afm import check_folder, explained

        if format is ExportFormat.TRANSFORMERS_JS and batch_size is not None:
            raise ValueError("--batch-size is not for transformers.js, whose pipeline gives one clip at a time.")
        check_folder(output, "the export")
        source = resolve_model(model)
        extractor = AutoFeatureExtractor.from_pretrained(source)
        tokenizer = AutoTokenizer.from_pretrained(source)
        loaded = AutoModel.from_pretrained(source, dtype="float32").eval()
        if format is ExportFormat.TRANSFORMERS_JS:
            from ..conversion.transformers_js import export_transformers_js

            export_transformers_js(loaded, extractor, tokenizer, output, opset=opset)
        else:
            # A tone: silence is refused.
            second = np.sin(np.arange(extractor.sampling_rate, dtype=np.float32) / 10)
            features = extractor([second], sampling_rate=extractor.sampling_rate, return_tensors="pt")
            frames = features["input_features"].shape[-2]
            export_clap(loaded, output, frames, format=format.value, batch_size=batch_size, opset=opset)
            with explained(output, "the export"):
                extractor.save_pretrained(output)
                tokenizer.save_pretrained(output)
        for file in sorted(each for each in output.rglob("*") if each.is_file()):
            typer.echo(f"{file}\t{file.stat().st_size / 1e6:.1f} MB")
