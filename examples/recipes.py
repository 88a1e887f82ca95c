"""What the training recipes share: arguments, data through the readers of `afm_hf.data`, a run with a held-out loss.

`--dataset` names the layout of `--data`. `folder` (metadata.csv or .jsonl), `label_folders`, `table`, `wavtext5k`,
`reasonaqa`, `differences` (ADIFF's CSVs on Clotho and AudioCaps), `macs`, ... are one folder or file, of which
`--held_out` is kept for evaluation, or all of `--eval_data` is. `clotho`, `audiocaps`, `esc50`, `urbansound8k`,
`fsd50k`, ... have official parts: `--split` is trained on, `--eval_split` held out. `shards` (of `afm-hf make-shards`)
stream from their folder. Several data sets are mixed: `--dataset clotho=0.5 audiocaps=0.3 --data clotho audiocaps`, a
path for each name; what else is given (`--audio_dir`, `--split`, ...) is given for each, too, `-` for none.
"""

import math
import random
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch.utils.data import IterableDataset
from transformers import HfArgumentParser

from afm_hf.data.mixtures import LAYOUTS, layout_of, mix, mix_streams, parse_weights, read_layout, read_shards
from afm_hf.data.mixtures.shards import read_manifest
from afm_hf.models.common.writing_afm import AGAIN, WriteError, check_folder, explained
from afm_hf.training.checkpoints import CompleteCheckpoints, train_or_resume

BUFFER = 1000  # rows of a stream among which the next one is drawn


@dataclass
class DataArguments:
    """What is read."""

    data: list[str] = field(metadata={"help": "folder or file of the data set; of each, if there are several"})
    dataset: list[str] = field(
        default_factory=lambda: ["folder"],
        metadata={"help": f"its layout: {', '.join([*LAYOUTS, 'shards'])}; of several, each with a weight: clotho=0.5"},
    )
    eval_data: list[str] | None = field(default=None, metadata={"help": "another folder or file, for evaluation"})
    split: list[str] | None = field(default=None, metadata={"help": "official part, or folds as 1,2,3, for training"})
    eval_split: list[str] | None = field(default=None, metadata={"help": "official part, or folds, for evaluation"})
    audio_dir: list[str] | None = field(
        default=None, metadata={"help": "folder of the clips, if not that of the table"}
    )
    check: str = field(default="header", metadata={"help": "how far clips are looked at: exists, header or decode"})
    held_out: float = field(default=0.25, metadata={"help": "share of the clips for evaluation, if nothing else is"})
    stopping: str = field(
        default="all_exhausted",
        metadata={"help": "a mixture ends when all data sets were used up (all_exhausted), or one (first_exhausted)"},
    )
    mixing_seed: int | None = field(default=None, metadata={"help": "of the mixture's draws; by default --seed"})

    def __post_init__(self) -> None:
        """A settings file may have one text in place of a list."""
        for name in ("data", "dataset", "eval_data", "split", "eval_split", "audio_dir"):
            value = getattr(self, name)
            setattr(self, name, [value] if isinstance(value, str) else value)


@dataclass
class Source:
    """One data set of several, with `-` and None in place of what was not given."""

    layout: str
    weight: float | None
    data: str
    eval_data: str | None
    split: str | None
    eval_split: str | None
    audio_dir: str | None


class Rows:
    """Rows of a data set, changed when they are asked for."""

    def __init__(self, data: Any, change: Any) -> None:
        self.data, self.change = data, change

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.change(self.data[index])


def changed(data: Any, change: Any) -> Any:
    """Rows changed when they are asked for, of a data set or a stream."""
    return Rows(data, change) if hasattr(data, "__len__") else data.map(change)


def read_parts(settings: DataArguments, seed: int) -> tuple[Any, Any]:
    """Data sets for training and for evaluation, without common clips; prints what was left out of them."""
    return mixed_parts(settings, seed, lambda part: part)


def mixed_parts(settings: DataArguments, seed: int, change: Any) -> tuple[Any, Any]:
    """As `read_parts`, of all data sets, each part of each of them changed before they are mixed.

    The evaluation has every row of every data set once, so that its figures do not depend on the weights.
    """
    sources = sources_of(settings)
    pairs = [_read_one(source, settings, seed) for source in sources]
    if len(sources) > 1 and all(
        hasattr(part, "select") and hasattr(part, "__len__") for pair in pairs for part in pair
    ):
        pairs = _without_common_clips(pairs)
    trained, held = ([change(pair[which]) for pair in pairs] for which in (0, 1))
    if len(sources) == 1:
        return trained[0], held[0]
    weights = None if sources[0].weight is None else [float(source.weight or 0) for source in sources]
    drawn = seed if settings.mixing_seed is None else settings.mixing_seed
    if any(source.layout == "shards" for source in sources):
        if not all(source.layout == "shards" for source in sources):
            raise ValueError("Shards stream, and other layouts do not: write all data sets as shards to mix them.")
        return mix_streams(trained, weights, drawn, settings.stopping), mix_streams(held)
    return mix(trained, weights, drawn, settings.stopping), mix(held)


