"""Audio files: found in folders, decoded in batches, each bad one a failure of its own."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader, Dataset

from ..audio.audio_ahead import decoding_threads, mapped_ahead
from ..audio.audio_folders import AUDIO_SUFFIXES, is_audio, is_litter
from ..audio.audio_loading import AudioDecodeError
from ..models.clap_afm.embedding_clap_afm import extract_features
from ..models.clap_afm.timeline_clap_afm import TimelinePlan, extract_with_timeline
from .pipeline_audio_inputs import collate_features


def find_audio(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str]:
    """Audio files as absolute paths, each once, of one file or folder or of several.

    Folders are searched to their depths, in the order of names, for files with the suffix of an audio format; hidden
    ones, and what systems leave behind (`__MACOSX`), are left out. Files that are named are taken as they are, even
    where they do not exist.
    """
    found: dict[str, None] = {}
    for path in [paths] if isinstance(paths, str | os.PathLike) else paths:
        if not os.path.isdir(path):
            found[os.path.abspath(path)] = None
            continue
        for folder, folders, names in os.walk(os.path.abspath(path)):
            folders[:] = sorted(name for name in folders if not is_litter(name))
            for name in sorted(names):
                if is_audio(name):
                    found[os.path.join(folder, name)] = None
    return list(found)


@dataclass(frozen=True)
class FileState:
    """A file as it was when it was embedded.

    Attributes:
        path: absolute path.
        size: its bytes.
        mtime_ns: when it was last changed, in nanoseconds.
    """

    path: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> "FileState":
        """The file as it is now. Raises `OSError` if it is not there."""
        state = os.stat(path)
        return cls(os.path.abspath(path), state.st_size, state.st_mtime_ns)


@dataclass
class FeatureBatch:
    """Some files, decoded.

    Attributes:
        files: those that could be used.
        features: their features, a batch; None if there are none.
        failures: path and reason of the others.
    """

    files: list[FileState]
    features: dict[str, Any] | None
    failures: dict[str, str]


class _FileBatches(Dataset[FeatureBatch]):
    def __init__(
        self,
        extractor: Any,
        batches: Sequence[Sequence[str]],
        truncation: str | None,
        timeline: TimelinePlan | None,
    ) -> None:
        self.timeline = timeline
        self.extractor = extractor
        self.batches = batches
        self.truncation = truncation

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> FeatureBatch:
        files, items, failures = [], [], {}
        for path in self.batches[index]:
            try:
                state = FileState.of(path)  # before it is read: a file that changes meanwhile is taken for changed
                items.append(self._extract(path))
                files.append(state)
            except (AudioDecodeError, OSError) as error:
                failures[path] = reason_of(error)
        return FeatureBatch(files, collate_features(items) if items else None, failures)

    def _extract(self, path: str) -> Any:
        if self.timeline is None:
            return extract_features(self.extractor, path, None, self.truncation)
        return extract_with_timeline(self.extractor, path, self.timeline, None, self.truncation)


def reason_of(error: AudioDecodeError | OSError) -> str:
    """Why a file cannot be used, without its name."""
    if isinstance(error, AudioDecodeError):
        return f"{error.reason}. {error.hint}" if error.hint else error.reason
    return error.strerror or str(error)


def read_batches(
    extractor: Any,
    batches: Sequence[Sequence[str]],
    truncation: str | None = None,
    num_workers: int = 0,
    timeline: TimelinePlan | None = None,
) -> Iterator[FeatureBatch]:
    """Decode files batch by batch, while the batches before are used.

    A file that cannot be used is a failure of its batch, not an exception.

    Args:
        extractor: the feature extractor.
        batches: paths.
        truncation: what of a long clip is taken; None is the extractor's own setting.
        num_workers: processes that decode; with 0 a thread of this process does, or several where there are many files.
        timeline: the steps in time that are wanted, too.
    """
    dataset = _FileBatches(extractor, batches, truncation, timeline)
    if num_workers:
        yield from DataLoader(dataset, batch_size=None, num_workers=num_workers)
        return
    is_random = (truncation or getattr(extractor, "truncation", None)) == "random"  # one after the other, by the seed
    threads = 1 if is_random else decoding_threads(sum(map(len, batches)))
    yield from mapped_ahead(dataset.__getitem__, range(len(dataset)), threads)


def in_batches(paths: Sequence[str], batch_size: int) -> list[list[str]]:
    """Cut a list into lists of `batch_size`; `ValueError` if that is below 1."""
    if batch_size < 1:
        raise ValueError(f"The batch size is {batch_size}; expected 1 or more.")
    return [list(paths[start : start + batch_size]) for start in range(0, len(paths), batch_size)]


__all__ = ["AUDIO_SUFFIXES", "FeatureBatch", "FileState", "find_audio", "in_batches", "read_batches", "reason_of"]
