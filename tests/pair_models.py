"""Tiny Mellow and ADIFF, the models of two clips: models, processors and inputs, made in a second."""

import numpy as np
import pytest
import torch
from prefix_models import CLIP_S, RATE, bytes_tokenizer
from transformers import GPT2Config, LlamaConfig, pipeline

from afm_hf import (
    AdiffConfig,
    AdiffFeatureExtractor,
    AdiffForConditionalGeneration,
    AdiffProcessor,
    AfmHtsatConfig,
    MellowConfig,
    MellowFeatureExtractor,
    MellowForCausalLM,
    MellowProcessor,
)

KINDS = ["mellow", "adiff"]
EXTRACTOR = {"feature_size": 16, "sampling_rate": RATE, "n_fft": 256, "hop_length": 40, "fmax": 4000.0}
PROMPTS = ["what differs", "caption the audio."]


def tiny_pair_model(kind, seed=0, **kwargs):
    """Mellow or ADIFF with random weights large enough that audio and prompt matter, and its processor."""
    torch.manual_seed(seed)
    audio = AfmHtsatConfig(
        spec_size=64,
        num_mel_bins=16,
        embed_dim=8,
        depths=[1, 1],
        num_attention_heads=[1, 2],
        window_size=4,
        num_classes=5,
        use_framewise_head=kind == "mellow",
    )
    words = bytes_tokenizer(["<|audio|>"])
    if kind == "mellow":
        text = LlamaConfig(
            vocab_size=258,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            tie_word_embeddings=True,
            bos_token_id=256,
            eos_token_id=256,
        )
        config = MellowConfig(audio_config=audio, text_config=text, downsampling=64, pad_token_id=0, **kwargs)
        model = MellowForCausalLM(config)
        extractor = MellowFeatureExtractor(max_length_s=CLIP_S, **EXTRACTOR)
        processor = MellowProcessor(extractor, words, prefix_length=config.num_placeholders, prompt_length=24)
    else:
        text = GPT2Config(
            vocab_size=258, n_positions=96, n_embd=16, n_layer=2, n_head=2, bos_token_id=256, eos_token_id=256
        )
        sizes = {"projection_dim": 12, "prefix_length": 3, "mapper_layers": 1, "mapper_heads": 2, "cross_layers": 1}
        config = AdiffConfig(audio_config=audio, text_config=text, pad_token_id=0, **sizes, **kwargs)
        model = AdiffForConditionalGeneration(config)
        extractor = AdiffFeatureExtractor(max_length_s=CLIP_S, **EXTRACTOR)
        processor = AdiffProcessor(extractor, words, prefix_length=config.num_placeholders, prompt_length=24)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.4)
    model.generation_config.suppress_tokens = [config.audio_token_id]
    model.generation_config.eos_token_id = 256
    model.generation_config.pad_token_id = 0
    return model.eval(), processor


def noise(seed):
    return np.random.default_rng(seed).normal(scale=0.1 * (seed + 1), size=round(CLIP_S * RATE)).astype(np.float32)


def pair_batch(processor, **kwargs):
    pairs = [[noise(0), noise(1)], [noise(2), noise(3)]]
    return processor(audio=pairs, text=PROMPTS, sampling_rate=RATE, **kwargs)


def any_to_any(folder):
    """transformers' own pipeline; its older versions want Pillow and torchvision whatever the model reads."""
    try:
        return pipeline("any-to-any", model=str(folder))
    except ImportError as error:
        pytest.skip(f"this transformers cannot make the pipeline here: {error}")
