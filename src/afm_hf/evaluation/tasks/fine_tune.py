"""Fine-tuning: CLAP's encoder and a classifier trained together, over the official folds or parts (CLAP 2022)."""

import copy
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...models.clap_afm.modeling_clap_afm import ClapAfmForAudioClassification
from ...models.common.writing_afm import AGAIN, check_folder, explained
from ...pipelines.audio_files import in_batches, read_batches
from ...training.collators import LabelCollator
from ..digests import items_digest, weights_digest
from ..task import Failure, Item, Record
from .linear_probe import TRAIN, LinearProbeTask
from .zero_shot import read_items

if TYPE_CHECKING:
    from transformers import TrainingArguments

WEIGHTS = "model.safetensors"
HALF = ".half-"  # begins the names of folders that are not whole yet


class FineTuneTask(LinearProbeTask):
    """
    A classifier on CLAP's audio encoder, both trained on the other folds; `label` (or `labels`) and `fold` of an item.

    Items stand fold by fold, as [`by_fold`] orders them. One classifier is trained for each fold, when its first clip
    is asked for; those of the fold `"train"` are trained on and never judged. A clip that cannot be used is left out of
    training, too. The optimiser is Adam with a linear decay, as of `Trainer`; 30 epochs at 1e-4 are the first paper's
    (arXiv 2206.04769, section 3.3).

    Args:
        pipe ([`ZeroShotAudioClassificationPipeline`]): With its model, a CLAP, which stays as it is.
        items: All items of the run.
        labels (`list[str]`): All labels.
        multi_label (`bool`): Whether the truth of an item is `labels`, a list, and not `label`.
        epochs (`float`), learning_rate (`float`), layers (`int`): Of the training; layers of the classifier.
        folder (*optional*): Where the classifiers are kept, so that a run that was stopped goes on after its last
            whole fold.
        seed (`int`): Of initialisation, order and dropout.
        options: As of [`RetrievalTask`]; `batch_size` is also that of training.

    Raises:
        ValueError: in one of several processes, whose trainings would wait for each other.
    """

    name = "fine-tune"

    def __init__(
        self,
        pipe: Any,
        items: Sequence[Item],
        labels: Sequence[str],
        *,
        multi_label: bool = False,
        epochs: float = 30,
        learning_rate: float = 1e-4,
        layers: int = 1,
        folder: str | os.PathLike[str] | None = None,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(pipe, labels, multi_label=multi_label, **options)
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ValueError("Fine-tuning runs in one process; start it without torchrun or accelerate launch.")
        self.items = list(items)
        self.epochs, self.learning_rate, self.layers, self.seed = epochs, learning_rate, layers, seed
        self.folder = None if folder is None else Path(folder)
        self._unusable: dict[str, str] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Model, windows policy, and all of the training."""
        shared = {name: value for name, value in super().settings.items() if name != "l2"}
        training = {name: getattr(self, name) for name in ("epochs", "learning_rate", "layers", "batch_size", "seed")}
        return {**shared, "labels": self.labels, **training}

    def predict(self, items: Sequence[Item]) -> Iterator[Mapping[str, Any] | Failure]:
        """`{"scores": [logit of each label]}`; nothing of a clip that is only trained on."""
        for fold, group in groupby(items, fold_of):
            members = list(group)
            if fold == TRAIN:
                reasons = [self._failures().get(item.audio) for item in members]
                yield from ({} if reason is None else Failure(reason) for reason in reasons)
                continue
            classifier = self._classifier(fold).to(self.pipe.model.device).eval()

            def logits(
                features: Mapping[str, torch.Tensor], model: ClapAfmForAudioClassification = classifier
            ) -> list[list[float]]:
                rows: list[list[float]] = model(**features).logits.float().tolist()
                return rows

            settings = (self.truncation, self.batch_size, self.num_workers)
            for _, outcome in read_items(self.pipe, members, *settings, logits):
                if not isinstance(outcome, Failure) and not np.isfinite(outcome).all():
                    raise ValueError(
                        f"The training for fold {fold} has ended in numbers that are not finite: the learning rate of "
                        f"{self.learning_rate:g} is too high."
                    )
                yield outcome if isinstance(outcome, Failure) else {"scores": outcome}

    def _fit(self, records: Sequence[Record], folds: np.ndarray) -> np.ndarray:
        """The logits that were predicted: nothing is fitted any more."""
        scores = np.full((len(records), len(self.labels)), -np.inf)
        for i, record in enumerate(records):
            if folds[i] != TRAIN:
                scores[i] = record.prediction["scores"]
        return scores

    def _classifier(self, fold: str) -> ClapAfmForAudioClassification:
        """The one that has not heard this fold; from the folder, if it lies there whole."""
        others = [item for item in self.items if self.learns_from(item, fold)]
        training = [item for item in others if item.audio not in self._failures()]
        if not training:
            raise ValueError(f"There are no clips outside of the fold {fold!r} to train on.")
        if self.folder is None:
            return self._train(training, fold)
        kept = self.folder / f"fold-{fold}-{self._digest(training)}"
        if not (kept / WEIGHTS).is_file():
            weights = self.pipe.model.audio_model.parameters()
            check_folder(self.folder, "the classifier", sum(weight.nbytes for weight in weights))
            self._keep(self._train(training, fold), kept)
        return ClapAfmForAudioClassification.from_pretrained(kept)

    def _keep(self, classifier: ClapAfmForAudioClassification, kept: Path) -> None:
        """Save it whole or not at all."""
        for half in kept.parent.glob(f"{HALF}*"):  # of a run that was killed just then
            shutil.rmtree(half, ignore_errors=True)
        with explained(kept, "the classifier", AGAIN):
            kept.parent.mkdir(parents=True, exist_ok=True)
            half = Path(tempfile.mkdtemp(prefix=HALF, dir=kept.parent))
            try:
                classifier.save_pretrained(half)
                self.pipe.feature_extractor.save_pretrained(half)
                shutil.rmtree(kept, ignore_errors=True)
                half.rename(kept)
            finally:
                shutil.rmtree(half, ignore_errors=True)

    def _train(self, items: Sequence[Item], fold: str) -> ClapAfmForAudioClassification:
        from transformers import PrinterCallback, Trainer, set_seed

        from ...training.progress import StepBar

        set_seed(self.seed)
        model = self._new()
        truth = "labels" if self.multi_label else "label"
        rows = [{"audio": item.audio, truth: item.truth[truth]} for item in items]
        audio: dict[str, Any] = {} if self.truncation is None else {"truncation": self.truncation}
        collator = LabelCollator(self.pipe.feature_extractor, self.labels, seed=self.seed, **audio)
        with tempfile.TemporaryDirectory() as scratch:
            trainer = Trainer(model, self._arguments(scratch), collator, train_dataset=rows)
            trainer.remove_callback(PrinterCallback)  # figures of a training are not those of the run
            trainer.add_callback(StepBar(f"training for fold {fold}"))
            trainer.train()
        return model

    def _new(self) -> ClapAfmForAudioClassification:
        """The pretrained encoder with a fresh classifier."""
        clap = self.pipe.model
        config = copy.deepcopy(clap.config)
        config.id2label = dict(enumerate(self.labels))
        config.label2id = {label: index for index, label in config.id2label.items()}
        config.classifier_layers = self.layers
        config.problem_type = "multi_label_classification" if self.multi_label else "single_label_classification"
        model = ClapAfmForAudioClassification(config)
        model.audio_model.load_state_dict(clap.audio_model.state_dict())
        return model

    def _arguments(self, scratch: str) -> "TrainingArguments":
        from transformers import TrainingArguments

        return TrainingArguments(
            output_dir=scratch,
            num_train_epochs=self.epochs,
            learning_rate=self.learning_rate,
            per_device_train_batch_size=self.batch_size,
            dataloader_num_workers=self.num_workers,
            seed=self.seed,
            use_cpu=self.pipe.model.device.type == "cpu",
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            remove_unused_columns=False,
            disable_tqdm=True,
        )

    def _failures(self) -> dict[str, str]:
        """Clips that cannot be used, and why; each is looked at once."""
        if self._unusable is None:
            self._unusable = {}
            paths = [os.path.abspath(item.audio) for item in self.items]
            given = dict(zip(paths, (item.audio for item in self.items), strict=True))
            batches = in_batches(paths, self.batch_size)
            for batch in read_batches(self.pipe.feature_extractor, batches, self.truncation, self.num_workers):
                self._unusable.update((given[path], reason) for path, reason in batch.failures.items())
        return self._unusable

    def _digest(self, items: Sequence[Item]) -> str:
        """Of all that a classifier depends on."""
        settings = json.dumps(self.settings, sort_keys=True, default=str)
        parts = (settings, items_digest(items), weights_digest(self.pipe.model.audio_model))
        return hashlib.sha256("".join(parts).encode()).hexdigest()[:12]


def fold_of(item: Item) -> str:
    """The fold in which it is judged."""
    return str(item.truth["fold"])


def by_fold(items: Sequence[Item]) -> list[Item]:
    """The items fold by fold, in their order within a fold."""
    return sorted(items, key=fold_of)


__all__ = ["FineTuneTask", "by_fold", "fold_of"]
