"""What a pipeline of audio may be given, one by one or many, and how many become batches.

A failure is a result: it says which input it was and crosses to other processes whole. So a bad clip is named wherever
it was decoded, and may also stand for its result while the others go on.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset

from ..audio.audio_loading import AudioDecodeError
from ..audio.audio_samples import is_many, is_samples
from ..models.clap_afm.timeline_clap_afm import TIMELINE
from ..models.common.window_streams_afm import HeldWindows, StreamedWindows


class BadInputError(ValueError):
    """An input of a pipeline that cannot be used for another reason than its audio's content."""


def is_row(audio: Any) -> bool:
    """Whether a mapping is a row that holds its audio under `"audio"`, as those of `datasets` do."""
    return isinstance(audio, Mapping) and "audio" in audio


def as_inputs(audios: Any) -> tuple[Any, bool]:
    """What `Pipeline` tells apart (one input, a `Dataset`, a generator), and whether a list is to be returned."""
    if is_samples(audios):
        return tuple(audios), False  # a list would be gone through
    if is_many(audios):
        return Inputs(audios), True
    if hasattr(audios, "column_names") or isinstance(audios, Dataset):  # of datasets, of torch
        return (Inputs(audios) if isinstance(audios, Sized) else (clip for clip in audios)), False
    if isinstance(audios, Iterator) and not hasattr(audios, "read"):
        return (clip for clip in audios), False
    return audios, False


def is_single(audios: Any) -> bool:
    """Whether it is one input, and no list, `Dataset` or generator of many."""
    if is_samples(audios) or isinstance(audios, Mapping):
        return True
    return not is_many(audios) and as_inputs(audios)[0] is audios


class Inputs(Dataset[Any]):
    """Inputs by index."""

    def __init__(self, inputs: Any, process: Callable[[Any], Any] | None = None) -> None:
        self.inputs = inputs
        self.process = process

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> Any:
        item = self.inputs[index]
        return item if self.process is None else _process(item, self.process, index)


class InputStream(IterableDataset[Any]):
    """Inputs as they come."""

    def __init__(self, inputs: Iterable[Any], process: Callable[[Any], Any]) -> None:
        self.inputs = inputs
        self.process = process

    def __iter__(self) -> Iterator[Any]:
        for index, item in enumerate(self.inputs):
            yield _process(item, self.process, index)


class Batches:
    """The batches of a loader, up to the first that holds a failure, which is raised."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        batches = iter(self.loader)
        failure = None
        for batch in batches:
            if isinstance(batch, AudioDecodeError | BadInputError):
                failure = batch
                break
            yield batch
        del batches  # ends its processes at once; left to the garbage collector they would be waited for
        if failure is not None:
            raise failure


class AnswerStream:
    """Results as they come; with a length where that of the inputs is known."""

    def __init__(self, batches: Batches, answer: Any, length: int | None) -> None:
        self.batches = batches
        self.answer = answer
        self.length = length

    def __len__(self) -> int:
        if self.length is None:
            raise TypeError("The number of inputs is not known.")
        return self.length

    def __iter__(self) -> Iterator[Any]:
        for batch in self.batches:
            yield from self.answer(batch)


def load_batches(
    inputs: Any,
    process: Callable[[Any], Any],
    collate: Callable[[Sequence[Any]], Any],
    batch_size: int,
    num_workers: int,
    keep_failures: bool = False,
) -> Batches:
    """Processes inputs, here or in other processes, and joins them to batches.

    Args:
        inputs: An `Inputs`, or whatever can be gone through.
        process: What to make of one input.
        collate: Joins what was made of several.
        batch_size, num_workers: Inputs of a batch; processes that decode.
        keep_failures: Give failures to `collate` among the others, instead of raising the first.
    """
    examples: Dataset[Any]
    if isinstance(inputs, Sized):
        examples = Inputs(inputs, process)
    else:
        examples, num_workers = InputStream(inputs, process), min(num_workers, 1)
    join = collate if keep_failures else partial(_collate_or_fail, collate=collate)
    return Batches(DataLoader(examples, batch_size, num_workers=num_workers, collate_fn=join))


def collate_features(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Joins the features of single clips, `(1, ...)` each, to a batch; clips of fewer windows are filled up."""
    apart = {TIMELINE}
    batch: dict[str, Any] = {}
    if any(isinstance(item["input_features"], StreamedWindows) for item in items):
        apart |= {"input_features", "input_features_mask"}
        batch["input_features"] = StreamedWindows([clip for item in items for clip in _windows_of(item)])
    batch.update({key: _join([item[key] for item in items]) for key in items[0] if key not in apart})
    if TIMELINE in items[0]:
        batch[TIMELINE] = [timeline for item in items for timeline in item[TIMELINE]]
    return batch


def _windows_of(item: Mapping[str, Any]) -> list[Any]:
    """What gives the windows of each clip of an item."""
    features = item["input_features"]
    if isinstance(features, StreamedWindows):
        return features.clips
    return [HeldWindows(*made) for made in zip(features, item["input_features_mask"], strict=True)]


def _join(tensors: list[torch.Tensor]) -> torch.Tensor:
    """`(1, windows, ...)` each -> `(batch, most windows, ...)`, filled up with zeros."""
    if tensors[0].ndim > 1:
        most = max(tensor.shape[1] for tensor in tensors)
        fill = [(0, 0) * (tensor.ndim - 2) + (0, most - tensor.shape[1]) for tensor in tensors]
        tensors = [F.pad(tensor, pad) if pad[-1] else tensor for tensor, pad in zip(tensors, fill, strict=True)]
    return torch.cat(tensors)


def _collate_or_fail(items: Sequence[Any], collate: Callable[[Sequence[Any]], Any]) -> Any:
    failures = (item for item in items if isinstance(item, AudioDecodeError | BadInputError))
    return next(failures, None) or collate(items)


def _process(item: Any, process: Callable[[Any], Any], index: int) -> Any:
    try:
        return process(item)
    except AudioDecodeError as error:
        return AudioDecodeError(f"audios[{index}], {error.source}", error.reason, error.hint)
    except BadInputError as error:
        return BadInputError(f"audios[{index}]: {error}")


__all__ = [
    "AnswerStream",
    "BadInputError",
    "as_inputs",
    "collate_features",
    "is_row",
    "is_single",
    "load_batches",
]
