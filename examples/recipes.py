"""What the training recipes share: arguments, data through the readers of `afm_hf.data`, a run with a held-out loss.

`--dataset` names the layout of `--data`. `folder` (metadata.csv or .jsonl), `label_folders`, `table`, `wavtext5k`,
`reasonaqa`, `differences` (ADIFF's CSVs on Clotho and AudioCaps), `crema_d` and `ravdess` are one folder or file, of
which `--held_out` is kept for evaluation, or all of `--eval_data` is. `clotho`, `audiocaps`, `esc50`, `urbansound8k`
and `fsd50k` have official parts: `--split` is trained on, `--eval_split` held out.
"""

import random
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from transformers import HfArgumentParser

from afm_hf import data as readers
from afm_hf.models.common.writing_afm import AGAIN, WriteError, check_folder, explained
from afm_hf.training.checkpoints import CompleteCheckpoints, train_or_resume

ONE_PATH = {
    "folder": readers.read_audio_folder,
    "label_folders": readers.read_label_folders,
    "table": readers.read_table,
    "wavtext5k": readers.read_wavtext5k,
    "reasonaqa": readers.read_reasonaqa,
    "differences": readers.read_differences,
    "crema_d": partial(readers.read_named_clips, "crema-d"),
    "ravdess": partial(readers.read_named_clips, "ravdess"),
}
PARTS: dict[str, tuple[Any, str, str]] = {  # reader, what is trained on, what is held out
    "clotho": (readers.read_clotho, "development", "validation"),
    "audiocaps": (readers.read_audiocaps, "train", "val"),
    "fsd50k": (readers.read_fsd50k, "train", "val"),
    "esc50": (readers.read_esc50, "1,2,3,4", "5"),
    "urbansound8k": (readers.read_urbansound8k, "1,2,3,4,5,6,7,8,9", "10"),
}
CLIPS_WITH_TABLE = ("folder", "label_folders", "crema_d", "ravdess", "fsd50k", "esc50", "urbansound8k")


@dataclass
class DataArguments:
    """What is read."""

    data: str = field(metadata={"help": "folder or file of the data set"})
    dataset: str = field(default="folder", metadata={"help": f"its layout: {', '.join([*ONE_PATH, *PARTS])}"})
    eval_data: str | None = field(default=None, metadata={"help": "another folder or file, for evaluation"})
    split: str | None = field(default=None, metadata={"help": "official part, or folds as 1,2,3, for training"})
    eval_split: str | None = field(default=None, metadata={"help": "official part, or folds, for evaluation"})
    audio_dir: str | None = field(default=None, metadata={"help": "folder of the clips, if not that of the table"})
    check: str = field(default="header", metadata={"help": "how far clips are looked at: exists, header or decode"})
    held_out: float = field(default=0.25, metadata={"help": "share of the clips for evaluation, if nothing else is"})


class Rows:
    """Rows of a data set, changed when they are asked for."""

    def __init__(self, data: Any, change: Any) -> None:
        self.data, self.change = data, change

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.change(self.data[index])


def read_parts(settings: DataArguments, seed: int) -> tuple[Any, Any]:
    """Data sets for training and for evaluation, without common clips; prints what was left out of them."""
    if settings.dataset in PARTS:
        if settings.eval_data is not None:
            raise ValueError(f"`--dataset {settings.dataset}` has official parts: choose with `--eval_split`.")
        _, split, eval_split = PARTS[settings.dataset]
        parts = settings.split or split, settings.eval_split or eval_split
        return _read(settings, settings.data, parts[0]), _read(settings, settings.data, parts[1])
    if settings.dataset not in ONE_PATH:
        raise ValueError(f"`--dataset` is {settings.dataset!r}; expected one of {', '.join([*ONE_PATH, *PARTS])}.")
    if settings.split or settings.eval_split:
        raise ValueError(f"`--dataset {settings.dataset}` has no official parts: pass the other one as `--eval_data`.")
    data = _read(settings, settings.data)
    if settings.eval_data is not None:
        return data, _read(settings, settings.eval_data)
    return hold_out(data, settings.held_out, seed)


