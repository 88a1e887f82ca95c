"""The text tower of the small CLAP: a small BERT with a pruned vocabulary, distilled from a sentence encoder.

`distil` is called by train_small_clap.py. The teacher is MiniLM (mean-pooled, L2-normalised sentence embeddings, 384
wide). The student keeps the teacher's word pieces that captions of sounds need, starts from the teacher's own
embeddings of single pieces (principal components), and learns to give the teacher's sentence embedding.
"""

import argparse
import ast
import csv
import random
import re
import string
import time
from collections import Counter
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer, BertConfig, PreTrainedTokenizerFast

from afm_hf import ClapAfmTextConfig, ClapAfmTextModelWithProjection

TEMPLATES = (
    "{}",
    "This is a sound of {}.",
    "The sound of {}.",
    "the sound of {}",
    "this is the sound of {}",
    "a recording of {}",
    "I can hear {}.",
    "a short clip of {}",
)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LONGEST = 90  # characters of a caption that is trained on
HELD_OUT = "clotho_entailment_evaluation.csv"  # none of its captions is trained on


def read_captions(data: Path) -> tuple[list[str], list[str]]:
    """Captions and hypotheses of the public text sets: (for training, held out), sorted and without repeats."""
    train, held_out = set(), set()
    for path in sorted(data.glob("entailment/*.csv")):
        texts = held_out if path.name == HELD_OUT else train
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                caption = row["Caption"]
                captions = ast.literal_eval(caption) if caption.startswith("[") else [caption]
                if path.name == HELD_OUT:
                    texts.update(captions)
                else:
                    texts.update([*captions, row["Entailment"], row["Neutral"], row["Contradiction"]])
    for path in sorted(data.glob("difference/*fewwords*.csv")):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                train.update([row["caption1"], row["caption2"]])
    with (data / "WavText5K.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            train.update(row[key] for key in ("title", "description") if row[key])
    held_out = {text.strip() for text in held_out}
    train = {text.strip() for text in train} - held_out
    return sorted(text for text in train if 0 < len(text) <= LONGEST), sorted(held_out)


def phrases(captions: list[str], count: int, rng: random.Random) -> list[str]:
    """Short phrases: runs of two to four words of random captions."""
    result = set()
    while len(result) < count:
        words = re.findall(r"[a-z]+", rng.choice(captions).lower())
        if len(words) >= 4:
            length = rng.randint(2, 4)
            start = rng.randrange(len(words) - length + 1)
            result.add(" ".join(words[start : start + length]))
    return sorted(result)


class Teacher:
    """MiniLM: texts -> L2-normalised mean of the last states."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.inference_mode()
    def __call__(self, texts: list[str], batch: int = 128) -> torch.Tensor:
        """`(texts, 384)`, float32; texts of like length are run together."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        result = torch.empty(len(texts), self.model.config.hidden_size)
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            inputs = self.tokenizer(
                [texts[i] for i in rows], padding=True, truncation=True, max_length=64, return_tensors="pt"
            )
            states = self.model(**inputs).last_hidden_state
            mask = inputs["attention_mask"][..., None]
            result[rows] = F.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
        return result


def build_tokenizer(teacher: Teacher, corpus: list[str], must: list[str], size: int) -> PreTrainedTokenizerFast:
    """The teacher's word pieces that the corpus uses most, then its commonest whole words, up to `size`.

    All pieces of `must` are kept, and every character a-z, 0-9 and punctuation, alone and within a word, so that any
    lower-case English word can still be spelled.
    """
    vocab = teacher.tokenizer.get_vocab()
    counts: Counter[int] = Counter()
    for start in range(0, len(corpus), 4096):
        for ids in teacher.tokenizer(corpus[start : start + 4096], add_special_tokens=False)["input_ids"]:
            counts.update(ids)
    names = {index: piece for piece, index in vocab.items()}
    characters = [c for c in string.ascii_lowercase + string.digits + string.punctuation if c in vocab]
    kept = dict.fromkeys([*SPECIAL, *characters, *(f"##{c}" for c in characters if f"##{c}" in vocab)])
    for ids in teacher.tokenizer(must, add_special_tokens=False)["input_ids"]:
        kept.update(dict.fromkeys(names[i] for i in ids))
    kept.update(dict.fromkeys(names[i] for i, count in counts.most_common() if count > 1))
    words = sorted((i, piece) for i, piece in names.items() if piece.isascii() and piece.isalpha() and len(piece) > 2)
    kept.update(dict.fromkeys(piece for _, piece in words))  # the teacher's own order: commonest first
    pieces = list(kept)[:size]

    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    cls, sep = pieces.index("[CLS]"), pieces.index("[SEP]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", cls), ("[SEP]", sep)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=128,
        model_input_names=["input_ids", "attention_mask"],
    )


def build_student(
    teacher: Teacher, tokenizer: PreTrainedTokenizerFast, width: int, layers: int
) -> ClapAfmTextModelWithProjection:
    """A small BERT whose word embeddings are the principal components of the teacher's view of each piece."""
    bert = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        intermediate_size=3 * width,
        max_position_embeddings=128,
        type_vocab_size=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
    )
    target = teacher.model.config.hidden_size
    config = ClapAfmTextConfig(encoder_config=bert, pooling="mean", projection_dim=target, projection_dropout=0.0)
    student = ClapAfmTextModelWithProjection(config)
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    views = teacher([piece.removeprefix("##") for piece in pieces])
    _, _, basis = torch.linalg.svd(views[len(SPECIAL) :] - views.mean(0), full_matrices=False)
    components = (views - views.mean(0)) @ basis[:width].T  # (pieces, 384) -> (pieces, width)
    with torch.no_grad():
        embeddings = student.get_input_embeddings().weight
        embeddings.copy_(components / components.std() * 0.05)
        embeddings[tokenizer.pad_token_id] = 0
        student.text_projection.linear1.weight.copy_(basis[:width].T)
        student.text_projection.linear2.weight.mul_(0.1)
    return student


