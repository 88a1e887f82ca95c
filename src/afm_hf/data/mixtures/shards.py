"""
Data sets as WebDataset shards: tar files that stream from a disk, a network drive or an object store.

A row is two or three members of one name: `000000012.json` (its texts and labels), `000000012.audio` and, where there
is a second clip, `000000012.audio2` (the files as they were, undecoded). `shards.json` beside them says what there is.
Shards are written whole or not at all, so that a run that was stopped goes on; rows of one clip are never parted
between training and evaluation.
"""

import hashlib
import io
import json
import math
import os
import random
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers.utils import logging

from ...models.common.writing_afm import AGAIN, check_folder, replaced, write_text
from ..engine import COLUMNS, import_datasets
from ..report import ReadReport

logger = logging.get_logger(__name__)

MANIFEST, PARTS = "shards.json", ("train", "held_out")
_CLIPS = ("audio", "audio2")
_LARGEST_JSON = 16 * 2**20  # bytes; texts of a row are far below


def write_shards(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    output: Path,
    *,
    rows_per_shard: int = 1000,
    held_out: float = 0.0,
    seed: int = 0,
    shuffle: bool = True,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] | None = None,
) -> dict[str, Any]:
    """
    Writes rows as shards, `train-00000.tar`, ..., and `held_out-00000.tar`, ....

    Args:
        rows: Rows as the readers make them; `audio` and `audio2` are paths, or have `bytes`.
        columns: Of the rows.
        output: The folder.
        rows_per_shard: Rows in a shard; the last one has fewer.
        held_out: Share of the clips whose rows are kept for evaluation.
        seed: Of the order and of what is held out.
        shuffle: Whether rows are put in a random order, without which those of one data set stand together.
        progress: Shows the progress over shards, as `tqdm(items, total)`.

    Returns:
        What `shards.json` holds: `columns`, `seed`, and `rows`, `left_out` and `shards` of each part. A clip that
        cannot be read is left out with a warning.

    Raises:
        ValueError: for settings that do not fit, or a folder with other shards.
        WriteError: (an `OSError`) if the folder cannot be written.
    """
    if rows_per_shard < 1 or not 0 <= held_out < 1:
        raise ValueError(
            f"`rows_per_shard` is {rows_per_shard} and `held_out` {held_out}; expected 1 or more, and 0 to below 1."
        )
    if not len(rows):
        raise ValueError("There are no rows to write.")
    check_folder(output, "the shards")
    order = _order(rows, held_out, seed, shuffle)
    manifest: dict[str, Any] = {"columns": list(columns), "seed": seed, "rows_per_shard": rows_per_shard}
    _claim(output, {**manifest, "digest": _digest(rows, order, columns)})
    jobs = [
        (f"{part}-{number:05d}.tar", indices[start : start + rows_per_shard])
        for part, indices in order.items()
        for number, start in enumerate(range(0, len(indices), rows_per_shard))
    ]
    counts: dict[str, int] = {}
    for name, indices in progress(jobs, len(jobs)) if progress is not None else jobs:
        counts[name] = _counted(output / name, indices)
        if not (output / name).exists():
            with replaced(output / name, "a shard", AGAIN) as unfinished:
                counts[name] = _write_shard(unfinished, rows, indices)
    for part, indices in order.items():
        shards = {name: count for name, count in counts.items() if name.startswith(f"{part}-")}
        written = sum(shards.values())
        manifest[part] = {"rows": written, "left_out": len(indices) - written, "shards": sorted(shards)}
    manifest["digest"] = json.loads((output / MANIFEST).read_text(encoding="utf-8"))["digest"]
    write_text(output / MANIFEST, json.dumps(manifest, indent=1) + "\n", "the list of shards", AGAIN)
    return manifest


