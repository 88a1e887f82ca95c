"""What the conversions of the generating models share: the placeholder, GPT-2's tokenizer, saving and comparing."""

import math
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForMultimodalLM,
    AutoProcessor,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from .common import Conversion, ConversionError, StateDict, count_layers, load_tokenizer, write_report

AUDIO_TOKEN = "<|audio|>"


def add_placeholder(state_dict: StateDict, *keys: str) -> None:
    """Adds the placeholder's row, the mean of the others, to the word table (and its tied copy) in place."""
    table = state_dict[keys[0]]
    for key in keys[1:]:
        if not torch.equal(state_dict[key], table):
            raise ConversionError(f"{key} is no copy of {keys[0]}, though the model's head is tied to its word table.")
    table = torch.cat([table, table.mean(0, keepdim=True)])
    for key in keys:
        state_dict[key] = table


def with_placeholder(config: PreTrainedConfig) -> PreTrainedConfig:
    """The language model's config, for one more row of the word table."""
    config.vocab_size += 1
    return config


def mapper_sizes(state_dict: StateDict, prefix: str) -> dict[str, Any]:
    """Sizes of a mapper whose keys begin with `prefix`; the released ones all have 8 heads."""
    return {
        "prefix_length": len(state_dict[f"{prefix}prefix_const"]),
        "mapper_layers": count_layers(state_dict, rf"^{prefix}transformer\.layers\.(\d+)\."),
        "mapper_mlp_ratio": len(state_dict[f"{prefix}transformer.layers.0.mlp.fc1.bias"])
        / state_dict[f"{prefix}prefix_const"].shape[1],
    }


def language_model_tokenizer(location: str, vocab_size: int, placeholder: bool = True) -> PreTrainedTokenizerFast:
    """
    GPT-2's tokenizer as the authors use it: padding with `!`; and with the placeholder as its last token.

    Args:
        location (`str`): Folder or Hub id.
        vocab_size (`int`): Rows of the official word table.
        placeholder (`bool`, *optional*, defaults to `True`): Whether to add `<|audio|>`.

    Raises:
        OSError: if there is no tokenizer.
        ConversionError: if it is not GPT-2's, or does not fit the word table.
    """
    tokenizer = load_tokenizer(location)
    ids = [tokenizer.convert_tokens_to_ids(token) for token in ("!", "Ġ", "<|endoftext|>")]
    if None in ids or ids[0] != 0:
        raise ConversionError(f"GPT-2's tokenizer is needed, but {location!r} is another one.")
    if len(tokenizer) != vocab_size:
        raise ConversionError(
            f"The tokenizer {location!r} has {len(tokenizer)} tokens, but the checkpoint's word table has {vocab_size} "
            "rows."
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer,
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        pad_token="!",
        model_input_names=["input_ids", "attention_mask"],
        **({"extra_special_tokens": [AUDIO_TOKEN]} if placeholder else {}),
    )


def generation_config(config: Any, tokenizer: PreTrainedTokenizerFast, **decoding: Any) -> GenerationConfig:
    """
    The authors' decoding, for transformers.

    They stop at the first token of ` <|endoftext|>`, which is the lone space (220 in GPT-2), not the end token. In
    training the space always stands before the end token, so the latter would never be reached.
    """
    return GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.convert_tokens_to_ids("Ġ"),
        pad_token_id=tokenizer.pad_token_id,
        suppress_tokens=[config.audio_token_id],
        **decoding,
    )


def save_and_compare(
    model: PreTrainedModel,
    processor: Any,
    folder: Path,
    conversion: Conversion,
    facts: dict[str, Any],
    card: str,
    **inputs: Any,
) -> None:
    """
    Writes model, processor, card and report, reloads all and compares weights and logits.

    Args:
        model, processor: What to write.
        folder (`Path`): Where.
        conversion, facts, card: See `write_report`; README.md.
        **inputs: What the processor needs beside audio.

    Raises:
        ConversionError: if anything differs after reloading.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "README.md").write_text(card, encoding="utf-8")
    write_report(folder, conversion, facts)

    reloaded = AutoModelForMultimodalLM.from_pretrained(folder, dtype=torch.float32).eval()
    weights, again = model.state_dict(), reloaded.state_dict()
    changed = [key for key in weights if not torch.equal(weights[key], again[key])]
    if changed:
        raise ConversionError(f"After reloading, {len(changed)} weights differ, for example {changed[:3]}.")
    if reloaded.lm_head.weight is not reloaded.get_input_embeddings().weight:
        raise ConversionError("After reloading, the head is no longer tied to the word table.")
    tone = torch.sin(torch.arange(44100) * 2 * math.pi * 440 / 44100)
    made = AutoProcessor.from_pretrained(folder)(audio=[tone], sampling_rate=44100, **inputs)
    with torch.no_grad():
        before, after = model(**made).logits, reloaded(**made).logits
    if not torch.allclose(before, after, atol=1e-3):  # weights are equal; where they lie in memory moves the last bits
        raise ConversionError(f"After reloading, logits changed by up to {float((before - after).abs().max()):.1e}.")

    print(
        f"{facts['variant']}: {len(conversion.renamed)} weights converted, {len(conversion.dropped)} dropped, one row "
        f"added for {AUDIO_TOKEN}, reloaded equal."
    )
    for reason in sorted(set(conversion.dropped.values())):
        print(f"  dropped {sum(r == reason for r in conversion.dropped.values())}: {reason}")
    print(f"  {facts['front_end']}")
