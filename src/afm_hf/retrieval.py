"""Audio retrieval: embed files into an index, then search it with words or with audio.

`embed_files` can be killed at any moment: what is done lies in a folder beside the output, in chunks, and the next run
goes on from there. An index remembers by which weights it was made, and refuses others.
"""

import hashlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch.utils.data import DataLoader, Dataset

from .hub import ASSETS, bundled_model
from .models.audio_utils import AudioDecodeError
from .models.pipeline_audio_inputs import collate_features
from .models.pipeline_zero_shot_audio_classification import (
    embed_audio,
    embed_texts,
    extract_features,
    logit_scale,
)

if TYPE_CHECKING:
    from tqdm import tqdm

AUDIO_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in "wav flac ogg oga opus mp3 m4a mp4 aac webm aif aiff aifc au snd caf wma mka".split()  # noqa: SIM905
)
INDEX_VERSION = 1
_METADATA = "afm_hf"  # safetensors writes several keys in no fixed order; one holds everything, as JSON
_HEADER_LIMIT = 90_000_000  # safetensors refuses headers above 100 MB

Embeddings = npt.NDArray[np.float32]


class IndexMismatchError(ValueError):
    """An index was made by another model, or with other settings, than the ones now in use."""


# ---------------------------------------------------------------------------------------------------------------------
# The model
# ---------------------------------------------------------------------------------------------------------------------


def resolve_model(model: str | os.PathLike[str] = "clap-tiny") -> str:
    """Folder or Hub id for `from_pretrained`: a folder as it is, the name of a bundled checkpoint, or else a Hub id.

    Raises:
        ValueError: there is no such folder, or `clap-tiny` is asked for, but is not bundled.
    """
    name = os.fspath(model)
    if Path(name).is_dir():
        return os.path.abspath(name)
    if name == "clap-tiny" or (ASSETS / name / "config.json").is_file():
        return str(bundled_model(name))
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name:
        raise ValueError(f"There is no folder {name!r} with a model in it.")
    return name


def load_clap(model: str | os.PathLike[str] = "clap-tiny", dtype: str | None = None) -> tuple[Any, Any, Any]:
    """Model (in evaluation mode), feature extractor and tokenizer.

    Args:
        model: the name of a bundled checkpoint, a folder, or a Hub id.
        dtype: "float32", "bfloat16", ...; None keeps the checkpoint's.

    Raises:
        ValueError: the model does not embed audio and text apart.
        OSError: there is no such checkpoint.
    """
    from transformers import AutoFeatureExtractor, AutoModel, AutoTokenizer

    source, name = resolve_model(model), os.fspath(model)
    try:
        loaded = AutoModel.from_pretrained(source, dtype=dtype or "auto").eval()
        if logit_scale(loaded) is None:
            raise ValueError(f"{name} holds a {type(loaded).__name__}, which does not embed audio and text apart.")
        extractor, tokenizer = AutoFeatureExtractor.from_pretrained(source), AutoTokenizer.from_pretrained(source)
    except OSError as error:
        raise OSError(f"The model {name!r} cannot be loaded: {error}") from error
    return loaded, extractor, tokenizer


