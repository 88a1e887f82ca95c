"""`afm-hf serve`: a Mellow behind the chat API of OpenAI, by transformers' own server."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from ..common import errors_for_users, note


def serve(
    model: Annotated[str, typer.Argument(help="A bundled model, a folder, or a Hub id, of a Mellow.")] = "mellow-small",
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 opens it to the network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port.")] = 8000,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1, mps.")] = "auto",
) -> None:
    """Answer chat messages with clips over HTTP, as OpenAI's API does; end it with Ctrl+C.

    It is the server of `transformers serve`, for clients that you trust: a message may name files and URLs to read.
    """
    with errors_for_users("The server is closed."):
        from transformers.utils.import_utils import is_serve_available

        if not is_serve_available():
            raise ImportError('`afm-hf serve` needs FastAPI, uvicorn and openai: `pip install "afm-hf[serving]"`.')
        from transformers.cli.serve import Serve
        from transformers.cli.serving import server

        from ...hub.loading import check_model, resolve_model

        check_model("audio-question-answering", model)
        folder = resolve_model(model)
        server.build_server = for_short_answers(server.build_server, most_tokens(folder))
        note(f'Clients leave "model" out, or name it {folder} (Ctrl+C ends it)')
        Serve(force_model=folder, host=host, port=port, device=device)


def most_tokens(folder: str) -> int | None:
    """How long the answers of a model are at most, as its checkpoint says."""
    from transformers import GenerationConfig

    try:
        most: int | None = GenerationConfig.from_pretrained(folder).max_new_tokens
    except OSError:  # the checkpoint says nothing
        return None
    return most


def for_short_answers(build_server: Callable[..., Any], most: int | None) -> Callable[..., Any]:
    """What makes the app, for small models that answer one question.

    The stock server asks every model for 1024 tokens, if a request names no number: small ones have no place for them.
    And what is wrong with a request it answers with 500 and no word.
    """

    def build(model_manager: Any, chat_handler: Any, **others: Any) -> Any:
        from fastapi.responses import JSONResponse

        handle = chat_handler.handle_request

        async def bounded(body: dict[str, Any], request_id: str) -> Any:
            if body.get("max_tokens") is None and body.get("max_completion_tokens") is None:
                body = {**body, "max_tokens": most}
            return await handle(body, request_id)

        async def refuse(_: Any, error: Exception) -> JSONResponse:
            return JSONResponse({"error": {"message": str(error), "type": "invalid_request_error"}}, status_code=400)

        chat_handler.handle_request = bounded
        app = build_server(model_manager, chat_handler, **others)
        app.add_exception_handler(ValueError, refuse)  # also AudioDecodeError, and what the chat template refuses
        return app

    return build
