"""A tiny CLAP whose loss is the same in one process and in two, and its batches; imported by spawned processes too."""

import torch
from tiny_models import clap_config, perturb
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from afm_hf import ClapAfmModel
from afm_hf.training.cached_contrastive import cached_contrastive, negative_ids
from afm_hf.training.freezing import freeze, freeze_batch_norms
from afm_hf.training.losses import ContrastiveLoss


def still_clap(dropout=False, dtype=torch.float64):
    """Without SpecAugment and dropout (unless asked for), with fixed batch norms: a function of its inputs."""
    torch.manual_seed(0)
    config = clap_config()
    for part in (config.audio_config, config.text_config):
        part.projection_dropout = 0.3 if dropout else 0.0
    config.text_config.encoder_config.update(dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0))
    if not dropout:
        config.audio_config.encoder_config.update({"drop_path_rate": 0.0, "apply_spec_augment": False})
    model = perturb(ClapAfmModel(config), std=0.2)
    freeze_batch_norms(model)
    return model.to(dtype).train()


def pairs(count=6):
    """Inputs of a model; fp64, in which nothing hides behind rounding."""
    generator = torch.Generator().manual_seed(1)
    return {
        "input_features": torch.randn(count, 1, 100, 16, generator=generator, dtype=torch.float64) * 10 - 30,
        "input_ids": torch.randint(0, 250, (count, 9), generator=generator),
        "attention_mask": torch.ones(count, 9, dtype=torch.long),
    }


def rows(batch, start, end):
    return {name: value[start:end] for name, value in batch.items()}


def backward(model, inputs, chunk):
    """The loss of the batch, whose gradient is added; plain, or in chunks."""
    if chunk:
        return cached_contrastive(model, inputs, chunk).item()
    outputs = model(**inputs, return_loss=False)
    inner = getattr(model, "module", model)
    embeddings = outputs.audio_embeds, outputs.text_embeds
    loss = ContrastiveLoss()(*embeddings, inner.logit_scale, inputs.get("num_pairs"), negative_ids(inputs))
    loss.backward()
    return loss.item()


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def one_of_two(rank, split, chunk, frozen):
    """Loss and averaged gradients of one process, as lists; the first takes `split` of the six pairs."""
    model = still_clap()
    if frozen:
        freeze(getattr(model, frozen))
    batch = pairs()
    own = rows(batch, 0, split) if rank == 0 else rows(batch, split, 6)
    wrapped = DistributedDataParallel(model)
    loss = torch.tensor(backward(wrapped, own, chunk), dtype=torch.float64)
    distributed.all_reduce(loss)
    return loss.item() / 2, {name: value.tolist() for name, value in gradients(model).items()}


def several_of_two(rank, cases):
    """All cases in one pair of processes, because starting processes takes longest."""
    return [one_of_two(rank, *case) for case in cases]


def with_negatives(batch, count, repeated=False):
    """Of inputs the first `count` as pairs, the next texts and (one fewer) audios as negatives behind them."""
    made = {**batch, "input_features": batch["input_features"][:-1], "num_pairs": count}
    if repeated:  # a negative that says what a pair says
        ids = batch["input_ids"].clone()
        ids[count] = ids[1]
        made["input_ids"] = ids
    return made


def own_negatives_of_two(rank, chunks):
    """Loss and gradients where the first process has three pairs and all negative texts, the other the rest."""
    found = []
    for chunk in chunks:
        model = still_clap()
        batch = with_negatives(pairs(9), 5, repeated=True)
        texts = [[0, 1, 2, 5, 6, 7, 8], [3, 4]][rank]
        audios = [[0, 1, 2], [3, 4, 5, 6, 7]][rank]
        own = {
            "input_features": batch["input_features"][audios],
            "input_ids": batch["input_ids"][texts],
            "attention_mask": batch["attention_mask"][texts],
            "num_pairs": [3, 2][rank],
        }
        loss = torch.tensor(backward(DistributedDataParallel(model), own, chunk), dtype=torch.float64)
        distributed.all_reduce(loss)
        found.append((loss.item() / 2, {name: value.tolist() for name, value in gradients(model).items()}))
    return found
