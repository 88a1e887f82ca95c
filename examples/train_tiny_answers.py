"""Train the bundled models that answer in words, pengi-tiny and adiff-tiny, on the ear of clap-tiny.

    python examples/train_tiny_answers.py --work work --model pengi --output pengi-tiny
    python examples/train_tiny_answers.py --work work --model adiff --output adiff-tiny

`--work` is what `train_tiny_clap.py --stage prepare` has written: log-mels of training clips, without copies of test
clips, and without the packages of the test clips of the same label. The audio tower and its projection are clap-tiny's
and stay as they are; mappers and a GPT-2 of four layers learn from scratch. Seeded, one thread.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from tiny_answers_data import AdiffTasks, Bank, PengiTasks, texts_of, unit
from tiny_clap_data import Batches, feature_extractor, load_prepared
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional as F
from transformers import AutoModel, GenerationConfig, GPT2Config, PreTrainedTokenizerFast

from afm_hf import (
    AdiffConfig,
    AdiffFeatureExtractor,
    AdiffForConditionalGeneration,
    AdiffProcessor,
    ClapAfmModel,
    PengiConfig,
    PengiFeatureExtractor,
    PengiForConditionalGeneration,
    PengiProcessor,
    bundled_model,
)

END, PAD, AUDIO = "<|endoftext|>", "<|pad|>", "<|audio|>"
PROMPT_LENGTH = 20
SIZES = {"prefix_length": 8, "mapper_layers": 2, "mapper_heads": 4, "projection_dropout": 0.0}


def make_tokenizer(texts: list[str], size: int = 1200) -> PreTrainedTokenizerFast:
    """A byte-level BPE of these texts, with the placeholder as its last token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=[PAD, END], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(texts, trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        bos_token=END,
        pad_token=PAD,
        model_input_names=["input_ids", "attention_mask"],
    )
    made.add_special_tokens({"extra_special_tokens": [AUDIO]})
    return made


def build(kind: str, clap: ClapAfmModel, tokenizer: PreTrainedTokenizerFast) -> tuple:
    """The untrained model, with clap-tiny's tower, and its processor."""
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    still = {"resid_pdrop": 0.05, "embd_pdrop": 0.0, "attn_pdrop": 0.05}
    text = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=128,
        n_embd=128,
        n_layer=4,
        n_head=4,
        bos_token_id=end,
        eos_token_id=end,
        **still,
    )
    shared = {
        "audio_config": clap.config.audio_config.encoder_config,
        "text_config": text,
        "projection_dim": clap.config.projection_dim,
        "pad_token_id": pad,
        **SIZES,
    }
    front = {key: value for key, value in feature_extractor().to_dict().items() if not key.endswith("_type")}
    how = {"answer_suffix": END, "prompt_length": PROMPT_LENGTH, "prompt_suffix": ""}
    if kind == "pengi":
        model = PengiForConditionalGeneration(PengiConfig(**shared))
        length = model.config.num_placeholders
        processor = PengiProcessor(PengiFeatureExtractor(**front), tokenizer, tokenizer, prefix_length=length, **how)
    else:
        model = AdiffForConditionalGeneration(AdiffConfig(**shared, cross_layers=2, separator_token_id=end))
        length = model.config.num_placeholders
        processor = AdiffProcessor(AdiffFeatureExtractor(**front), tokenizer, prefix_length=length, **how)
    model.model.audio_tower.load_state_dict(clap.audio_model.encoder.state_dict())
    model.model.audio_projection.load_state_dict(clap.audio_projection.state_dict())
    model.freeze_audio_tower()
    model.model.audio_projection.requires_grad_(False)
    model.generation_config = GenerationConfig(
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=pad,
        suppress_tokens=[model.config.audio_token_id],
        max_new_tokens=60,
    )
    return model, processor


