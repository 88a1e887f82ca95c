"""`Trainer` for CLAP: loss over all processes, batches larger than memory, a bounded temperature, retrieval figures."""

import math
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled
from transformers.trainer_utils import EvalPrediction

from ..evaluation.metrics.retrieval_metrics import DIRECTIONS, retrieval_scores
from ..models.clap_afm.losses_clap_afm import say_if_nothing_is_learned
from .cached_contrastive import EMBEDDINGS, NUM_PAIRS, cached_contrastive, caption_ids, negative_ids, unwrap
from .losses import ContrastiveLoss


class LogitScaleClamp(TrainerCallback):
    """
    Keeps what similarities are multiplied by at or below a limit, after every step of the optimiser, if it learns.

    Args:
        maximum (`float`, *optional*, defaults to 100.0): The limit of `exp(logit_scale)`, that of the CLAP papers.

    Raises:
        ValueError: if the limit is not above 0.
    """

    def __init__(self, maximum: float = 100.0) -> None:
        if not maximum > 0:
            raise ValueError(f"`maximum` is {maximum}; the limit of exp(logit_scale) must be above 0, usually 100.")
        self.maximum = maximum

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                # One that is not trained is not saved with an adapter, and must stay as it is in the base model.
                if name.rpartition(".")[2] == "logit_scale" and parameter.requires_grad:
                    parameter.clamp_(max=math.log(self.maximum))


def retrieval_metrics(prediction: EvalPrediction) -> dict[str, float]:
    """
    Recall at 1, 5 and 10 and mAP at 10 in both directions over the whole held-out set, for `compute_metrics`.

    They are called `audio_to_text_recall@1`, ..., `text_to_audio_map@10`.

    A caption that several clips have is right for all of them. [`ContrastiveTrainer`] says which captions are the same;
    with plain `Trainer` (whose predictions are `(text_embeds, audio_embeds)`, the order of the model's output) those
    are taken to be whose embeddings are equal, unless all are. A wrong text that scores as high as a right one counts
    as ahead of it.

    Raises:
        ValueError: if the predictions are not two matrices of one shape.
    """
    audio, text = _embeddings(prediction)
    similarity = (audio @ text.t()).nan_to_num(nan=-math.inf)  # embeddings that are no numbers find nothing
    labels = prediction.label_ids
    known = isinstance(labels, np.ndarray) and labels.shape == (len(text),) and labels.dtype.kind in "iu"
    scores = retrieval_scores(similarity.numpy(), texts=labels.tolist() if known else _equal_rows(text))
    return {f"{name}_{figure}": value for name in DIRECTIONS for figure, value in scores[name].items()}


def _embeddings(prediction: EvalPrediction) -> tuple[torch.Tensor, torch.Tensor]:
    """Those of audio and of text."""
    given = prediction.predictions
    parts = [torch.as_tensor(part).float() for part in given] if isinstance(given, tuple | list) else []
    if len(parts) != 2 or parts[0].ndim != 2 or parts[0].shape != parts[1].shape:
        shapes = [tuple(part.shape) for part in parts] or type(given).__name__
        raise ValueError(
            "Retrieval needs the embeddings of audio and text, two matrices of one shape (pairs, dim), but the "
            f"predictions are {shapes}."
        )
    # Plain `Trainer` has no labels, `()`, or such as `label_names=["input_ids"]` asks it for, and the model's order.
    labels = prediction.label_ids
    from_trainer = isinstance(labels, tuple) or getattr(labels, "ndim", 1) == 2
    return (parts[1], parts[0]) if from_trainer else (parts[0], parts[1])


def _equal_rows(text: torch.Tensor) -> list[int]:
    """A number for each text, the same where embeddings are. All equal are no captions, but a model that collapsed."""
    unit = nn.functional.normalize(text.double(), dim=-1)
    close = (unit @ unit.t() > 1 - 1e-6).fill_diagonal_(True)  # other batches differ in the last bits
    first = close.int().argmax(dim=1).tolist()
    return list(range(len(text))) if len(set(first)) == 1 else first