def pick_device(device: str | None = None) -> torch.device:
    """The device of that name; None takes a GPU if there is one. `ValueError` if it cannot be used."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"The device {device!r} cannot be used: {str(error).splitlines()[0]}") from None
    return torch.device(device)


class ClapEmbedder:
    """A CLAP that embeds audio and text into one space.

    Attributes:
        name: what was asked for: the name of a bundled checkpoint, a folder (absolute) or a Hub id.
        model, feature_extractor, tokenizer: its parts.
        fingerprint: SHA-256 of weights and settings, 64 hexadecimal digits. Same fingerprint, same embeddings.
    """

    def __init__(
        self, model: str | os.PathLike[str] = "clap-tiny", device: str | None = None, dtype: str | None = None
    ) -> None:
        """Load a checkpoint.

        Args:
            model: the name of a bundled checkpoint, a folder, or a Hub id.
            device: "cpu", "cuda", ...; None takes a GPU if there is one.
            dtype: "float32", "bfloat16", ...; None keeps the checkpoint's.

        Raises:
            ValueError: the model does not embed audio and text apart, or there is no such device.
            OSError: there is no such checkpoint.
        """
        place = pick_device(device)
        self.name = resolve_model(model) if Path(os.fspath(model)).is_dir() else os.fspath(model)
        self.model, self.feature_extractor, self.tokenizer = load_clap(model, dtype)
        self.fingerprint = fingerprint(self.model, self.feature_extractor, self.tokenizer)
        self.model.to(place)

    @torch.no_grad()
    def embed_text(self, texts: Sequence[str]) -> Embeddings:
        """Embeddings of texts, float32 `(texts, dim)`, L2-normalised.

        Raises:
            ValueError: there are none, or one is blank.
        """
        if not texts or any(not text.strip() for text in texts):
            raise ValueError(f"Expected one or more texts that are not blank, but was given {list(texts)!r}.")
        return _to_numpy(embed_texts(self.model, self.tokenizer, texts))

    def embed_audio(self, clips: Sequence[Any], truncation: str | None = None) -> Embeddings:
        """Embeddings of clips, float32 `(clips, dim)`, L2-normalised; see `load_audio` for what a clip may be.

        Raises:
            AudioDecodeError: (a `ValueError`) a clip cannot be used.
        """
        items = [extract_features(self.feature_extractor, clip, truncation=truncation) for clip in clips]
        return self.embed_features(collate_features(items))

    @torch.no_grad()
    def embed_features(self, features: dict[str, torch.Tensor]) -> Embeddings:
        """Embeddings of the feature extractor's output, float32 `(batch, dim)`, L2-normalised."""
        moved = {name: _move(tensor, self.model.device, self.model.dtype) for name, tensor in features.items()}
        return _to_numpy(embed_audio(self.model, moved))


def fingerprint(model: Any, feature_extractor: Any, tokenizer: Any) -> str:
    """SHA-256, in hexadecimal, of all that embeddings depend on: weights, configs, feature extractor, tokenizer."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    # What says where a checkpoint lay, or by which release it was written, changes no embedding.
    volatile = {"_name_or_path", "name_or_path", "transformers_version", "processor_class", "architectures"}
    for part in (model.config, feature_extractor):
        digest.update(json.dumps(_without(part.to_dict(), volatile), sort_keys=True, default=str).encode())
    backend = getattr(tokenizer, "backend_tokenizer", None)
    text = backend.to_str() if backend is not None else json.dumps(tokenizer.get_vocab(), sort_keys=True)
    digest.update(_without_padding(text).encode())
    return digest.hexdigest()


def _without(tree: Any, names: set[str]) -> Any:
    if isinstance(tree, dict):
        return {str(key): _without(value, names) for key, value in tree.items() if key not in names}
    return [_without(value, names) for value in tree] if isinstance(tree, list | tuple) else tree


def _without_padding(tokenizer_json: str) -> str:
    """A tokenizer's JSON without the padding and truncation that its last call has left in it."""
    tree = json.loads(tokenizer_json)
    return json.dumps(_without(tree, {"padding", "truncation"}), sort_keys=True)


