"""What stands before the page's server: who may speak to it, what browsers may load, what is said when it is busy."""

import ipaddress
import json
import socket
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

# What a browser may load for this page: from its own server only.
POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' data: blob:; form-action 'self'; base-uri 'self'"
)
ANY = "*"
BUSY = "The page is busy: {waiting} jobs are waiting already. Please try again in a minute."


class OwnServerOnly:
    """ASGI middleware that forbids browsers to load anything for this page from another server."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Adds the policy to the headers of each response."""

        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", []), (b"content-security-policy", POLICY.encode())]
                message = {**message, "headers": [*headers, (b"referrer-policy", b"no-referrer")]}
            await send(message)

        await self.app(scope, receive, send_with_policy)


class OwnNameOnly:
    """
    ASGI middleware that answers only requests to a name of this machine, and only those that come from the page itself.

    A page of somebody else that is open in the same browser could otherwise send clips and questions here (posts from
    another site), or, once its own name leads to this machine (DNS rebinding), read the answers, too. An address in
    numbers cannot be made to lead elsewhere, and is always answered.

    Args:
        app: What is guarded.
        own (`frozenset[str]`): Names of this machine, in lower case.
        proxies (`frozenset[str]`): Names under which visitors see it; with `"*"` all requests pass.
    """

    def __init__(self, app: Any, own: frozenset[str], proxies: frozenset[str]) -> None:
        self.app = app
        self.own, self.proxies = own, proxies

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Passes a request on, or refuses it with a sentence."""
        if scope["type"] in ("http", "websocket") and ANY not in self.proxies:
            reason = self._refusal(scope["headers"])
            if reason is not None:
                await (_close if scope["type"] == "websocket" else _refuse)(send, reason)
                return
        await self.app(scope, receive, send)

    def _refusal(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        given = {
            name: [value.decode("latin-1") for key, value in headers if key == name] for name in (b"host", b"origin")
        }
        if len(given[b"host"]) != 1:
            return "A request names one host."
        (host,) = given[b"host"]
        name = urlsplit(f"//{host}").hostname or ""
        if not self._is_ours(name):
            return (
                f"This page does not answer as {name!r}. If it is meant to, behind a proxy or under another name of "
                f"this machine, start it with --allow-host {name} (`hosts=[...]`)."
            )
        for origin in given[b"origin"]:
            page = urlsplit(origin)
            if page.netloc.lower() != host.lower() and (page.hostname or "") not in self.proxies:
                return "This page does not answer what another page sends."
        return None

    def _is_ours(self, name: str) -> bool:
        known = name in self.own or name in self.proxies
        return known or name == "localhost" or name.endswith(".localhost") or _is_address(name)


class BusyInWords:
    """ASGI middleware that tells visitors how many jobs are waiting, where gradio only says that its queue is full.

    gradio answers 503, in whose place the page shows words of its own; of 429 it shows what the server says.

    Args:
        app: What is guarded.
        waiting (`int`): Jobs that wait at most.
    """

    def __init__(self, app: Any, waiting: int) -> None:
        self.app = app
        self.waiting = waiting

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Passes everything on but the refusal of a job."""
        path = scope.get("path", "")
        if scope["type"] != "http" or not (path.endswith("/queue/join") or "/call/" in path):
            await self.app(scope, receive, send)
            return
        held: list[Any] = []

        async def send_or_hold(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] == 503:
                held.append(message)
            elif not held:
                await send(message)
            else:
                held.append(message)
                if not message.get("more_body"):
                    await self._answer(send, held)

        await self.app(scope, receive, send_or_hold)

    async def _answer(self, send: Any, held: list[Any]) -> None:
        text = b"".join(message.get("body", b"") for message in held[1:])
        if b"Queue is full" not in text:  # it is stopped
            for message in held:
                await send(message)
            return
        body = json.dumps({"detail": BUSY.format(waiting=self.waiting)}).encode()
        await _respond(send, 429, body, b"application/json", [(b"retry-after", b"60")])


def names_of_this_machine(host: str | None) -> frozenset[str]:
    """Names of this machine, and what the page listens on, in lower case."""
    own = socket.gethostname()
    short = own.partition(".")[0]
    return frozenset(name.lower() for name in (own, short, f"{short}.local", host) if name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


async def _refuse(send: Any, reason: str) -> None:
    await _respond(send, 403, reason.encode(), b"text/plain; charset=utf-8", [(b"x-content-type-options", b"nosniff")])


async def _close(send: Any, reason: str) -> None:
    await send({"type": "websocket.close", "code": 1008, "reason": reason[:120]})


async def _respond(send: Any, status: int, body: bytes, kind: bytes, more: list[tuple[bytes, bytes]]) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


__all__ = ["BusyInWords", "OwnNameOnly", "OwnServerOnly", "names_of_this_machine"]
