"""Small files in the layout of the official checkpoints, tokenizers that fit them, and their conversion, in seconds."""

import importlib
import sys
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import BertConfig, CLIPTextConfig, GPT2Config, LlamaConfig, PreTrainedTokenizerFast

from afm_hf import (
    AdiffConfig,
    AdiffForConditionalGeneration,
    AfmCnn14Config,
    AfmHtsatConfig,
    ClapAfmAudioConfig,
    ClapAfmCaptioningConfig,
    ClapAfmConfig,
    ClapAfmForConditionalGeneration,
    ClapAfmModel,
    ClapAfmTextConfig,
    MellowConfig,
    MellowForCausalLM,
    PengiConfig,
    PengiForConditionalGeneration,
)

sys.path.insert(0, str(Path(__file__).parent / "parity"))

import fill
from official import (
    byte_level_clip,
    byte_level_gpt2,
    byte_symbols,
    constant,
    letters_bert,
    official_layout,
    write_checkpoint,
)

FAMILIES = {
    "2022": "msclap", "2023": "msclap", "clapcap": "msclap", "base": "pengi", "base_no_text_enc": "pengi",
    "mellow": "mellow", "adiff": "adiff", "adiff_naive": "adiff",
}  # fmt: skip
SMOLLM2_WORDS = 17 + 256  # the end token, 16 others, the bytes: so `!` is 17
HTSAT = {"spec_size": 256, "embed_dim": 16, "depths": [2, 2, 2], "num_attention_heads": [2, 2, 4], "window_size": 8}

OFFICIAL_NAMES = {
    "clapcap": {
        "model.audio_tower.": "clap.base.htsat.",
        "model.audio_projection.": "clap.projection.",
        "model.audio_mapper.": "clap_project.",
        "model.language_model.": "gpt.transformer.",
        "lm_head.": "gpt.lm_head.",
    },
    "pengi": {
        "model.audio_tower.": "audio_encoder.base.htsat.",
        "model.audio_projection.": "audio_encoder.projection.",
        "model.prompt_encoder.": "caption_encoder.base.",
        "model.prompt_text_projection.": "caption_encoder.clip_text_projection.",
        "model.prompt_projection.": "caption_encoder.projection.",
        "model.audio_mapper.": "caption_decoder.audio_project.",
        "model.prompt_mapper.": "caption_decoder.text_project.",
        "model.language_model.": "caption_decoder.gpt.transformer.",
        "lm_head.": "caption_decoder.gpt.lm_head.",
    },
    "mellow": {
        "model.audio_tower.": "audio_encoder.base.htsat.",
        "model.frame_projection.": "audio_encoder.base.c2l.",
        "model.audio_projection.": "audio_encoder.projection.",
        "model.language_model.": "caption_decoder.lm.model.",
        "lm_head.": "caption_decoder.lm.lm_head.",
    },
    "adiff": {
        "model.audio_tower.": "audio_encoder.base.htsat.",
        "model.audio_projection.": "audio_encoder.projection.",
        "model.first_mapper.": "caption_decoder.audio_project1.",
        "model.second_mapper.": "caption_decoder.audio_project2.",
        "model.prompt_mapper.": "caption_decoder.text_project.",
        "model.cross_projection.": "caption_decoder.cross_project.",
        "model.language_model.": "caption_decoder.gpt.transformer.",
        "lm_head.": "caption_decoder.gpt.lm_head.",
    },
}


def tiny_model(name):
    """A model of ours that an official file of small sizes converts to."""
    if name in ("2022", "2023"):
        return tiny_clap(name)
    if name == "mellow":
        return tiny_mellow()
    audio = AfmHtsatConfig(**HTSAT)
    text = GPT2Config(vocab_size=258, n_positions=128, n_embd=64, n_layer=2, n_head=1)
    sizes = {"audio_config": audio, "text_config": text, "projection_dim": 32, "prefix_length": 6, "mapper_layers": 2}
    if name == "clapcap":
        return ClapAfmForConditionalGeneration(ClapAfmCaptioningConfig(**sizes))
    if name.startswith("adiff"):
        cross = {"cross_layers": 1, "use_cross_projection": name == "adiff"}
        return AdiffForConditionalGeneration(AdiffConfig(**sizes, **cross))
    encoder = CLIPTextConfig(
        vocab_size=258,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=1,
        projection_dim=48,
        max_position_embeddings=40,
        bos_token_id=256,
        eos_token_id=257,
    )
    return PengiForConditionalGeneration(PengiConfig(**sizes, text_encoder_config=encoder if name == "base" else None))