def _read(settings: DataArguments, path: str, split: str | None = None) -> Any:
    """One data set, with its report printed."""
    others: dict[str, Any] = {"check": settings.check}
    if settings.audio_dir is not None:
        if settings.dataset in CLIPS_WITH_TABLE:
            raise ValueError(f"`--dataset {settings.dataset}` knows where its clips are: leave out `--audio_dir`.")
        others["audio_dir"] = settings.audio_dir
    if split is None:
        data, report = ONE_PATH[settings.dataset](path, **others)
    else:
        part: Any = [int(fold) for fold in split.split(",")] if split[0].isdigit() else split
        data, report = PARTS[settings.dataset][0](path, part, **others)
    print(f"{path}{f' ({split})' if split else ''}: {report}")
    return data


def hold_out(data: Any, share: float, seed: int) -> tuple[Any, Any]:
    """
    Parts for training and for evaluation, the latter with the mix of labels of the former if there are labels.

    No clip is in both: rows with a clip of each part are left out.
    """
    if not 0 < share < 1:
        raise ValueError(f"`--held_out` is {share}; expected a share between 0 and 1.")
    first = [clip["path"] for clip in data["audio"]]
    second = [clip and clip["path"] for clip in data["audio2"]] if "audio2" in data.column_names else [None] * len(data)
    by_label: dict[str, list[str]] = defaultdict(list)
    labels = data["label"] if "label" in data.column_names else [""] * len(data)
    known = dict.fromkeys(second, "") | dict(zip(first, labels, strict=True))
    for clip, label in sorted((clip, label or "") for clip, label in known.items() if clip):
        by_label[label].append(clip)
    generator, held = random.Random(seed), set()
    for _, clips in sorted(by_label.items()):
        generator.shuffle(clips)
        held.update(clips[: round(share * len(clips)) or int(len(clips) > 1)])
    sides = [{clip in held for clip in pair if clip} for pair in zip(first, second, strict=True)]
    if mixed := sum(len(side) > 1 for side in sides):
        print(f"{mixed} rows left out: one of their clips is held out, the other is not")
    parts = tuple(data.select([i for i, side in enumerate(sides) if side == {which}]) for which in (False, True))
    if not all(map(len, parts)):
        raise ValueError(f"{len(data)} rows are too few to hold out a share of {share}: give `--eval_data`.")
    return parts


def parse(*classes: Any) -> tuple[Any, ...]:
    """Arguments from the command line, or from one YAML or JSON file."""
    parser = HfArgumentParser(classes, description=sys.modules["__main__"].__doc__)
    if len(sys.argv) == 2 and sys.argv[1].endswith((".yaml", ".yml", ".json")):
        read = parser.parse_json_file if sys.argv[1].endswith(".json") else parser.parse_yaml_file
        return read(sys.argv[1])
    return parser.parse_args_into_dataclasses()


def train_and_report(trainer: Any) -> None:
    """Evaluates, trains from the newest complete checkpoint on, saves, evaluates and prints both evaluations."""
    trainer.add_callback(CompleteCheckpoints())
    check_folder(trainer.args.output_dir, "the training")
    before = trainer.evaluate()
    try:
        train_or_resume(trainer)
    except WriteError as error:  # a full disk: one line, and the same command goes on
        sys.exit(f"error: {error}")
    after = trainer.evaluate()
    with explained(trainer.args.output_dir, "the trained model", AGAIN):
        trainer.save_model()
    if trainer.is_world_process_zero():
        for name in before:
            if not name.endswith(("runtime", "per_second", "_time", "epoch")):
                print(f"{name}: {before[name]:.3f} -> {after[name]:.3f}")
