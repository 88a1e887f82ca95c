"""torch in a process that was forked.

Of a process that has used several threads a fork has but one: the others, for which torch's next operation on many
numbers would wait for ever, are not there (GNU OpenMP does not make them anew). So a forked process keeps to one
thread, as `DataLoader` has it in its workers. It concerns `multiprocessing.Pool` on Linux, `datasets`'
`map(num_proc=2)` and such.
"""

import os

import torch

_IMPORTED_BY = os.getpid()


def keep_to_one_thread_if_forked() -> None:
    """Call it before torch computes, wherever another process may be the first to do so."""
    if os.getpid() != _IMPORTED_BY and torch.get_num_threads() > 1:
        torch.set_num_threads(1)


__all__ = ["keep_to_one_thread_if_forked"]
