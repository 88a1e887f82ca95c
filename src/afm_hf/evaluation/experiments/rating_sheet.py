"""
A sheet for people to rate what models say: blind, shuffled, as a page that works without a network, and as a CSV.

ADIFF was judged by five professionals for correctness, granularity and readability (arXiv 2502.04476); the scale and
the words below are ours, for the paper's are not known. Raters see clips, question and text, and not which system
wrote it: that stands in a key of its own, which stays with whoever asks.
"""

import base64
import csv
import hashlib
import io
import json
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile

from ...audio.audio_loading import load_audio
from ...models.common.writing_afm import check_folder, write_text
from ..controls import clips_of
from ..runner import read_predictions
from ..task import Failure, Item
from .measuring import Data, prepare

PAGE, SHEET, KEY = "sheet.html", "sheet.csv", "key.csv"
REFERENCE = "reference"  # the system whose texts people wrote
MOST = 5
RATE = 32_000  # Hz of the clips in the page
_TEMPLATE = Path(__file__).with_name("rating_page.html")
_PLACE = "__SHEET__"
INTRODUCTION = "Listen to the clips, read the text, and rate it. Who or what wrote it is not told; trust your ears."
CRITERIA = (
    ("correctness", "Is what the text says true of what you hear?", "wrong", "all true"),
    ("granularity", "Does it tell the details that matter: sources, scene, loudness, order?", "none", "all"),
    ("readability", "Is it clear and easy to read?", "hard to read", "easy to read"),
)


@dataclass(frozen=True)
class SheetFiles:
    """
    What was written.

    Args:
        page, table, key (`Path`): The page, the CSV to fill in instead, and the key, which raters must not see.
        texts (`int`), items (`int`): Texts to rate, and items that they are about.
        left_out (`dict[str, str]`): Items that could not be used, and why.
    """

    page: Path
    table: Path
    key: Path
    texts: int
    items: int
    left_out: dict[str, str]


