"""Converts an official Mellow checkpoint into a transformers folder.

    python conversions/convert_mellow.py --checkpoint v0.ckpt --tokenizer HuggingFaceTB/SmolLM2-135M --output mellow

`v0_s.ckpt`, trained on more audio, likewise. The sizes are read off the weights. Key names as in soham97/mellow (MIT),
`models/mellow.py`, `models/decoder.py`.
"""

from collections.abc import Iterable
from pathlib import Path

from transformers import AutoModelForMultimodalLM, GenerationConfig, LlamaConfig, PreTrainedTokenizerFast

from afm_hf import MellowConfig, MellowFeatureExtractor, MellowForCausalLM, MellowProcessor

from .checkpoint import ConversionError, StateDict, read_checkpoint
from .common import (
    Drop,
    Rename,
    build,
    check_system,
    count_layers,
    length,
    load_tokenizer,
    rename_keys,
    sizes,
    sizes_that_fit,
)
from .encoders import FRONT_END, check_front_end, htsat_config
from .folder import Converted, check_output
from .prefix_lm import ADDED, AUDIO_TOKEN, add_placeholder, with_placeholder

HTSAT = "audio_encoder.base.htsat."
FRAME_PROJECTION = "audio_encoder.base.c2l."
LANGUAGE_MODEL = "caption_decoder.lm.model."

KEYS: list[Rename | Drop] = [
    FRONT_END,
    Drop(r"\.relative_position_index$", "index computed from the window size"),
    Drop(r"\.attn_mask$", "mask computed from the window size"),
    Drop(r"\.htsat\.head\.", "AudioSet head: not used"),
    Drop(r"\.rotary_emb\.inv_freq$", "frequencies computed from the config"),
    Rename(HTSAT, "model.audio_tower."),
    Rename(FRAME_PROJECTION, "model.frame_projection."),
    Rename("audio_encoder.projection.", "model.audio_projection."),
    Rename(LANGUAGE_MODEL, "model.language_model."),
    Rename("caption_decoder.lm.lm_head.", "lm_head."),
]


def recognise(keys: Iterable[str]) -> str:
    """The variant that the keys belong to: there is one, "".

    Raises:
        ConversionError: if they are not Mellow's; the message says what they look like.
    """
    check_system(keys, "Mellow", (FRAME_PROJECTION, HTSAT, LANGUAGE_MODEL))
    return ""


def llama_config(weights: StateDict) -> LlamaConfig:
    """Sizes read off the weights; heads are 64 wide and positions rotate as in SmolLM2-135M."""
    vocab_size, width = sizes(weights, f"{LANGUAGE_MODEL}embed_tokens.weight", 2)
    heads = max(1, width // 64)
    layer = f"{LANGUAGE_MODEL}layers.0."
    return LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        intermediate_size=length(weights, f"{layer}mlp.gate_proj.weight", 2),
        num_hidden_layers=count_layers(weights, f"{LANGUAGE_MODEL}layers."),
        num_attention_heads=heads,
        num_key_value_heads=length(weights, f"{layer}self_attn.k_proj.weight", 2) * heads // width,
        max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
    )


def make_config(weights: StateDict) -> MellowConfig:
    """The config of these weights; the id of the padding token is not among them."""
    audio = htsat_config(weights)
    audio.use_framewise_head = True
    audio.num_classes = length(weights, f"{HTSAT}tscam_conv.bias")
    return MellowConfig(audio_config=audio, text_config=with_placeholder(llama_config(weights)))


def smollm2_tokenizer(location: str, vocab_size: int) -> PreTrainedTokenizerFast:
    """
    SmolLM2's tokenizer as the authors use it: padding with `!`; and with the placeholder as its last token.

    Raises:
        OSError: if there is no tokenizer.
        ConversionError: if it is not SmolLM2's, or does not fit the word table.
    """
    tokenizer = load_tokenizer(location)
    if tokenizer.convert_tokens_to_ids("<|endoftext|>") != 0 or tokenizer.convert_tokens_to_ids("!") in (None, 0):
        raise ConversionError(f"SmolLM2's tokenizer is needed, but {location!r} is another one.")
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
        extra_special_tokens=[AUDIO_TOKEN],
    )


