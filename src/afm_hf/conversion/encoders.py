"""What several conversions know of the official HTSAT and GPT-2: their keys, and their sizes read off the weights."""

import math
import re

from transformers import GPT2Config

from afm_hf import AfmFeatureExtractor, AfmHtsatConfig

from .common import ConversionError, Drop, Rename, StateDict, count_layers, length, sizes, sizes_that_fit

MOST_MEL_BINS, LARGEST_WINDOW = 256, 32  # the official HTSAT has 64 and 8; what is computed from them grows fast

FRONT_END = Drop(
    r"\.(spectrogram_extractor\.stft|logmel_extractor)\.", "fixed STFT and mel matrices: the feature extractor has them"
)


def htsat_keys(prefix: str, target: str) -> list[Rename | Drop]:
    """Rules for an HTSAT whose keys begin with `prefix`."""
    return [
        FRONT_END,
        Drop(r"\.relative_position_index$", "index computed from the window size"),
        Drop(r"\.attn_mask$", "mask computed from the window size"),
        Drop(r"\.htsat\.(tscam_conv|head)\.", "AudioSet heads: not used"),
        Rename(prefix, target),
    ]


def gpt2_keys(prefix: str, target: str) -> list[Rename | Drop]:
    """Rules for a GPT-2 whose keys begin with `prefix`."""
    return [
        Drop(rf"^{re.escape(prefix)}.*\.attn\.(bias|masked_bias)$", "causal mask of transformers < 4.30"),
        Rename(prefix, target),
    ]


def htsat_config(weights: StateDict, prefix: str = "audio_encoder.base.htsat.") -> AfmHtsatConfig:
    """Sizes of an HTSAT whose keys begin with `prefix`, read off its weights."""
    embed_dim, _, patch_size, _ = sizes(weights, f"{prefix}patch_embed.proj.weight", 4)
    stages = [f"{prefix}layers.{stage}.blocks." for stage in range(count_layers(weights, f"{prefix}layers."))]
    tables = [sizes(weights, f"{stage}0.attn.relative_position_bias_table", 2) for stage in stages]
    num_mel_bins = length(weights, f"{prefix}bn0.weight")
    window_size = (math.isqrt(tables[0][0]) + 1) // 2
    if num_mel_bins > MOST_MEL_BINS or window_size > LARGEST_WINDOW:
        raise ConversionError(
            f"By {prefix}bn0.weight and {stages[0]}0.attn.relative_position_bias_table there are {num_mel_bins} mel "
            f"bands and windows of {window_size}; expected at most {MOST_MEL_BINS} and {LARGEST_WINDOW}."
        )
    with sizes_that_fit("HTSAT", weights, f"{prefix}bn0.weight", f"{prefix}patch_embed.proj.weight"):
        return AfmHtsatConfig(
            spec_size=4 * num_mel_bins,
            num_mel_bins=num_mel_bins,
            patch_size=patch_size,
            embed_dim=embed_dim,
            depths=[count_layers(weights, stage) for stage in stages],
            num_attention_heads=[heads for _, heads in tables],
            window_size=window_size,
            mlp_ratio=length(weights, f"{stages[0]}0.mlp.fc1.bias") / embed_dim,
            qkv_bias=any(key.startswith(prefix) and key.endswith(".attn.qkv.bias") for key in weights),
            long_input="official",  # Parity: the authors' windows for more than 1024 frames.
        )


def gpt2_config(weights: StateDict, prefix: str = "caption_encoder.base.") -> GPT2Config:
    """Sizes of a GPT-2 whose keys begin with `prefix`, read off its weights; heads are 64 wide, as in every release."""
    vocab_size, width = sizes(weights, f"{prefix}wte.weight", 2)
    return GPT2Config(
        vocab_size=vocab_size,
        n_positions=length(weights, f"{prefix}wpe.weight", 2),
        n_embd=width,
        n_layer=count_layers(weights, f"{prefix}h."),
        n_head=max(1, width // 64),
        bos_token_id=vocab_size - 1,
        eos_token_id=vocab_size - 1,
    )


def check_front_end(weights: StateDict, feature_extractor: AfmFeatureExtractor) -> str:
    """Compares the mel matrix of the checkpoint with the feature extractor's; says what it found."""
    official = next((value for key, value in weights.items() if key.endswith("logmel_extractor.melW")), None)
    if official is None:
        return "the checkpoint holds no mel matrix to compare with"
    bank = feature_extractor.mel_bank()
    if official.shape != bank.shape:
        return f"WARNING: the checkpoint's mel matrix has shape {tuple(official.shape)}, ours {tuple(bank.shape)}"
    difference = float((official - bank).abs().max())
    if difference > 1e-6:
        return f"WARNING: the mel matrix of the checkpoint differs from the feature extractor's by {difference:.1e}"
    return f"the mel matrix of the checkpoint equals the feature extractor's (largest difference {difference:.1e})"
