"""What the frozen ears and CLAP's head make of the training clips, for the models that answer in words.

A head that has learned a clip is surer of it than it will be of any new one, and a language model that only ever saw it
sure would believe it always. So most clips are heard through heads that were trained without their package
(cross-fitting); the text side, and with it the space, is that of the whole CLAP.
"""

import argparse
import copy
import random
import zlib
from pathlib import Path

import numpy as np
import torch
from answers_facts import Bank
from answers_models import classifier_of
from clap_head import TEMPLATE, Draws, Lesson, fit, lessons_of_yamnet, split_rows
from safetensors.torch import load_file, save_file
from small_clap_features import load_rows, load_variants
from torch.nn import functional as F
from train_small_clap import parser
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerBase

from afm_hf import ClapAfmModel
from afm_hf.models.common.modeling_afm_common import AfmProjection

FOLDS = 4
OWN = 0.3  # share of the clips that are heard through CLAP's own head


class Heard:
    """The training clips of the work folder, as CLAP hears them.

    Args:
        work (`Path`): Folder of `train_small_clap.py --stage hear`.
        clap (`Path`): The trained CLAP.
        yamnet (`Path`): The converted YAMNet, for the names of its classes.
        mellow (`bool`): Give what Mellow hears: the ears' embedding, and class scores step by step. Otherwise CLAP's
            embedding, of length 1.
        validation (`bool`): Leave out some packages.
        seed (`int`): Of all draws.
    """

    def __init__(self, work: Path, clap: Path, yamnet: Path, mellow: bool, validation: bool, seed: int) -> None:
        self.rows, self.mellow = load_rows(work), mellow
        self.train, self.held = split_rows(argparse.Namespace(validation=validation, unseen=()), self.rows)
        self.names = sorted({self.rows[i]["label"] for i in self.train})
        self.labels = [self.names.index(row["label"]) if row["label"] in self.names else -1 for row in self.rows]
        self.clap: ClapAfmModel = AutoModel.from_pretrained(clap).eval()
        tokenizer = AutoTokenizer.from_pretrained(clap)
        ears = self.clap.audio_model.encoder
        self.mean, self.std = ears.mean, ears.std
        self.steps, self.facts = load_variants(work, "steps"), load_variants(work, "facts")
        self.embeddings = (load_variants(work, "embeddings") - self.mean) / self.std
        self.sequences = load_file(work / "sequences.safetensors")
        self.classes = label_embeddings(self.clap, tokenizer, self.names)
        self.rng = np.random.default_rng(seed)
        self.folds = fold_of(self.rows, seed)
        self.heads = [*self._cross_fit(tokenizer, work, yamnet, seed), self.clap.audio_projection]
        self.draws = Draws(self.rows, self.train, self.labels, self.embeddings.shape[1], seed)

    def _cross_fit(
        self, tokenizer: PreTrainedTokenizerBase, work: Path, yamnet: Path, seed: int
    ) -> list[AfmProjection]:
        """A head for each fold, trained without it; kept in the work folder for the next model on the same CLAP."""
        args = parser().parse_args(["--yamnet", str(yamnet), "--aisfx", "", "--work", str(work), "--seed", str(seed)])
        shape = (self.embeddings.shape[-1], self.clap.config.projection_dim, args.dropout)
        heads = [AfmProjection(*shape).eval() for _ in range(FOLDS)]
        mark = zlib.crc32(self.clap.audio_projection.linear1.weight.detach().numpy().tobytes())
        kept = work / f"heads-{mark:08x}-{len(self.train)}-{seed}.safetensors"
        if kept.is_file():
            weights = load_file(kept)
            for number, head in enumerate(heads):
                head.load_state_dict({name: weights[f"{number}/{name}"] for name in head.state_dict()})
            return heads
        likely = lessons_of_yamnet(load_variants(work, "scores"), self.train, args.common)
        for fold, head in enumerate(heads):
            torch.manual_seed(seed + fold)
            model = copy.deepcopy(self.clap)
            for layer in (head.linear1, head.linear2):
                torch.nn.init.xavier_uniform_(layer.weight)
            model.audio_projection = head
            train = [i for i in self.train if self.folds[i] != fold]
            lesson = Lesson(self.rows, train, [], self.labels, self.names, self.embeddings, likely)
            fit(args, model, tokenizer, lesson, trains_text=False)
        save_file({f"{i}/{k}": x for i, head in enumerate(heads) for k, x in head.state_dict().items()}, kept)
        return heads

    @torch.no_grad()
    def through(self, head: AfmProjection, embeddings: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """What a model hears: embeddings `(clips, 1536)` and steps `(clips, 4, 1024)` -> `(clips, dim)`."""
        if not self.mellow:
            return F.normalize(head(embeddings), dim=-1)
        width = steps.shape[-1]  # YAMNet's; the other ear hears the clip as a whole
        patches = (steps - self.mean[:width]) / self.std[:width]
        others = embeddings[:, None, width:].expand(-1, steps.shape[1], -1)
        scores = classifier_of(self.clap, head, self.classes)(torch.cat([patches, others], dim=-1))
        return torch.cat([embeddings, scores.flatten(1)], dim=1)

    def _heads_of(self, folds: np.ndarray) -> np.ndarray:
        """For each clip, the head that was trained without it; for some CLAP's own."""
        own = self.rng.random(len(folds)) < OWN
        return np.where(own, FOLDS, folds)

    def bank(self, size: int) -> Bank:
        """`size` draws of training clips and variants."""
        clips, variants, labels = self.draws(size)
        heads = self._heads_of(self.folds[clips])
        embeddings, steps = self.embeddings[clips, variants], self.steps[clips, variants]
        heard = self._through_each(heads, embeddings, steps)
        return Bank(heard, labels.numpy(), self.facts[clips, variants], self.names)

    def sequence_bank(self, like: Bank) -> Bank:
        """One training sound after another."""
        pairs = self.sequences["pairs"].numpy()
        known = set(self.train)
        chosen = [i for i, pair in enumerate(pairs.tolist()) if set(pair) <= known]
        heads = self._heads_of(self.folds[pairs[chosen, 0]])
        embeddings = (self.sequences["embeddings"][chosen].float() - self.mean) / self.std
        heard = self._through_each(heads, embeddings, self.sequences["steps"][chosen].float())
        labels = np.array(self.labels)[pairs[chosen]]
        return Bank(heard, labels, self.sequences["facts"][chosen], self.names, like)

    def held_bank(self, like: Bank) -> Bank:
        """The validation clips as they are, through a head that has not heard them."""
        heard = self.through(self.heads[0], self.embeddings[self.held, 0], self.steps[self.held, 0])
        labels = np.array([self.labels[i] for i in self.held])
        return Bank(heard, labels, self.facts[self.held, 0], self.names, like)

    def _through_each(self, heads: np.ndarray, embeddings: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        parts = {}
        for number in sorted(set(heads.tolist())):
            mine = np.flatnonzero(heads == number)
            heard = self.through(self.heads[number], embeddings[mine], steps[mine])
            parts.update(zip(mine.tolist(), heard, strict=True))
        return torch.stack([parts[i] for i in range(len(heads))])


def fold_of(rows: list[dict], seed: int) -> np.ndarray:
    """Fold of each row: packages are dealt out, the largest first, to the fold that has the fewest clips."""
    sizes: dict[str, int] = {}
    for row in rows:
        sizes[row["source"]] = sizes.get(row["source"], 0) + 1
    order = sorted(sizes)
    random.Random(seed).shuffle(order)
    order.sort(key=lambda source: -sizes[source])
    filled, fold = [0] * FOLDS, {}
    for source in order:
        fold[source] = min(range(FOLDS), key=lambda k: filled[k])
        filled[fold[source]] += sizes[source]
    return np.array([fold[row["source"]] for row in rows])


@torch.no_grad()
def label_embeddings(clap: ClapAfmModel, tokenizer: PreTrainedTokenizerBase, names: list[str]) -> torch.Tensor:
    """CLAP's embeddings of the labels, `(labels, dim)`, of length 1."""
    texts = tokenizer([TEMPLATE.format(name) for name in names], padding=True, return_tensors="pt")
    return clap.get_text_features(**texts).pooler_output.clone()
