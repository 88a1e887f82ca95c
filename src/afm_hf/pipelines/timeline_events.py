"""What a timeline says: rows for a table, and events, which are stretches of time with one label."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

TOUCHING_S = 0.002  # times are whole milliseconds


def find_events(
    result: Mapping[str, Any] | Sequence[Mapping[str, Any]], threshold: float = 0.5
) -> list[dict[str, Any]]:
    """
    Where each label is heard: consecutive chunks of a timeline in which its score is at or above a threshold.

    Labels may overlap in time. With `multi_label=True` every label is judged by itself. Without it the labels share one
    whole, so that one of them is high also where none of them is heard: then give a label for what else there may be.

    Args:
        result (`dict`):
            For one clip, what `pipeline("zero-shot-audio-classification")` returns with `timestamps=True`; or its
            `"chunks"`.
        threshold (`float`, *optional*, defaults to 0.5): Score from 0 to 1.

    Returns:
        A list of `{"label": str, "start": float, "end": float, "score": float}` in the order in which they begin; times
        in seconds, and the highest score of the chunks. An event ends where nothing is heard.

    Raises:
        ValueError: there are no chunks, or the threshold is not from 0 to 1.

    Example:
    ```python
    >>> from afm_hf import find_events

    >>> chunks = [
    ...     {"timestamp": (0.0, 0.5), "scores": {"rain": 0.9, "a dog": 0.1}},
    ...     {"timestamp": (0.5, 1.0), "scores": {"rain": 0.7, "a dog": 0.3}},
    ...     {"timestamp": (1.0, 1.5), "scores": {"rain": 0.2, "a dog": 0.8}},
    ... ]
    >>> [(event["label"], event["start"], event["end"]) for event in find_events(chunks)]
    [('rain', 0.0, 1.0), ('a dog', 1.0, 1.5)]

    ```
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"`threshold` is {threshold}; expected a score from 0 to 1.")
    events: list[dict[str, Any]] = []
    newest: dict[str, dict[str, Any]] = {}
    for chunk in chunks_of(result):
        start, end = chunk["timestamp"]
        for label, score in chunk["scores"].items():
            if score < threshold:
                continue
            event = newest.get(label)
            if event is not None and start - event["end"] < TOUCHING_S:
                event.update(end=end, score=max(event["score"], score))
            else:
                newest[label] = {"label": label, "start": start, "end": end, "score": score}
                events.append(newest[label])
    return events


def timeline_rows(result: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """One `{"start", "end", "label", "score"}` for each label of each chunk, as the rows of a table."""
    for chunk in chunks_of(result):
        start, end = chunk["timestamp"]
        for label, score in chunk["scores"].items():
            yield {"start": start, "end": end, "label": label, "score": score}


def chunks_of(result: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """
    The chunks of a clip's result.

    Raises:
        ValueError: it has none.
    """
    chunks: Any = result.get("chunks") if isinstance(result, Mapping) else result
    if not isinstance(chunks, list | tuple) or any("timestamp" not in chunk for chunk in chunks):
        raise ValueError(
            "This is no timeline of one clip: there are no chunks with a timestamp. Call the pipeline with "
            "`timestamps=True`, and give the result of one clip."
        )
    return chunks


__all__ = ["chunks_of", "find_events", "timeline_rows"]
