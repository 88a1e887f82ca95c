"""Work done in threads of its own while what was made before it is used: decoding beside computing."""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
Given = TypeVar("Given")

MOST_THREADS = 4  # that decode: more wait for memory and for Python
MANY = 32  # files for which more than one thread is worth it


def decoding_threads(files: int) -> int:
    """Threads that decode so many files: one, or as many as there are cores, at most four."""
    return min(MOST_THREADS, os.cpu_count() or 1) if files >= MANY else 1


def mapped_ahead(make: Callable[[Given], T], items: Iterable[Given], threads: int = 1) -> Iterator[T]:
    """
    `map(make, items)`, in order, made by threads while the results before are used.

    No more than `threads` results wait to be used. An error comes where its result would stand.

    Args:
        make: Makes a result of an item; it must not depend on the thread in which it runs.
        items: What is made into results.
        threads: How many are made at once.
    """
    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="afm-ahead")
    try:
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def made_ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items, each made in a thread while the one before is used."""
    end = object()
    source = iter(items)
    for item in mapped_ahead(lambda _: next(source, end), itertools.repeat(None)):
        if item is end:
            return
        yield item  # type: ignore[misc]


__all__ = ["decoding_threads", "made_ahead", "mapped_ahead"]
