"""Converts an official Pengi checkpoint (`base` or `base_no_text_enc`) into a transformers folder.

    python conversions/convert_pengi.py --checkpoint base.pth --tokenizer gpt2 --output pengi
        --text-encoder-tokenizer openai/clip-vit-base-patch16

Which of the two it is, is recognised from the keys, not from the file's name: copies with swapped names exist. The
sizes are read off the weights. Key names as in microsoft/Pengi (MIT), `models/pengi.py`, `models/decoder.py`,
`models/htsat.py`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transformers import AutoModelForMultimodalLM, CLIPTextConfig

from afm_hf import PengiConfig, PengiFeatureExtractor, PengiForConditionalGeneration, PengiProcessor

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
from .encoders import check_front_end, gpt2_config, gpt2_keys, htsat_config, htsat_keys
from .folder import Converted, check_output
from .prefix_lm import (
    ADDED,
    add_placeholder,
    generation_config,
    language_model_tokenizer,
    mapper_sizes,
    with_placeholder,
)

VARIANTS = ("base", "base_no_text_enc")
LANGUAGE_MODEL = "caption_decoder.gpt.transformer."
TEXT_ENCODER = "caption_encoder.base."
PROMPT_TOKENS = 40

KEYS = [
    *htsat_keys("audio_encoder.base.htsat.", "model.audio_tower."),
    Rename("audio_encoder.projection.", "model.audio_projection."),
    Drop(r"\.embeddings\.position_ids$", "position numbers of transformers < 4.31"),
    Rename(f"{TEXT_ENCODER}text_model.", "model.prompt_encoder."),
    Rename(TEXT_ENCODER, "model.prompt_encoder."),
    Rename("caption_encoder.clip_text_projection.", "model.prompt_text_projection."),
    Rename("caption_encoder.projection.", "model.prompt_projection."),
    Rename("caption_decoder.audio_project.", "model.audio_mapper."),
    Rename("caption_decoder.text_project.", "model.prompt_mapper."),
    *gpt2_keys(LANGUAGE_MODEL, "model.language_model."),
    Rename("caption_decoder.gpt.lm_head.", "lm_head."),
]


def recognise(keys: Iterable[str]) -> str:
    """The variant that the keys belong to: "base" or "base_no_text_enc".

    Raises:
        ConversionError: if they are not Pengi's; the message says what they look like.
    """
    known = list(keys)
    mappers = ("caption_decoder.audio_project.", "caption_decoder.text_project.")
    check_system(known, "Pengi", ("audio_encoder.base.htsat.", *mappers, "caption_decoder.gpt."))
    return "base" if any(key.startswith("caption_encoder.") for key in known) else "base_no_text_enc"


def clip_text_config(weights: StateDict) -> CLIPTextConfig:
    """Sizes of a CLIP text encoder, read off its weights; heads are 64 wide, as in every released CLIP."""
    nested = f"{TEXT_ENCODER}text_model."
    prefix = nested if any(key.startswith(nested) for key in weights) else TEXT_ENCODER
    vocab_size, width = sizes(weights, f"{prefix}embeddings.token_embedding.weight", 2)
    layers = f"{prefix}encoder.layers."
    return CLIPTextConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        intermediate_size=length(weights, f"{layers}0.mlp.fc1.bias"),
        projection_dim=length(weights, "caption_encoder.clip_text_projection.weight", 2),
        num_hidden_layers=count_layers(weights, layers),
        num_attention_heads=max(1, width // 64),
        max_position_embeddings=length(weights, f"{prefix}embeddings.position_embedding.weight", 2),
        bos_token_id=vocab_size - 2,
        eos_token_id=vocab_size - 1,
        pad_token_id=vocab_size - 1,
    )


def make_config(weights: StateDict, variant: str) -> PengiConfig:
    """The config of these weights; the id of the padding token is not among them."""
    return PengiConfig(
        audio_config=htsat_config(weights),
        text_config=with_placeholder(gpt2_config(weights, LANGUAGE_MODEL)),
        text_encoder_config=clip_text_config(weights) if variant == "base" else None,
        projection_dim=length(weights, "audio_encoder.projection.layer_norm.weight"),
        normalize_prompt=False,  # Parity: the authors' wrapper
        **mapper_sizes(weights, "caption_decoder.audio_project."),
    )


def prompt_tokenizer(variant: str, tokenizer: str, text_encoder_tokenizer: str | None, vocab_size: int) -> Any:
    """The tokenizer of the prompts: CLIP's, filling up with its end token, or GPT-2's, filling up with `!`.

    Raises:
        OSError: if there is no tokenizer.
        ConversionError: if none was named where it is needed, or it is not CLIP's.
    """
    if variant == "base_no_text_enc":
        return language_model_tokenizer(tokenizer, vocab_size, placeholder=False)
    if text_encoder_tokenizer is None:
        raise ConversionError(
            "this is Pengi base, whose prompts need CLIP's tokenizer: give --text-encoder-tokenizer, "
            "for example openai/clip-vit-base-patch16."
        )
    clip = load_tokenizer(text_encoder_tokenizer)
    ids = clip("a")["input_ids"]
    if len(clip) != vocab_size or ids[0] != vocab_size - 2 or ids[-1] != vocab_size - 1:
        raise ConversionError(
            f"CLIP's tokenizer with {vocab_size} tokens, the last two being start and end, is needed, but "
            f"{text_encoder_tokenizer!r} has {len(clip)} and encodes 'a' as {ids}."
        )
    clip.pad_token = clip.eos_token
    return clip


def model_card(variant: str, parameters: int) -> str:
    """README.md of the converted checkpoint."""
    prompt = (
        "The prompt goes through CLIP's text encoder"
        if variant == "base"
        else "The prompt is embedded by the language model's own word table"
    )
    return f"""---