def _without_common_clips(pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """The parts without rows for training whose clip is held out of another data set, as Clotho's may be."""
    held = {clip for _, part in pairs for clips in _clips(part) for clip in clips}
    kept = [[index for index, clips in enumerate(_clips(part)) if not clips & held] for part, _ in pairs]
    for (part, _), indices in zip(pairs, kept, strict=True):
        if len(indices) < len(part):
            print(f"{len(part) - len(indices)} rows left out: their clip is held out of another data set")
        if not indices:
            raise ValueError(
                "All clips of a data set are held out of another one: nothing of it is left to learn from."
            )
    return [(part.select(indices), held) for (part, held), indices in zip(pairs, kept, strict=True)]


def _clips(part: Any) -> list[set[str]]:
    """The paths of the clips of each row."""
    columns = [part[name] for name in ("audio", "audio2") if name in part.column_names]
    return [{clip["path"] for clip in row if clip} for row in zip(*columns, strict=True)]


def sources_of(settings: DataArguments) -> list[Source]:
    """The data sets that were asked for, each with what belongs to it."""
    names = parse_weights(settings.dataset)
    given = {name: getattr(settings, name) for name in ("data", "eval_data", "split", "eval_split", "audio_dir")}
    for name, values in given.items():
        if values is not None and len(values) != len(names):
            raise ValueError(
                f"`--dataset` names {len(names)} data sets, but `--{name}` has {len(values)} values: give one each, "
                "in this order, `-` for none."
            )
    values = {name: [None if word == "-" else word for word in of or ["-"] * len(names)] for name, of in given.items()}
    if None in values["data"]:
        raise ValueError("Every data set needs its path in `--data`.")
    return [
        Source(layout, weight, **{name: of[index] for name, of in values.items()})
        for index, (layout, weight) in enumerate(names)
    ]


def _read_one(source: Source, settings: DataArguments, seed: int) -> tuple[Any, Any]:
    if source.layout == "shards":
        return _read_streams(source, seed)
    if layout_of(source.layout).train:
        if source.eval_data is not None:
            raise ValueError(f"`--dataset {source.layout}` has official parts: choose with `--eval_split`.")
        held_out = source.eval_split or layout_of(source.layout).held_out
        train = _read(source, settings, source.data, source.split)
        if not held_out:  # a layout whose other parts are for testing alone
            return hold_out(train, settings.held_out, seed)
        return train, _read(source, settings, source.data, held_out)
    if source.split or source.eval_split:
        raise ValueError(f"`--dataset {source.layout}` has no official parts: pass the other one as `--eval_data`.")
    data = _read(source, settings, source.data)
    if source.eval_data is not None:
        return data, _read(source, settings, source.eval_data)
    return hold_out(data, settings.held_out, seed)


def _read(source: Source, settings: DataArguments, path: str, split: str | None = None) -> Any:
    """One data set, with its report printed."""
    data, report = read_layout(source.layout, path, split, source.audio_dir, settings.check)
    print(f"{path}{f' ({split})' if split else ''}: {report}")
    return data


def _read_streams(source: Source, seed: int) -> tuple[Any, Any]:
    """The streams of a folder of shards."""
    if source.split or source.eval_split or source.audio_dir:
        raise ValueError("`--dataset shards` knows its parts and clips: leave `--split` and `--audio_dir` out.")
    train, _ = read_shards(source.data)
    held, _ = read_shards(source.eval_data or source.data, "train" if source.eval_data else "held_out")
    print(f"{source.data}: {read_manifest_rows(source.data)} rows in shards")
    return train.shuffle(seed=seed, buffer_size=BUFFER), held


def read_manifest_rows(folder: str) -> int:
    """Rows for training in a folder of shards."""
    return int(read_manifest(Path(folder))["train"]["rows"])


class Shared(IterableDataset):
    """A stream that several processes read whole, each taking its part of every batch: so all have as many batches.

    Trainer's other ways do not fit: the first process would cut batches of equal texts for the others, or each process
    would have shards of its own, and wait for ever for those with more rows.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __iter__(self) -> Any:
        return iter(self.stream)

    def set_epoch(self, epoch: int) -> None:
        """Another order for every epoch."""
        self.stream.set_epoch(epoch)


def set_up_streams(arguments: Any, settings: DataArguments, *parts: Any) -> tuple[Any, ...]:
    """
    The parts as `Trainer` takes them; of streams, which have no length, the number of steps is told in its arguments.

    How many rows there are `shards.json` says. The last batches are filled up with rows of the first ones where the
    processes would have different numbers of rows.
    """
    if settings.dataset[0].partition("=")[0] != "shards":
        return parts
    if arguments.max_steps <= 0:
        rows = sum(map(read_manifest_rows, settings.data))
        batch = arguments.train_batch_size * arguments.gradient_accumulation_steps * arguments.world_size
        arguments.max_steps = math.ceil(rows / batch * arguments.num_train_epochs)
    if arguments.world_size == 1:
        return parts
    arguments.accelerator_config.dispatch_batches = False
    return tuple(Shared(part) for part in parts)


def size_of(rows: Any) -> str:
    """How many rows there are, where that is known."""
    return str(len(rows)) if hasattr(rows, "__len__") else "streamed"


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
