"""Audio from http and https: all of it or an error, within one limit of time that covers everything."""

import os
import socket
import threading
import urllib.error
import urllib.request
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any

from .audio_checks import AudioDecodeError, one_line

MAX_DOWNLOAD_BYTES = 2**29
DOWNLOAD_TIMEOUT_S = 60.0

_SILENCE_S = 20.0  # a server that says nothing for so long is given up
_CHUNK_BYTES = 2**16
_SCHEMES = ("http", "https")


def download(url: str, label: str) -> bytes:
    """The content of an http(s) URL.

    A thread does the work, for neither the look-up of a name nor a server that sends a byte now and then can be
    bounded from within.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        raise AudioDecodeError(label, "is a URL, and HF_HUB_OFFLINE is set", "Unset it, or pass a local file.")
    job = _Download(url, label)
    worker = threading.Thread(target=job.run, daemon=True, name="audio download")
    worker.start()
    worker.join(DOWNLOAD_TIMEOUT_S)
    if worker.is_alive():
        job.give_up()
        reason = f"did not arrive in {DOWNLOAD_TIMEOUT_S:g} s ({len(job.content)} bytes so far)"
        raise AudioDecodeError(label, reason, "Download it beforehand.")
    if job.error is not None:
        raise job.error
    return bytes(job.content)


class _Download:
    """One download: what came, or what went wrong."""

    def __init__(self, url: str, label: str) -> None:
        self.url = url
        self.label = label
        self.content = bytearray()
        self.error: AudioDecodeError | None = None
        self._sockets: list[socket.socket] = []
        self._given_up = False

    def run(self) -> None:
        try:
            self._fetch()
        except AudioDecodeError as error:
            self.error = error
        except urllib.error.HTTPError as error:
            error.close()
            self.error = AudioDecodeError(self.label, f"the server answered {error.code} {one_line(error.reason)}")
        except (
            OSError,
            HTTPException,
            ValueError,
            AttributeError,
        ) as error:  # AttributeError: a socket that was closed
            reason = one_line(getattr(error, "reason", error))
            self.error = AudioDecodeError(self.label, f"download failed: {reason}", "Offline? Pass a local file.")
        except MemoryError:
            self.error = AudioDecodeError(self.label, "does not fit into memory")

    def give_up(self) -> None:
        """Ends the connections, so that the thread ends too."""
        self._given_up = True
        for connected in self._sockets:
            try:
                connected.shutdown(socket.SHUT_RDWR)
            except OSError:  # it is closed already
                continue

    def _fetch(self) -> None:
        request = urllib.request.Request(self.url, headers={"User-Agent": "afm-hf"})  # some refuse urllib's own name
        with _opener(self._sockets).open(request, timeout=min(_SILENCE_S, DOWNLOAD_TIMEOUT_S)) as response:
            while not self._given_up and (chunk := response.read1(_CHUNK_BYTES)):
                self.content += chunk
                if len(self.content) > MAX_DOWNLOAD_BYTES:
                    reason = f"is larger than {MAX_DOWNLOAD_BYTES} bytes"
                    raise AudioDecodeError(self.label, reason, "Save it to disk and pass its path.")
            self._check_length(response)
        if not self.content:
            raise AudioDecodeError(self.label, "the server sent 0 bytes")

    def _check_length(self, response: HTTPResponse) -> None:
        """A connection that ends early looks like one that ends; only the header tells."""
        said = response.headers.get("Content-Length", "")
        if said.isdecimal() and not response.chunked and len(self.content) < int(said):
            reason = f"the connection ended after {len(self.content)} of {said} bytes"
            raise AudioDecodeError(self.label, reason, "Try again.")


# ---------------------------------------------------------------------------------------------------------------------
# Connections of urllib that can be ended, and that nothing but http and https is followed to
# ---------------------------------------------------------------------------------------------------------------------


def _opener(sockets: list[socket.socket]) -> urllib.request.OpenerDirector:
    """Like urllib's own, without file, ftp and data URLs."""

    class Connection(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            sockets.append(self.sock)

    class SecureConnection(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            sockets.append(self.sock)

    class Plain(urllib.request.HTTPHandler):
        def http_open(self, request: urllib.request.Request) -> Any:
            return self.do_open(Connection, request)

    class Secure(urllib.request.HTTPSHandler):
        def https_open(self, request: urllib.request.Request) -> Any:
            return self.do_open(SecureConnection, request)

    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        Plain(),
        Secure(),
        _Redirects(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


class _Redirects(urllib.request.HTTPRedirectHandler):
    """urllib would follow to ftp, too."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        fp.close()  # or urllib would read all of its body
        scheme = newurl.partition(":")[0].lower()
        if scheme not in _SCHEMES:
            raise OSError(f"the server redirects to a {scheme}: URL, and only http and https are followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


__all__ = ["download"]
