"""The official checkpoints: where they are, and how they become folders that `from_pretrained` takes."""

import hashlib
import importlib
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

CATALOGUE = Path(__file__).parent / "official_checkpoints.json"
CHUNK = 1 << 20
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class OfficialCheckpoint:
    """
    One official file.

    Args:
        name (`str`): As `afm-hf convert` takes it.
        system, paper, licence, code (`str`): What it is, and whose.
        file (`str`): Its name.
        page (`str`): Where a person finds it.
        sampling_rate (`int`): Hz.
        family (`str`): Which converter: `"msclap"`, `"pengi"`, `"mellow"` or `"adiff"`.
        variant (`str`): Which of the models that the converter knows, if there are several.
        tokenizers (`dict[str, str]`): The converter's arguments for tokenizers, and the Hub ids that the authors used.
        repo, url (`str`): Of the file, on the Hub or elsewhere.
        parameters (`str`): How many; a tied head counts once.
        gigabytes (`float`): Of the weights in the file, in 10^9 bytes; the file may hold more, as an optimiser's state.
    """

    name: str
    system: str
    paper: str
    licence: str
    code: str
    file: str
    page: str
    sampling_rate: int
    family: str
    variant: str = ""
    tokenizers: Mapping[str, str] = field(default_factory=dict)
    repo: str = ""
    url: str = ""
    parameters: str = ""
    gigabytes: float = 0.0


@cache
def official_checkpoints() -> tuple[OfficialCheckpoint, ...]:
    """All that are known, in the order of the papers."""
    return tuple(OfficialCheckpoint(**row) for row in json.loads(CATALOGUE.read_text(encoding="utf-8")))


def find_checkpoint(name: str) -> OfficialCheckpoint | None:
    """The checkpoint of a name, or of an official file's name; None if there is none."""
    file = Path(name).name
    return next((each for each in official_checkpoints() if name == each.name or file == each.file), None)


