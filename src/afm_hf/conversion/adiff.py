"""Converts an official ADIFF checkpoint into a transformers folder.

    python -m afm_hf.conversion.adiff --checkpoint adiff_base.ckpt --output adiff --tokenizer gpt2

`adiff_base_wavcaps.ckpt`, trained on differences of WavCaps too, likewise. The sizes are read off the weights. Key
names as in soham97/ADIFF (MIT).
"""

import argparse
from pathlib import Path

from afm_hf import AdiffConfig, AdiffFeatureExtractor, AdiffForConditionalGeneration, AdiffProcessor

from .common import ConversionError, Rename, count_layers, fail, load_strictly, read_checkpoint, rename_keys
from .encoders import check_front_end, gpt2_config, gpt2_keys, htsat_config, htsat_keys
from .prefix_lm import (
    add_placeholder,
    generation_config,
    language_model_tokenizer,
    mapper_sizes,
    save_and_compare,
    with_placeholder,
)

LANGUAGE_MODEL = "caption_decoder.gpt.transformer."

KEYS = [
    *htsat_keys("audio_encoder.base.htsat.", "model.audio_tower."),
    Rename(r"^audio_encoder\.projection\.", "model.audio_projection."),
    Rename(r"^caption_decoder\.audio_project1\.", "model.first_mapper."),
    Rename(r"^caption_decoder\.audio_project2\.", "model.second_mapper."),
    Rename(r"^caption_decoder\.text_project\.", "model.prompt_mapper."),
    Rename(r"^caption_decoder\.cross_project\.", "model.cross_projection."),
    *gpt2_keys(LANGUAGE_MODEL, "model.language_model."),
    Rename(r"^caption_decoder\.gpt\.lm_head\.", "lm_head."),
]


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
    state_dict = read_checkpoint(checkpoint)
    mapper = "caption_decoder.audio_project1."
    projection = "audio_encoder.projection.layer_norm.weight"
    for needed in (
        f"{mapper}prefix_const",
        projection,
        f"{LANGUAGE_MODEL}wte.weight",
    ):
        if needed not in state_dict:
            raise ConversionError(
                f"these are not the keys of ADIFF: {needed!r} is missing; found e.g. {list(state_dict)[:3]}."
            )
    conversion = rename_keys(state_dict, KEYS)
    add_placeholder(conversion.state_dict, "model.language_model.wte.weight", "lm_head.weight")
    text = gpt2_config(state_dict, LANGUAGE_MODEL)
    words = language_model_tokenizer(tokenizer, text.vocab_size)
    cross_layers = count_layers(state_dict, r"^caption_decoder\.cross_project\.layers\.(\d+)\.")
    config = AdiffConfig(
        audio_config=htsat_config(state_dict),
        text_config=with_placeholder(text),
        projection_dim=len(state_dict[projection]),
        pad_token_id=words.pad_token_id,
        separator_token_id=words.eos_token_id,
        use_cross_projection=cross_layers > 0,
        cross_layers=cross_layers,
        **mapper_sizes(state_dict, mapper),
    )
    model = AdiffForConditionalGeneration(config).eval()
    load_strictly(model, conversion)
    model.generation_config = generation_config(config, words, max_new_tokens=300)
    extractor = AdiffFeatureExtractor()
    processor = AdiffProcessor(extractor, words, prefix_length=config.num_placeholders)
    facts = {
        "variant": "ADIFF",
        "official_file": Path(checkpoint).name,
        "front_end": check_front_end(state_dict, extractor),
    }
    card = model_card(model.num_parameters())
    save_and_compare(
        model, processor, Path(output), conversion, facts, card, text="explain the difference in few words"
    )
    return Path(output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True, help="official file")
    parser.add_argument("--tokenizer", required=True, help="folder or Hub id of GPT-2's tokenizer")
    parser.add_argument("--output", required=True, help="folder to write")
    arguments = parser.parse_args()
    try:
        convert(arguments.checkpoint, arguments.tokenizer, arguments.output)
    except (OSError, ConversionError) as error:
        fail(str(error))


if __name__ == "__main__":
    main()