def prefix_of(kind: str, model: torch.nn.Module, embeddings: torch.Tensor, prompts: torch.Tensor) -> torch.Tensor:
    """As the model's `get_prefix`, from embeddings that are there already."""
    inner = model.model
    if kind == "pengi":
        return torch.cat([inner.audio_mapper(embeddings), inner.get_prompt_prefix(prompts)], dim=1)
    words = inner.get_input_embeddings()
    separator = words(prompts.new_full((len(prompts), 1), inner.config.separator_token_id))
    first, second = inner.first_mapper(embeddings[:, 0]), inner.second_mapper(embeddings[:, 1])
    return inner.cross_projection(torch.cat([first, separator, second, inner.prompt_mapper(words(prompts))], dim=1))


def loss_of(kind: str, model: torch.nn.Module, processor: object, tasks: object, size: int) -> torch.Tensor:
    """Loss of one batch."""
    embeddings, prompts, answers = tasks(size)
    prompt_ids = processor.prompt_inputs(prompts)["prompt_input_ids"]
    prefix = prefix_of(kind, model, embeddings, prompt_ids)
    ids = [processor.answer_ids(answer) for answer in answers]
    longest = max(map(len, ids))
    answer_ids = torch.tensor([row + [processor.pad_id] * (longest - len(row)) for row in ids])
    labels = torch.tensor([row + [-100] * (longest - len(row)) for row in ids])
    embeds = torch.cat([prefix, model.get_input_embeddings()(answer_ids)], dim=1)
    hidden = model.model.language_model(inputs_embeds=embeds).last_hidden_state[:, prefix.shape[1] - 1 : -1]
    logits = model.lm_head(hidden)[..., : model.config.audio_token_id]  # all real words; the placeholder is the last
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)


def train(args: argparse.Namespace) -> None:
    """Train one model and save it."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    clap = AutoModel.from_pretrained(bundled_model("clap-tiny")).eval()
    rows, mels, _, test_mels = load_prepared(args.work)
    usable = [i for i, row in enumerate(rows) if not row["copy"]]
    names = sorted({rows[i]["label"] for i in usable})
    labels = [names.index(row["label"]) if row["label"] in names else -1 for row in rows]
    batches = Batches(rows, mels, usable, labels, test_mels.shape[2], args.seed, strength=0.6)
    bank = Bank(lambda x: unit(clap.get_audio_features(x).pooler_output), batches, names, args.bank)
    print(f"{len(usable)} clips, {len(names)} labels, {len(bank)} augmented embeddings", flush=True)

    tokenizer = make_tokenizer(texts_of(names))
    model, processor = build(args.model, clap, tokenizer)
    tasks = (PengiTasks if args.model == "pengi" else AdiffTasks)(bank, args.seed)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=args.lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, args.steps, pct_start=0.1)
    model.train()
    recent, start = [], time.process_time()
    for step in range(1, args.steps + 1):
        loss = loss_of(args.model, model, processor, tasks, args.batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        recent.append(loss.item())
        if step % 100 == 0:
            print(
                f"step {step}: loss {sum(recent[-100:]) / 100:.3f}, {time.process_time() - start:.0f} CPU-s", flush=True
            )
        if step % 500 == 0 or step == args.steps:
            save(model, processor, bank, args.output)


def save(model: torch.nn.Module, processor: object, bank: Bank, output: Path) -> None:
    """Model with matrices in half precision (it is loaded as float32), processor, and the thresholds of the facts."""
    weights = {name: value.half() if value.ndim > 1 else value for name, value in model.state_dict().items()}
    tied = {name: value.contiguous() for name, value in weights.items() if name != "lm_head.weight"}
    model.save_pretrained(output, state_dict=tied)
    processor.save_pretrained(output)
    facts = {"brightness": bank.thresholds[:, 0].tolist(), "steadiness": bank.thresholds[:, 1].tolist()}
    (output / "training.json").write_text(json.dumps({"thresholds": facts, "labels": bank.names}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of train_tiny_clap.py --stage prepare")
    parser.add_argument("--model", choices=["pengi", "adiff"], required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--bank", type=int, default=20480, help="augmented clips")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
