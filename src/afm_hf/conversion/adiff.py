"""Converts an official ADIFF checkpoint into a transformers folder.

    python conversions/convert_adiff.py --checkpoint adiff_base.ckpt --tokenizer gpt2 --output adiff

`adiff_base_wavcaps.ckpt`, trained on differences of WavCaps too, likewise. The sizes are read off the weights. Key
names as in soham97/ADIFF (MIT).
"""

from collections.abc import Iterable
from pathlib import Path

from transformers import AutoModelForMultimodalLM

from afm_hf import AdiffConfig, AdiffFeatureExtractor, AdiffForConditionalGeneration, AdiffProcessor

from .checkpoint import StateDict, read_checkpoint
from .common import Rename, build, check_system, count_layers, length, rename_keys, sizes_that_fit
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

LANGUAGE_MODEL = "caption_decoder.gpt.transformer."
CROSS = "caption_decoder.cross_project."

KEYS = [
    *htsat_keys("audio_encoder.base.htsat.", "model.audio_tower."),
    Rename("audio_encoder.projection.", "model.audio_projection."),
    Rename("caption_decoder.audio_project1.", "model.first_mapper."),
    Rename("caption_decoder.audio_project2.", "model.second_mapper."),
    Rename("caption_decoder.text_project.", "model.prompt_mapper."),
    Rename(CROSS, "model.cross_projection."),
    *gpt2_keys(LANGUAGE_MODEL, "model.language_model."),
    Rename("caption_decoder.gpt.lm_head.", "lm_head."),
]


def recognise(keys: Iterable[str]) -> str:
    """The variant that the keys belong to: there is one, "".

    Raises:
        ConversionError: if they are not ADIFF's; the message says what they look like.
    """
    check_system(keys, "ADIFF", ("caption_decoder.audio_project1.", "audio_encoder.base.htsat.", LANGUAGE_MODEL))
    return ""


def make_config(weights: StateDict) -> AdiffConfig:
    """The config of these weights; the tokens' ids are not among them."""
    has_cross = any(key.startswith(CROSS) for key in weights)
    return AdiffConfig(
        audio_config=htsat_config(weights),
        text_config=with_placeholder(gpt2_config(weights, LANGUAGE_MODEL)),
        projection_dim=length(weights, "audio_encoder.projection.layer_norm.weight"),
        use_cross_projection=has_cross,
        cross_layers=count_layers(weights, f"{CROSS}layers.") if has_cross else 0,
        **mapper_sizes(weights, "caption_decoder.audio_project1."),
    )


def model_card(parameters: int) -> str:
    """README.md of the converted checkpoint."""
    return f"""---
library_name: transformers
license: mit
pipeline_tag: audio-text-to-text
tags: [audio, audio-difference, adiff, afm-hf]
---

# ADIFF

ADIFF ({parameters / 1e6:.0f} M parameters; [paper](https://arxiv.org/abs/2502.04476)) explains the difference between
two clips. Converted from the official checkpoint with `afm-hf convert`. `conversion.json` says
where every official weight went.

```python
import afm_hf
from transformers import AutoModelForMultimodalLM, AutoProcessor

model = AutoModelForMultimodalLM.from_pretrained("PATH_OR_ID")
processor = AutoProcessor.from_pretrained("PATH_OR_ID")
inputs = processor(audio=["first.wav", "second.wav"], text="explain the difference in few words")
print(processor.decode_answers(model.generate(**inputs), inputs["input_ids"]))
```

Other prompts: `explain the difference in a sentence`, `explain the difference in detail`. `generation_config.json`
holds the authors' decoding: greedy, at most 300 tokens, and a stop at the lone space token (id 220), the first token of
` <|endoftext|>`.

Audio is mono, 32000 Hz, 10 s (shorter clips are repeated, of longer ones the first part is taken). The official wrapper
instead takes a random part and puts stereo channels one after the other: `truncation="random"`, `channels="concat"`,
`resampler="torchaudio"` give its behaviour.
"""


def convert(checkpoint: str, tokenizer: str, output: str) -> Path:
    """Converts one file and returns the folder.

    Args:
        checkpoint (`str`): The official file.
        tokenizer (`str`): Folder or Hub id of GPT-2's tokenizer.
        output (`str`): Folder to write.

    Raises:
        OSError: for files that cannot be read.
        ConversionError: for weights that are not those of ADIFF, or not complete.
    """
    check_output(output)
    weights = read_checkpoint(checkpoint)
    recognise(weights)
    conversion = rename_keys(weights, KEYS)
    with sizes_that_fit("ADIFF", weights, f"{LANGUAGE_MODEL}wte.weight"):
        config = make_config(weights)
        words = language_model_tokenizer(tokenizer, config.text_config.vocab_size - 1)
        config.pad_token_id, config.separator_token_id = words.pad_token_id, words.eos_token_id
        add_placeholder(conversion, "model.language_model.wte.weight")
        model = build(AdiffForConditionalGeneration, config, conversion)
    model.generation_config = generation_config(config, words, max_new_tokens=300)
    extractor = AdiffFeatureExtractor()
    return Converted(
        name="ADIFF",
        model=model,
        processor=AdiffProcessor(extractor, words, prefix_length=config.num_placeholders),
        conversion=conversion,
        facts={
            "variant": "ADIFF",
            "official_file": Path(checkpoint).name,
            "front_end": check_front_end(weights, extractor),
        },
        card=model_card(model.num_parameters()),
        reload=AutoModelForMultimodalLM.from_pretrained,
        inputs={"text": "explain the difference in few words"},
        added=ADDED,
    ).finish(output)