def read_shards(folder: str | os.PathLike[str], part: str = "train") -> tuple[Any, ReadReport]:
    """
    Reads the shards of a folder as a stream, with the columns that were written.

    Several workers of a `DataLoader` read different shards; `stream.shuffle(seed=0, buffer_size=1000)` also shuffles
    which shard comes when. `audio` holds the file's bytes, which everything here that takes audio takes.

    Args:
        folder: Of [`write_shards`].
        part: `"train"` or `"held_out"`.

    Returns:
        A `datasets.IterableDataset`, and a report that fills up while it is read in this process. A shard that is cut
        off gives its whole rows, with a warning.

    Raises:
        ValueError: if there are no such shards, or some of them are missing.
    """
    root = Path(folder)
    manifest = read_manifest(root)
    found = manifest.get(part)
    if part not in PARTS or not found or not found["shards"]:
        there = [name for name in PARTS if manifest.get(name, {}).get("shards")]
        raise ValueError(f"{root} has no shards of {part!r}; it has {', '.join(map(repr, there)) or 'none'}.")
    missing = [name for name in found["shards"] if not (root / name).is_file()]
    if missing:
        raise ValueError(f"{root} lacks {len(missing)} of {len(found['shards'])} shards, as {missing[0]}.")
    datasets = import_datasets()
    report = ReadReport()
    return datasets.IterableDataset.from_generator(
        _Stream(report),
        features=_features(datasets, manifest["columns"]),
        gen_kwargs={"shards": [str(root / name) for name in found["shards"]]},
    ), report


def read_manifest(folder: Path) -> dict[str, Any]:
    """
    What `shards.json` of a folder says.

    Raises:
        ValueError: if there is none, or it is another file.
    """
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if all(isinstance(name, str) for name in found["columns"]):
            return dict(found)
    except OSError as error:
        raise ValueError(f"{folder} has no {MANIFEST}, which `afm-hf make-shards` writes ({error.strerror}).") from None
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError(f"{folder / MANIFEST} is no list of shards. Write the shards anew with `afm-hf make-shards`.")


class _Stream:
    """The rows of some shards; counts them."""

    def __init__(self, report: ReadReport) -> None:
        self.report = report

    def __call__(self, shards: list[str]) -> Iterator[dict[str, Any]]:
        for shard in shards:
            for row in _rows_of(Path(shard), self.report):
                self.report.kept += 1
                yield row


def _rows_of(shard: Path, report: ReadReport) -> Iterator[dict[str, Any]]:
    """The whole rows of a shard."""
    try:
        with tarfile.open(shard) as file:
            sample: dict[str, bytes] = {}
            current = ""
            for member in file:
                key, _, kind = member.name.partition(".")
                if key != current:
                    yield from _row(sample, shard)
                    sample, current = {}, key
                content = file.extractfile(member) if member.isfile() else None
                if content is not None and (kind in _CLIPS or (kind == "json" and member.size <= _LARGEST_JSON)):
                    sample[kind] = content.read()
            yield from _row(sample, shard)
    except (tarfile.TarError, OSError, EOFError) as error:
        logger.warning(f"The shard {shard} ends too early, or is none: {error}. Its whole rows were read.")
        report.add(report.broken, str(shard), f"ends too early, or is no tar file ({error})", shard.name)


def _row(sample: Mapping[str, bytes], shard: Path) -> Iterator[dict[str, Any]]:
    if "json" not in sample or "audio" not in sample:
        return
    try:
        row = dict(json.loads(sample["json"]))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{shard} holds a row that is no JSON object: {error}.") from None
    files = row.pop("files", {})
    for name in _CLIPS:
        if name in sample:
            row[name] = {"bytes": sample[name], "path": files.get(name)}
    yield row


