"""Functions in processes of their own, for the tests: two that talk over gloo, or one that may be killed.

A server process imports everything once and forks: starting an interpreter for each would take longest of all.
"""

import multiprocessing
import os
import socket
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed


def processes():
    """A `multiprocessing` context whose processes begin with transformers imported."""
    folder = Path(__file__).parent
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), str(folder.parent), os.environ.get("PYTHONPATH", "")])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["contrastive_models", "tiny_training"])
    return context


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _run(rank, port, function, arguments, results):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"LOCAL_RANK": str(rank), "GLOO_SOCKET_IFNAME": "lo"}
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", timeout=timedelta(seconds=60))
    try:
        results.put((rank, function(rank, *arguments)))
        distributed.barrier()
    except BaseException as error:
        results.put((rank, error))
        raise
    finally:
        distributed.destroy_process_group()


def in_two_processes(function, *arguments, seconds=120):
    """What `function(rank, *arguments)` returns in each process; it must be importable, and return no tensors."""
    context = processes()
    results, port = context.Queue(), _free_port()
    both = [context.Process(target=_run, args=(rank, port, function, arguments, results)) for rank in range(2)]
    for process in both:
        process.start()
    try:
        found = dict(results.get(timeout=seconds) for _ in both)
        for process in both:
            process.join(30)
    finally:
        for process in both:
            process.kill()
    for value in found.values():
        if isinstance(value, BaseException):
            raise value
    return found[0], found[1]
