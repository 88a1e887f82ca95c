"""`afm-hf demo`: the web page."""

from typing import Annotated

import typer

from ..common import DeviceOption, errors_for_users, note

_WHAT = "bundled model, folder, or Hub id."


def demo(
    model_clap: Annotated[str, typer.Option(help=f"Classifies, judges quality, is adapted: {_WHAT}")] = "clap-small",
    model_caption: Annotated[str, typer.Option(help=f"Captions: {_WHAT}")] = "pengi-small",
    model_ask: Annotated[str, typer.Option(help=f"Answers questions: {_WHAT}")] = "mellow-small",
    model_difference: Annotated[str, typer.Option(help=f"Tells two clips apart: {_WHAT}")] = "adiff-small",
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 opens it to the network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port.")] = 7860,
    max_seconds: Annotated[float, typer.Option(help="Longer clips are refused.")] = 120.0,
    share: Annotated[
        bool, typer.Option("--share/--no-share", help="Open it to the world through a server of gradio's makers.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Another name under which the page may be asked for, as behind a proxy; repeatable, * for any.",
            show_default="this machine's",
        ),
    ] = None,
    device: DeviceOption = None,
) -> None:
    """Serve a web page on which to try the models, for this machine only; end it with Ctrl+C."""
    with errors_for_users("The page is closed."):
        from ...demo.models import DemoModels
        from ...demo.page import build_page, serve

        models = DemoModels(model_clap, model_caption, model_ask, model_difference, device, max_seconds)
        page = build_page(models)
        if share:
            typer.echo("The page goes through a public server: clips leave this machine.", err=True)
        note(f"The page: {serve(page, host, port, share, block=False, hosts=allow_host or ())} (Ctrl+C ends it)")
        page.block_thread()