def _order(rows: Sequence[Mapping[str, Any]], held_out: float, seed: int, shuffle: bool) -> dict[str, list[int]]:
    """The rows of each part. A row with clips of both parts is in none."""
    generator = random.Random(seed)
    clips = [tuple(str(_path(row[name])) for name in _CLIPS if row.get(name) is not None) for row in rows]
    every = sorted({clip for pair in clips for clip in pair})
    generator.shuffle(every)
    held = set(every[: math.ceil(held_out * len(every))] if held_out else [])
    sides = [{clip in held for clip in pair} for pair in clips]
    parts = {
        part: [i for i, side in enumerate(sides) if side == {which}]
        for part, which in zip(PARTS, (False, True), strict=True)
    }
    if not parts["train"]:
        raise ValueError(f"{len(rows)} rows of {len(every)} clips are too few to hold out a share of {held_out}.")
    if shuffle:
        for indices in parts.values():
            generator.shuffle(indices)
    return parts


def _digest(rows: Sequence[Mapping[str, Any]], order: Mapping[str, list[int]], columns: Sequence[str]) -> str:
    """Of what the shards hold, without the sound itself."""
    digest = hashlib.sha256(json.dumps([order, list(columns)]).encode())
    for row in rows:
        digest.update(_json_of(row))
    return digest.hexdigest()[:16]


def _claim(folder: Path, made_by: Mapping[str, Any]) -> None:
    """Begins a folder, or sees that what it holds is the beginning of the same."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / MANIFEST).exists():
        if old := sorted(folder.glob("*.tar")):
            raise ValueError(f"{folder} holds {old[0].name}, but no {MANIFEST}. Choose another folder.")
        write_text(folder / MANIFEST, json.dumps(made_by, indent=1) + "\n", "the list of shards", AGAIN)
    elif {**read_manifest(folder), **made_by} != read_manifest(folder):
        raise ValueError(f"{folder} holds shards of other rows or settings. Choose another folder, or empty this one.")


def _counted(shard: Path, indices: Sequence[int]) -> int:
    """Rows of a shard that is there already."""
    if not shard.exists():
        return 0
    with tarfile.open(shard) as file:
        return min(len(indices), sum(name.endswith(".json") for name in file.getnames()))


def _write_shard(path: Path, rows: Sequence[Mapping[str, Any]], indices: Sequence[int]) -> int:
    """How many rows were written."""
    count = 0
    with tarfile.open(path, "w") as file:
        for index in indices:
            row = rows[index]
            try:
                clips = {name: _bytes(row[name]) for name in _CLIPS if row.get(name) is not None}
            except OSError as error:
                logger.warning(f"{row.get('source', index)} is left out: its clip cannot be read: {error}")
                continue
            members = {"json": _json_of(row), **clips}
            for kind, content in members.items():
                info = tarfile.TarInfo(f"{index:09d}.{kind}")  # without times and names: the same rows, the same file
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
            count += 1
    return count


def _json_of(row: Mapping[str, Any]) -> bytes:
    texts = {name: value for name, value in row.items() if name not in _CLIPS and value is not None}
    files = {name: os.path.basename(_path(row[name]) or "") for name in _CLIPS if row.get(name) is not None}
    return json.dumps({**texts, "files": files}, ensure_ascii=False).encode()


def _path(clip: Any) -> str | None:
    return clip.get("path") if isinstance(clip, Mapping) else os.fspath(clip)


def _bytes(clip: Any) -> bytes:
    if isinstance(clip, Mapping) and clip.get("bytes") is not None:
        return bytes(clip["bytes"])
    return Path(str(_path(clip))).read_bytes()


def _features(datasets: Any, columns: Sequence[str]) -> Any:
    types = {
        # What `Audio(decode=False)` holds; datasets would want torchcodec to encode it.
        "audio": lambda: {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
        "texts": lambda: datasets.List(datasets.Value("string")),
        "int": lambda: datasets.Value("int64"),
        "text": lambda: datasets.Value("string"),
    }
    return datasets.Features({name: types[COLUMNS.get(name, "text")]() for name in columns})


__all__ = ["MANIFEST", "PARTS", "read_manifest", "read_shards", "write_shards"]
