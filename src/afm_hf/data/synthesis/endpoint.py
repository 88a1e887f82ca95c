"""Answers of a server that speaks OpenAI's chat completions (vLLM, llama.cpp, Ollama, hosted ones), by plain HTTP."""

import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .requests import Request, WriterError

_AGAIN = (408, 409, 429, 500, 502, 503, 504)  # answers after which the same request may succeed
_FINAL = (401, 403, 404)  # answers after which no request can succeed
_LONGEST_WAIT_S = 60.0


class EndpointWriter:
    """
    Writes answers by POST to `{url}/chat/completions`.

    Where JSON is asked for, the schema goes along as `response_format`. Answers that fail are tried again after 408,
    409, 429, 5xx and broken connections, later each time, or when the server says (`Retry-After`).

    Args:
        url: Of the API, as `http://localhost:8000/v1`.
        model: Name of the model there.
        api_key: Sent as bearer token; it is never written to a file.
        max_new_tokens: Length of an answer, in tokens, at most.
        temperature: 0: always the most probable token; above: drawn.
        seed: Of the draws, for servers that take one.
        parallel: Requests at a time.
        timeout_s: Seconds that an answer may take.
        tries: Attempts for each request.

    Raises:
        ImportError: without httpx, with the way to install it.
        ValueError: for a URL that is none.
    """

    def __init__(
        self,
        url: str,
        model: str,
        api_key: str | None = None,
        max_new_tokens: int = 400,
        temperature: float = 0.0,
        seed: int = 0,
        parallel: int = 4,
        timeout_s: float = 120.0,
        tries: int = 5,
    ) -> None:
        try:
            import httpx
        except ImportError as error:
            raise ImportError(
                f"Asking a server needs the `httpx` library ({error}). Install it with "
                "`pip install 'afm-hf[synthesis]'`."
            ) from error
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"The endpoint is {url!r}; expected a URL, as http://localhost:8000/v1.")
        self.url = f"{url.rstrip('/')}/chat/completions"
        self.model, self.max_new_tokens, self.temperature, self.seed = model, max_new_tokens, temperature, seed
        self.parallel, self.tries = parallel, tries
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.Client(headers=headers, timeout=timeout_s)

    def settings(self) -> dict[str, Any]:
        """What the answers depend on."""
        return {
            "model": self.model,
            "endpoint": self.url,
            "max_new_tokens": self.max_new_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
        }

    def write(self, requests: Sequence[Request]) -> list[str | WriterError]:
        """
        The answers; an error in the place of one that failed every time.

        Raises:
            WriterError: if no request can succeed: the server is not there, or refuses the key, the model or the form.
        """
        with ThreadPoolExecutor(self.parallel) as pool:
            return list(pool.map(self._answer, requests))

    def _answer(self, request: Request) -> str | WriterError:
        import httpx

        trouble, connected = "", False
        for attempt in range(self.tries):
            if attempt:
                time.sleep(self._wait_s)
            try:
                response = self._client.post(self.url, json=self._body(request))
            except httpx.ConnectError as error:
                trouble = f"{self.url} cannot be reached: {error}"
            except httpx.HTTPError as error:
                trouble, connected = f"{self.url}: {type(error).__name__} {error}", True
            else:
                connected = True
                if response.status_code == 200:
                    return self._content(response)
                trouble = f"{self.url} answers {response.status_code}: {response.text[:300]}"
                if response.status_code not in _AGAIN:
                    return self._refused(response.status_code, trouble, request)
                self._plan_wait(attempt, response.headers.get("retry-after", ""))
                continue
            self._plan_wait(attempt, "")
        if not connected:
            raise WriterError(f"{trouble}. Is the server running?")
        return WriterError(trouble)

    _wait_s = 0.0

    def _plan_wait(self, attempt: int, told: str) -> None:
        """Seconds until the next attempt: what the server says, or twice as long each time, and a little by chance."""
        wished = float(told) if told.replace(".", "", 1).isdigit() else 0.5 * 2**attempt * (1 + random.random() / 4)
        self._wait_s = min(wished, _LONGEST_WAIT_S)

    def _body(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": request.messages,
            "max_tokens": self.max_new_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
        }
        if request.schema is not None:
            named = {"name": "item", "schema": dict(request.schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        return body

    def _content(self, response: Any) -> str | WriterError:
        try:
            text = response.json()["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError):
            return WriterError(f"{self.url} answers without `choices`: {response.text[:300]}")
        return text if isinstance(text, str) and text.strip() else WriterError("the answer is empty")

    def _refused(self, status: int, trouble: str, request: Request) -> WriterError:
        """An error for one request; or raised, where all others would fail as well."""
        if status in _FINAL:
            raise WriterError(f"{trouble}. Check the URL, the model's name and the key.")
        if status in (400, 422) and request.schema is not None and "format" in trouble.lower():
            raise WriterError(f"{trouble}. A server that takes no JSON schema can be asked for lines: `--form lines`.")
        return WriterError(trouble)


__all__ = ["EndpointWriter"]
