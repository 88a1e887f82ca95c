"""Tiny CLAPCAP and Pengi: models, processors and clips, made in a second."""

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import CLIPTextConfig, GPT2Config, PreTrainedTokenizerFast

from afm_hf import (
    AfmHtsatConfig,
    ClapAfmCaptioningConfig,
    ClapAfmCaptioningProcessor,
    ClapAfmFeatureExtractor,
    ClapAfmForConditionalGeneration,
    PengiConfig,
    PengiFeatureExtractor,
    PengiForConditionalGeneration,
    PengiProcessor,
)

RATE = 8000  # Hz
CLIP_S = 0.5
END, AUDIO = 256, 257
PREFIX = 3
KINDS = ["clapcap", "pengi", "pengi_no_text_enc"]


def bytes_tokenizer(special=(), clip=False):
    """GPT-2's bytes (so `!` is 0 and a space 220), the end token 256, then `special`; as CLIP's with start and end."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    symbols = [*map(chr, printable), *(chr(256 + i) for i in range(256 - len(printable)))]
    vocabulary = {symbol: i for i, symbol in enumerate([*symbols, *(["<start>"] if clip else []), "<|endoftext|>"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if clip:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<start> $A <|endoftext|>", special_tokens=[("<start>", 256), ("<|endoftext|>", 257)]
        )
    tokens = {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>" if clip else "!"}
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_input_names=["input_ids", "attention_mask"], **tokens
    )
    if special:
        made.add_special_tokens({"extra_special_tokens": list(special)})
    return made


def tiny_config(kind, **kwargs):
    audio = AfmHtsatConfig(
        spec_size=64, num_mel_bins=16, embed_dim=8, depths=[1, 1], num_attention_heads=[1, 2], window_size=4
    )
    text = GPT2Config(
        vocab_size=258, n_positions=96, n_embd=16, n_layer=2, n_head=2, bos_token_id=END, eos_token_id=END
    )
    sizes = {"projection_dim": 12, "prefix_length": PREFIX, "mapper_layers": 2, "mapper_heads": 2, "pad_token_id": 0}
    common = {"audio_config": audio, "text_config": text, **sizes, **kwargs}
    if kind == "clapcap":
        return ClapAfmCaptioningConfig(**common)
    encoder = CLIPTextConfig(
        vocab_size=258,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        projection_dim=16,
        max_position_embeddings=16,
        bos_token_id=256,
        eos_token_id=257,
    )
    return PengiConfig(**common, text_encoder_config=encoder if kind == "pengi" else None)


def tiny_model(kind, seed=0, **kwargs):
    """Random weights large enough that audio, prompt and answers differ."""
    torch.manual_seed(seed)
    model = (ClapAfmForConditionalGeneration if kind == "clapcap" else PengiForConditionalGeneration)(
        tiny_config(kind, **kwargs)
    ).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.6 if "wte" in name else 0.3)
    return model


def tiny_processor(kind):
    sizes = {"feature_size": 16, "sampling_rate": RATE, "mel_sampling_rate": RATE, "n_fft": 256, "hop_length": 40}
    sizes |= {"fmin": 50, "fmax": 4000, "max_length_s": CLIP_S}
    tokenizer = bytes_tokenizer(special=["<|audio|>"])
    if kind == "clapcap":
        return ClapAfmCaptioningProcessor(ClapAfmFeatureExtractor(**sizes), tokenizer, prefix_length=PREFIX)
    return PengiProcessor(
        PengiFeatureExtractor(**sizes),
        tokenizer,
        bytes_tokenizer(clip=kind == "pengi"),
        prefix_length=2 * PREFIX,
        prompt_length=12,
        prompt_suffix="" if kind == "pengi" else " <|endoftext|>",
    )


def clips(count=3, seconds=CLIP_S):
    """Noise of different colours."""
    generator = np.random.default_rng(0)
    samples = round(seconds * RATE)
    return [
        np.convolve(generator.standard_normal(samples), np.ones(width) / width, "same").astype(np.float32)
        for width in range(1, 1 + 3 * count, 3)
    ]


def prompts(kind, count=3):
    """Prompts of Pengi; nothing for CLAPCAP."""
    texts = ["what is it", "a sound of", "emotion is"]
    return None if kind == "clapcap" else texts[:count]
