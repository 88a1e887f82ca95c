"""Tiny random models in the layout of real checkpoints, made in a second. Weights are seeded: same seed, same model."""

from pathlib import Path

import numpy as np
import soundfile
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import BertConfig, ClapConfig, ClapFeatureExtractor, ClapModel, GPT2Config, PreTrainedTokenizerFast

from afm_hf import (
    AfmCnn14Config,
    AfmHtsatConfig,
    ClapAfmAudioConfig,
    ClapAfmConfig,
    ClapAfmFeatureExtractor,
    ClapAfmModel,
    ClapAfmProcessor,
    ClapAfmTextConfig,
)

LABELS = ["a dog", "rain", "an engine that idles", "birds"]
RATE = 8000  # Hz
CLIP_S = 0.5


def byte_tokenizer(**kwargs):
    """One token a byte, so that every text has ids; 256 pads."""
    vocabulary = {letter: index for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    vocabulary["<pad>"] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", **kwargs)


def clap_config():
    """HTSAT of two stages on a 64 x 64 image, GPT-2 of one layer."""
    audio = AfmHtsatConfig(
        spec_size=64, num_mel_bins=16, embed_dim=8, depths=[1, 1], num_attention_heads=[1, 2], window_size=4
    )
    text = GPT2Config(
        vocab_size=257, n_positions=96, n_embd=16, n_layer=1, n_head=2, bos_token_id=256, eos_token_id=256
    )
    return ClapAfmConfig(
        audio_config=ClapAfmAudioConfig(encoder_config=audio, projection_dim=12),
        text_config=ClapAfmTextConfig(encoder_config=text, projection_dim=12),
    )


def htsat_config(**kwargs):
    """HTSAT of three stages on a 64 x 64 image (256 frames): with and without shifted windows, and with one window."""
    sizes = {"embed_dim": 8, "depths": [2, 2, 2], "num_attention_heads": [1, 2, 4], "window_size": 4}
    return AfmHtsatConfig(**{"spec_size": 64, "num_mel_bins": 16, **sizes, **kwargs})


def clap_2022_config():
    """Cnn14 of two blocks, BERT of one layer."""
    audio = AfmCnn14Config(num_mel_bins=16, block_channels=[4, 8], pool_sizes=[2, 2], hidden_size=16)
    text = BertConfig(
        vocab_size=257,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=96,
        pad_token_id=256,
    )
    return ClapAfmConfig(
        audio_config=ClapAfmAudioConfig(encoder_config=audio, projection_dim=12),
        text_config=ClapAfmTextConfig(encoder_config=text, projection_dim=12, pooling="cls"),
    )


def perturb(model, std=0.3, seed=0):
    """Random values in all that trains and in the batch norms' statistics, so that no difference can hide."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point() and name != "logit_scale":
                noise = torch.randn(value.shape, generator=generator) * std
                value.copy_(noise.abs() + 0.5 if name.endswith("running_var") else value + noise)
    return model


def grads(model, loss):
    """Gradients of `loss(model)` by parameter name."""
    model.zero_grad(set_to_none=True)
    loss(model).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def clap_parts(seed=0):
    """(model, tokenizer, feature extractor) of a tiny ClapAfm."""
    torch.manual_seed(seed)
    model = ClapAfmModel(clap_config()).eval()
    with torch.no_grad():  # as initialised, all embeddings are alike
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    extractor = ClapAfmFeatureExtractor(
        feature_size=16,
        sampling_rate=RATE,
        mel_sampling_rate=RATE,
        n_fft=256,
        hop_length=40,
        fmin=50,
        fmax=4000,
        max_length_s=CLIP_S,
    )
    return model, byte_tokenizer(), extractor


def tiny_clap(folder, seed=0):
    """Saves a tiny ClapAfm checkpoint; returns its folder."""
    model, tokenizer, extractor = clap_parts(seed)
    folder = Path(folder)
    model.save_pretrained(folder)
    ClapAfmProcessor(extractor, tokenizer).save_pretrained(folder)
    return folder


def stock_clap_parts(seed=0):
    """(model, tokenizer, feature extractor) of a tiny `ClapModel` of transformers."""
    torch.manual_seed(seed)
    config = ClapConfig(
        text_config={
            "vocab_size": 257,
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "max_position_embeddings": 512,  # RoBERTa counts positions from the padding id
            "pad_token_id": 256,
        },
        audio_config={
            "spec_size": 64,
            "num_mel_bins": 16,
            "patch_embeds_hidden_size": 8,
            "depths": [1, 1],
            "num_attention_heads": [1, 2],
            "window_size": 4,
            "hidden_size": 16,
            "enable_fusion": False,
        },
        projection_dim=12,
    )
    model = ClapModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    extractor = ClapFeatureExtractor(
        feature_size=16,
        sampling_rate=RATE,
        hop_length=40,
        max_length_s=1,
        fft_window_size=256,
        frequency_min=50,
        frequency_max=4000,
        truncation="rand_trunc",
        padding="repeatpad",
    )
    return model, byte_tokenizer(), extractor


def tone(frequency, seconds=CLIP_S, rate=RATE, seed=0):
    """A tone in some noise, float32 `(samples,)`."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(scale=0.05, size=len(time))
    return (0.4 * np.sin(2 * np.pi * frequency * time) + noise).astype(np.float32)


def write_tones(folder, count=5, seconds=CLIP_S):
    """WAV files `00.wav`, ... of rising tones; returns their paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(count):
        paths.append(folder / f"{index:02d}.wav")
        soundfile.write(paths[-1], tone(200 * (index + 1), seconds, seed=index), RATE, subtype="PCM_16")
    return paths
