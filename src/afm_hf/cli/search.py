"""`afm-hf search`: the files of an index that fit words, or sound like a file."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import (
    DeviceOption,
    Dtype,
    FormatOption,
    OutputFormat,
    errors_for_users,
)
from .ranked import write_ranked

if TYPE_CHECKING:
    from ..retrieval import ClapEmbedder, ClipStore, Hit, Index

TIMES = ["start_s", "end_s"]


def search(
    index: Annotated[
        str, typer.Option("--index", "-i", help="An index made by `afm-hf embed`; a Lance table by path or URI.")
    ],
    queries: Annotated[list[str] | None, typer.Argument(metavar="QUERY...", help='Words, as "a dog barking".')] = None,
    audio: Annotated[list[Path] | None, typer.Option(help="An audio file to find the like of; repeatable.")] = None,
    model: Annotated[
        str | None, typer.Option(help="The model, if it has moved.", show_default="the one that made the index")
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Files shown per query.")] = 10,
    where: Annotated[
        str | None,
        typer.Option(help="Only rows that fulfil this condition in SQL, as \"label = 'dog'\"; of a Lance table."),
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(min=-1, max=1, help="Only files with at least this score.", show_default="all")
    ] = None,
    relevance: Annotated[
        bool,
        typer.Option(
            "--relevance",
            help="Say also how relevant a hit of words is, 0 to 1: above 0.5 they fit it better than nine of ten "
            "everyday sounds.",
        ),
    ] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="Compare with every row, also where a Lance table has an approximate index.")
    ] = False,
    device: DeviceOption = None,
    dtype: Annotated[
        Dtype | None, typer.Option(help="Number format of the model.", show_default="the one that made the index")
    ] = None,
    output_format: FormatOption = OutputFormat.TABLE,
    json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
) -> None:
    """Find the files of an index that fit words, or sound like a file.

    JSON and CSV have all columns of a Lance table: times, and what a metadata table said when it was made.
    """
    with errors_for_users():
        if not queries and not audio:
            raise ValueError('Nothing to search for: give words, as "a dog barking", or --audio FILE.')
        from ..retrieval import ClapEmbedder, ClipStore, open_index

        found = open_index(index)
        store = found if isinstance(found, ClipStore) else None
        if where is not None and store is None:
            raise ValueError(f"--where asks the columns of a Lance table, which {index} is not. Convert it: {_HOW}.")
        precision = dtype.value if dtype else found.settings.get("dtype")
        embedder = ClapEmbedder(model or found.model, device, precision)
        found.check_model(embedder)
        everyday = embedder.embed_everyday() if relevance else None
        times = TIMES if store is not None and "every_s" in store.settings else []

        def results() -> Iterator[tuple[str, list[dict[str, Any]]]]:
            of_words = len(queries or [])
            for number, (query, embedding) in enumerate(_embed_queries(embedder, queries or [], audio or [], found)):
                against = everyday if number < of_words else None  # sounds are not compared with words
                hits = _search(found, store, embedding, top_k, where, min_score, exact, against)
                yield query, [_entry(hit, relevance) for hit in hits]

        more = ["relevance"] if relevance else []
        columns = [*more, *times, *(store.columns if store is not None else {})]
        chosen = OutputFormat.JSON if json else output_format
        write_ranked(results(), chosen, "query", "file", columns, [*more, *times])


_HOW = "`afm-hf embed clips.safetensors --output clips.lance`"


def _search(
    index: "Index",
    store: "ClipStore | None",
    embedding: Any,
    top_k: int,
    where: str | None,
    min_score: float | None,
    exact: bool,
    everyday: Any,
) -> "list[Hit]":
    if store is None:
        return index.search(embedding, top_k, min_score=min_score, everyday=everyday)[0]
    return store.search(embedding, top_k, where=where, min_score=min_score, exact=exact, everyday=everyday)[0]


def _entry(hit: "Hit", relevance: bool) -> dict[str, Any]:
    times = {} if hit.start_s is None else {"start_s": hit.start_s, "end_s": hit.end_s}
    more = {"relevance": hit.relevance} if relevance else {}
    return {"score": hit.score, "file": hit.path, **more, **times, **hit.columns}


def _embed_queries(
    embedder: "ClapEmbedder", texts: list[str], clips: list[Path], index: "Index"
) -> Iterator[tuple[str, Any]]:
    """Each query with its embedding, `(1, dim)`."""
    for text in texts:
        yield text, embedder.embed_text([text])
    for clip in clips:
        yield str(clip), embedder.embed_audio([clip], truncation=index.settings.get("truncation"))
