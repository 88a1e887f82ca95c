"""A progress bar for a training that is a part of something else."""

from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class StepBar(TrainerCallback):
    """
    One bar over the steps of a training, which goes when it is done. For `disable_tqdm=True`.

    Args:
        name (`str`): What stands beside it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._bar: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._bar = tqdm(total=state.max_steps, desc=self.name, unit="step", leave=False)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._bar.update(state.global_step - self._bar.n)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._bar.close()


__all__ = ["StepBar"]