def student_embeddings(
    student: ClapAfmTextModelWithProjection, tokenizer: PreTrainedTokenizerFast, texts: list[str], batch: int = 256
) -> torch.Tensor:
    """L2-normalised embeddings of the student in evaluation mode, `(texts, 384)`."""
    student.eval()
    with torch.inference_mode():
        rows = [
            student(**tokenizer(texts[i : i + batch], padding=True, return_tensors="pt")).text_embeds
            for i in range(0, len(texts), batch)
        ]
    return F.normalize(torch.cat(rows), dim=-1)


def fidelity(
    student: ClapAfmTextModelWithProjection, tokenizer: PreTrainedTokenizerFast, texts: list[str], target: torch.Tensor
) -> float:
    """Mean cosine between student and teacher."""
    return (student_embeddings(student, tokenizer, texts) * target).sum(-1).mean().item()


def distil(args: argparse.Namespace, labels: list[str], label_captions: list[str], output: Path) -> None:
    """Train the text tower and write it, with its tokenizer, to `output`; print its fidelity to the teacher."""
    rng = random.Random(args.seed)
    torch.manual_seed(args.seed)
    teacher = Teacher(args.minilm)
    captions, held_out = read_captions(args.data)
    named = sorted({t.format(label) for t in TEMPLATES for label in labels} | set(label_captions))
    words = [w for w in teacher.tokenizer.get_vocab() if w.isascii() and w.isalpha() and len(w) > 2]
    words = [TEMPLATES[i % 4].format(word) for i, word in enumerate(sorted(words))]
    short = phrases(captions, 10000, rng)
    captions = rng.sample(captions, min(args.captions, len(captions)))
    tokenizer = build_tokenizer(teacher, captions, [*labels, *label_captions], args.vocabulary)
    student = build_student(teacher, tokenizer, args.text_width, args.text_layers)
    texts = [*named, *words, *short, *captions]
    print(f"{len(captions)} captions, {len(named)} named labels, {len(words)} words, {len(short)} phrases", flush=True)
    print(f"{len(tokenizer)} pieces, {student.num_parameters() / 1e6:.3f} M parameters", flush=True)

    start = time.time()
    cache = output.parent / "teacher.safetensors"  # delete it if the texts change
    if not cache.exists() or len(load_file(cache)["targets"]) != len(texts):
        save_file({"targets": teacher(texts)}, cache)
    targets = load_file(cache)["targets"]
    held_out = rng.sample(held_out, min(1500, len(held_out)))
    held_targets, named_targets = teacher(held_out), teacher(named)
    print(f"teacher: {time.time() - start:.0f} s", flush=True)

    ids = tokenizer(texts, truncation=True, max_length=48)["input_ids"]
    counts = [len(named), len(words), len(short), len(captions)]
    # First everything, then above all the names, which are what a clip is most often compared with.
    for total, rate, parts in (
        (args.text_steps, args.text_lr, (0.2, 0.2, 0.15, 0.45)),
        (args.text_steps * 9 // 25, 0.75 * args.text_lr, (0.65, 0.08, 0.07, 0.2)),
    ):
        weights = torch.cat([torch.full((n,), share / n) for n, share in zip(counts, parts, strict=True)])
        optimizer = torch.optim.AdamW(student.parameters(), lr=rate, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total, pct_start=0.05)
        batches: list[list[int]] = []
        for step in range(total):
            student.train()
            if not batches:  # eight batches at a time, each of texts of like length
                drawn = torch.multinomial(weights, 8 * args.text_batch).tolist()
                drawn.sort(key=lambda i: len(ids[i]))
                batches = [drawn[i : i + args.text_batch] for i in range(0, len(drawn), args.text_batch)]
                rng.shuffle(batches)
            rows = batches.pop()
            length = max(len(ids[i]) for i in rows)
            batch = torch.tensor([ids[i] + [tokenizer.pad_token_id] * (length - len(ids[i])) for i in rows])
            target = targets[rows]
            embeds = F.normalize(
                student(batch, attention_mask=(batch != tokenizer.pad_token_id).long()).text_embeds, dim=-1
            )
            direct = 1 - (embeds * target).sum(-1).mean()
            relations = (embeds @ embeds.T - target @ target.T).square().mean()
            optimizer.zero_grad()
            (direct + 5 * relations).backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            if step % 500 == 0 or step == total - 1:
                cosine = fidelity(student, tokenizer, held_out[:500], held_targets[:500])
                print(
                    f"step {step}: loss {direct:.4f} + {relations:.5f}, held-out cosine {cosine:.4f}, "
                    f"{time.time() - start:.0f} s",
                    flush=True,
                )
    on_held_out = fidelity(student, tokenizer, held_out, held_targets)
    on_named = fidelity(student, tokenizer, named, named_targets)
    print(f"cosine to the teacher: {on_held_out:.4f} on {len(held_out)} held-out captions")
    print(f"cosine to the teacher: {on_named:.4f} on {len(named)} trained texts with label names")
    student.save_pretrained(output)
    tokenizer.save_pretrained(output)
