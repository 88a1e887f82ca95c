"""`afm-hf serve`: a Mellow behind the chat API of OpenAI, by transformers' own server."""

import base64
import binascii
from collections.abc import Callable
from pathlib import Path
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
        from ...hub.loading import check_model, resolve_model

        check_model("audio-question-answering", model)
        folder = resolve_model(model)
        check_served(model, folder)
        from transformers.cli.serve import Serve
        from transformers.cli.serving import server

        server.build_server = for_short_answers(server.build_server, most_tokens(folder), {model, folder})
        note(f'Clients leave "model" out, or name it {model} (Ctrl+C ends it)')
        Serve(force_model=folder, host=host, port=port, device=device)


def check_served(model: str, folder: str) -> None:
    """Raises a `ValueError` for a model that reads no messages, and for a path that the stock server would misread."""
    from transformers import AutoConfig

    kind = AutoConfig.from_pretrained(folder).model_type
    if kind != "afm_mellow":
        raise ValueError(
            f"{Path(model).name} is a {kind!r} model, but only Mellow ('afm_mellow') reads chat messages: choose a "
            "Mellow, or ask this one with `afm-hf ask`."
        )
    if "@" in folder:
        raise ValueError(
            f"{folder!r} has an @, after which transformers' server expects a revision: choose another path."
        )


def most_tokens(folder: str) -> int | None:
    """How long the answers of a model are at most, as its checkpoint says."""
    from transformers import GenerationConfig

    try:
        most: int | None = GenerationConfig.from_pretrained(folder).max_new_tokens
    except OSError:  # the checkpoint says nothing
        return None
    return most


def for_short_answers(build_server: Callable[..., Any], most: int | None, names: set[str]) -> Callable[..., Any]:
    """What makes the app, for small models that answer one question.

    The stock server asks every model for 1024 tokens, if a request names no number: small ones have no place for them.
    And what is wrong with a request it answers with 500 and no word. `names` are those that a request may call the
    model by.
    """

    def build(model_manager: Any, chat_handler: Any, **others: Any) -> Any:
        from fastapi.responses import JSONResponse

        handle = chat_handler.handle_request

        async def bounded(body: dict[str, Any], request_id: str) -> Any:
            return await handle(checked_request(body, most, names), request_id)

        async def refuse(_: Any, error: Exception) -> JSONResponse:
            return JSONResponse({"error": {"message": str(error), "type": "invalid_request_error"}}, status_code=400)

        chat_handler.handle_request = bounded
        app = build_server(model_manager, chat_handler, **others)
        app.add_exception_handler(ValueError, refuse)  # also AudioDecodeError, and what the chat template refuses
        return app

    return build


def checked_request(body: dict[str, Any], most: int | None, names: set[str]) -> dict[str, Any]:
    """
    A request as the stock server takes it, which looks at nothing before it is used.

    Args:
        body (`dict`): What the client sent to `/v1/chat/completions`.
        most (`int`, *optional*): How many tokens the answer has at most, if the request does not say.
        names (`set[str]`): What the model may be called by.

    Raises:
        ValueError: the request has no messages, a clip in it is no base64, or it asks for another model.
    """
    body = dict(body)
    model = body.pop("model", None)
    if model is not None and model not in names:
        raise ValueError(
            f"The request asks for the model {model!r}, but this server has {' or '.join(map(repr, sorted(names)))}; "
            '"model" may also be left out.'
        )
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ValueError(f'The request has {messages!r} as "messages"; expected a list with at least one message.')
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise ValueError(f'{str(message)[:60]!r} is no message; expected an object with "role" and "content".')
        content = message.get("content")
        for part in content if isinstance(content, list) else []:
            _check_part(part)
    # The newer name is put under the older one: the server of transformers 5.20 does not read it.
    asked = body.pop("max_completion_tokens", None)
    if asked is None:
        asked = body.get("max_tokens")
    return {**body, "max_tokens": most if asked is None else asked}


def _check_part(part: Any) -> None:
    """Raises a `ValueError` if a part of a message lacks what the stock server takes from it."""
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        raise ValueError(f'{str(part)[:60]!r} is no part of a message; expected an object with "type".')
    if kind == "text" and not isinstance(part.get("text"), str):
        raise ValueError(f'A text is {part.get("text")!r}; expected a string as "text".')
    if kind == "audio_url" and not isinstance(_inner(part, kind).get("url"), str):
        raise ValueError('An "audio_url" has no "url" that says where the clip is.')
    if kind == "input_audio":
        clip = _inner(part, kind)
        if not isinstance(clip.get("data"), str) or not isinstance(clip.get("format"), str):
            raise ValueError('An "input_audio" has "data" (the file in base64) and "format" ("wav", "mp3", ...).')
        try:
            base64.b64decode(clip["data"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f'The "data" of an "input_audio" is no base64: {error}.') from error


def _inner(part: dict[str, Any], kind: str) -> dict[str, Any]:
    """The object that a part of this type holds under the type's name; an empty one where it does not."""
    held = part.get(kind)
    return held if isinstance(held, dict) else {}
