"""The recipes run from their commands, on bundled clips, also in two processes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("accelerate")
ROOT = Path(__file__).parents[2]
QUIET = ["--disable_tqdm", "true", "--eval_strategy", "no", "--save_strategy", "no"]
COMMON = ["--data", "examples/sounds", "--use_cpu", *QUIET]


def run(*command, two=False):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"] if two else []
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [sys.executable, *launcher, *map(str, command)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def falls(output):
    before, after = map(float, re.search(r"eval_loss: ([\d.]+) -> ([\d.]+)", output).groups())
    return after < before


@pytest.mark.slow
@pytest.mark.parametrize("two", [False, True], ids=["one process", "two processes"])
def test_contrastive_training_lowers_the_held_out_loss(two, tmp_path):
    settings = ["--max_steps", 20, "--learning_rate", 1e-4, "--per_device_train_batch_size", 16]
    assert falls(run("examples/train_clap.py", "--output_dir", tmp_path, *COMMON, *settings, two=two))


@pytest.mark.slow
@pytest.mark.parametrize("two", [False, True], ids=["one process", "two processes"])
def test_prefix_lm_training_lowers_the_held_out_loss(two, tmp_path):
    fresh = tmp_path / "fresh"
    run("examples/fresh_prefix_lm.py", "--architecture", "pengi", "--data", "examples/sounds", "--output", fresh)
    settings = ["--max_steps", 20, "--model", fresh, "--output_dir", tmp_path / "run"]
    assert falls(run("examples/train_prefix_lm.py", *COMMON, *settings, two=two))


@pytest.mark.slow
def test_a_speech_encoder_and_labels_as_answers_lower_the_held_out_loss(tmp_path):
    fresh = tmp_path / "fresh"
    run("examples/fresh_prefix_lm.py", "--architecture", "selm", "--data", "examples/sounds", "--output", fresh)
    settings = [
        "--max_steps",
        30,
        "--model",
        fresh,
        "--output_dir",
        tmp_path / "run",
        "--label_prompt",
        "this emotion is",
    ]
    assert falls(run("examples/train_prefix_lm.py", *COMMON, *settings))


@pytest.mark.slow
def test_a_mixture_of_two_data_sets_lowers_the_held_out_loss(tmp_path):
    paths = ["examples/sounds", "examples/sounds/metadata.csv"]
    mixed = ["--dataset", "folder=3", "table=1", "--data", *paths, "--use_cpu", *QUIET]
    settings = ["--max_steps", 20, "--learning_rate", 1e-4, "--per_device_train_batch_size", 16]
    assert falls(run("examples/train_clap.py", "--output_dir", tmp_path, *mixed, *settings))


@pytest.mark.slow
@pytest.mark.parametrize("two", [False, True], ids=["one process", "two processes"])
def test_shards_are_streamed_and_lower_the_held_out_loss(two, tmp_path):
    made = ["--data", "examples/sounds", "--held-out", 0.25, "--rows-per-shard", 20, "--output", tmp_path / "shards"]
    run("-m", "afm_hf", "make-shards", *made)
    settings = ["--num_train_epochs", 4, "--learning_rate", 1e-4, "--per_device_train_batch_size", 16]
    streamed = ["--dataset", "shards", "--data", tmp_path / "shards", "--use_cpu", *QUIET]
    assert falls(run("examples/train_clap.py", "--output_dir", tmp_path / "run", *streamed, *settings, two=two))


@pytest.mark.slow
def test_two_ears_lower_the_held_out_loss(tmp_path):
    fresh = tmp_path / "fresh"
    config = "examples/configs/wavtext5k_model.yaml"
    run("examples/fresh_clap.py", config, "--data", "examples/sounds", "--output", fresh)
    settings = ["--model", fresh, "--max_steps", 10, "--learning_rate", 1e-3, "--per_device_train_batch_size", 16]
    assert falls(run("examples/train_clap.py", "--output_dir", tmp_path / "run", *COMMON, *settings))
