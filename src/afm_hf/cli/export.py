"""`afm-hf export`: the towers of a CLAP as ONNX or `torch.export` files."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .common import errors_for_users


class ExportFormat(str, Enum):
    """Formats of exported towers."""

    ONNX = "onnx"
    TORCH_EXPORT = "torch-export"


def export(
    model: Annotated[str, typer.Argument(help="A bundled model, a folder, or a Hub id, of a CLAP.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")],
    format: Annotated[ExportFormat, typer.Option(help="What to write.")] = ExportFormat.ONNX,
    batch_size: Annotated[int | None, typer.Option(min=1, help="A fixed batch.", show_default="any")] = None,
    opset: Annotated[int, typer.Option(min=18, help="ONNX opset.")] = 18,
) -> None:
    """Write the audio and the text tower of a CLAP, with tokenizer and feature extractor, for other runtimes."""
    with errors_for_users():
        import numpy as np
        from transformers import AutoFeatureExtractor, AutoModel, AutoTokenizer

        from ..conversion.export import export_clap
        from ..hub.loading import resolve_model
        from ..models.common.writing_afm import check_folder, explained

        check_folder(output, "the export")
        source = resolve_model(model)
        extractor = AutoFeatureExtractor.from_pretrained(source)
        tokenizer = AutoTokenizer.from_pretrained(source)
        # A tone: silence is refused.
        second = np.sin(np.arange(extractor.sampling_rate, dtype=np.float32) / 10)
        features = extractor([second], sampling_rate=extractor.sampling_rate, return_tensors="pt")
        loaded = AutoModel.from_pretrained(source, dtype="float32").eval()
        frames = features["input_features"].shape[-2]
        export_clap(loaded, output, frames, format=format.value, batch_size=batch_size, opset=opset)
        with explained(output, "the export"):
            extractor.save_pretrained(output)
            tokenizer.save_pretrained(output)
        for file in sorted(output.iterdir()):
            typer.echo(f"{file}\t{file.stat().st_size / 1e6:.1f} MB")
