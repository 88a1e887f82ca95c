"""A download is whole or an error, ends in time, and goes nowhere but to http and https."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from sounds import chirp, written

from afm_hf.audio import audio_download
from afm_hf.audio.audio_loading import AudioDecodeError, decode_audio

BODY = written(chirp(1), format="OGG", subtype="OPUS")
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Starts a server that answers one connection after another with the given pieces; returns its URL."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    open_sockets: list[socket.socket] = []

    def start(*answers: list[bytes], pause_s: float = 0.0) -> str:
        listening = socket.create_server(("127.0.0.1", 0))
        open_sockets.append(listening)

        def run() -> None:
            for answer in answers:
                with contextlib.suppress(OSError):
                    connection, _ = listening.accept()
                    open_sockets.append(connection)
                    connection.recv(65_536)
                    for piece in answer:
                        connection.sendall(piece)
                        time.sleep(pause_s)
                    connection.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}/clip.opus"

    yield start
    for one in open_sockets:
        one.close()


def with_length(body: bytes, length: int) -> list[bytes]:
    return [OK + b"Content-Length: %d\r\n\r\n" % length + body]


def chunked(*pieces: bytes) -> list[bytes]:
    return [OK + b"Transfer-Encoding: chunked\r\n\r\n", *(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)]


def redirect(to: str) -> list[bytes]:
    return [b"HTTP/1.1 302 Found\r\nLocation: " + to.encode() + b"\r\nContent-Length: 0\r\n\r\n"]


def test_whole_answers_are_read(serve: Callable[..., str]) -> None:
    expected = decode_audio(BODY)[0]
    half = len(BODY) // 2
    for answer in (with_length(BODY, len(BODY)), chunked(BODY[:half], BODY[half:], b""), [OK + b"\r\n" + BODY]):
        np.testing.assert_array_equal(decode_audio(serve(answer))[0], expected)


@pytest.mark.parametrize("share", [0.1, 0.6, 0.99])
def test_less_than_was_announced_is_an_error(serve: Callable[..., str], share: float) -> None:
    part = BODY[: int(share * len(BODY))]
    with pytest.raises(AudioDecodeError, match=rf"the connection ended after {len(part)} of {len(BODY)} bytes"):
        decode_audio(serve(with_length(part, len(BODY))))


def test_chunks_that_stop_are_an_error(serve: Callable[..., str]) -> None:
    for answer in (chunked(BODY[:500]), [*chunked(BODY[:500]), b"400\r\n" + BODY[500:700]]):
        with pytest.raises(AudioDecodeError, match="download failed"):
            decode_audio(serve(answer))


@pytest.mark.parametrize(
    "dripping",
    [
        [OK, *(b"X-%d: y\r\n" % number for number in range(100))],  # headers without an end
        [OK + b"Content-Length: 1000\r\n\r\n", *([b"x"] * 100)],  # a body
        [b"H"] + [b"T"] * 100,  # the first line
    ],
)
def test_limit_of_time_covers_everything(
    serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch, dripping: list[bytes]
) -> None:
    monkeypatch.setattr(audio_download, "DOWNLOAD_TIMEOUT_S", 0.4)
    started = time.perf_counter()
    with pytest.raises(AudioDecodeError, match=r"did not arrive in 0\.4 s \(\d+ bytes so far\).*beforehand"):
        decode_audio(serve(dripping, pause_s=0.1))
    assert time.perf_counter() - started < 2
    for _ in range(50):  # the connection is given up, too
        if not any(thread.name == "audio download" for thread in threading.enumerate()):
            break
        time.sleep(0.1)
    assert not [thread for thread in threading.enumerate() if thread.name == "audio download"]


def test_redirects_that_never_end_are_bounded_in_time(
    serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio_download, "DOWNLOAD_TIMEOUT_S", 0.4)
    slow = serve([OK, *([b"X: y\r\n"] * 100)], pause_s=0.1)
    started = time.perf_counter()
    with pytest.raises(AudioDecodeError, match="did not arrive"):
        decode_audio(serve(redirect(slow)))
    assert time.perf_counter() - started < 2


def test_redirects_are_followed_within_http(serve: Callable[..., str]) -> None:
    url = serve(redirect(serve(with_length(BODY, len(BODY)))))
    np.testing.assert_array_equal(decode_audio(url)[0], decode_audio(BODY)[0])


@pytest.mark.parametrize("scheme", ["file", "ftp", "data", "FILE"])
def test_redirects_to_other_schemes_are_refused(serve: Callable[..., str], tmp_path, scheme: str) -> None:
    path = tmp_path / "secret.wav"
    path.write_bytes(written(chirp(1)))
    with pytest.raises(AudioDecodeError, match=r"not allowed|only http and https are followed"):
        decode_audio(serve(redirect(f"{scheme}://{path}")))


def test_body_of_a_redirect_is_not_read(serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    endless = [b"HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/a\r\n\r\n", *([b"x" * 65_536] * 50)]
    started = time.perf_counter()
    with pytest.raises(AudioDecodeError):
        decode_audio(serve(endless, pause_s=0.1))
    assert time.perf_counter() - started < 2
