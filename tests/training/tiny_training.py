"""One small training run with all that has a state: dropout, SpecAugment, Adam, a schedule, shuffled data, epochs."""

import os
import signal
import sys
from pathlib import Path

import torch
from tiny_models import RATE, clap_parts, tone
from transformers import TrainingArguments

from afm_hf import ClapAfmProcessor
from afm_hf.training.checkpoints import CompleteCheckpoints, train_or_resume
from afm_hf.training.collators import ClapCollator
from afm_hf.training.contrastive_trainer import ContrastiveTrainer, retrieval_metrics

PAIRS = [
    {"audio": tone(150 * (index + 1), 0.8, seed=index), "caption": [f"a tone of {index} hertz", f"tone {index}"]}
    for index in range(10)
]


def make_trainer(folder, model=None, **kwargs):
    """A run of two and a half epochs that saves at every second step."""
    made, tokenizer, extractor = clap_parts()
    model = model or made
    torch.manual_seed(0)
    processor = ClapAfmProcessor(extractor, tokenizer)
    own = {name: kwargs.pop(name) for name in ("cached_chunk", "gather", "max_logit_scale") if name in kwargs}
    settings = {"per_device_train_batch_size": 2, "max_steps": 12, "save_steps": 2, "save_total_limit": 2}
    settings |= {"logging_steps": 1, "learning_rate": 1e-3, "seed": 0, "warmup_steps": 3}
    arguments = TrainingArguments(
        str(folder),
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        **{**settings, **kwargs},
    )
    return ContrastiveTrainer(
        model,
        arguments,
        ClapCollator(processor, sampling_rate=RATE, truncation="random"),
        train_dataset=PAIRS,
        eval_dataset=PAIRS,
        processing_class=processor,
        compute_metrics=retrieval_metrics,
        callbacks=[CompleteCheckpoints()],
        **own,
    )


def die_at(event_number, folder):
    """Kills this process at so many-th time that it is about to change something in `folder`."""
    seen = 0
    changing = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "shutil.rmtree")

    def watch(event, arguments):
        nonlocal seen
        is_write = event == "open" and isinstance(arguments[1], str) and arguments[1][0] in "wax"
        if (is_write or event in changing) and str(folder) in str(arguments[0]):
            seen += 1
            if seen == event_number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    return lambda: seen


def train(folder, event_number=None):
    """Goes on where an earlier run stopped; writes the number of changes to the disk to `events`."""
    torch.set_num_threads(1)
    count = die_at(event_number, folder)
    trainer = make_trainer(folder)
    train_or_resume(trainer)
    trainer.save_model()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    Path(folder, "done").write_text(f"{count()}\n{losses}")
