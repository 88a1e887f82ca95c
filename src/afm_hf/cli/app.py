"""The command line, `afm-hf`. torch and transformers are imported by the command that is run."""

from typing import Annotated

import typer

from .. import __version__
from .adapt import adapt
from .ask import ask
from .caption import caption
from .classify import classify
from .common import with_log_level
from .compare import compare
from .difference import difference
from .embed import embed
from .entail import entail
from .evaluate import evaluate
from .experiments.app import experiment
from .experiments.generalization import generalization
from .export import export
from .making.make_data import make_data
from .making.make_shards import make_shards
from .matching.calibrate import calibrate
from .matching.labels import templates
from .matching.score import score
from .models import convert, models
from .paper import paper
from .quality import quality
from .report import report
from .search import search
from .suite import suite
from .web.demo import demo
from .web.serve import serve

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


for _command in (
    classify,
    embed,
    search,
    adapt,
    ask,
    calibrate,
    caption,
    compare,
    convert,
    demo,
    difference,
    entail,
    evaluate,
    export,
    generalization,
    make_data,
    make_shards,
    models,
    paper,
    quality,
    report,
    score,
    serve,
    suite,
    templates,
):
    app.command()(with_log_level(_command))

app.add_typer(experiment)


if __name__ == "__main__":
    app()
