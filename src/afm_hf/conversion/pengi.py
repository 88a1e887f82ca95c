"""Converts an official Pengi checkpoint (`base` or `base_no_text_enc`) into a transformers folder.

    python -m afm_hf.conversion.pengi --checkpoint base.pth --output pengi-base --tokenizer gpt2
        --text-encoder-tokenizer openai/clip-vit-base-patch16

Which of the two it is, is recognised from the keys, not from the file's name: copies with swapped names exist. The
sizes are read off the weights. Key names as in microsoft/Pengi (MIT), `models/pengi.py`, `models/decoder.py`,
`models/htsat.py`.
"""

import argparse
from pathlib import Path
from typing import Any

from transformers import CLIPTextConfig

from afm_hf import PengiConfig, PengiFeatureExtractor, PengiForConditionalGeneration, PengiProcessor

from .common import (
    ConversionError,
    Drop,
    Rename,
    StateDict,
    count_layers,
    fail,
    load_strictly,
    load_tokenizer,
    read_checkpoint,
    rename_keys,
)
from .encoders import check_front_end, gpt2_config, gpt2_keys, htsat_config, htsat_keys
from .prefix_lm import (
    add_placeholder,
    generation_config,
    language_model_tokenizer,
    mapper_sizes,
    save_and_compare,
    with_placeholder,
)

VARIANTS = ("base", "base_no_text_enc")
LANGUAGE_MODEL = "caption_decoder.gpt.transformer."
TEXT_ENCODER = "caption_encoder.base."
PROMPT_TOKENS = 40

KEYS = [
    *htsat_keys("audio_encoder.base.htsat.", "model.audio_tower."),
    Rename(r"^audio_encoder\.projection\.", "model.audio_projection."),
    Drop(r"\.embeddings\.position_ids$", "position numbers of transformers < 4.31"),
    Rename(r"^caption_encoder\.base\.(text_model\.)?", "model.prompt_encoder."),
    Rename(r"^caption_encoder\.clip_text_projection\.", "model.prompt_text_projection."),
    Rename(r"^caption_encoder\.projection\.", "model.prompt_projection."),
    Rename(r"^caption_decoder\.audio_project\.", "model.audio_mapper."),
    Rename(r"^caption_decoder\.text_project\.", "model.prompt_mapper."),
    *gpt2_keys(LANGUAGE_MODEL, "model.language_model."),
    Rename(r"^caption_decoder\.gpt\.lm_head\.", "lm_head."),
]


def recognise(state_dict: StateDict) -> str:
    """The variant that the keys belong to: "base" or "base_no_text_enc".

    Raises:
        ConversionError: if they are not Pengi's; the message says what they look like.
    """
    needed = (
        "audio_encoder.base.htsat.",
        "caption_decoder.audio_project.",
        "caption_decoder.text_project.",
        "caption_decoder.gpt.",
    )
    absent = [part for part in needed if not any(key.startswith(part) for key in state_dict)]
    if absent:
        raise ConversionError(
            f"these are not the keys of Pengi: none begins with {absent[0]!r}; found e.g. {list(state_dict)[:3]}."
        )
    return "base" if any(key.startswith(TEXT_ENCODER) for key in state_dict) else "base_no_text_enc"


def clip_text_config(state_dict: StateDict) -> CLIPTextConfig:
    """Sizes of a CLIP text encoder, read off its weights; heads are 64 wide, as in every released CLIP."""
    embeddings = f"{TEXT_ENCODER}embeddings."
    if not any(key.startswith(embeddings) for key in state_dict):
        embeddings = f"{TEXT_ENCODER}text_model.embeddings."
    vocab_size, width = state_dict[f"{embeddings}token_embedding.weight"].shape
    layers = embeddings.removesuffix("embeddings.") + "encoder.layers."
    return CLIPTextConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        intermediate_size=len(state_dict[f"{layers}0.mlp.fc1.bias"]),
        projection_dim=len(state_dict["caption_encoder.clip_text_projection.weight"]),
        num_hidden_layers=count_layers(state_dict, rf"^{layers}(\d+)\."),
        num_attention_heads=max(1, width // 64),
        max_position_embeddings=len(state_dict[f"{embeddings}position_embedding.weight"]),
        bos_token_id=vocab_size - 2,
        eos_token_id=vocab_size - 1,
        pad_token_id=vocab_size - 1,
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
    state_dict = read_checkpoint(checkpoint)
    found = recognise(state_dict)
    if variant not in (None, found):
        raise ConversionError(
            f"{checkpoint} holds Pengi {found}, but --variant {variant} was given. Copies with swapped names exist: "
            "leave out --variant to convert what the file holds."
        )
    conversion = rename_keys(state_dict, KEYS)
    add_placeholder(conversion.state_dict, "model.language_model.wte.weight", "lm_head.weight")
    text = gpt2_config(state_dict, LANGUAGE_MODEL)
    encoder = clip_text_config(state_dict) if found == "base" else None
    language_model = language_model_tokenizer(tokenizer, text.vocab_size)
    prompts = prompt_tokenizer(
        found, tokenizer, text_encoder_tokenizer, text.vocab_size if encoder is None else encoder.vocab_size
    )
    config = PengiConfig(
        audio_config=htsat_config(state_dict),
        text_config=with_placeholder(text),
        text_encoder_config=encoder,
        projection_dim=len(state_dict["audio_encoder.projection.layer_norm.weight"]),
        pad_token_id=language_model.pad_token_id,
        normalize_prompt=False,  # Parity: the authors' wrapper
        **mapper_sizes(state_dict, "caption_decoder.audio_project."),
    )
    model = PengiForConditionalGeneration(config).eval()
    load_strictly(model, conversion)
    model.generation_config = generation_config(config, language_model, num_beams=3, max_new_tokens=30)
    feature_extractor = PengiFeatureExtractor()
    processor = PengiProcessor(
        feature_extractor,
        language_model,
        prompts,
        prefix_length=config.num_placeholders,
        prompt_length=PROMPT_TOKENS,
        prompt_suffix=" <|endoftext|>" if encoder is None else "",
    )
    facts = {
        "variant": f"Pengi {found}",
        "official_file": Path(checkpoint).name,
        "front_end": check_front_end(state_dict, feature_extractor),
    }
    card = model_card(found, model.num_parameters())
    save_and_compare(model, processor, Path(output), conversion, facts, card, text="generate metadata")
    if Path(checkpoint).stem in VARIANTS and Path(checkpoint).stem != found:
        print(f"  NOTE: the file is called {Path(checkpoint).name}, but holds {found}.")
    return Path(output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True, help="official file, for example base.pth")
    parser.add_argument("--variant", choices=VARIANTS, help="recognised from the keys if not given")
    parser.add_argument("--tokenizer", required=True, help="folder or Hub id of GPT-2's tokenizer")
    parser.add_argument("--text-encoder-tokenizer", help="folder or Hub id of CLIP's tokenizer (base)")
    parser.add_argument("--output", required=True, help="folder to write")
    arguments = parser.parse_args()
    try:
        convert(
            arguments.checkpoint,
            arguments.tokenizer,
            arguments.output,
            arguments.text_encoder_tokenizer,
            arguments.variant,
        )
    except (OSError, ConversionError) as error:
        fail(str(error))


if __name__ == "__main__":
    main()