library_name: transformers
license: mit
pipeline_tag: audio-text-to-text
tags: [audio, audio-captioning, audio-question-answering, pengi, afm-hf]
---

# Pengi {variant}

Microsoft's audio language model Pengi ({parameters / 1e6:.0f} M parameters; [paper](https://arxiv.org/abs/2305.11834)):
audio and prompt become 40 prefix vectors each for a frozen GPT-2. {prompt}.
Converted from the official checkpoint with `afm-hf convert`. `conversion.json` says where every
official weight went.

```python
from afm_hf import average_log_prob_beam_search
from transformers import AutoModelForMultimodalLM, AutoProcessor

model = AutoModelForMultimodalLM.from_pretrained("PATH_OR_ID")
processor = AutoProcessor.from_pretrained("PATH_OR_ID")
inputs = processor(audio="dog.wav", text="generate audio caption")
answers = model.generate(**inputs, custom_generate=average_log_prob_beam_search)
print(processor.decode_answers(answers, inputs["input_ids"]))
```

Other prompts: `generate metadata`, `this is a sound of`, `this emotion is`, `question: ...`. `processor.describe(model,
"dog.wav")` joins three answers.

`generation_config.json` holds the authors' decoding: 3 beams, at most 30 tokens, and a stop at the lone space token (id
220), the first token of ` <|endoftext|>`. With `custom_generate=average_log_prob_beam_search` beams are ranked by the
authors' rule; without it by transformers' own. The authors' wrapper does not normalise the prompt's embedding, though
their training code does: `config.normalize_prompt` is `False` here, for the wrapper's answers; set it to `True` to
train on.

Audio is mono, 44100 Hz, 7 s (shorter clips are repeated, of longer ones the first part is taken; `truncation="windows"`
averages over all of it). The official wrapper instead takes a random part and puts stereo channels one after the other:
`truncation="random"`, `channels="concat"`, `resampler="torchaudio"` give its behaviour.
"""


def convert(
    checkpoint: str,
    tokenizer: str,
    output: str,
    text_encoder_tokenizer: str | None = None,
    variant: str | None = None,
) -> Path:
    """Converts one file and returns the folder.

    Args:
        checkpoint (`str`): The official file.
        tokenizer (`str`): Folder or Hub id of GPT-2's tokenizer.
        output (`str`): Folder to write.
        text_encoder_tokenizer (`str`, *optional*): Folder or Hub id of CLIP's tokenizer; needed for `base`.
        variant (`str`, *optional*): "base" or "base_no_text_enc"; recognised from the keys if not given.

    Raises:
        OSError: for files that cannot be read.
        ConversionError: for weights that are not those of Pengi, or not complete, or of another variant than said.
    """
    check_output(output)
    weights = read_checkpoint(checkpoint)
    found = recognise(weights)
    if variant not in (None, found):
        raise ConversionError(
            f"{checkpoint} holds Pengi {found}, but --variant {variant} was given. Copies with swapped names exist: "
            "leave out --variant to convert what the file holds."
        )
    conversion = rename_keys(weights, KEYS)
    with sizes_that_fit("Pengi", weights, f"{LANGUAGE_MODEL}wte.weight"):
        config = make_config(weights, found)
        vocab_size = config.text_config.vocab_size - 1
        words = language_model_tokenizer(tokenizer, vocab_size)
        encoder = config.text_encoder_config
        prompts = prompt_tokenizer(
            found, tokenizer, text_encoder_tokenizer, encoder.vocab_size if encoder else vocab_size
        )
        config.pad_token_id = words.pad_token_id
        add_placeholder(conversion, "model.language_model.wte.weight")
        model = build(PengiForConditionalGeneration, config, conversion)
    model.generation_config = generation_config(config, words, num_beams=3, max_new_tokens=30)
    extractor = PengiFeatureExtractor()
    processor = PengiProcessor(
        extractor,
        words,
        prompts,
        prefix_length=config.num_placeholders,
        prompt_length=PROMPT_TOKENS,
        prompt_suffix="" if encoder else " <|endoftext|>",
    )
    facts = {
        "variant": f"Pengi {found}",
        "official_file": Path(checkpoint).name,
        "front_end": check_front_end(weights, extractor),
    }
    folder = Converted(
        name=f"Pengi {found}",
        model=model,
        processor=processor,
        conversion=conversion,
        facts=facts,
        card=model_card(found, model.num_parameters()),
        reload=AutoModelForMultimodalLM.from_pretrained,
        inputs={"text": "generate metadata"},
        added=ADDED,
    ).finish(output)
    if Path(checkpoint).stem in VARIANTS and Path(checkpoint).stem != found:
        print(f"  NOTE: the file is called {Path(checkpoint).name}, but holds {found}.")
    return folder
