"""Audio retrieval: embed files into an index, then search it with words or with audio.

`embed_files` can be killed at any moment: what is done lies in a folder beside the output, in chunks, and the next run
goes on from there. An index remembers by which weights it was made, and refuses others.
"""

import os
import shutil
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..models.common.writing_afm import WriteError, check_file
from ..pipelines.audio_files import FileState, find_audio, in_batches, read_batches
from .embedder import ClapEmbedder, Embeddings, as_embedder, settings_of
from .embedding_steps import check_names, none_usable, progress_bar, report
from .index import AudioIndex, Hit, IndexMismatchError, Job, check_output


def embed_files(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    model: str | os.PathLike[str] | ClapEmbedder = "clap-small",
    *,
    batch_size: int = 16,
    truncation: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    num_workers: int = 0,
    progress: bool = False,
    checkpoint_s: float = 10.0,
    overwrite: bool = False,
) -> AudioIndex:
    """Embed audio files and write an index; go on where an earlier run was stopped.

    Files that an existing output, or the unfinished work beside it (`<output>.partial`), holds unchanged (same size and
    time of change) are not embedded again. Files that are not asked for any more are dropped.

    Args:
        paths: files and folders, or one; see `find_audio`.
        output: the index, `*.safetensors` or `*.parquet`.
        model: a CLAP: name of a bundled checkpoint, folder, Hub id, or an embedder.
        batch_size: files per forward pass.
        truncation: what of a long clip is taken: "first", "center", "random" or all "windows"; None is the feature
            extractor's own setting.
        device: "cpu", "cuda", ...; None takes a GPU if there is one.
        dtype: number format of the model, see `pick_dtype`; None is the checkpoint's own, exact. The index keeps it in
            mind.
        num_workers: processes that decode; with 0 threads of this one do, while the model works.
        progress: show a progress bar on stderr, and name files there that cannot be used.
        checkpoint_s: seconds between two savings of unfinished work.
        overwrite: start anew, whatever there is.

    Returns:
        The index as written; `failures` names the files that could not be used.

    Raises:
        IndexMismatchError: the output, or unfinished work, was made by another model or with another truncation.
        ValueError: there is no audio file, none can be used, or a setting makes no sense.
        ImportError: pyarrow is missing, for Parquet.
        WriteError: (an `OSError`) the output cannot be written. The same call goes on once it can.
    """
    suffix = check_output(output)
    check_file(output, "the index", make_folder=True)
    files = find_audio(paths)
    if not files:
        raise ValueError("There are no audio files in what was given.")
    if suffix == ".parquet":
        check_names(files, "Parquet")
    batches = in_batches(files, batch_size)
    embedder = as_embedder(model, device, dtype)
    job = Job(embedder.name, embedder.fingerprint, settings_of(embedder, truncation))
    work = _UnfinishedWork(Path(output), job, embedder.width, checkpoint_s)
    if overwrite:
        work.discard()
    else:
        work.load_finished(Path(output))
        work.load()
    work.check_space(files)
    failures = _embed_missing(work, batches, embedder, truncation, num_workers, progress)
    done = [path for path in files if path in work.done]
    if not done:
        raise none_usable(len(files), failures)
    embeddings = np.stack([work.done[path][1] for path in done])
    index = AudioIndex(embeddings, [work.done[path][0] for path in done], **asdict(job), failures=failures)
    index.save(output)
    work.discard_folder()
    return index


def _embed_missing(
    work: "_UnfinishedWork",
    batches: list[list[str]],
    embedder: ClapEmbedder,
    truncation: str | None,
    num_workers: int,
    progress: bool,
) -> dict[str, str]:
    """Embed what is not done yet; returns the failures. Batches keep their places, so that a restart changes no bit."""
    todo = [[path for path in batch if not work.holds(path)] for batch in batches]
    todo = [batch for batch in todo if batch]
    failures: dict[str, str] = {}
    bar = progress_bar(sum(map(len, batches)), sum(map(len, batches)) - sum(map(len, todo))) if progress else None
    try:
        for batch in read_batches(embedder.feature_extractor, todo, truncation, num_workers):
            if batch.features is not None:
                work.add(batch.files, embedder.embed_features(batch.features))
            failures.update(batch.failures)
            if bar is not None:
                report(bar, len(batch.files), batch.failures)
    finally:
        work.flush()  # also when it ends in an error or by the user's hand
        if bar is not None:
            bar.close()
    return failures


