"""What several conversions know of the official HTSAT and GPT-2: their keys, and their sizes read off the weights."""

import math
import re

from transformers import GPT2Config

from afm_hf import AfmFeatureExtractor, AfmHtsatConfig

from .common import Drop, Rename, StateDict, count_layers

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
        Rename(f"^{re.escape(prefix)}", target),
    ]


def gpt2_keys(prefix: str, target: str) -> list[Rename | Drop]:
    """Rules for a GPT-2 whose keys begin with `prefix`."""
    return [
        Drop(rf"^{re.escape(prefix)}.*\.attn\.(bias|masked_bias)$", "causal mask of transformers < 4.30"),
        Rename(f"^{re.escape(prefix)}", target),
    ]


def htsat_config(state_dict: StateDict, prefix: str = "audio_encoder.base.htsat.") -> AfmHtsatConfig:
    """Sizes of an HTSAT whose keys begin with `prefix`, read off its weights."""
    embed_dim, _, patch_size, _ = state_dict[f"{prefix}patch_embed.proj.weight"].shape
    stages = count_layers(state_dict, r"htsat\.layers\.(\d+)\.blocks")
    first = f"{prefix}layers.0.blocks.0."
    tables = [
        state_dict[f"{prefix}layers.{stage}.blocks.0.attn.relative_position_bias_table"].shape
        for stage in range(stages)
    ]
    num_mel_bins = len(state_dict[f"{prefix}bn0.weight"])
    return AfmHtsatConfig(
        spec_size=4 * num_mel_bins,
        num_mel_bins=num_mel_bins,
        patch_size=patch_size,
        embed_dim=embed_dim,
        depths=[count_layers(state_dict, rf"htsat\.layers\.{stage}\.blocks\.(\d+)\.") for stage in range(stages)],
        num_attention_heads=[heads for _, heads in tables],
        window_size=(math.isqrt(tables[0][0]) + 1) // 2,
        mlp_ratio=len(state_dict[f"{first}mlp.fc1.bias"]) / embed_dim,
        qkv_bias=f"{first}attn.qkv.bias" in state_dict,
        long_input="official",  # Parity: the authors' windows for more than 1024 frames.
    )


def gpt2_config(state_dict: StateDict, prefix: str = "caption_encoder.base.") -> GPT2Config:
    """Sizes of a GPT-2 whose keys begin with `prefix`, read off its weights; heads are 64 wide, as in every release."""
    vocab_size, width = state_dict[f"{prefix}wte.weight"].shape
    return GPT2Config(
        vocab_size=vocab_size,
        n_positions=len(state_dict[f"{prefix}wpe.weight"]),
        n_embd=width,
        n_layer=count_layers(state_dict, rf"^{re.escape(prefix)}h\.(\d+)\."),
        n_head=max(1, width // 64),
        bos_token_id=vocab_size - 1,
        eos_token_id=vocab_size - 1,
    )


def check_front_end(state_dict: StateDict, feature_extractor: AfmFeatureExtractor) -> str:
    """Compares the mel matrix of the checkpoint with the feature extractor's; says what it found."""
    official = next((value for key, value in state_dict.items() if key.endswith("logmel_extractor.melW")), None)
    if official is None:
        return "the checkpoint holds no mel matrix to compare with"
    bank = feature_extractor.mel_bank()
    if official.shape != bank.shape:
        return f"WARNING: the checkpoint's mel matrix has shape {tuple(official.shape)}, ours {tuple(bank.shape)}"
    difference = float((official - bank).abs().max())
    if difference > 1e-6:
        return f"WARNING: the mel matrix of the checkpoint differs from the feature extractor's by {difference:.1e}"
    return f"the mel matrix of the checkpoint equals the feature extractor's (largest difference {difference:.1e})"