def rating_sheet(
    task: str,
    data: Data,
    systems: Mapping[str, str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    *,
    items: int = 20,
    reference: bool = False,
    seed: int = 0,
    title: str = "How good are these texts?",
) -> SheetFiles:
    """
    Writes `sheet.html`, `sheet.csv` and `key.csv`.

    Args:
        task (`str`): What was evaluated, as `"difference"` or `"captioning"`.
        data: On what; for clips, questions and references.
        systems: Folders of runs of `afm-hf evaluate` on these data, by the name of the system.
        folder: Where the files go.
        items (`int`): How many items are drawn, of those that every system has answered.
        reference (`bool`): Put the reference among the systems: how good are people's own texts by this scale?
        seed (`int`): Of the draw and the order.
        title (`str`): Of the page.

    Raises:
        ValueError: no run, a name twice or reserved, no item that all systems have answered, or none whose clips can
            be read.
        WriteError: (an `OSError`) the files cannot be written.
    """
    if not systems or items < 1:
        raise ValueError(f"There are {len(systems)} systems and {items} items to draw; expected 1 or more of both.")
    if REFERENCE in systems:
        raise ValueError(f"{REFERENCE!r} is the name of the reference's texts; call the system otherwise.")
    where = check_folder(folder, "the rating sheet")
    prepared = prepare(task, data)
    texts = {name: _texts(name, run) for name, run in systems.items()}
    if reference:
        texts[REFERENCE] = {item.id: _reference(item) for item in prepared.items if _reference(item)}
    answered = [item for item in prepared.items if all(item.id in each for each in texts.values())]
    if not answered:
        found = ", ".join(f"{name} {len(each)}" for name, each in texts.items())
        raise ValueError(
            f"There is no item of {data.folder} that all systems have answered (answers: {found}). Are these runs of "
            f"{task!r} on the same data?"
        )
    generator = random.Random(seed)
    clips: dict[str, str] = {}
    left_out: dict[str, str] = {}
    chosen: list[Item] = []
    for item in generator.sample(answered, len(answered)):
        if len(chosen) == items:
            break
        try:
            clips |= {str(clip): _as_address(clip) for clip in clips_of(item) if str(clip) not in clips}
        except (ValueError, OSError) as error:
            left_out[item.id] = str(error)
            continue
        chosen.append(item)
    if not chosen:
        why = next(iter(left_out.values()))
        raise ValueError(f"The clips of none of {len(answered)} items can be read; the first: {why}")
    rows = [(item, system) for item in chosen for system in texts]
    generator.shuffle(rows)
    written = _rows(rows, texts)
    name = hashlib.sha256(json.dumps(written, ensure_ascii=False).encode()).hexdigest()[:12]
    numbers = {clip: i for i, clip in enumerate(clips)}
    shown = {
        "sheet": name,
        "title": title,
        "introduction": INTRODUCTION,
        "most": MOST,
        "criteria": [dict(zip(("name", "about", "low", "high"), each, strict=True)) for each in CRITERIA],
        "clips": list(clips.values()),
        "rows": [
            {**row, "clips": [numbers[str(clip)] for clip in clips_of(item)]}
            for row, (item, _) in zip(written, rows, strict=True)
        ],
    }
    files = SheetFiles(where / PAGE, where / SHEET, where / KEY, len(rows), len(chosen), left_out)
    write_text(files.page, page_of(shown), "the page to fill in")
    names = [each[0] for each in CRITERIA]
    blank = [[name, "", row["id"], *([""] * len(names)), "", row["asked"], _clip_names(item), row["text"]]
             for row, (item, _) in zip(written, rows, strict=True)]  # fmt: skip
    header = ["sheet", "rater", "id", *names, "comment", "asked", "clips", "text"]
    write_text(files.table, _csv([header, *blank]), "the sheet to fill in")
    key = [[name, row["id"], system, item.id] for row, (item, system) in zip(written, rows, strict=True)]
    write_text(files.key, _csv([["sheet", "id", "system", "item"], *key]), "the key of the sheet")
    return files


def page_of(sheet: Mapping[str, Any]) -> str:
    """
    The page for a sheet: one file that loads nothing.

    Args:
        sheet: What `rating_page.html` shows; texts may hold anything.
    """
    # `<` would let a text end the script; the two line separators end lines of scripts
    data = json.dumps(sheet, ensure_ascii=False).replace("<", "\\u003c").replace("\u2028", "\\u2028")
    return _TEMPLATE.read_text(encoding="utf-8").replace(_PLACE, data.replace("\u2029", "\\u2029"))


def _texts(system: str, run: str | os.PathLike[str]) -> dict[str, str]:
    """What a system said of each item."""
    found = read_predictions(run)
    if not found:
        raise ValueError(f"{system}: there are no predictions in {run}. Give the output folder of `afm-hf evaluate`.")
    said = {name: each.get("text") for name, each in found.items() if not isinstance(each, Failure)}
    if not any(isinstance(text, str) for text in said.values()):
        raise ValueError(f"{system}: the predictions in {run} are no texts, which people could rate.")
    return {name: text for name, text in said.items() if isinstance(text, str)}


def _reference(item: Item) -> str:
    captions = item.truth.get("captions") or ()
    return str(item.truth.get("answer") or next(iter(captions), ""))


def _rows(rows: Sequence[tuple[Item, str]], texts: Mapping[str, Mapping[str, str]]) -> list[dict[str, str]]:
    """What raters see of each text; its name tells nothing."""
    return [
        {
            "id": f"t{number:03d}",
            "asked": str(item.truth.get("prompt") or item.truth.get("question") or ""),
            "text": texts[system][item.id].strip(),
        }
        for number, (item, system) in enumerate(rows, 1)
    ]


def _as_address(clip: Any) -> str:
    """A clip as an address that holds it: MP3 where soundfile can write it, which all browsers play."""
    samples = load_audio(clip, RATE)
    kind, mime = ("MP3", "audio/mpeg") if "MP3" in soundfile.available_formats() else ("OGG", "audio/ogg")
    content = io.BytesIO()
    soundfile.write(content, samples, RATE, format=kind)
    return f"data:{mime};base64,{base64.b64encode(content.getvalue()).decode()}"


def _clip_names(item: Item) -> str:
    return " / ".join(Path(str(clip)).name for clip in clips_of(item))


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_no_formula(cell) for cell in row] for row in rows)
    return text.getvalue()


def _no_formula(cell: str) -> str:
    """What a spreadsheet would take for a formula is shown as text."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


__all__ = ["CRITERIA", "MOST", "REFERENCE", "SheetFiles", "page_of", "rating_sheet"]
