"""
CLAP beside its peers, in turns in one run: files to embeddings, many labels on one clip, the start.

    python benchmarks/run_all.py --only files labels start [--rounds 5]

Peers: transformers' `ClapModel` at the same sizes, with its own feature extractor and its own zero-shot pipeline; and
msclap's loop, made of what is published of it: a file at a time, resampled, filled up to seven seconds, its spectrogram
by convolutions within the model, HTSAT without fused attention. The labels are the names of AudioSet's classes. Times
are processor time on one thread, ratios are peer over ours, round by round. Weights are random. The start is that of
`afm-hf classify` with the bundled clap-small, whose floor is a process that imports the same modules in the same order,
and does nothing.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import torch
from figures import GOALS, Figure, in_turns, ratios
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
    bundled_audio,
)
from afm_hf.hub.precision import has_bfloat16
from afm_hf.models.clap_afm.kept_texts_clap_afm import SIZE_VARIABLE
from afm_hf.models.common.int8_afm import has_vnni
from afm_hf.pipelines.audio_files import in_batches, read_batches
from afm_hf.retrieval import ClapEmbedder

CLIPS, SECONDS, RATE = 8, 7.0, 44100
LABELS = (Path(__file__).parent / "audioset_labels.txt").read_text(encoding="utf-8").splitlines()
BATCHES, MANY = (1, CLIPS), 32


# ---------------------------------------------------------------------------------------------------------------------
# Models
# ---------------------------------------------------------------------------------------------------------------------


def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE that has learned the labels, so that a word is a token, as with GPT-2's."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    # RoBERTa's padding has number 1
    learner = trainers.BpeTrainer(vocab_size=4000, special_tokens=["<s>", "<pad>"], initial_alphabet=alphabet)
    made.train_from_iterator([f"This is a sound of {label}." for label in LABELS], learner)
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
def files(folder: Path, rounds: int) -> Iterator[Figure]:
    """Files to embeddings, in batches of 1, 8 and 32, in every number format that this processor has."""
    noise, paths = np.random.default_rng(0), []
    for number in range(CLIPS):
        paths.append(str(folder / f"{number}.wav"))
        soundfile.write(paths[-1], noise.normal(scale=0.1, size=int(SECONDS * RATE)), RATE)
    checkpoint = save_ours(folder / "model")
    formats = ["float32", *(["int8"] if has_vnni() else [])]
    formats += ["bfloat16"] if has_bfloat16(torch.device("cpu")) else []
    peer, theirs = stock(), ClapFeatureExtractor(truncation="rand_trunc")
    front_end = OfficialFrontEnd(ClapAfmFeatureExtractor()).eval()

    def ours(embedder: ClapEmbedder, batch: int, files: list[str]) -> None:
        for each in read_batches(embedder.feature_extractor, in_batches(files, batch)):
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

    embedders = {each: ClapEmbedder(checkpoint, "cpu", each) for each in formats}
    works: dict[str, Callable[[], Any]] = {"msclap": msclap_loop}
    for batch in BATCHES:
        works[f"transformers, {batch}"] = lambda batch=batch: transformers_loop(batch)
        for name, embedder in embedders.items():
            works[f"{name}, {batch}"] = lambda embedder=embedder, batch=batch: ours(embedder, batch, paths)
    works[f"float32, {MANY}"] = lambda: ours(embedders["float32"], MANY, paths * (MANY // CLIPS))
    spent = in_turns(works, rounds)
    for batch in BATCHES:
        for name in formats:
            for peer, theirs_named in (("ClapModel", f"transformers, {batch}"), ("msclap", "msclap")):
                about = f"float32 against {peer}" if name == "float32" else "int8 or bfloat16"
                yield Figure(
                    f"files to embeddings, {name}, batch of {batch}",
                    "transformers' ClapModel" if peer == "ClapModel" else "msclap's loop",
                    ratios(spent[theirs_named], spent[f"{name}, {batch}"]),
                    goal=GOALS["files", about],
                )
    if formats == ["float32"]:
        lacking = "this processor has neither VNNI nor bf16 instructions"
        yield Figure("files to embeddings", unmeasured=lacking, goal=GOALS["files", "int8 or bfloat16"])
    for name in formats:
        for batch in (CLIPS, MANY) if name == "float32" else (CLIPS,):
            one_by_one = [seconds * batch / CLIPS for seconds in spent[f"{name}, 1"]]
            found = ratios(one_by_one, spent[f"{name}, {batch}"])
            goal = GOALS["files", "flat over batch sizes"]
            yield Figure(f"a batch of {batch}, {name}", "as many batches of 1", found, goal=goal)


@torch.inference_mode()
def labels(folder: Path, rounds: int) -> Iterator[Figure]:
    """527 labels on one clip; the labels are encoded anew each time, and once more as they are kept on disk."""
    clip = np.random.default_rng(0).normal(scale=0.1, size=int(SECONDS * 48000)).astype(np.float32)
    checkpoint = save_ours(folder / "model")
    formats = ["float32", *(["bfloat16"] if has_bfloat16(torch.device("cpu")) else [])]
    embedders = {each: ClapEmbedder(checkpoint, "cpu", each) for each in formats}
    own = {
        each: ZeroShotAudioClassificationPipeline(
            model=embedder.model,
            feature_extractor=embedder.feature_extractor,
            tokenizer=embedder.tokenizer,
            device="cpu",
        )
        for each, embedder in embedders.items()
    }
    theirs = StockPipeline(
        model=stock(),
        feature_extractor=ClapFeatureExtractor(truncation="rand_trunc"),
        tokenizer=tokenizer(),
        device="cpu",
    )

    def ours(megabytes: str, number_format: str = "float32") -> None:
        os.environ[SIZE_VARIABLE] = megabytes
        own[number_format].clear_label_cache()
        own[number_format](clip, candidate_labels=LABELS, sampling_rate=48000)

    works = {"transformers": lambda: theirs(clip, candidate_labels=LABELS), "encoded": lambda: ours("0")}
    if "bfloat16" in formats:
        works["encoded, bfloat16"] = lambda: ours("0", "bfloat16")
    works["from disk"] = lambda: ours("256")
    spent = in_turns(works, rounds)
    for how in (name for name in works if name != "transformers"):
        wanted = GOALS["labels", "527 labels"] if how.startswith("encoded") else None
        found = ratios(spent["transformers"], spent[how])
        yield Figure(f"{len(LABELS)} labels on one clip, {how}", "transformers' pipeline", found, goal=wanted)


LOADING = """
import sys, time
sys.path.insert(0, sys.argv[2])
import torch, transformers
from transformers import AutoModel, AutoTokenizer, AutoFeatureExtractor
from afm_hf.retrieval import ClapEmbedder
import afm_hf.models.clap_afm.modeling_clap_afm, transformers.models.gpt2.modeling_gpt2
from peak_memory import peak_mb, peak_mb_from_now_on
memory, before = peak_mb_from_now_on(), time.process_time()
embedder = ClapEmbedder(sys.argv[1], "cpu")
print(time.process_time() - before, peak_mb() - memory)
"""


# A command, and the modules that it has imported when it is done; and a process that imports them and does nothing.
COMMAND = """
import sys
from afm_hf.cli import app
try:
    app(sys.argv[2:])
