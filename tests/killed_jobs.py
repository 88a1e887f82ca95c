"""Long jobs in processes of their own, which die in the midst of a write, for tests."""

import multiprocessing
import os
import random
import signal
import sys
import threading
from pathlib import Path

import torch

from afm_hf.cli.app import app
from afm_hf.models.common import writing_afm
from afm_hf.retrieval import ClipStore, embed_files, embed_into_store


def processes():
    """A `multiprocessing` context whose processes begin with everything imported."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killed_jobs"])
    return context


def die_at(number, folder):
    """Kills this process at its so many-th change in `folder`: before a new name, or in the midst of a line."""
    seen, write_all = 0, writing_afm._write_all

    def count():
        nonlocal seen
        seen += 1
        return seen == number

    def watch(event, arguments):
        changing = event in ("os.rename", "os.mkdir", "os.remove", "shutil.rmtree")
        if changing and str(folder) in str(arguments[0]) and count():
            os.kill(os.getpid(), signal.SIGKILL)

    def write(file, content):
        if count():
            write_all(file, bytes(content)[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        write_all(file, content)

    sys.addaudithook(watch)
    writing_afm._write_all = write


def die_in_the_midst_of_append(number):
    """Kills this process some milliseconds into its so many-th change of a Lance table, which LanceDB makes itself."""
    seen = 0

    def watched(change):
        def wrapper(*arguments):
            nonlocal seen
            seen += 1
            if seen == number:
                delay = random.Random(number).random() / 50
                threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
            return change(*arguments)

        return wrapper

    for name in ("add", "delete", "tidy"):
        setattr(ClipStore, name, watched(getattr(ClipStore, name)))


def work(job, folder, number, clips, model):
    """One run of a job in `folder`; with a number it dies there, if it does not end before."""
    torch.set_num_threads(1)
    if number is not None:
        die_in_the_midst_of_append(number) if job == "store" else die_at(number, folder)
    if job == "store":
        embed_into_store([clips], Path(folder) / "emb.lance", model, batch_size=1, device="cpu", checkpoint_s=0)
        return
    if job == "embed":
        embed_files([clips], Path(folder) / "emb.safetensors", model, batch_size=1, device="cpu", checkpoint_s=0)
        return
    options = {
        "evaluate": ["--task", "zero-shot", "--dataset", "folder", "--data-dir", clips, "--model", model],
        "suite": [
            *("--sounds", clips, "--task", "zero-shot", "--task", "retrieval"),
            *("--model", f"zero-shot={model}", "--model", f"retrieval={model}"),
        ],
    }[job]
    app([job, "--output", str(folder), "--draws", "20", "--batch-size", "2", "--device", "cpu", *options])


def attempt(job, folder, clips, model, number=None):
    """Whether a run ended by itself."""
    process = processes().Process(target=work, args=(job, str(folder), number, str(clips), str(model)))
    process.start()
    process.join(180)
    ended = process.exitcode == 0
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    process.join()
    return ended
