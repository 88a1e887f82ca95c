"""`afm-hf models` and `afm-hf convert`: which checkpoints there are, and how official ones become folders."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..hub.bundled import bundled_names
from .common import OutputFormat, errors_for_users


def models(
    output_format: Annotated[OutputFormat, typer.Option("--format", help="table or json.")] = OutputFormat.TABLE,
) -> None:
    """List the bundled models, and the official checkpoints that `afm-hf convert` knows."""
    with errors_for_users():
        from ..hub.catalogue import official_checkpoints

        bundled = bundled_names()
        if output_format is OutputFormat.JSON:
            rows = [asdict(each) for each in official_checkpoints()]
            typer.echo(json.dumps({"bundled": bundled, "official": rows}, indent=2))
            return
        typer.echo(f"Bundled, for trying things out: {', '.join(bundled)}\n")
        typer.echo("Official, `afm-hf convert NAME --output FOLDER`:")
        width = max(len(each.name) for each in official_checkpoints())
        for each in official_checkpoints():
            size = f"{each.parameters} ({each.gigabytes} GB)"
            facts = [each.system, each.paper, each.licence, f"{each.sampling_rate} Hz", size, each.page]
            typer.echo(f"  {each.name:{width}s}  {', '.join(facts)}")


def convert(
    checkpoint: Annotated[str, typer.Argument(help="A name of `afm-hf models`, or an official file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write.")],
    tokenizer: Annotated[
        str | None, typer.Option(help="Folder or Hub id of the tokenizer.", show_default="the authors'")
    ] = None,
    text_encoder_tokenizer: Annotated[
        str | None, typer.Option(help="Of CLIP, for Pengi (base).", show_default="the authors'")
    ] = None,
    family: Annotated[
        str | None, typer.Option(help="msclap, pengi, mellow or adiff.", show_default="by the file's keys")
    ] = None,
    download_dir: Annotated[
        Path | None, typer.Option(help="Where fetched files go.", show_default="the Hub's cache")
    ] = None,
) -> None:
    """Make a folder for `from_pretrained` of an official checkpoint, which is fetched if it is only named.

    The file is read with `weights_only=True`; every weight is either used or on a list with its reason. Without a
    network it says what to download by hand.
    """
    with errors_for_users("Interrupted. The same command goes on with the download."):
        from ..hub.catalogue import convert as run

        options = {"tokenizer": tokenizer, "text_encoder_tokenizer": text_encoder_tokenizer, "family": family}
        folder = run(checkpoint, output, download_dir=download_dir, **options)  # type: ignore[arg-type]
        typer.echo(f"{folder}: ready for from_pretrained and pipeline")