finally:
    open(sys.argv[1], "w").write("\\n".join(sys.modules))
"""
FLOOR = """
import importlib, sys
for name in open(sys.argv[1]).read().split("\\n"):
    try:
        importlib.import_module(name)
    except Exception:  # some names in sys.modules are no files: torch.ops, six.moves
        pass
"""


def start(folder: Path, rounds: int) -> Iterator[Figure]:
    """Processor seconds to load CLAP 2023's size after the imports, and of `afm-hf classify` beyond its imports."""
    checkpoint = save_ours(folder / "model")
    found = []
    for round_ in range(rounds + 1):
        words = [sys.executable, "-W", "ignore", "-c", LOADING, checkpoint, str(Path(__file__).parent)]
        said = subprocess.run(words, capture_output=True, text=True, check=True)
        if round_:
            found.append([float(number) for number in said.stdout.split()[-2:]])
    seconds, memory = (list(column) for column in zip(*found, strict=True))
    yield Figure("loading CLAP 2023, after the imports", "", seconds, "s", GOALS["start", "loading CLAP 2023"])
    yield Figure("memory that this takes", "", memory, "MB")
    yield from command(folder / "modules.txt", rounds)


def command(modules: Path, rounds: int) -> Iterator[Figure]:
    """`afm-hf classify` on one clip with three labels, in turns with its imports alone, each a process."""
    words = ["classify", str(bundled_audio()[0]), "--labels", "rain,a dog,a car horn"]
    processes = {
        "command": [COMMAND, str(modules), *words],
        "floor": [FLOOR, str(modules)],
        "a base class": ["from transformers import PreTrainedModel"],
    }
    spent: dict[str, list[float]] = {name: [] for name in processes}
    for round_ in range(rounds + 1):
        for name, arguments in processes.items():
            seconds = process_seconds([sys.executable, "-W", "ignore", "-c", *arguments])
            if round_:
                spent[name].append(seconds)
    beyond = [whole - floor for whole, floor in zip(spent["command"], spent["floor"], strict=True)]
    yield Figure("afm-hf classify, beyond its imports", "", beyond, "s", GOALS["start", "classify"])
    yield Figure("its imports", "", spent["floor"], "s")
    plain = ratios(spent["a base class"], spent["floor"])
    yield Figure("its imports", "from transformers import PreTrainedModel", plain)


def process_seconds(command: list[str]) -> float:
    """Processor time of a process from its start to its end, on one thread."""
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read() if process.stderr is not None else b""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[-1]!r} ended with {process.returncode}: {errors.decode()[-500:]}")
    return usage.ru_utime + usage.ru_stime


def in_a_folder(part: Callable[[Path, int], Iterator[Figure]], rounds: int) -> Iterator[Figure]:
    """A part on one thread, with a folder for its files that is removed when it is done."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        yield from part(Path(folder), rounds)