def tiny_clap(name):
    audio, text = AfmHtsatConfig(**HTSAT), GPT2Config(vocab_size=257, n_positions=80, n_embd=64, n_layer=2, n_head=1)
    if name == "2022":
        audio = AfmCnn14Config(block_channels=[4, 8, 8, 8, 8, 16], hidden_size=24)
        text = BertConfig(
            vocab_size=89,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=1,
            intermediate_size=96,
            max_position_embeddings=104,
        )
    return ClapAfmModel(
        ClapAfmConfig(
            audio_config=ClapAfmAudioConfig(encoder_config=audio, projection_dim=32),
            text_config=ClapAfmTextConfig(encoder_config=text, projection_dim=32),
        )
    )


def tiny_mellow():
    text = LlamaConfig(
        vocab_size=SMOLLM2_WORDS + 1,
        hidden_size=128,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=True,
    )
    heard = AfmHtsatConfig(**HTSAT, use_framewise_head=True, num_classes=5)
    return MellowForCausalLM(MellowConfig(audio_config=heard, text_config=text))


def official_shapes(name):
    """Keys and shapes as the authors' code saves them, with what a converter must drop."""
    if name in ("2022", "2023"):
        return official_layout(tiny_model(name))
    names = OFFICIAL_NAMES["clapcap" if name == "clapcap" else FAMILIES[name]]
    shapes = {}
    for key, tensor in tiny_model(name).state_dict().items():
        ours = next(prefix for prefix in names if key.startswith(prefix))
        if key == "lm_head.weight" or key.endswith((".wte.weight", ".embed_tokens.weight")):
            tensor = tensor[:-1]  # without the placeholder
        shapes[names[ours] + key.removeprefix(ours)] = tuple(tensor.shape)
    return shapes | dropped_shapes(name, names["model.audio_tower."], names["model.language_model."])


def dropped_shapes(name, htsat, words):
    shapes = {
        f"{htsat}spectrogram_extractor.stft.conv_real.weight": (513, 1, 4),
        f"{htsat}layers.0.blocks.1.attn_mask": (4, 64, 64),
        f"{htsat}head.weight": (5, 5),
    }
    if name == "mellow":
        return shapes | {f"{words}rotary_emb.inv_freq": (32,)}
    shapes |= {
        f"{htsat}tscam_conv.weight": (5, 64, 2, 3),
        f"{words}h.0.attn.bias": (1, 1, 8, 8),
        f"{words}h.0.attn.masked_bias": (),
    }
    return shapes | ({"caption_encoder.base.embeddings.position_ids": (1, 40)} if name == "base" else {})


def official_weights(name):
    """The weights of an official file of small sizes, filled by the rule of `fill.py`."""
    fixed = (".attn.bias", "masked_bias", "attn_mask", "conv_real.weight", "num_batches_tracked", "position_ids")
    table = "model.embed_tokens" if name == "mellow" else "transformer.wte"
    return {
        key: constant(key, shape) if key.endswith(fixed) else fill.value(key.replace("lm_head", table), shape, "tiny")
        for key, shape in official_shapes(name).items()
    }


def official_file(name, path, **changes):
    """Writes an official file of small sizes; `changes` replace weights by their keys, None leaves one out."""
    weights = {key: value for key, value in (official_weights(name) | changes).items() if value is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_checkpoint(weights, path)
    return path


def smollm2_like(folder, size=SMOLLM2_WORDS):
    """A byte-level tokenizer with SmolLM2's ids of the end token (0) and of `!` (17)."""
    symbols = ["<|endoftext|>", *(f"<unused {i}>" for i in range(16)), *byte_symbols()]
    symbols += [f"<more {i}>" for i in range(size - len(symbols))]
    tokenizer = Tokenizer(models.BPE({symbol: i for i, symbol in enumerate(symbols)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(folder)
    return str(folder)


def tokenizers_for(name, folder):
    """Tokenizers that fit, made in the folder: a converter's arguments."""
    if name == "2022":
        return {"tokenizer": letters_bert(folder / "bert")}
    if name == "mellow":
        return {"tokenizer": smollm2_like(folder / "smollm2")}
    gpt2 = {"tokenizer": byte_level_gpt2(folder / "gpt2")}
    return gpt2 | ({"text_encoder_tokenizer": byte_level_clip(folder / "clip")} if name == "base" else {})


def convert(name, file, folder, **kwargs):
    """Converts an official file of small sizes; tokenizers that fit are made beside the file, if not given."""
    converter = importlib.import_module(f"afm_hf.conversion.{FAMILIES[name]}")
    if "tokenizer" not in kwargs:
        kwargs |= tokenizers_for(name, Path(file).parent)
    return converter.convert(str(file), output=str(folder), **kwargs)


def float_key(name, end="projection.linear2.weight"):
    """The first key with this ending, of a weight that every model needs."""
    return next(key for key in official_shapes(name) if key.endswith(end))


__all__ = [
    "FAMILIES", "OFFICIAL_NAMES", "SMOLLM2_WORDS", "byte_level_clip", "byte_level_gpt2", "convert", "float_key",
    "letters_bert", "official_file", "official_shapes", "official_weights", "smollm2_like", "tiny_model",
    "tokenizers_for", "write_checkpoint",
]  # fmt: skip
