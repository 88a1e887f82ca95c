"""Deterministic pseudo-random weights, one independent stream per state-dict key (torch + hashlib only).

fill(state_dict, salt) returns a new dict. A key named *lm_head.weight is the tied copy of the input embedding.
Fixed (returned unchanged): every non-floating tensor, and the buffers whose key ends in one of FIXED.
"""

import hashlib, math, torch

FIXED = (
    "stft.conv_real.weight",
    "stft.conv_imag.weight",
    "logmel_extractor.melW",
    "attn_mask",
    "attn.masked_bias",
    "attn.bias",
)
GAIN = 2.0
TIED = {"lm_head.weight": ("transformer.wte.weight", "model.embed_tokens.weight")}


def seed_of(salt, key):
    return int.from_bytes(hashlib.sha256(f"{salt}:{key}".encode()).digest()[:8], "big")


def randn(shape, salt, key):
    return torch.randn(
        tuple(shape), generator=torch.Generator("cpu").manual_seed(seed_of(salt, key)), dtype=torch.float32
    )


def value(key, shape, salt):
    """The float32 tensor for one floating, non-fixed key."""
    r, leaf, dim = randn(shape, salt, key), key.rsplit(".", 1)[-1], len(shape)
    if leaf == "logit_scale":  # scalar
        return torch.full(tuple(shape), math.log(1 / 0.07))
    if leaf == "running_mean":  # bn0: around the log-mel level in dB
        return -30.0 + 5.0 * r if "bn0" in key else 0.1 * r
    if leaf == "running_var":
        return (400.0 if "bn0" in key else 1.0) * (1 + 0.1 * r.abs())
    if dim <= 1:  # norm weights; biases
        return 1 + 0.1 * r if leaf == "weight" else 0.02 * r
    if dim == 4:  # convolutions
        return r * math.sqrt(2.0 / (r.numel() / shape[0]))
    if leaf in ("relative_position_bias_table", "prefix_const"):
        return r
    if "embed" in key or ".wte." in key or ".wpe." in key:  # token, position, type embeddings
        return 0.1 * r
    conv1d = any(s in key for s in (".c_attn.", ".c_proj.", ".c_fc."))  # GPT-2 keeps (in, out)
    return r * GAIN / math.sqrt(shape[0] if conv1d else r.numel() / shape[0])


def fill(state_dict, salt):
    out = {}
    for key, t in state_dict.items():
        if not t.is_floating_point() or key.endswith(FIXED):
            out[key] = t.detach().clone()
            continue
        src = key
        for tied, names in TIED.items():
            if key.endswith(tied):
                src = next(key[: -len(tied)] + n for n in names if key[: -len(tied)] + n in state_dict)
        out[key] = value(src, t.shape, salt).to(t.dtype)
    return out
