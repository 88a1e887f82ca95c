"""From a source to an encoded file: paths, URLs, bytes, file objects."""

import contextlib
import functools
import io
import math
import os
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, BinaryIO

from .audio_checks import AudioDecodeError, one_line

MAX_BYTES = 2**31  # encoded bytes taken from a file object
MAX_DOWNLOAD_BYTES = 2**29
DOWNLOAD_TIMEOUT_S = 60.0

CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class EncodedAudio:
    """An audio file: its path, or its bytes. `name` is for messages."""

    content: str | bytes
    name: str

    def open(self) -> BinaryIO:
        return open(self.content, "rb") if isinstance(self.content, str) else io.BytesIO(self.content)

    def read(self) -> bytes:
        if isinstance(self.content, bytes):
            return self.content
        with self.open() as file:
            return read_all(file, MAX_BYTES, self.name)

    @functools.cached_property
    def head(self) -> bytes:
        """The first bytes, by which a format is told."""
        try:
            with self.open() as file:
                return file.read(64)
        except OSError as error:
            raise AudioDecodeError(self.name, f"cannot be read: {error.strerror or error}") from error

    @contextlib.contextmanager
    def on_disk(self) -> Iterator[str]:
        """A path, for programs that read nothing else."""
        if isinstance(self.content, str):
            yield os.path.abspath(self.content)
            return
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "audio")
            with open(path, "wb") as file:
                file.write(self.content)
            yield path


def encoded(source: Any, label: str) -> EncodedAudio:
    """Path, URL, bytes or file object -> a file that has at least one byte."""
    if isinstance(source, str) and "://" in source:
        return _from_url(source, label)
    if isinstance(source, (str, os.PathLike)):
        return _from_path(source, label)
    if isinstance(source, (bytes, bytearray, memoryview)):
        content = bytes(source)
    elif callable(getattr(source, "read", None)):
        content = _from_file_object(source, label)
    else:
        expected = "expected a path, URL, bytes, binary file, array, tensor, list of floats, mapping or audio decoder"
        raise AudioDecodeError(label, f"came as {type(source).__name__}, {expected}")
    if not content:
        hint = "A file object is read from where it stands: seek(0) first." if hasattr(source, "seek") else None
        raise AudioDecodeError(label, "is empty (0 bytes)", hint)
    return EncodedAudio(content, label)


def _from_path(source: str | os.PathLike[str], label: str) -> EncodedAudio:
    path = os.fspath(source)
    path = os.fsdecode(path) if isinstance(path, bytes) else path
    try:
        size = os.stat(path).st_size
    except FileNotFoundError:
        hint = None if os.path.isabs(path) else f"The path is relative to {os.getcwd()}."
        raise AudioDecodeError(label, "no such file", hint) from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise AudioDecodeError(label, f"cannot be read: {one_line(error)}") from error
    if os.path.isdir(path):
        raise AudioDecodeError(label, "is a folder, expected a file", "Pass the files in it one by one.")
    if not os.path.isfile(path):
        raise AudioDecodeError(label, "is no regular file (a device or pipe?)", "Pass its content as bytes.")
    if not size:
        raise AudioDecodeError(label, "is empty (0 bytes)")
    return EncodedAudio(path, label)


def _from_file_object(file: Any, label: str) -> bytes:
    try:
        return read_all(file, MAX_BYTES, label)
    except (OSError, ValueError, TypeError, HTTPException) as error:
        if isinstance(error, AudioDecodeError):
            raise
        raise AudioDecodeError(label, f"cannot be read: {one_line(error)}") from error


def read_all(file: Any, limit: int, label: str, deadline: float = math.inf) -> bytes:
    """Everything up to `limit` bytes; more than that, or time after `deadline` (monotonic), is an error."""
    chunks: list[bytes] = []
    size = 0
    read = getattr(file, "read1", file.read)  # read1 gives what is there, so that a slow sender meets the deadline
    while True:
        chunk = read(CHUNK_BYTES)
        if not isinstance(chunk, bytes):
            hint = "Open it with mode 'rb'." if isinstance(chunk, str) else None
            raise AudioDecodeError(label, f"reading it gives {type(chunk).__name__}, expected bytes", hint)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            raise AudioDecodeError(label, f"is larger than {limit} bytes", "Save it to disk and pass its path.")
        if time.monotonic() > deadline:
            raise AudioDecodeError(label, f"did not arrive in time ({size} bytes so far)", "Download it beforehand.")


def _from_url(url: str, label: str) -> EncodedAudio:
    try:
        address = urllib.parse.urlsplit(url)
    except ValueError as error:
        raise AudioDecodeError(label, f"is no valid URL: {error}") from None
    if address.scheme == "file" and address.netloc in ("", "localhost"):
        return _from_path(urllib.request.url2pathname(address.path), label)
    if address.scheme in ("http", "https"):
        return EncodedAudio(_download(url, label), label)
    hint = "Pass http(s):// or file:// URLs; for others open the file (with fsspec, for one) and pass the file object."
    raise AudioDecodeError(label, f"URL scheme {address.scheme!r} is not supported", hint)


def _download(url: str, label: str) -> bytes:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        raise AudioDecodeError(label, "is a URL, and HF_HUB_OFFLINE is set", "Unset it, or pass a local file.")
    deadline = time.monotonic() + DOWNLOAD_TIMEOUT_S
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "afm-hf"})  # some hosts refuse urllib's own name
        with urllib.request.urlopen(request, timeout=min(20.0, DOWNLOAD_TIMEOUT_S)) as response:
            content = read_all(response, MAX_DOWNLOAD_BYTES, label, deadline)
    except AudioDecodeError:
        raise
    except urllib.error.HTTPError as error:
        raise AudioDecodeError(label, f"the server answered {error.code} {error.reason}") from None
    except (OSError, HTTPException, ValueError) as error:
        reason = one_line(getattr(error, "reason", error))
        raise AudioDecodeError(label, f"download failed: {reason}", "Offline? Pass a local file.") from None
    if not content:
        raise AudioDecodeError(label, "the server sent 0 bytes")
    return content
