"""What a benchmark task is: predictions clip by clip, and a score of all of them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SHOWN = 20  # examples in the details of a result


@dataclass(frozen=True)
class Item:
    """
    One thing to predict.

    Args:
        id (`str`): Its name in the dataset, as `"esc50.csv:12"`; each once.
        audio: Path of the clip, or a pair of paths.
        truth (`dict[str, Any]`): What is known of it, as JSON can hold it: label, captions, question, answer, ...
    """

    id: str
    audio: Any
    truth: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """An item that could not be predicted, and why."""

    reason: str


@dataclass(frozen=True)
class Record:
    """An item and what was predicted, `{"scores": [...]}` for example."""

    item: Item
    prediction: Mapping[str, Any]


class Task(ABC):
    """
    Base of the tasks, one file each.

    Attributes:
        name: As the command line calls it.
        main_metric: The figure that papers give.
        higher_is_better: Its direction.
    """

    name: str
    main_metric: str = ""
    higher_is_better: bool = True

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """All that a prediction depends on, beside the items: model, prompts, windows policy, ... (for JSON)."""

    @property
    def prompts(self) -> list[str]:
        """The words that the model is asked with, where they are the same for all items."""
        return []

    @abstractmethod
    def predict(self, items: Sequence[Item]) -> Iterator[Mapping[str, Any] | Failure]:
        """A prediction (for JSON) or a [`Failure`] for every item, in order, as they come."""

    @abstractmethod
    def score(self, records: Sequence[Record]) -> dict[str, float]:
        """Metrics of these records, as fractions of 1."""

    def per_record(self, records: Sequence[Record]) -> dict[str, Any] | None:
        """The metrics that get intervals: values of each record, `(records,)`, whose mean is the metric; or [`Sums`].

        `None`, the default: all metrics are computed anew for every draw of the bootstrap, which takes its time.
        """
        return None

    def details(self, records: Sequence[Record]) -> dict[str, Any]:
        """What a report shows beside the metrics, as a confusion matrix; nothing by default."""
        return {}


def items_of(dataset: Iterable[Mapping[str, Any]], limit: int | None = None) -> list[Item]:
    """
    The rows of a reader of `afm_hf.data` as items.

    Args:
        dataset: Rows with `audio` (a path or `{"path"}`), perhaps `audio2`, `source`, and what is known of the clip.
        limit (`int`, *optional*): Only so many of the first rows.

    Raises:
        ValueError: if a row has no audio, or two rows have the same source.
    """
    items: dict[str, Item] = {}
    for number, row in enumerate(dataset):
        if limit is not None and number >= limit:
            break
        clips = [_path(row[name]) for name in ("audio", "audio2") if row.get(name) is not None]
        if not clips:
            raise ValueError(f"Row {number} of the dataset has no 'audio'; its columns are {sorted(row)}.")
        name = str(row.get("source") or number)
        if name in items:
            name = f"{name}#{number}"  # several questions about one line of the file
        truth = {key: value for key, value in row.items() if key not in ("audio", "audio2", "source")}
        items[name] = Item(name, clips[0] if len(clips) == 1 else tuple(clips), truth)
    return list(items.values())


def _path(audio: Any) -> Any:
    return audio["path"] if isinstance(audio, Mapping) and audio.get("path") else audio