def _move(tensor: torch.Tensor, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    return tensor.to(device, dtype) if tensor.is_floating_point() else tensor.to(device)


def _to_numpy(embeddings: torch.Tensor) -> Embeddings:
    return embeddings.float().cpu().numpy()


# ---------------------------------------------------------------------------------------------------------------------
# The index
# ---------------------------------------------------------------------------------------------------------------------


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


@dataclass(frozen=True)
class Hit:
    """A found file.

    Attributes:
        path: the file.
        score: cosine similarity with the query, -1 to 1.
        row: its row in the index.
    """

    path: str
    score: float
    row: int


@dataclass
class AudioIndex:
    """Embeddings of audio files, and by which model they were made.

    Attributes:
        embeddings: float32 `(files, dim)`, L2-normalised.
        files: the files, row by row.
        model: name of the model: of a bundled checkpoint, a folder or a Hub id.
        fingerprint: of the model, see `fingerprint`.
        settings: what else the embeddings depend on: `truncation` (None: the feature extractor's own).
        failures: path and reason of files that could not be used.
    """

    embeddings: Embeddings
    files: list[FileState]
    model: str
    fingerprint: str
    settings: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.embeddings.ndim != 2 or len(self.embeddings) != len(self.files):
            raise ValueError(
                f"An index needs one embedding per file, but has embeddings of shape {self.embeddings.shape} and "
                f"{len(self.files)} files."
            )

    def __len__(self) -> int:
        return len(self.files)

    @property
    def paths(self) -> list[str]:
        """The files' paths, row by row."""
        return [file.path for file in self.files]

    def search(self, queries: Embeddings, top_k: int = 10) -> list[list[Hit]]:
        """The files nearest to each query, best first.

        Args:
            queries: float32 `(queries, dim)`, L2-normalised, of the model that made the index.
            top_k: how many to return; fewer if the index has fewer.

        Raises:
            ValueError: the queries have another width than the index, or `top_k` is below 1.
        """
        if queries.ndim != 2 or queries.shape[1] != self.embeddings.shape[1]:
            raise ValueError(
                f"The queries have shape {queries.shape}; expected (queries, {self.embeddings.shape[1]}), the width of "
                "the index."
            )
        if top_k < 1:
            raise ValueError(f"`top_k` is {top_k}; expected 1 or more.")
        scores = queries @ self.embeddings.T  # (queries, dim) @ (dim, files)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
        return [
            [Hit(self.files[row].path, float(line[row]), int(row)) for row in rows]
            for line, rows in zip(scores, order, strict=True)
        ]

    def check_model(self, embedder: ClapEmbedder) -> None:
        """Raise `IndexMismatchError` unless this model made the index."""
        if embedder.fingerprint != self.fingerprint:
            raise IndexMismatchError(
                f"The index was made by {self.model} (fingerprint {self.fingerprint[:12]}), but the model given is "
                f"{embedder.name} (fingerprint {embedder.fingerprint[:12]}): their embeddings cannot be compared. Use "
                "the model that made the index, or make the index anew."
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to `*.safetensors` or `*.parquet`, whole or not at all.

        Raises:
            ValueError: the name ends otherwise, or a safetensors header cannot hold that many paths.
            ImportError: pyarrow is missing, for Parquet.
        """
        target = Path(path)
        write = _write_parquet if check_output(target) == ".parquet" else _write_safetensors
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            write(self, temporary)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "AudioIndex":
        """Read an index.

        Raises:
            ValueError: the file is no index, is damaged, or was written by a newer release.
            FileNotFoundError: there is no such file.
            ImportError: pyarrow is missing, for Parquet.
        """
        source = Path(path)
        suffix = check_output(source)
        if not source.is_file():
            raise FileNotFoundError(f"There is no index {source}. Make one with `afm-hf embed DIR --output {source}`.")
        embeddings, files, metadata = (_read_parquet if suffix == ".parquet" else _read_safetensors)(source)
        if metadata.get("version") != INDEX_VERSION:
            raise ValueError(
                f"{source} is an index of version {metadata.get('version')}; this release reads version "
                f"{INDEX_VERSION}. Update afm-hf, or make the index anew."
            )
        kept = {name: metadata[name] for name in ("model", "fingerprint", "settings", "failures")}
        return cls(embeddings, [FileState(*file) for file in files], **kept)

    def _metadata(self) -> dict[str, Any]:
        return {
            "version": INDEX_VERSION,
            "model": self.model,
            "fingerprint": self.fingerprint,
            "settings": self.settings,
            "failures": self.failures,
        }


def check_output(path: str | os.PathLike[str]) -> str:
    """The suffix of an index file, lower case; `ValueError` for other suffixes, `ImportError` if pyarrow is missing."""
    suffix = Path(path).suffix.lower()
    if suffix == ".parquet":
        _pyarrow()
    elif suffix != ".safetensors":
        raise ValueError(f"The name of an index ends in .safetensors or .parquet, but {os.fspath(path)!r} was given.")
    return suffix


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            "Parquet needs pyarrow: run `pip install 'afm-hf[parquet]'`, or write a .safetensors file."
        ) from error
    return pyarrow


def _write_safetensors(index: AudioIndex, path: Path) -> None:
    metadata = json.dumps({**index._metadata(), "files": [list(asdict(file).values()) for file in index.files]})
    if len(metadata) > _HEADER_LIMIT:
        raise ValueError(f"{len(index)} paths are too many for a safetensors header (100 MB). Write a .parquet file.")
    save_file({"embeddings": np.ascontiguousarray(index.embeddings)}, path, metadata={_METADATA: metadata})


def _read_safetensors(path: Path) -> tuple[Embeddings, list[Any], dict[str, Any]]:
    try:
        with safe_open(path, "np") as file:
            metadata = json.loads((file.metadata() or {})[_METADATA])
            return file.get_tensor("embeddings"), metadata["files"], metadata
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not an index of afm-hf, or is damaged ({error}).") from error


def _write_parquet(index: AudioIndex, path: Path) -> None:
    arrow = _pyarrow()
    rows, dim = index.embeddings.shape
    values = arrow.array(index.embeddings.reshape(rows * dim))
    table = arrow.table(
        {
            "path": arrow.array(index.paths, arrow.string()),
            "embedding": arrow.FixedSizeListArray.from_arrays(values, dim),
            "size": arrow.array([file.size for file in index.files], arrow.int64()),
            "mtime_ns": arrow.array([file.mtime_ns for file in index.files], arrow.int64()),
        }
    ).replace_schema_metadata({_METADATA: json.dumps(index._metadata())})
    arrow.parquet.write_table(table, path)


def _read_parquet(path: Path) -> tuple[Embeddings, list[Any], dict[str, Any]]:
    arrow = _pyarrow()
    try:
        table = arrow.parquet.read_table(path)
        metadata = json.loads(table.schema.metadata[_METADATA.encode()])
        column = table["embedding"].combine_chunks()
        embeddings = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), column.type.list_size)
        files = zip(*(table[name].to_pylist() for name in ("path", "size", "mtime_ns")), strict=True)
        return embeddings, list(files), metadata
    except (arrow.ArrowInvalid, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not an index of afm-hf, or is damaged ({error}).") from error


# ---------------------------------------------------------------------------------------------------------------------
# Files, in batches
# ---------------------------------------------------------------------------------------------------------------------


def find_audio(paths: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Audio files as absolute paths, each once.

    Folders are searched to their depths, in the order of names, for files with the suffix of an audio format; hidden
    ones are left out. Files that are named are taken as they are, even where they do not exist.
    """
    found: dict[str, None] = {}
    for path in paths:
        if not os.path.isdir(path):
            found[os.path.abspath(path)] = None
            continue
        for folder, folders, names in os.walk(os.path.abspath(path)):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if Path(name).suffix.lower() in AUDIO_SUFFIXES and not name.startswith("."):
                    found[os.path.join(folder, name)] = None
    return list(found)


@dataclass
class FeatureBatch:
    """Some files, decoded.

    Attributes:
        files: those that could be used.
        features: their features, a batch; None if there are none.
        failures: path and reason of the others.
    """

    files: list[FileState]
    features: dict[str, torch.Tensor] | None
    failures: dict[str, str]


class _FileBatches(Dataset[FeatureBatch]):
    def __init__(self, extractor: Any, batches: Sequence[Sequence[str]], truncation: str | None) -> None:
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
                items.append(extract_features(self.extractor, path, truncation=self.truncation))
                files.append(state)
            except AudioDecodeError as error:
                failures[path] = f"{error.reason}. {error.hint}" if error.hint else error.reason
            except OSError as error:
                failures[path] = error.strerror or str(error)
        return FeatureBatch(files, collate_features(items) if items else None, failures)


def read_batches(
    extractor: Any, batches: Sequence[Sequence[str]], truncation: str | None = None, num_workers: int = 0
) -> Iterator[FeatureBatch]:
    """Decode files batch by batch; one that cannot be used is a failure of its batch, not an exception.

    Args:
        extractor: the feature extractor.
        batches: paths.
        truncation: what of a long clip is taken; None is the extractor's own setting.
        num_workers: processes that decode; 0 decodes here.
    """
    dataset = _FileBatches(extractor, batches, truncation)
    yield from DataLoader(dataset, batch_size=None, num_workers=num_workers)


def in_batches(paths: Sequence[str], batch_size: int) -> list[list[str]]:
    """Cut a list into lists of `batch_size`; `ValueError` if that is below 1."""
    if batch_size < 1:
        raise ValueError(f"The batch size is {batch_size}; expected 1 or more.")
    return [list(paths[start : start + batch_size]) for start in range(0, len(paths), batch_size)]


# ---------------------------------------------------------------------------------------------------------------------
# Embedding many files
# ---------------------------------------------------------------------------------------------------------------------


def embed_files(
    paths: Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    model: str | os.PathLike[str] | ClapEmbedder = "clap-tiny",
    *,
    batch_size: int = 16,
    truncation: str | None = None,
    device: str | None = None,
    num_workers: int = 0,
    progress: bool = False,
    checkpoint_s: float = 10.0,
    overwrite: bool = False,
) -> AudioIndex:
    """Embed audio files and write an index; go on where an earlier run was stopped.

    Files that an existing output, or the unfinished work beside it (`<output>.partial`), holds unchanged (same size and
    time of change) are not embedded again. Files that are not asked for any more are dropped.

    Args:
        paths: files and folders; see `find_audio`.
        output: the index, `*.safetensors` or `*.parquet`.
        model: a CLAP: name of a bundled checkpoint, folder, Hub id, or an embedder.
        batch_size: files per forward pass.
        truncation: what of a long clip is taken: "first", "center", "random" or all "windows"; None is the feature
            extractor's own setting.
        device: "cpu", "cuda", ...; None takes a GPU if there is one.
        num_workers: processes that decode; 0 decodes here.
        progress: show a progress bar on stderr, and name files there that cannot be used.
        checkpoint_s: seconds between two savings of unfinished work.
        overwrite: start anew, whatever there is.

    Returns:
        The index as written; `failures` names the files that could not be used.

    Raises:
        IndexMismatchError: the output, or unfinished work, was made by another model or with another truncation.
        ValueError: there is no audio file, none can be used, or a setting makes no sense.
        ImportError: pyarrow is missing, for Parquet.
    """
    check_output(output)
    files = find_audio(paths)
    if not files:
        raise ValueError("There are no audio files in what was given.")
    batches = in_batches(files, batch_size)
    embedder = model if isinstance(model, ClapEmbedder) else ClapEmbedder(model, device)
    job: dict[str, Any] = {
        "model": embedder.name,
        "fingerprint": embedder.fingerprint,
        "settings": {"truncation": truncation},
    }
    work = _UnfinishedWork(Path(output), job, checkpoint_s)
    if overwrite:
        work.discard()
    else:
        work.load_finished(Path(output))
        work.load()
    failures = _embed_missing(work, batches, embedder, truncation, num_workers, progress)
    done = [path for path in files if path in work.done]
    if not done:
        reasons = "; ".join(f"{path}: {reason}" for path, reason in list(failures.items())[:3])
        raise ValueError(f"None of the {len(files)} files can be used ({reasons}).")
    embeddings = np.stack([work.done[path][1] for path in done])
    index = AudioIndex(embeddings, [work.done[path][0] for path in done], **job, failures=failures)
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
    bar = _progress_bar(sum(map(len, batches)), sum(map(len, batches)) - sum(map(len, todo))) if progress else None
    try:
        for batch in read_batches(embedder.feature_extractor, todo, truncation, num_workers):
            if batch.features is not None:
                work.add(batch.files, embedder.embed_features(batch.features))
            failures.update(batch.failures)
            if bar is not None:
                for path, reason in batch.failures.items():
                    bar.write(f"skipped {path}: {reason}", file=bar.fp)
                bar.update(len(batch.files) + len(batch.failures))
    finally:
        work.flush()  # also when it ends in an error or by the user's hand
        if bar is not None:
            bar.close()
    return failures


def _progress_bar(total: int, initial: int) -> "tqdm[Any]":
    import sys

    from tqdm import tqdm

    return tqdm(total=total, initial=initial, unit="file", desc="embedding", file=sys.stderr)


class _UnfinishedWork:
    """What is embedded so far, in memory and, as chunks, in the folder `<output>.partial`.

    A chunk appears whole or not at all. A run only adds chunks; of two that hold one file the later counts.
    """

    def __init__(self, output: Path, job: dict[str, Any], checkpoint_s: float) -> None:
        self.output = output
        self.folder = output.with_name(output.name + ".partial")
        self.job = job
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
        made = {"fingerprint": index.fingerprint, "settings": index.settings}
        if made != {name: self.job[name] for name in made}:
            raise IndexMismatchError(
                f"{what} was made by {index.model} (fingerprint {index.fingerprint[:12]}, settings {index.settings}), "
                f"but this run uses {self.job['model']} (fingerprint {self.job['fingerprint'][:12]}, settings "
                f"{self.job['settings']}). Write to another output, or start anew with --overwrite (`overwrite=True`)."
            )
        self.done.update((file.path, (file, row)) for file, row in zip(index.files, index.embeddings, strict=True))

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
            chunk = AudioIndex(rows, [file for file, _ in entries], **self.job)
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
