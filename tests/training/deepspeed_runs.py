"""What a process of a training with DeepSpeed does, for tiny models; imported by processes that have nothing else."""

import os
from pathlib import Path

from prefix_models import RATE, clips, tiny_processor
from tiny_training import make_trainer
from transformers import AutoModel, AutoModelForMultimodalLM, Trainer, TrainingArguments

from afm_hf.training.collators import PrefixLMCollator
from afm_hf.training.freezing import freeze_batch_norms


def start():
    """DeepSpeed for processors, without compiled collectives for inference, which take minutes to build."""
    os.environ["DS_ACCELERATOR"] = "cpu"
    import deepspeed

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def settings(stage):
    """A config of DeepSpeed; what `Trainer` knows it fills in."""
    automatic = ("train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping")
    zero = {"stage": stage}
    return {"zero_optimization": zero, "zero_allow_untested_optimizer": True, **dict.fromkeys(automatic, "auto")}


def run(rank, kind, base, folder, stage, resume=False):
    """
    Losses of four steps of a model that lies in `base`, and of CLAP the loss of held-out pairs.

    The trained model lies in `folder/last`.
    """
    if stage:
        start()
    kwargs = {"deepspeed": settings(stage)} if stage else {}
    model = (AutoModel if kind == "clap" else AutoModelForMultimodalLM).from_pretrained(base)
    # DistributedDataParallel takes the running statistics of the first process, DeepSpeed those of each.
    freeze_batch_norms(model)
    kwargs |= {"max_steps": 4, "save_steps": 2, "save_total_limit": None, "warmup_steps": 0}
    trainer = make_trainer(folder, model, **kwargs) if kind == "clap" else prefix_trainer(folder, model, kind, **kwargs)
    trainer.train(resume_from_checkpoint=str(Path(folder, "checkpoint-2")) if resume else None)
    trainer.save_model(str(Path(folder, "last")))
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return losses, trainer.evaluate()["eval_loss"] if kind == "clap" else None


def prefix_trainer(folder, model, kind, **kwargs):
    rows = [{"audio": clip, "answer": f"a {index}", "prompt": "what is it"} for index, clip in enumerate(clips(6))]
    arguments = TrainingArguments(
        str(folder),
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        per_device_train_batch_size=1,
        logging_steps=1,
        learning_rate=1e-3,
        **kwargs,
    )
    arguments.label_names = ["labels"]
    return Trainer(model, arguments, PrefixLMCollator(tiny_processor(kind), sampling_rate=RATE), train_dataset=rows)


def refusal(rank, folder, stage, chunk):
    """What a trainer of CLAP says to a stage, or to chunks."""
    start()
    try:
        make_trainer(folder, deepspeed=settings(stage), cached_chunk=chunk)
    except ValueError as error:
        return str(error)
    return ""
