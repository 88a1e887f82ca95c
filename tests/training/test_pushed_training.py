"""`push_to_hub=True` in a training: weights and checkpoints reach a Hub on this machine, and it goes on from there."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from local_hub import environment, local_hub

TRAIN = """
    import json
    import sys
    from tiny_models import tiny_clap, write_tones
    from huggingface_hub import HfApi, snapshot_download
    from transformers import AutoModel, AutoProcessor, Trainer, TrainingArguments
    from transformers.trainer_utils import get_last_checkpoint
    from afm_hf.training.checkpoints import CompleteCheckpoints
    from afm_hf.training.collators import ClapCollator

    folder = tiny_clap("start")
    clips = [str(path) for path in write_tones("clips", 4)]
    rows = [{"audio": clip, "text": text} for clip, text in zip(clips, ["one", "two", "three", "four"])]
    processor = AutoProcessor.from_pretrained(folder)

    def train(output, steps, resume=None):
        arguments = TrainingArguments(
            output, max_steps=steps, per_device_train_batch_size=2, save_steps=2, push_to_hub=True,
            hub_model_id="me/trained", hub_strategy="all_checkpoints", hub_always_push=True,
            remove_unused_columns=False,
            learning_rate=1e-3, lr_scheduler_type="constant", use_cpu=True, report_to=[], disable_tqdm=True,
        )
        trainer = Trainer(
            AutoModel.from_pretrained(folder), arguments, ClapCollator(processor), train_dataset=rows,
            processing_class=processor, callbacks=[CompleteCheckpoints()],
        )
        trainer.train(resume_from_checkpoint=resume)
        return trainer

    first = train("run", 4)
    first.push_to_hub()
    files = sorted(HfApi().list_repo_files("me/trained"))
    pushed = AutoModel.from_pretrained("me/trained")
    same = all((a == b).all().item() for a, b in zip(pushed.parameters(), first.model.parameters()))

    # another machine: the checkpoint comes from the Hub, and the run ends as if it had not been interrupted
    there = snapshot_download("me/trained", allow_patterns="checkpoint-2/*", local_dir="fetched")
    again = train("run2", 4, resume=there + "/checkpoint-2")
    resumed = all((a == b).all().item() for a, b in zip(again.model.parameters(), first.model.parameters()))
    print(json.dumps({"files": files, "same": same, "resumed": resumed, "step": again.state.global_step}))
"""


def test_weights_and_checkpoints_are_pushed_and_a_run_goes_on_from_them(tmp_path):
    tests = Path(__file__).parents[1]
    with local_hub() as (hub, address):
        variables = {**os.environ, **environment(address, tmp_path / "home"), "OMP_NUM_THREADS": "1"}
        variables["PYTHONPATH"] = os.pathsep.join([str(tests), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(TRAIN)],
            env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        found = json.loads(done.stdout.splitlines()[-1])
        assert len(hub.repos["me/trained"]) > 2  # also while it was trained
    assert {"config.json", "model.safetensors", "processor_config.json", "tokenizer.json", "modules.json"} <= set(
        found["files"]
    )
    state = ("trainer_state.json", "optimizer.pt", "scheduler.pt", "model.safetensors")
    assert {f"checkpoint-{step}/{name}" for step in (2, 4) for name in state} <= set(found["files"])
    assert found["same"] and found["resumed"] and found["step"] == 4