def convert(
    name_or_file: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    family: str | None = None,
    tokenizer: str | None = None,
    text_encoder_tokenizer: str | None = None,
    download_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Path:
    """
    Makes a folder for `from_pretrained` of an official checkpoint.

    Args:
        name_or_file: A name of [`official_checkpoints`], whose file is fetched, or a file that you have.
        output: The folder to write.
        family (`str`, *optional*): The converter, for a file; by default it is recognised by the file's keys.
        tokenizer, text_encoder_tokenizer (`str`, *optional*):
            Folder or Hub id of tokenizers; by default those of the authors for what the file holds, whatever it is
            called, from the Hub or its cache.
        download_dir (*optional*): Where fetched files go; by default the Hub's cache, or its folder for other places.
        progress (`bool`): Show a bar while fetching.

    Returns:
        The folder. It is there only if all went well.

    Raises:
        ValueError: for an unknown name or family, or a file that is none of these checkpoints.
        OSError: if a file cannot be read, fetched or written; the message says what to do, and how to go on.
    """
    from ..conversion.checkpoint import ConversionError, read_keys
    from ..conversion.folder import check_output

    if family not in (None, *_SIGNS):
        raise ValueError(f"There is no converter {family!r}; expected one of {', '.join(_SIGNS)}.")
    check_output(output)
    asked, path = _file_of(name_or_file, download_dir, progress)
    kind = family or recognise(path)
    converter: Any = importlib.import_module(f"..conversion.{kind}", __package__)
    try:
        held = _checkpoint_of(kind, converter.recognise(read_keys(path)))
        if text_encoder_tokenizer is not None and kind != "pengi":
            raise ValueError(f"`text_encoder_tokenizer` is for Pengi, but {path} holds {held.system}.")
        given = {"tokenizer": tokenizer, "text_encoder_tokenizer": text_encoder_tokenizer}
        arguments = {**held.tokenizers, **{key: value for key, value in given.items() if value is not None}}
        done: Path = converter.convert(str(path), output=str(output), **arguments)
    except ConversionError as error:
        raise ValueError(str(error)) from error
    if asked and (asked.family, asked.variant) != (held.family, held.variant):
        print(f"  NOTE: {asked.name} was asked for, but {path.name} holds {held.name}, and so does the folder.")
    return done


def _file_of(
    name_or_file: str | os.PathLike[str], folder: str | os.PathLike[str] | None, progress: bool
) -> tuple[OfficialCheckpoint | None, Path]:
    """The file that is meant, fetched if it was only named; and the checkpoint of that name."""
    path = Path(name_or_file)
    if path.is_file():
        return None, path
    named = next((each for each in official_checkpoints() if each.name == str(name_or_file)), None)
    if named:  # though a folder of that name may be there: an earlier conversion
        return named, fetch(named, folder, progress=progress)
    if path.is_dir():
        raise OSError(f"{path} is a folder; expected the official checkpoint file.")
    known = ", ".join(each.name for each in official_checkpoints())
    raise ValueError(f"There is no file {path}, and no official checkpoint of that name; known are {known}.")


def _checkpoint_of(family: str, variant: str) -> OfficialCheckpoint:
    """The first official checkpoint of this kind; those of one kind differ in nothing that a conversion needs."""
    return next(each for each in official_checkpoints() if (each.family, each.variant) == (family, variant))


# What some keys begin with in checkpoints of a family, and in no other above it.
_SIGNS = {
    "mellow": ("audio_encoder.base.c2l.", "caption_decoder.lm."),
    "adiff": ("caption_decoder.audio_project1.",),
    "pengi": ("caption_decoder.audio_project.",),
    "msclap": ("caption_encoder.projection.", "clap_project."),
}


def recognise(path: str | os.PathLike[str]) -> str:
    """
    Which converter a file is for, by its keys, whatever it is called.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is none of these.
    """
    from ..conversion.checkpoint import read_keys

    keys = read_keys(Path(path))
    for family, signs in _SIGNS.items():
        if any(key.startswith(signs) for key in keys):
            return family
    raise ValueError(
        f"{path} has no key by which CLAP, CLAPCAP, Pengi, Mellow or ADIFF are known; it begins with "
        f"{sorted(keys)[:3]}. Say what it is with `family`."
    )


def fetch(
    checkpoint: OfficialCheckpoint, folder: str | os.PathLike[str] | None = None, *, progress: bool = True
) -> Path:
    """
    The official file, from its official place; a download that was broken off goes on.

    Args:
        checkpoint ([`OfficialCheckpoint`]): Which.
        folder (*optional*): Where to; by default the Hub's cache.
        progress (`bool`): Show a bar.

    Raises:
        OSError: if it cannot be had; the message says what to download by hand, and what to call then.
    """
    from huggingface_hub import constants, hf_hub_download

    try:
        if checkpoint.repo:
            local = None if folder is None else str(folder)
            return Path(hf_hub_download(checkpoint.repo, checkpoint.file, local_dir=local))
        if constants.HF_HUB_OFFLINE:
            raise OSError("HF_HUB_OFFLINE is set")
        target = Path(folder or Path(constants.HF_HOME) / "afm-hf") / checkpoint.name / checkpoint.file
        return target if target.is_file() else download(checkpoint.url, target, progress=progress)
    except (OSError, ValueError) as error:  # huggingface_hub's errors are among these
        reason = " ".join(str(error).split())[:300]
        raise OSError(
            f"{checkpoint.file} cannot be fetched ({reason}). Download it by hand from {checkpoint.page}, then run "
            f"`afm-hf convert {checkpoint.file} --output {checkpoint.name}` beside it."
        ) from error


def download(url: str, target: Path, *, progress: bool = True) -> Path:
    """
    A file of another place than the Hub, by parts: what is there of it already is not fetched again.

    A part goes on only if the server still has the same file, by its ETag, which is kept beside the part. Where the
    ETag is an MD5 (Zenodo's are), the whole file is checked by it.

    Raises:
        OSError: if the server cannot be reached, refuses, sends less than it promised or something else.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part, mark = (target.with_name(f"{target.name}{end}") for end in (".part", ".etag"))
    have = part.stat().st_size if part.exists() and mark.exists() else 0
    headers = {"User-Agent": "afm-hf"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": mark.read_text(encoding="ascii")}
    try:
        total, etag = _receive(urllib.request.Request(url, headers=headers), part, mark, have, target.name, progress)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # the part is as long as the file, or longer: it cannot be gone on with
            part.unlink()
            return download(url, target, progress=progress)
        raise OSError(f"{url}: the server answered {error.code} {error.reason}") from error
    size = part.stat().st_size
    if total is not None and size != total:
        raise OSError(f"{url}: {size} of {total} bytes came; the same call goes on from there")
    md5 = re.search(r"md5:([0-9a-f]{32})", etag)
    if md5 and _md5(part) != md5[1]:
        part.unlink()
        raise OSError(f"{url}: what came is not the file (another MD5 than {md5[1]}); it was thrown away, try again")
    part.replace(target)
    mark.unlink(missing_ok=True)
    return target


def _receive(
    request: urllib.request.Request, part: Path, mark: Path, have: int, name: str, progress: bool
) -> tuple[int | None, str]:
    """Write what the server sends, after what there is or anew; the length of the whole, and its ETag."""
    from tqdm import tqdm

    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        goes_on = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if response.status == 206 and not goes_on:
            raise OSError(f"{request.full_url}: the server sent another part than was asked for")
        length, etag = response.headers.get("Content-Length"), response.headers.get("ETag") or ""
        have = have if goes_on else 0
        mark.unlink(missing_ok=True)
        if etag:
            mark.write_text(etag, encoding="ascii")
        total = have + int(length) if length else None
        bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=name, disable=not progress)
        with part.open("ab" if goes_on else "wb") as file, bar:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    return total, etag


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


__all__ = ["OfficialCheckpoint", "convert", "download", "fetch", "find_checkpoint", "official_checkpoints", "recognise"]
