"""Clips wherever fsspec reaches, singly or in tar shards: found, with size and time of change, and read one by one."""

import datetime
import io
import os
import posixpath
import tarfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from ..audio.audio_folders import is_audio, is_litter
from ..pipelines.audio_files import FileState

_TARS = (".tar", ".tar.gz", ".tgz")
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")  # as the file systems call it


@dataclass(frozen=True)
class Unit:
    """A clip, or a tar shard of clips.

    Attributes:
        path: absolute path, or URI.
        size: its bytes.
        mtime_ns: when it was last changed, in nanoseconds; 0 where that is not known.
    """

    path: str
    size: int
    mtime_ns: int

    @property
    def is_shard(self) -> bool:
        """Whether it is a tar with clips in it, which are called `SHARD/member`."""
        return is_tar(self.path)


@dataclass(frozen=True)
class Clip:
    """A clip that was read.

    Attributes:
        file: its path and, of a member of a shard, size and time of change of the shard.
        content: the encoded bytes; None if it could not be read.
        reason: why it could not.
    """

    file: FileState
    content: bytes | None
    reason: str = ""


def is_tar(name: str) -> bool:
    """Whether a file of this name is a tar shard."""
    return name.lower().endswith(_TARS)


def find_units(inputs: Iterable[str], options: Mapping[str, Any] | None = None) -> tuple[list[Unit], list[str]]:
    """Clips and shards in the order of their names, each once, and the folders that were searched.

    Args:
        inputs: folders or files: paths, or URIs as `s3://bucket/sounds`.
        options: of the file system, as fsspec calls them.

    Raises:
        FileNotFoundError: one is not there.
        ValueError: fsspec does not know the protocol.
        ImportError: the package for the protocol is missing; its name is in the message.
    """
    found: dict[str, Unit] = {}
    folders = []
    for name in inputs:
        place = name if "://" in name else os.path.abspath(name)
        system, root = fsspec.core.url_to_fs(place, **(options or {}))
        if system.isdir(root):
            folders.append(place.rstrip("/"))
            infos = system.find(root, detail=True)
        else:
            infos = {root: system.info(root)}
        for path in sorted(infos):
            inside = posixpath.relpath(path, root)
            named = path == root
            if named or (_is_clip_or_shard(inside) and not any(map(is_litter, inside.split("/")))):
                uri = system.unstrip_protocol(path) if "://" in name else path
                is_local = isinstance(system, LocalFileSystem)
                time_ns = os.stat(path).st_mtime_ns if is_local else _mtime_ns(infos[path])  # a float is not so exact
                found[uri] = Unit(uri, int(infos[path].get("size") or 0), time_ns)
    return list(found.values()), folders


def _is_clip_or_shard(path: str) -> bool:
    return is_audio(posixpath.basename(path)) or is_tar(path)


def _mtime_ns(info: Mapping[str, Any]) -> int:
    """Nanoseconds, of what a file system says of a file."""
    value = next((info[key] for key in _TIMES if info.get(key)), 0)
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    if isinstance(value, datetime.datetime):
        value = value.timestamp()
    return round(float(value) * 1e9)


def read_clips(unit: Unit, known: Collection[str] = (), options: Mapping[str, Any] | None = None) -> Iterator[Clip]:
    """The clips of a unit, one in memory at a time; what cannot be read is a clip with a reason.

    Args:
        unit: the clip or shard.
        known: paths of members of the shard that are not wanted.
        options: of the file system.
    """
    state = FileState(unit.path, unit.size, unit.mtime_ns)
    try:
        with fsspec.open(unit.path, "rb", **(options or {})) as file:
            if unit.is_shard:
                yield from _members(unit, file, known)
            else:
                yield Clip(state, file.read())
    except Exception as error:  # every file system has exceptions of its own
        yield Clip(state, None, f"it cannot be read: {type(error).__name__}: {error}")


def _members(unit: Unit, file: Any, known: Collection[str]) -> Iterator[Clip]:
    with tarfile.open(fileobj=io.BufferedReader(file), mode="r|*") as shard:
        for member in shard:
            path = f"{unit.path}/{member.name.removeprefix('./')}"
            if member.isfile() and is_audio(posixpath.basename(member.name)) and path not in known:
                content = shard.extractfile(member)
                yield Clip(FileState(path, unit.size, unit.mtime_ns), content.read() if content else b"")


__all__ = ["Clip", "Unit", "find_units", "is_tar", "read_clips"]
