"""From a source to an encoded file: paths, URLs, bytes, file objects."""

import contextlib
import functools
import io
import os
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, BinaryIO

from .audio_checks import AudioDecodeError, one_line
from .audio_download import download
from .containers.audio_formats import identify

MAX_BYTES = 2**31  # encoded bytes taken from a file object
CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class EncodedAudio:
    """An audio file: its path, or its bytes. `name` is for messages."""

    content: str | bytes
    name: str

    @contextlib.contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """The file, open for reading and seeking; a path in the same way as bytes, so that both give the same."""
        try:
            with open(self.content, "rb") if isinstance(self.content, str) else io.BytesIO(self.content) as file:
                yield file
        except OSError as error:
            raise AudioDecodeError(self.name, f"cannot be read: {error.strerror or error}") from error

    @functools.cached_property
    def head(self) -> bytes:
        """The first bytes, by which a format is told."""
        with self.opened() as file:
            return file.read(64)

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
        raise AudioDecodeError(label, "is empty (0 bytes)")
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
    """What a file object holds: all of it, wherever it stands, unless audio begins only there.

    Whoever has written to it or looked into it has moved it. One that cannot go back gives what is still to come.
    """
    try:
        at = _position(file)
        if at:
            file.seek(0)
        content = read_all(file, MAX_BYTES, label)
    except AudioDecodeError:
        raise
    except (OSError, ValueError, TypeError, HTTPException) as error:
        raise AudioDecodeError(label, f"cannot be read: {one_line(error)}") from error
    if not 0 < at < len(content) or _is_audio(content):
        return content
    return content[at:] if _is_audio(content[at:]) else content


def _position(file: Any) -> int:
    """Where a file object stands; 0 if it cannot be moved."""
    try:
        return int(file.tell()) if file.seekable() else 0
    except (AttributeError, OSError, io.UnsupportedOperation):
        return 0


def _is_audio(content: bytes) -> bool:
    known = identify(io.BytesIO(content))
    return known is not None and known.has_beginning


def read_all(file: Any, limit: int, label: str) -> bytes:
    """Everything up to `limit` bytes; more than that is an error."""
    content = bytearray()
    while True:
        chunk = file.read(CHUNK_BYTES)
        if chunk is None:
            raise AudioDecodeError(label, "is a stream that has nothing to give now", "Read it, and pass the bytes.")
        if not isinstance(chunk, (bytes, bytearray, memoryview)):
            hint = "Open it with mode 'rb'." if isinstance(chunk, str) else None
            raise AudioDecodeError(label, f"reading it gives {type(chunk).__name__}, expected bytes", hint)
        if not chunk:
            return bytes(content)
        content += chunk
        if len(content) > limit:
            raise AudioDecodeError(label, f"is larger than {limit} bytes", "Save it to disk and pass its path.")


def _from_url(url: str, label: str) -> EncodedAudio:
    try:
        address = urllib.parse.urlsplit(url)
    except ValueError as error:
        raise AudioDecodeError(label, f"is no valid URL: {error}") from None
    if address.scheme == "file" and address.netloc in ("", "localhost"):
        return _from_path(urllib.request.url2pathname(address.path), label)
    if address.scheme in ("http", "https"):
        return EncodedAudio(download(url, label), label)
    hint = "Pass http(s):// or file:// URLs; for others open the file (with fsspec, for one) and pass the file object."
    raise AudioDecodeError(label, f"URL scheme {address.scheme!r} is not supported", hint)
