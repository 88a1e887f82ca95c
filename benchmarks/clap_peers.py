"""
CLAP beside its peers, in turns in one run: files to embeddings, many labels on one clip, the start.

    python benchmarks/clap_peers.py [--rounds 5] [--only files labels start] [--json FILE]

Peers: transformers' `ClapModel` at the same sizes, with its own feature extractor and its own zero-shot pipeline; and
msclap's loop, made of what is published of it: a file at a time, resampled, filled up to seven seconds, its spectrogram
by convolutions within the model, HTSAT without fused attention. Times are processor time on one thread, ratios are peer
over ours, round by round, and their minimum, median and maximum are printed. Weights are random.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import torch
from clap import processor_name
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from torch.nn import functional as F
from transformers import (
    ClapAudioConfig,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    GPT2Config,
    PreTrainedTokenizerFast,
)
from transformers.pipelines.zero_shot_audio_classification import ZeroShotAudioClassificationPipeline as StockPipeline

from afm_hf import (
    ClapAfmConfig,
    ClapAfmFeatureExtractor,
    ClapAfmModel,
    ClapAfmTextConfig,
    ZeroShotAudioClassificationPipeline,
)
from afm_hf.hub.precision import has_bfloat16
from afm_hf.models.clap_afm.kept_texts_clap_afm import SIZE_VARIABLE
from afm_hf.models.common.int8_afm import has_vnni
from afm_hf.pipelines.audio_files import in_batches, read_batches
from afm_hf.retrieval import ClapEmbedder

CLIPS, SECONDS, RATE, LABELS = 8, 7.0, 44100, 527


def in_turns(works: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Processor seconds of each work in each round, after one that is not counted."""
    spent: dict[str, list[float]] = {name: [] for name in works}
    for round_ in range(rounds + 1):
        for name, work in works.items():
            start = time.process_time()
            work()
            if round_:
                spent[name].append(time.process_time() - start)
    return spent


