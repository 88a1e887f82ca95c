"""
From captions to a table to train on: requests, answers that survive a kill, the filter, the official layouts.

A folder holds everything: `answers.jsonl` (what the model wrote, line by line), `settings.json` (what made it),
`train.json` (what was kept, in the layout of ReasonAQA), `entailment.csv` (in that of Audio Entailment),
`dropped.jsonl` (the rest, with reasons) and `report.json`.
"""

import hashlib
import itertools
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ...models.common.writing_afm import AGAIN, JsonLines, check_folder, read_json_lines, write_text
from .filters import Seen, content, fault
from .instructions import GROUPS, Instruction, load_instructions
from .made_tables import Made, entailment_csv, reasonaqa_rows
from .requests import FORMS, Request, UnreadableError, WriterError, check_schema_library, read_item, request_of
from .yields import SynthesisReport

_WRONG = 3  # choices beside the right one


class Writer(Protocol):
    """What answers requests: [`TransformersWriter`], [`EndpointWriter`], or one of your own."""

    def settings(self) -> dict[str, Any]:
        """What the answers depend on."""

    def write(self, requests: Sequence[Request]) -> list[str | WriterError]:
        """The answers, or an error in the place of one that failed."""


@dataclass(frozen=True)
class Clip:
    """
    A clip with the texts about it.

    Attributes:
        file: Its name, relative to the folder of clips.
        captions: What is heard in it; one of them is taken for a request.
        source: Where they came from, `file.csv:12`.
    """

    file: str
    captions: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class _Task:
    """A request with what it is about."""

    id: str
    instruction: Instruction
    clips: tuple[Clip, ...]
    captions: tuple[str, ...]
    values: Mapping[str, str]

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the clips."""
        return tuple(clip.file for clip in self.clips)


def clips_of(data: Any, audio_dir: Path) -> list[Clip]:
    """
    The clips of a data set with `captions`.

    Args:
        data: What a reader of `afm_hf.data` gives; rows of one clip are joined.
        audio_dir: What the clips' names will be relative to, where they lie below it.

    Raises:
        ValueError: if the data set has no captions.
    """
    if "captions" not in data.column_names:
        raise ValueError(f"Data are made of captions, but the columns are {', '.join(data.column_names)}.")
    found: dict[str, Clip] = {}
    for row in data:
        path, texts = Path(row["audio"]["path"]), [" ".join(text.split()) for text in row["captions"]]
        inside = path.is_absolute() == audio_dir.is_absolute() and path.is_relative_to(audio_dir)
        name = (path.relative_to(audio_dir) if inside else path).as_posix()
        before = found[name].captions if name in found else ()
        source = found[name].source if name in found else row["source"]
        found[name] = Clip(name, tuple(dict.fromkeys([*before, *texts])), source)
    return list(found.values())


def synthesize(
    clips: Sequence[Clip],
    writer: Writer,
    output: Path,
    *,
    name: str = "made",
    groups: Sequence[str] = GROUPS,
    per_clip: int = 1,
    aspects: Sequence[str] | None = None,
    form: str = "json",
    with_examples: bool = True,
    borrow_choices: bool = False,
    batch_size: int = 16,
    seed: int = 0,
    made_by: Mapping[str, Any] | None = None,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] | None = None,
) -> SynthesisReport:
    """
    Makes training data of captions, filtered, in the official layouts.

    Stopped at any moment, the same call goes on: answers that are there are not asked for again.

    Args:
        clips: Of [`clips_of`].
        writer: What answers.
        output: Folder for everything, see the module.
        name: Of the data set, as `taskname` has it.
        groups: Kinds of data: `"questions"`, `"choices"`, `"differences"` (three tiers), `"entailment"` (three
            relations).
        per_clip: Items of each kind for a clip; each about another aspect and, where there are several, caption.
        aspects: What questions are about, of `"events"`, `"objects"`, `"scenes"`, `"signal"`, `"meaning"` and
            `"feelings"`; by default all, in turn.
        form: `"json"`, or `"lines"` for small models.
        with_examples: Whether the model is shown examples.
        borrow_choices: Whether the wrong choices are right answers about other clips, of the same aspect, in place of
            the model's own.
        batch_size: Requests for the writer at a time.
        seed: Of pairs, aspects and the order of choices.
        made_by: What else the answers depend on, to be kept with the settings.
        progress: Shows the progress over batches, as `tqdm(items, total)`.

    Returns:
        What was kept and what was not.

    Raises:
        ImportError: without jsonschema.
        ValueError: for settings that do not fit, or a folder with answers of other settings.
        WriterError: if the model cannot answer at all; what was answered is kept.
        WriteError: (an `OSError`) the folder cannot be written.
    """
    check_schema_library()
    tasks = list(_tasks(clips, load_instructions(groups, borrow_choices), per_clip, aspects, seed))
    if form not in FORMS:
        raise ValueError(f"`form` is {form!r}; expected one of {', '.join(map(repr, FORMS))}.")
    if batch_size < 1:
        raise ValueError(f"`batch_size` is {batch_size}; expected 1 or more.")
    asked = {"form": form, "examples": with_examples, **writer.settings(), **(made_by or {})}
    answers = _claimed(check_folder(output, "the data"), {**asked, "requests": _digest(tasks)})
    made_so_far = {row["id"]: row["answer"] for row in read_json_lines(answers) if row.get("answer") is not None}
    # Batches are those of a run that nobody stopped, less what is answered.
    batches = _batches(tasks, batch_size)
    left = [rest for batch in batches if (rest := [task for task in batch if task.id not in made_so_far])]
    failed: dict[str, str] = {}
    with JsonLines(answers, "the answers", AGAIN) as lines:
        for batch in progress(left, len(left)) if progress is not None else left:
            requests = [request_of(task.instruction, task.values, form, with_examples) for task in batch]
            for task, answer in zip(batch, writer.write(requests), strict=True):
                if isinstance(answer, WriterError):
                    failed[task.id] = str(answer)
                else:
                    made_so_far[task.id] = answer
                    lines.write({"id": task.id, "answer": answer})
    return _finished(tasks, made_so_far, failed, form, with_examples, output, name, seed)


def _tasks(
    clips: Sequence[Clip],
    instructions: Sequence[Instruction],
    per_clip: int,
    aspects: Sequence[str] | None,
    seed: int,
) -> Iterator[_Task]:
    """All requests, kind by kind, so that those of a batch begin alike."""
    if per_clip < 1:
        raise ValueError(f"`per_clip` is {per_clip}; expected 1 or more.")
    if not clips:
        raise ValueError("There are no clips with captions.")
    known = list(dict.fromkeys(aspect for each in instructions for aspect in each.aspects))
    unknown = [aspect for aspect in aspects or () if aspect not in known]
    if unknown:
        raise ValueError(f"`aspects` has {unknown}; expected some of {', '.join(map(repr, known)) or 'none'}.")
    for instruction in instructions:
        if instruction.clips == 2 and len(clips) < 2:
            raise ValueError("Differences are between two clips, but there is one.")
        names = [aspect for aspect in instruction.aspects if not aspects or aspect in aspects]
        for index, clip in enumerate(clips):
            # One place for all tiers: a pair has all three explanations, as in ADIFF.
            draws = random.Random(f"{seed} {instruction.group} {clip.file}")
            others = draws.sample([i for i in range(len(clips)) if i != index], min(per_clip, len(clips) - 1))
            for number in range(per_clip):
                values = {"aspect": instruction.aspects[names[(index + number) % len(names)]]} if names else {}
                pair: tuple[Clip, ...] = (clip,)
                if instruction.clips == 2:
                    if number >= len(others):
                        break
                    pair = (clip, clips[others[number]])
                captions = tuple(each.captions[number % len(each.captions)] for each in pair)
                keys = ["caption"] if len(pair) == 1 else ["caption1", "caption2"]
                values |= dict(zip(keys, captions, strict=True))
                yield _Task(f"{instruction.kind} {number} {clip.file}", instruction, pair, captions, values)


def _batches(tasks: Sequence[_Task], size: int) -> list[list[_Task]]:
    """Of one kind each, which begin alike."""
    kinds = [list(group) for _, group in itertools.groupby(tasks, lambda task: task.instruction.kind)]
    return [kind[start : start + size] for kind in kinds for start in range(0, len(kind), size)]


def _digest(tasks: Sequence[_Task]) -> str:
    """Of all that the requests say."""
    digest = hashlib.sha256()
    for task in tasks:
        said = [task.id, task.instruction.system, task.instruction.task, list(task.instruction.examples)]
        digest.update(json.dumps([*said, task.values], sort_keys=True).encode())
    return digest.hexdigest()[:16]


def _claimed(folder: Path, settings: Mapping[str, Any]) -> Path:
    """The file of answers in a folder that is new, or was begun with the same settings."""
    folder.mkdir(parents=True, exist_ok=True)
    mark, answers = folder / "settings.json", folder / "answers.jsonl"
    if not read_json_lines(answers):
        write_text(mark, json.dumps(settings, indent=1) + "\n", "the settings", AGAIN)
        return answers
    try:
        before = dict(json.loads(mark.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{mark} cannot be read ({error}): choose another folder, or empty this one.") from None
    for key in sorted(before.keys() | settings.keys()):
        if before.get(key) != settings.get(key):
            raise ValueError(
                f"{folder} holds answers of other settings: {key} was {before.get(key)!r}, now it is "
                f"{settings.get(key)!r}. Choose another folder, or empty this one."
            )
    return answers


def _finished(
    tasks: Sequence[_Task],
    answers: Mapping[str, str],
    failed: Mapping[str, str],
    form: str,
    with_examples: bool,
    output: Path,
    name: str,
    seed: int,
) -> SynthesisReport:
    """Filters all answers, and writes the tables and the report."""
    report, seen, kept, dropped = SynthesisReport(), Seen(), [], []
    done = [task for task in tasks if task.id in answers or task.id in failed]
    report.unanswered = len(tasks) - len(done)
    read = {task.id: _read(task, answers.get(task.id), form) for task in done}
    pool = _pool(done, read)
    for task in done:
        item, reason = read[task.id]
        if not reason and _lacks_choices(task, item):
            item = {**item, "wrong": _borrowed(task, item, pool, seed)}
        reason = reason or fault(task.instruction, item, task.captions, with_examples)
        if not reason and not seen.is_new(task.instruction, item, task.files):
            reason = "duplicate"
        said = answers.get(task.id, failed.get(task.id, ""))
        report.count(task.instruction.kind, reason, said)
        if reason:
            dropped.append({"id": task.id, "reason": reason, "answer": said})
        else:
            kept.append(Made(task.id, task.instruction.group, task.instruction.kind, task.files, task.captions, item))
    rows, table = reasonaqa_rows(kept, name, seed), entailment_csv(kept, name)
    report.rows, report.hypotheses = len(rows), max(0, table.count("\r\n") - 1)
    files_of = {
        "train.json": json.dumps(rows, ensure_ascii=False, indent=1) + "\n",
        "entailment.csv": table,
        "dropped.jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in dropped),
        "report.json": json.dumps(report.to_dict(), ensure_ascii=False, indent=1) + "\n",
    }
    for file, text in files_of.items():
        write_text(output / file, text, "the data", AGAIN)
    return report


def _read(task: _Task, answer: str | None, form: str) -> tuple[dict[str, Any], str]:
    """The item, or why there is none."""
    if answer is None:
        return {}, "failed"
    try:
        return read_item(task.instruction, answer, form), ""
    except UnreadableError as error:
        return {}, error.reason


def _lacks_choices(task: _Task, item: Mapping[str, Any]) -> bool:
    return task.instruction.group == "choices" and "wrong" not in item


def _pool(
    tasks: Sequence[_Task], read: Mapping[str, tuple[dict[str, Any], str]]
) -> dict[str, list[tuple[tuple[str, ...], str]]]:
    """Clips and right answers of multiple choice without wrong ones, by aspect."""
    found: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for task in tasks:
        item, reason = read[task.id]
        if not reason and _lacks_choices(task, item) and not fault(task.instruction, item, task.captions):
            found.setdefault(task.values["aspect"], []).append((task.files, item["answer"]))
    return found


def _borrowed(
    task: _Task, item: Mapping[str, Any], pool: Mapping[str, list[tuple[tuple[str, ...], str]]], seed: int
) -> list[str]:
    """Three answers about other clips that have no word in common with the answer, the clip or one another."""
    others = [answer for files, answer in pool.get(task.values["aspect"], []) if files != task.files]
    random.Random(f"{seed} wrong {task.id}").shuffle(others)
    taken, used = [], content(" ".join([item["answer"], *task.captions]))
    for answer in others:
        said = content(answer)
        if said and not said & used:
            taken.append(answer)
            used |= said
        if len(taken) == _WRONG:
            break
    return taken


__all__ = ["Clip", "Writer", "clips_of", "synthesize"]
