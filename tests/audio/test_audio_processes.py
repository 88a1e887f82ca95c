"""Processes that are forked after torch has used two threads end their work, instead of waiting for ever."""

import json
import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import afm_hf
from afm_hf import ClapAfmFeatureExtractor

PROGRAM = """
import json, multiprocessing
import torch
import afm_hf
from torch.utils.data import DataLoader
from transformers import pipeline
from transformers.utils import logging
from afm_hf.pipelines.audio_files import read_batches

logging.set_verbosity_error()
torch.set_num_threads(2)
folder = str(afm_hf.bundled_model("clap-small"))
clips = [str(clip) for clip in afm_hf.bundled_audio()[:4]]
classify = pipeline("zero-shot-audio-classification", model=folder, device="cpu")
ask = pipeline("audio-question-answering", model=str(afm_hf.bundled_model("mellow-small")), device="cpu")
extractor, labels = classify.feature_extractor, ["rain", "a dog"]

def features(clip):
    return float(extractor([clip], return_tensors="pt")["input_features"].double().sum())

def label(clip):
    return classify(clip, candidate_labels=labels)[0]["label"]

def answer(clip):
    return ask(clip, question="what is the sound?")["answer"]

def whole_batch(rows):
    features = extractor([row["audio"] for row in rows], return_tensors="pt")["input_features"]
    return features.double().flatten(1).sum(1).tolist()

def with_threads():
    square = torch.randn(1500, 1500)
    return float(torch.sin(square @ square).sum())  # wakes the pools of both libraries

def here(function):
    return [function(clip) for clip in clips]

def in_processes(function):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map_async(function, clips).get(60)

with_threads()
found = {name: [here(function), in_processes(function)]
         for name, function in {"features": features, "labels": label, "answers": answer}.items()}
by_two = [float(batch.features["input_features"].double().sum())
          for batch in read_batches(extractor, [[clip] for clip in clips], None, 2)]
found["read_batches"] = [found["features"][0], by_two]
inputs = {"candidate_labels": labels, "batch_size": 2}
found["num_workers"] = [[result[0]["label"] for result in classify(clips, num_workers=n, **inputs)] for n in (0, 2)]
rows = [{"audio": clip} for clip in clips]
found["training"] = [[value for batch in DataLoader(rows, 2, num_workers=n, collate_fn=whole_batch) for value in batch]
                     for n in (0, 2)]
with_threads()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found():
    """What came of each work, here and in forked processes."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("work", ["features", "labels", "answers", "read_batches", "num_workers", "training"])
def test_work_in_forked_processes_ends_and_gives_the_same(found, work):
    here, there = found[work]
    assert len(here) == 4
    if isinstance(here[0], float):
        np.testing.assert_allclose(there, here, rtol=1e-5)
    else:
        assert there == here


def _threads(clip, results):
    before = torch.get_num_threads()
    ClapAfmFeatureExtractor()([clip], return_tensors="pt")
    results.put((before, torch.get_num_threads()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_keeps_to_one_thread_and_its_parent_to_its_own_number():
    threads, context = torch.get_num_threads(), multiprocessing.get_context("fork")
    results = context.Queue()
    torch.set_num_threads(3)
    try:
        process = context.Process(target=_threads, args=(str(afm_hf.bundled_audio()[0]), results))
        process.start()
        assert results.get(timeout=60) == (3, 1)
        process.join(30)
        ClapAfmFeatureExtractor()([str(afm_hf.bundled_audio()[0])], return_tensors="pt")
        assert torch.get_num_threads() == 3
    finally:
        process.kill()
        torch.set_num_threads(threads)