def show(what: str, ours: str, spent: dict[str, list[float]], peers: Sequence[str], goal: str = "") -> dict[str, Any]:
    """Prints, for each peer, its time over ours, round by round: minimum, median, maximum."""
    row: dict[str, Any] = {"what": what, "ours": ours, "goal": goal, "seconds": statistics.median(spent[ours])}
    cells = []
    for peer in peers:
        ratios = sorted(theirs / own for theirs, own in zip(spent[peer], spent[ours], strict=True))
        row[peer] = [ratios[0], statistics.median(ratios), ratios[-1]]
        cells.append(f"{peer}: {row[peer][1]:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    print(f"{what:24s} {ours:22s} " + "   ".join(cells) + (f"   goal {goal}" if goal else ""), flush=True)
    return row


# ---------------------------------------------------------------------------------------------------------------------
# Models
# ---------------------------------------------------------------------------------------------------------------------


def words(label: int) -> str:
    """A label of one to three words."""
    names = ("rain", "dog", "engine", "water", "voice", "wind", "metal", "glass", "bird", "door", "train", "music")
    return " ".join(names[label // 12**place % 12] for place in range(1 + label % 3)) + f" {label}"


def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE that has learned the labels, so that a word is a token, as with GPT-2's."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    # RoBERTa's padding has number 1
    learner = trainers.BpeTrainer(vocab_size=4000, special_tokens=["<s>", "<pad>"], initial_alphabet=alphabet)
    made.train_from_iterator([f"This is a sound of {words(label)}." for label in range(LABELS)], learner)
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", model_max_length=77)


def save_ours(folder: Path) -> str:
    """CLAP 2023 at full size."""
    torch.manual_seed(0)
    ClapAfmModel(ClapAfmConfig(text_config=ClapAfmTextConfig(encoder_config=GPT2Config()))).save_pretrained(folder)
    ClapAfmFeatureExtractor().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def stock() -> ClapModel:
    """Transformers' ClapModel with the same HTSAT."""
    audio = ClapAudioConfig(depths=[2, 2, 6, 2], patch_embeds_hidden_size=96, hidden_size=768, num_classes=527)
    return ClapModel(ClapConfig(audio_config=audio.to_dict())).eval()


class OfficialFrontEnd(nn.Module):
    """The log-mel of the released code: the Fourier transform as two convolutions."""

    def __init__(self, extractor: ClapAfmFeatureExtractor) -> None:
        super().__init__()
        window = torch.hann_window(1024, dtype=torch.float64)
        turns = torch.outer(torch.arange(513, dtype=torch.float64), torch.arange(1024, dtype=torch.float64)) / 1024
        self.real = nn.Parameter((torch.cos(2 * torch.pi * turns) * window).float()[:, None])
        self.imaginary = nn.Parameter((-torch.sin(2 * torch.pi * turns) * window).float()[:, None])
        self.mel = nn.Parameter(torch.rand(513, 64))
        self.hop = 320

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """`(batch, samples)` -> `(batch, 1, frames, 64)`."""
        padded = F.pad(samples[:, None], (512, 512), mode="reflect")
        real, imaginary = (F.conv1d(padded, part, stride=self.hop) for part in (self.real, self.imaginary))
        mel = (real**2 + imaginary**2).transpose(1, 2) @ self.mel
        return 10 * torch.log10(mel.clamp(min=1e-10))[:, None]


# ---------------------------------------------------------------------------------------------------------------------
# Parts
# ---------------------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def files(folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Files to embeddings, in batches of 1 and of 8, in every number format that this processor has."""
    noise, paths = np.random.default_rng(0), []
    for number in range(CLIPS):
        paths.append(str(folder / f"{number}.wav"))
        soundfile.write(paths[-1], noise.normal(scale=0.1, size=int(SECONDS * RATE)), RATE)
    checkpoint = save_ours(folder / "model")
    formats = ["float32", *(["int8"] if has_vnni() else [])]
    formats += ["bfloat16"] if has_bfloat16(torch.device("cpu")) else []
    peer, theirs = stock(), ClapFeatureExtractor(truncation="rand_trunc")
    front_end = OfficialFrontEnd(ClapAfmFeatureExtractor()).eval()

    def ours(embedder: ClapEmbedder, batch: int) -> None:
        for each in read_batches(embedder.feature_extractor, in_batches(paths, batch)):
            embedder.embed_features(each.features)

    def transformers_loop(batch: int) -> None:
        for start in range(0, CLIPS, batch):
            clips = [
                soxr.resample(*soundfile.read(path, dtype="float32"), 48000) for path in paths[start : start + batch]
            ]
            features = theirs(clips, sampling_rate=48000, return_tensors="pt")
            peer.get_audio_features(**features)

    def msclap_loop() -> None:
        for path in paths:
            samples, _ = soundfile.read(path, dtype="float32")
            log_mel = front_end(torch.from_numpy(samples)[None])
            peer.get_audio_features(input_features=log_mel, is_longer=torch.zeros(1, 1, dtype=torch.bool))

    rows = []
    embedders = {each: ClapEmbedder(checkpoint, "cpu", each) for each in formats}
    works: dict[str, Callable[[], Any]] = {"msclap": msclap_loop}
    for batch in (1, 8):
        works[f"transformers, {batch}"] = lambda batch=batch: transformers_loop(batch)
        for name, embedder in embedders.items():
            works[f"{name}, {batch}"] = lambda embedder=embedder, batch=batch: ours(embedder, batch)
    spent = in_turns(works, rounds)
    for batch in (1, 8):
        for name in formats:
            goal = "1.6, 1.5" if name == "float32" else "2.5"
            peers = (f"transformers, {batch}", "msclap")
            rows.append(show("files to embeddings", f"{name}, {batch}", spent, peers, goal))
    for name in formats:
        rows.append(show("a batch of 1 against 8", f"{name}, 8", spent, (f"{name}, 1",), "1.0"))
    return rows


@torch.inference_mode()
def labels(folder: Path, rounds: int) -> list[dict[str, Any]]:
    """527 labels on one clip; the labels are encoded anew each time, and once more as they are kept on disk."""
    chosen = [words(label) for label in range(LABELS)]
    clip = np.random.default_rng(0).normal(scale=0.1, size=int(SECONDS * 48000)).astype(np.float32)
    embedder = ClapEmbedder(save_ours(folder / "model"), "cpu")
    parts = {"feature_extractor": embedder.feature_extractor, "tokenizer": embedder.tokenizer}
    own = ZeroShotAudioClassificationPipeline(model=embedder.model, **parts, device="cpu")
    theirs = StockPipeline(
        model=stock(),
        feature_extractor=ClapFeatureExtractor(truncation="rand_trunc"),
        tokenizer=tokenizer(),
        device="cpu",
    )

    def ours(megabytes: str) -> None:
        os.environ[SIZE_VARIABLE] = megabytes
        own.clear_label_cache()
        own(clip, candidate_labels=chosen, sampling_rate=48000)

    works = {
        "transformers": lambda: theirs(clip, candidate_labels=chosen),
        "encoded": lambda: ours("0"),
        "from disk": lambda: ours("256"),
    }
    spent = in_turns(works, rounds)
    rows = [show(f"{LABELS} labels, one clip", "encoded", spent, ("transformers",), "3")]
    return [*rows, show(f"{LABELS} labels, one clip", "from disk", spent, ("transformers",))]


LOADING = """
import sys, time, resource
import torch, transformers
from transformers import AutoModel, AutoTokenizer, AutoFeatureExtractor
from afm_hf.retrieval import ClapEmbedder
import afm_hf.models.clap_afm.modeling_clap_afm, transformers.models.gpt2.modeling_gpt2
before, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
embedder = ClapEmbedder(sys.argv[1], "cpu")
print(time.process_time() - before, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024)
"""


def start(folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Processor seconds to load CLAP 2023's size after the imports, and megabytes that loading reads."""
    checkpoint = save_ours(folder / "model")
    found = []
    for round_ in range(rounds + 1):
        said = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", LOADING, checkpoint], capture_output=True, text=True, check=True
        )
        if round_:
            found.append([float(number) for number in said.stdout.split()[-2:]])
    seconds, memory = (sorted(column) for column in zip(*found, strict=True))
    print(
        f"{'loading CLAP 2023':24s} {seconds[0]:.2f} to {seconds[-1]:.2f} s, median {statistics.median(seconds):.2f}; "
        f"{memory[-1]:.0f} MB   goal 1.5 s"
    )
    return [{"what": "loading CLAP 2023", "seconds": seconds, "megabytes": memory, "goal": "1.5"}]


def main() -> None:
    parts = {"files": files, "labels": labels, "start": start}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=list(parts), default=list(parts))
    parser.add_argument("--json", help="file for the figures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    machine = {"processor": processor_name(), "torch": torch.__version__, "load_average": os.getloadavg()[0]}
    print("  ".join(f"{name} {value}" for name, value in machine.items()), flush=True)
    results = []
    for name in arguments.only:
        with tempfile.TemporaryDirectory() as folder:
            results += parts[name](Path(folder), arguments.rounds)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"machine": machine, "results": results}, file, indent=2)


if __name__ == "__main__":
    main()