class ContrastiveTrainer(Trainer):
    r"""
    `Trainer` whose loss takes the pairs of all processes as negatives.

    With one process and without chunks it computes what `Trainer` itself does with [`ClapAfmModel`]. Evaluation gives
    `compute_metrics` the L2-normalised embeddings of the held-out pairs, `(audio_embeds, text_embeds)`, and as
    `label_ids` a number for each caption, the same for the same words. Negatives of your own (see [`ClapCollator`]), of
    all processes, are negatives of all pairs. The loss of a batch that is shorter than the others is lower, as it has
    fewer negatives; `dataloader_drop_last=True` leaves such batches out, in evaluation too.

    Args:
        *args, **kwargs: As `Trainer`.
        cached_chunk (`int`, *optional*):
            Pairs that are embedded at a time; the batch may then be larger than memory. See [`cached_contrastive`].
        gather (`bool`, *optional*, defaults to `True`): Whether pairs of other processes are negatives.
        max_logit_scale (`float`, *optional*, defaults to 100.0): See [`LogitScaleClamp`]; `None` for no limit.

    Raises:
        ValueError: if `cached_chunk` is below 1, or given with DeepSpeed, or DeepSpeed's stage is 3.
    """

    def __init__(
        self,
        *args: Any,
        cached_chunk: int | None = None,
        gather: bool = True,
        max_logit_scale: float | None = 100.0,
        **kwargs: Any,
    ) -> None:
        if cached_chunk is not None and cached_chunk < 1:
            raise ValueError(f"`cached_chunk` is {cached_chunk}; expected 1 or more pairs, or None.")
        super().__init__(*args, **kwargs)
        if self.is_deepspeed_enabled:
            self._refuse_what_deepspeed_cannot(cached_chunk)
        self.cached_chunk = cached_chunk
        self.contrastive_loss = ContrastiveLoss(gather)
        if max_logit_scale is not None:
            self.add_callback(LogitScaleClamp(max_logit_scale))

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The contrastive loss of this process's pairs against those of all."""
        if model.training:
            self._say_if_texts_are_the_same(inputs)
        outputs = model(**{**inputs, "return_loss": False})
        scale = unwrap(model).logit_scale
        embeddings = (outputs[name] for name in EMBEDDINGS)
        loss = self.contrastive_loss(*embeddings, scale, inputs.get(NUM_PAIRS), negative_ids(inputs))
        return (loss, outputs) if return_outputs else loss

    def training_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """As `Trainer`'s, but in chunks if `cached_chunk` is given."""
        if self.cached_chunk is None:
            return super().training_step(model, inputs, num_items_in_batch)
        model.train()
        steps = self.current_gradient_accumulation_steps
        inputs = self._prepare_inputs(inputs)
        self._say_if_texts_are_the_same(inputs)
        with self.compute_loss_context_manager():
            loss = cached_contrastive(
                model,
                inputs,
                self.cached_chunk,
                self.contrastive_loss,
                backward=lambda term: self.accelerator.backward(term / steps),
            )
        return loss / steps

    @staticmethod
    def _refuse_what_deepspeed_cannot(cached_chunk: int | None) -> None:
        if is_deepspeed_zero3_enabled():
            raise ValueError(
                "Stage 3 of ZeRO takes the temperature apart, which the contrastive loss reads outside of the model's "
                "forward pass. Take stage 1 or 2."
            )
        if cached_chunk is not None:
            raise ValueError(
                f"`cached_chunk` is {cached_chunk}, but DeepSpeed makes a step after every backward pass, and a "
                "batch in chunks has one for each chunk. Take larger batches, or train without DeepSpeed."
            )

    def _say_if_texts_are_the_same(self, inputs: dict[str, Any]) -> None:
        """Those of other processes may differ, so with several that is not looked at."""
        if "input_ids" in inputs and (self.args.world_size == 1 or not self.contrastive_loss.gather):
            say_if_nothing_is_learned(len(inputs["input_ids"]), inputs["input_ids"])

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Any, Any, Any]:
        """Loss, the two embeddings, and a number for the caption of every pair."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            loss, outputs = self.compute_loss(model, inputs, return_outputs=True)
        if prediction_loss_only:
            return loss.detach(), None, None
        pairs = slice(inputs.get(NUM_PAIRS))  # without the negatives behind them
        embeddings = tuple(outputs[name][pairs].detach() for name in EMBEDDINGS)
        if "input_ids" in inputs:
            return loss.detach(), embeddings, caption_ids(inputs["input_ids"], inputs.get("attention_mask"))[pairs]
        return loss.detach(), embeddings, torch.zeros(len(embeddings[0]), device=loss.device)  # some, or no metrics


__all__ = ["ContrastiveTrainer", "LogitScaleClamp", "retrieval_metrics"]
