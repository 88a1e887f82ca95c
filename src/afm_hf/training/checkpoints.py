"""
Checkpoints of `Trainer` that survive a crash at any moment.

A checkpoint is complete once a marker with the sizes and hashes of its files lies in it, which is written last and
appears at once. A checkpoint whose files do not match its marker, for example because the run died while deleting it,
is no checkpoint. Older ones are deleted only after the new one is complete.
"""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from torch import distributed
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.utils import logging

from ..models.common.writing_afm import AGAIN, check_folder, explained, sync_folder, write_text

logger = logging.get_logger(__name__)

MARKER = "complete.json"
FORMAT = 1


def mark_complete(checkpoint: str | Path) -> None:
    """
    Brings all files of a checkpoint to disk and then writes its marker.

    Args:
        checkpoint (`str` or `Path`): Its folder.

    Raises:
        ValueError: if there is no such folder, or nothing in it.
    """
    folder = Path(checkpoint)
    files = {name: _describe(folder / name, sync=True) for name in _file_names(folder)} if folder.is_dir() else {}
    if not files:
        raise ValueError(f"There is no checkpoint in {folder}.")
    sync_folder(folder)
    text = json.dumps({"format": FORMAT, "files": files}, indent=1)
    write_text(folder / MARKER, text, "the mark of a complete checkpoint", AGAIN)
    sync_folder(folder.parent)


def why_incomplete(checkpoint: str | Path) -> str | None:
    """What is wrong with a checkpoint; `None` if it is complete."""
    folder = Path(checkpoint)
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        expected = dict(marker["files"])
    except FileNotFoundError:
        return f"it has no {MARKER}: the run ended while it was saved or deleted"
    except (ValueError, KeyError, TypeError) as error:
        return f"its {MARKER} cannot be read ({error})"
    if marker.get("format") != FORMAT:
        return f"its {MARKER} has format {marker.get('format')!r}, but this version reads {FORMAT}"
    for name, description in expected.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != description["size"]:
            return f"{name} has {path.stat().st_size} bytes instead of {description['size']}"
        if _describe(path) != description:
            return f"{name} has changed since it was saved"
    return None


def newest_complete_checkpoint(output_dir: str | Path) -> str | None:
    """
    Where a run goes on: for `trainer.train(resume_from_checkpoint=...)`.

    Newer checkpoints that are not complete are named in a warning, and stay untouched.

    Args:
        output_dir (`str` or `Path`): Folder of the run, which need not exist yet.

    Returns:
        The checkpoint's folder; `None` if there is none, and the run begins.
    """
    for folder in reversed(_checkpoints(Path(output_dir))):
        reason = why_incomplete(folder)
        if reason is None:
            return str(folder)
        logger.warning(f"{folder} is not used: {reason}.")
    return None


def train_or_resume(trainer: Any) -> None:
    """
    Trains from the newest complete checkpoint on, from the beginning if there is none.

    Of a run that was over already, only weights and state are loaded: `Trainer` would train a step beyond the end. What
    an earlier run left behind because it was killed while it deleted old checkpoints is cleared away.

    Args:
        trainer (`Trainer`): With [`CompleteCheckpoints`] among its callbacks.

    Raises:
        WriteError: (an `OSError`) checkpoints cannot be written. The same call goes on once they can.
    """
    if trainer.args.should_save:
        weights = (weight for weight in trainer.model.parameters() if weight.requires_grad)
        check_folder(trainer.args.output_dir, "the training", sum(weight.nbytes for weight in weights))
    checkpoint = newest_complete_checkpoint(trainer.args.output_dir)
    if checkpoint is not None:
        state = TrainerState.load_from_json(str(Path(checkpoint) / "trainer_state.json"))
        _finish_deleting(trainer, Path(checkpoint), state.best_model_checkpoint)
        limit = trainer.args.max_steps
        if state.global_step >= limit if limit > 0 else (state.epoch or 0) >= trainer.args.num_train_epochs:
            trainer._load_from_checkpoint(checkpoint)
            trainer.state = state
            return
    with explained(trainer.args.output_dir, "a checkpoint", AGAIN, only_full=True):
        trainer.train(resume_from_checkpoint=checkpoint)


def _finish_deleting(trainer: Any, newest: Path, best: str | None) -> None:
    """What `CompleteCheckpoints` had begun in an earlier run."""
    own = [one for one in trainer.callback_handler.callbacks if isinstance(one, CompleteCheckpoints)]
    if own and trainer.args.should_save:
        limit = own[0].limit if trainer.args.save_total_limit is None else trainer.args.save_total_limit
        _delete_old(newest.parent, newest, limit, best)


class CompleteCheckpoints(TrainerCallback):
    r"""
    Marks every checkpoint of `Trainer` as complete, and deletes old ones in `Trainer`'s place.

    `Trainer` deletes old checkpoints before a callback can mark the new one; so `save_total_limit` is taken over from
    the arguments when training begins. As there, the best checkpoint is kept beyond the limit. Half-written and
    half-deleted checkpoints that are older than the newest complete one are cleared away too.

    Example:
    ```python
    trainer.add_callback(CompleteCheckpoints())
    train_or_resume(trainer)
    ```
    """

    def __init__(self) -> None:
        self.limit: int | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if args.save_total_limit is not None:
            self.limit, args.save_total_limit = args.save_total_limit, None

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if distributed.is_available() and distributed.is_initialized():
            distributed.barrier()  # every process has written its part
        if not args.should_save:
            return
        output_dir = Path(args.output_dir)
        newest = output_dir / f"checkpoint-{state.global_step}"
        mark_complete(newest)
        _delete_old(output_dir, newest, self.limit, state.best_model_checkpoint)


def _delete_old(output_dir: Path, newest: Path, limit: int | None, best: str | None) -> None:
    """Deletes checkpoints before `newest`, which is complete, beyond `limit` (if there is one), and broken ones."""
    if limit is None or limit < 1:
        return
    older = [folder for folder in _checkpoints(output_dir) if _step(folder) < _step(newest)]
    protected = Path(best).name if best else None
    kept = [folder for folder in older if (folder / MARKER).is_file() and folder.name != protected]
    others = 1 + (protected is not None and any(folder.name == protected for folder in older))
    kept = kept[len(kept) - max(0, limit - others) :]
    for folder in older:
        if folder not in kept and folder.name != protected:
            (folder / MARKER).unlink(missing_ok=True)  # first: what is left of it is no checkpoint any more
            shutil.rmtree(folder, ignore_errors=True)


def _step(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def _checkpoints(output_dir: Path) -> list[Path]:
    """Folders `checkpoint-<step>`, by step."""
    if not output_dir.is_dir():
        return []
    return sorted(
        (path for path in output_dir.iterdir() if path.is_dir() and re.fullmatch(r"checkpoint-\d+", path.name)),
        key=_step,
    )


def _file_names(folder: Path) -> list[str]:
    """Files below `folder`, as they are named in a marker."""
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in files if name != MARKER and not name.startswith(f".{MARKER}."))


def _describe(path: Path, sync: bool = False) -> dict[str, Any]:
    """Size and hash of a file, after it has been brought to disk."""
    with path.open("rb") as file:
        if sync:
            os.fsync(file.fileno())
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
        return {"size": file.tell(), "sha256": digest.hexdigest()}


__all__ = ["CompleteCheckpoints", "mark_complete", "newest_complete_checkpoint", "train_or_resume", "why_incomplete"]
