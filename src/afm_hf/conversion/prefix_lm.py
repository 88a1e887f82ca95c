"""What the conversions of the generating models share: the placeholder, GPT-2's tokenizer, the decoding."""

from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedConfig, PreTrainedTokenizerFast

from .common import Conversion, ConversionError, StateDict, check_fractions, count_layers, length, load_tokenizer, sizes

AUDIO_TOKEN = "<|audio|>"
ADDED = f"one row added for {AUDIO_TOKEN}, "


def add_placeholder(conversion: Conversion, table_key: str, head_key: str = "lm_head.weight") -> None:
    """Adds the placeholder's row, the mean of the others, to the word table and to its tied copy, the head."""
    table, head = conversion.weight(table_key), conversion.weight(head_key)
    check_fractions(conversion.official(table_key), table)
    if not torch.equal(head, table):
        raise ConversionError(
            f"{conversion.official(head_key)} {tuple(head.shape)} is no copy of {conversion.official(table_key)} "
            f"{tuple(table.shape)}, though the model's head is tied to its word table."
        )
    table = torch.cat([table, table.mean(0, keepdim=True)])
    conversion.state_dict[table_key] = conversion.state_dict[head_key] = table


def with_placeholder(config: PreTrainedConfig) -> PreTrainedConfig:
    """The language model's config, for one more row of the word table."""
    config.vocab_size += 1
    return config


def mapper_sizes(weights: StateDict, prefix: str) -> dict[str, Any]:
    """Sizes of a mapper whose keys begin with `prefix`; the released ones all have 8 heads."""
    prefix_length, width = sizes(weights, f"{prefix}prefix_const", 2)
    layers = f"{prefix}transformer.layers."
    return {
        "prefix_length": prefix_length,
        "mapper_layers": count_layers(weights, layers),
        "mapper_mlp_ratio": length(weights, f"{layers}0.mlp.fc1.bias") / width,
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