def model_card(parameters: int) -> str:
    """README.md of the converted checkpoint."""
    return f"""---
library_name: transformers
license: mit
pipeline_tag: audio-text-to-text
tags: [audio, audio-reasoning, audio-question-answering, mellow, afm-hf]
---

# Mellow

The small audio language model Mellow ({parameters / 1e6:.0f} M parameters;
[paper](https://arxiv.org/abs/2503.08540)), which answers questions about one or two clips. Converted from the official
checkpoint with `afm-hf convert`. `conversion.json` says where every official weight went.

```python
import afm_hf
from transformers import AutoModelForCausalLM, AutoProcessor

model = AutoModelForCausalLM.from_pretrained("PATH_OR_ID")
processor = AutoProcessor.from_pretrained("PATH_OR_ID")
inputs = processor(audio=["first.wav", "second.wav"], text="explain the difference between the two audios in detail.")
print(processor.decode_answers(model.generate(**inputs), inputs["input_ids"]))
```

Prompts are written as in training: in lower case, options after the question (`... a) dog barking b) chirping birds`).
Questions about one clip take that clip alone: `audio="first.wav"`. transformers' own pipeline takes chat messages of
one turn:

```python
from transformers import pipeline

ask = pipeline("any-to-any", model="PATH_OR_ID")
clips = [{{"type": "audio", "audio": path}} for path in ("first.wav", "second.wav")]
question = {{"type": "text", "text": "explain the difference between the two audios in detail."}}
print(ask(text=[{{"role": "user", "content": [*clips, question]}}], return_full_text=False))
```

Audio is mono, 32000 Hz, 10 s (shorter clips are repeated, of longer ones the first part is taken). The official wrapper
instead takes a random part and puts stereo channels one after the other: `truncation="random"`, `channels="concat"`,
`resampler="torchaudio"` give its behaviour.
"""


def convert(checkpoint: str, tokenizer: str, output: str) -> Path:
    """Converts one file and returns the folder.

    Args:
        checkpoint (`str`): The official file.
        tokenizer (`str`): Folder or Hub id of SmolLM2's tokenizer.
        output (`str`): Folder to write.

    Raises:
        OSError: for files that cannot be read.
        ConversionError: for weights that are not those of Mellow, or not complete.
    """
    check_output(output)
    weights = read_checkpoint(checkpoint)
    recognise(weights)
    conversion = rename_keys(weights, KEYS)
    with sizes_that_fit("Mellow", weights, f"{LANGUAGE_MODEL}embed_tokens.weight"):
        config = make_config(weights)
        words = smollm2_tokenizer(tokenizer, config.text_config.vocab_size - 1)
        config.pad_token_id = words.pad_token_id
        add_placeholder(conversion, "model.language_model.embed_tokens.weight")
        model = build(MellowForCausalLM, config, conversion)
    model.generation_config = decoding(config, words)
    extractor = MellowFeatureExtractor()
    return Converted(
        name="Mellow",
        model=model,
        processor=MellowProcessor(extractor, words, prefix_length=config.num_placeholders),
        conversion=conversion,
        facts={
            "variant": "Mellow",
            "official_file": Path(checkpoint).name,
            "front_end": check_front_end(weights, extractor),
        },
        card=model_card(model.num_parameters()),
        reload=AutoModelForMultimodalLM.from_pretrained,
        inputs={"text": "caption the audio."},
        added=ADDED,
    ).finish(output)


def decoding(config: MellowConfig, words: PreTrainedTokenizerFast) -> GenerationConfig:
    """The authors' decoding: greedy, up to the end token."""
    return GenerationConfig(
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
        suppress_tokens=[config.audio_token_id],
        max_new_tokens=300,
    )
