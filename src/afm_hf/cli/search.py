"""`afm-hf search`: the files of an index that fit words, or sound like a file."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import (
    DeviceOption,
    FormatOption,
    OutputFormat,
    errors_for_users,
)
from .ranked import write_ranked

if TYPE_CHECKING:
    from ..retrieval import ClapEmbedder


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
        from ..retrieval import AudioIndex, ClapEmbedder

        found = AudioIndex.load(index)
        embedder = ClapEmbedder(model or found.model, device)
        found.check_model(embedder)

        def results() -> Iterator[tuple[str, list[dict[str, Any]]]]:
            for query, embedding in _embed_queries(embedder, queries or [], audio or [], found.settings):
                hits = found.search(embedding, top_k)[0]
                yield query, [{"score": hit.score, "file": hit.path} for hit in hits]

        write_ranked(results(), output_format, "query", "file")


def _embed_queries(
    embedder: "ClapEmbedder", texts: list[str], clips: list[Path], settings: dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Each query with its embedding, `(1, dim)`."""
    for text in texts:
        yield text, embedder.embed_text([text])
    for clip in clips:
        yield str(clip), embedder.embed_audio([clip], truncation=settings.get("truncation"))