class _UnfinishedWork:
    """What is embedded so far, in memory and, as chunks, in the folder `<output>.partial`.

    A chunk appears whole or not at all. A run only adds chunks; of two that hold one file the later counts.

    Args:
        output: the finished index.
        job: what made it.
        width: numbers of an embedding.
        checkpoint_s: seconds between two savings.
    """

    def __init__(self, output: Path, job: Job, width: int, checkpoint_s: float) -> None:
        self.output = output
        self.folder = output.with_name(output.name + ".partial")
        if self.folder.exists() and not self.folder.is_dir():
            raise WriteError(f"Unfinished work is kept in the folder {self.folder}, but that is a file. Move it away.")
        self.job = job
        self.width = width
        self.checkpoint_s = checkpoint_s
        self.done: dict[str, tuple[FileState, Embeddings]] = {}
        self._unsaved: list[str] = []
        self._saved_at = time.monotonic()
        self._next_chunk = 0

    def load_finished(self, output: Path) -> None:
        """Take over what a finished index holds."""
        if output.is_file():
            index = AudioIndex.load(output)
            self._take(index, f"The index {output}")

    def load(self) -> None:
        """Take over the chunks of an earlier run; a damaged one is left out, so that its files are embedded again."""
        for path in sorted(self.folder.glob("*.safetensors")):
            self._next_chunk = int(path.stem) + 1
            try:
                chunk = AudioIndex.load(path)
            except ValueError as error:
                warnings.warn(f"left out: {error}", stacklevel=2)
                continue
            self._take(chunk, f"The unfinished work in {self.folder}")

    def _take(self, index: AudioIndex, what: str) -> None:
        self.job.check(Job(index.model, index.fingerprint, index.settings), what)
        self.done.update((file.path, (file, row)) for file, row in zip(index.files, index.embeddings, strict=True))

    def check_space(self, files: Sequence[str]) -> None:
        """Raise `WriteError` if there is not enough room for the index, and for what is not saved yet beside it."""
        row = 4 * self.width + 32  # bytes, with size and time of the file
        unsaved = [path for path in files if path not in self.done]
        needed = sum(row + len(os.fsencode(path)) for path in (*files, *unsaved))
        check_file(self.output, "the index", needed, make_folder=True)

    def holds(self, path: str) -> bool:
        """Whether a file is embedded as it is now. If it has changed or is gone, it is forgotten."""
        if path not in self.done:
            return False
        try:
            if FileState.of(path) == self.done[path][0]:
                return True
        except OSError:
            pass
        del self.done[path]
        return False

    def add(self, files: list[FileState], embeddings: Embeddings) -> None:
        """Note embeddings, and save them if the last time is long enough ago."""
        self.done.update((file.path, (file, row)) for file, row in zip(files, embeddings, strict=True))
        self._unsaved += [file.path for file in files]
        if time.monotonic() - self._saved_at >= self.checkpoint_s:
            self.flush()

    def flush(self) -> None:
        """Save what is not saved yet as a chunk."""
        if self._unsaved:
            entries = [self.done[path] for path in self._unsaved]
            rows = np.stack([row for _, row in entries])
            chunk = AudioIndex(rows, [file for file, _ in entries], **asdict(self.job))
            chunk.save(self.folder / f"{self._next_chunk:08d}.safetensors")
            self._next_chunk += 1
            self._unsaved = []
        self._saved_at = time.monotonic()

    def discard(self) -> None:
        """Remove unfinished work and the finished index."""
        self.discard_folder()
        self.output.unlink(missing_ok=True)

    def discard_folder(self) -> None:
        """Remove unfinished work."""
        shutil.rmtree(self.folder, ignore_errors=True)


__all__ = ["AudioIndex", "ClapEmbedder", "Hit", "IndexMismatchError", "embed_files"]
