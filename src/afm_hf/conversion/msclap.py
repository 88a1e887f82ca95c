"""Converts an official msclap checkpoint (CLAP 2022, CLAP 2023 or CLAPCAP) into a transformers folder.

    python -m afm_hf.conversion.msclap --checkpoint CLAP_weights_2023.pth --tokenizer gpt2 --output clap-2023

The sizes are read off the weights, so that smaller models trained with the official code convert too. Key names as in
microsoft/CLAP (MIT), `msclap/models/clap.py`, `htsat.py`, `audio.py` and `mapper.py`.
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers.processors import TemplateProcessing
from transformers import AutoModel, AutoProcessor, BertConfig, PreTrainedTokenizerFast

from afm_hf import (
    AfmCnn14Config,
    ClapAfmAudioConfig,
    ClapAfmCaptioningConfig,
    ClapAfmCaptioningProcessor,
    ClapAfmConfig,
    ClapAfmFeatureExtractor,
    ClapAfmForConditionalGeneration,
    ClapAfmModel,
    ClapAfmProcessor,
    ClapAfmTextConfig,
)

from .common import (
    Conversion,
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
    write_report,
)
from .encoders import FRONT_END, check_front_end, gpt2_config, gpt2_keys, htsat_config, htsat_keys
from .prefix_lm import (
    add_placeholder,
    generation_config,
    language_model_tokenizer,
    mapper_sizes,
    save_and_compare,
    with_placeholder,
)

PROJECTIONS = [
    Rename(r"^audio_encoder\.projection\.", "audio_projection."),
    Rename(r"^caption_encoder\.projection\.", "text_projection."),
    Rename(r"^logit_scale$", "logit_scale"),
]
CNN14_KEYS: list[Rename | Drop] = [
    FRONT_END,
    Drop(r"\.fc_audioset\.", "AudioSet head: CLAP does not use it"),
    *(
        Rename(rf"^audio_encoder\.base\.conv_block{block + 1}\.", f"audio_model.encoder.blocks.{block}.")
        for block in range(6)
    ),
    Rename(r"^audio_encoder\.base\.", "audio_model.encoder."),
]
BERT_KEYS: list[Rename | Drop] = [
    Drop(r"\.embeddings\.position_ids$", "position numbers of transformers < 4.31"),
    Drop(r"\.pooler\.", "CLAP takes the state of [CLS] itself, not BERT's pooler"),
    Rename(r"^caption_encoder\.base\.", "text_model.encoder."),
]


@dataclass(frozen=True)
class Variant:
    """What the weights do not say about one official model."""

    table: list[Rename | Drop]
    feature_extractor: dict[str, Any]
    max_text_tokens: int
    paper: str
    prompt: str


VARIANTS = {
    "2022": Variant(
        table=[*CNN14_KEYS, *BERT_KEYS, *PROJECTIONS],
        feature_extractor={"sampling_rate": 44100, "mel_sampling_rate": 44100, "max_length_s": 5.0},
        max_text_tokens=100,
        paper="https://arxiv.org/abs/2206.04769",
        prompt="this is a sound of {}",
    ),
    "2023": Variant(
        table=[
            *htsat_keys("audio_encoder.base.htsat.", "audio_model.encoder."),
            *gpt2_keys("caption_encoder.base.", "text_model.encoder."),
            *PROJECTIONS,
        ],
        # The official HTSAT ignores its YAML file: the mel bank is built for 32 kHz whatever the audio's rate.
        feature_extractor={"sampling_rate": 44100, "mel_sampling_rate": 32000, "max_length_s": 7.0},
        max_text_tokens=77,
        paper="https://arxiv.org/abs/2309.05767",
        prompt="this is the sound of {}",
    ),
}


def recognise(state_dict: StateDict) -> str:
    """The variant that the keys belong to: "2022", "2023" or "clapcap".

    Raises:
        ConversionError: if they belong to neither; the message says what they look like.
    """
    keys = list(state_dict)
    if any(".conv_block1." in key for key in keys) and any("caption_encoder.base.embeddings." in key for key in keys):
        return "2022"
    if any("audio_encoder.base.htsat." in key for key in keys) and any(
        "caption_encoder.base.wte." in key for key in keys
    ):
        return "2023"
    if all(any(key.startswith(part) for key in keys) for part in ("clap.base.htsat.", "clap_project.", "gpt.")):
        return "clapcap"
    raise ConversionError(f"the keys are those of no CLAP model known here, for example {keys[:3]}.")


def cnn14_config(state_dict: StateDict) -> AfmCnn14Config:
    """Sizes of a Cnn14, read off its weights."""
    blocks = count_layers(state_dict, r"conv_block(\d+)\.")
    return AfmCnn14Config(
        num_mel_bins=len(state_dict["audio_encoder.base.bn0.weight"]),
        block_channels=[len(state_dict[f"audio_encoder.base.conv_block{i + 1}.bn1.weight"]) for i in range(blocks)],
        pool_sizes=[2] * (blocks - 1) + [1],
        hidden_size=len(state_dict["audio_encoder.base.fc1.bias"]),
    )


def bert_config(state_dict: StateDict) -> BertConfig:
    """Sizes of a BERT, read off its weights; heads are 64 wide, as in every released BERT."""
    prefix = "caption_encoder.base."
    vocab_size, width = state_dict[f"{prefix}embeddings.word_embeddings.weight"].shape
    return BertConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        num_hidden_layers=count_layers(state_dict, r"base\.encoder\.layer\.(\d+)\."),
        num_attention_heads=max(1, width // 64),
        intermediate_size=len(state_dict[f"{prefix}encoder.layer.0.intermediate.dense.bias"]),
        max_position_embeddings=len(state_dict[f"{prefix}embeddings.position_embeddings.weight"]),
        type_vocab_size=len(state_dict[f"{prefix}embeddings.token_type_embeddings.weight"]),
    )


def make_config(state_dict: StateDict, variant: str) -> ClapAfmConfig:
    """The config of the converted model; see the functions above."""
    audio = htsat_config(state_dict) if variant == "2023" else cnn14_config(state_dict)
    text = gpt2_config(state_dict) if variant == "2023" else bert_config(state_dict)
    return ClapAfmConfig(
        audio_config=ClapAfmAudioConfig(
            encoder_config=audio, projection_dim=len(state_dict["audio_encoder.projection.layer_norm.weight"])
        ),
        text_config=ClapAfmTextConfig(
            encoder_config=text,
            pooling="last_token" if variant == "2023" else "cls",
            projection_dim=len(state_dict["caption_encoder.projection.layer_norm.weight"]),
        ),
    )


def make_tokenizer(location: str, variant: str) -> Any:
    """The tokenizer, such that a plain call gives what the text tower was trained on.

    CLAP 2023: the caption, a lone space token and `<|endoftext|>`; the padding token is `!`. CLAP 2022: plain BERT.

    Raises:
        OSError: if there is no tokenizer.
        ConversionError: if it is not the one that the variant needs.
    """
    tokenizer = load_tokenizer(location)
    if variant == "2022":
        if tokenizer.cls_token_id is None or tokenizer.sep_token_id is None:
            raise ConversionError(f"CLAP 2022 needs BERT's tokenizer, but {location!r} has no [CLS] and [SEP].")
        tokenizer.model_max_length = VARIANTS[variant].max_text_tokens
        return tokenizer
    space, end = tokenizer.convert_tokens_to_ids("Ġ"), tokenizer.convert_tokens_to_ids("<|endoftext|>")
    if None in (space, end) or tokenizer.convert_tokens_to_ids("!") != 0:
        raise ConversionError(f"CLAP 2023 needs GPT-2's tokenizer, but {location!r} is another one.")
    backend = tokenizer.backend_tokenizer
    backend.post_processor = TemplateProcessing(
        single="$A Ġ <|endoftext|>",
        pair="$A $B Ġ <|endoftext|>",
        special_tokens=[("Ġ", space), ("<|endoftext|>", end)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        pad_token="!",
        padding_side="right",
        model_max_length=VARIANTS[variant].max_text_tokens,
        model_input_names=["input_ids", "attention_mask"],
    )


def model_card(variant: str, parameters: int) -> str:
    """README.md of the converted checkpoint."""
    facts = VARIANTS[variant]
    encoders = "HTSAT and GPT-2" if variant == "2023" else "Cnn14 and BERT"
    return f"""---
library_name: transformers
license: mit
pipeline_tag: zero-shot-classification
tags: [audio, clap, zero-shot-audio-classification, afm-hf]
---

# CLAP {variant}

Microsoft's CLAP {variant} ({encoders}, {parameters / 1e6:.0f} M parameters; [paper]({facts.paper})), converted from the
official checkpoint with `afm-hf convert`. `conversion.json` says where every official weight
went.

```python
import afm_hf
from transformers import pipeline

classify = pipeline("zero-shot-audio-classification", model="PATH_OR_ID")
classify("dog.wav", candidate_labels=["dog", "rain"], hypothesis_template="{facts.prompt}")
```

Audio is mono, {facts.feature_extractor["sampling_rate"]} Hz, {facts.feature_extractor["max_length_s"]:g} s (shorter
clips are repeated, of longer ones the first part is taken; `truncation="windows"` averages over all of it). The
official wrapper instead takes a random part and puts stereo channels one after the other: `truncation="random"`,
`channels="concat"`, `resampler="torchaudio"` give its behaviour.
"""


def convert(checkpoint: str, tokenizer: str, output: str, variant: str | None = None) -> Path:
    """Converts one file and returns the folder.

    Args:
        checkpoint (`str`): The official file.
        tokenizer (`str`):
            Folder or Hub id of the text side's tokenizer: `gpt2` (2023, clapcap), `bert-base-uncased` (2022).
        output (`str`): Folder to write.
        variant (`str`, *optional*): "2022", "2023" or "clapcap"; recognised from the keys if not given.

    Raises:
        OSError: for files that cannot be read.
        ConversionError: for weights that are not those of CLAP, or not complete, or of another variant than said.
    """
    state_dict = read_checkpoint(checkpoint)
    found = recognise(state_dict)
    if variant not in (None, found):
        raise ConversionError(f"{checkpoint} holds CLAP {found}, but --variant {variant} was given.")
    if found == "clapcap":
        return convert_clapcap(state_dict, Path(checkpoint).name, tokenizer, Path(output))
    conversion: Conversion = rename_keys(state_dict, VARIANTS[found].table)
    model = ClapAfmModel(make_config(state_dict, found)).eval()
    load_strictly(model, conversion)

    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    feature_extractor = ClapAfmFeatureExtractor(**VARIANTS[found].feature_extractor)
    processor = ClapAfmProcessor(feature_extractor, make_tokenizer(tokenizer, found))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "README.md").write_text(model_card(found, model.num_parameters()), encoding="utf-8")
    front_end = check_front_end(state_dict, feature_extractor)
    write_report(folder, conversion, {"variant": found, "official_file": Path(checkpoint).name, "front_end": front_end})
    compare(model, folder)
    print(
        f"CLAP {found}: {len(conversion.renamed)} weights converted, {len(conversion.dropped)} dropped, reloaded equal."
    )
    for reason in sorted(set(conversion.dropped.values())):
        print(f"  dropped {sum(r == reason for r in conversion.dropped.values())}: {reason}")
    print(f"  {front_end}")
    return folder


CLAPCAP_KEYS = [
    *htsat_keys("clap.base.htsat.", "model.audio_tower."),
    Rename(r"^clap\.projection\.", "model.audio_projection."),
    Rename(r"^clap_project\.", "model.audio_mapper."),
    *gpt2_keys("gpt.transformer.", "model.language_model."),
    Rename(r"^gpt\.lm_head\.", "lm_head."),
]


def convert_clapcap(state_dict: StateDict, name: str, tokenizer: str, folder: Path) -> Path:
    """Converts the weights of CLAPCAP (file `name`) and returns the folder; see `convert`."""
    conversion = rename_keys(state_dict, CLAPCAP_KEYS)
    add_placeholder(conversion.state_dict, "model.language_model.wte.weight", "lm_head.weight")
    text = gpt2_config(state_dict, "gpt.transformer.")
    language_model = language_model_tokenizer(tokenizer, text.vocab_size)
    config = ClapAfmCaptioningConfig(
        audio_config=htsat_config(state_dict, "clap.base.htsat."),
        text_config=with_placeholder(text),
        projection_dim=len(state_dict["clap.projection.layer_norm.weight"]),
        pad_token_id=language_model.pad_token_id,
        **mapper_sizes(state_dict, "clap_project."),
    )
    model = ClapAfmForConditionalGeneration(config).eval()
    load_strictly(model, conversion)
    model.generation_config = generation_config(config, language_model, num_beams=5, max_new_tokens=67)
    feature_extractor = ClapAfmFeatureExtractor(**VARIANTS["2023"].feature_extractor)
    processor = ClapAfmCaptioningProcessor(feature_extractor, language_model, prefix_length=config.prefix_length)
    facts = {"variant": "clapcap", "official_file": name, "front_end": check_front_end(state_dict, feature_extractor)}
    save_and_compare(model, processor, folder, conversion, facts, clapcap_card(model.num_parameters()))
    return folder


def clapcap_card(parameters: int) -> str:
    """README.md of the converted captioner."""
    return f"""---
library_name: transformers
license: mit
pipeline_tag: audio-text-to-text
tags: [audio, audio-captioning, clap, afm-hf]
---

# CLAPCAP

Microsoft's captioner on top of CLAP 2023 ({parameters / 1e6:.0f} M parameters; [paper]({VARIANTS["2023"].paper})):
CLAP's audio embedding becomes 40 prefix vectors for a frozen GPT-2. Converted from the official checkpoint with
`afm-hf convert`. `conversion.json` says where every official weight went.

```python
from afm_hf import average_log_prob_beam_search
from transformers import AutoModelForMultimodalLM, AutoProcessor

model = AutoModelForMultimodalLM.from_pretrained("PATH_OR_ID")
processor = AutoProcessor.from_pretrained("PATH_OR_ID")
inputs = processor(audio="dog.wav")
captions = model.generate(**inputs, custom_generate=average_log_prob_beam_search)
print(processor.decode_answers(captions, inputs["input_ids"]))
```

`generation_config.json` holds the authors' decoding: 5 beams, at most 67 tokens, and a stop at the lone space token
(id 220), the first token of ` <|endoftext|>`. With `custom_generate=average_log_prob_beam_search` beams are ranked by
the authors' rule; without it by transformers' own.

Audio is mono, 44100 Hz, 7 s (shorter clips are repeated, of longer ones the first part is taken; `truncation="windows"`
averages over all of it). The official wrapper instead takes a random part and puts stereo channels one after the other:
`truncation="random"`, `channels="concat"`, `resampler="torchaudio"` give its behaviour.
"""


def compare(model: ClapAfmModel, folder: Path) -> None:
    """Reloads the folder and compares weights and outputs.

    Raises:
        ConversionError: if anything differs.
    """
    reloaded = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    weights, again = model.state_dict(), reloaded.state_dict()
    changed = [key for key in weights if not torch.equal(weights[key], again[key])]
    if changed:
        raise ConversionError(f"After reloading, {len(changed)} weights differ, for example {changed[:3]}.")
    processor = AutoProcessor.from_pretrained(folder)
    tone = torch.sin(torch.arange(44100) * 2 * math.pi * 440 / 44100)
    inputs = processor(audio=[tone], text=["a tone", "a dog!"], sampling_rate=44100, return_tensors="pt", padding=True)
    with torch.no_grad():
        before, after = model(**inputs).logits_per_audio, reloaded(**inputs).logits_per_audio
    if not torch.allclose(before, after, atol=1e-4):  # weights are equal; where they lie in memory moves the last bit
        raise ConversionError(f"After reloading, logits changed from {before.tolist()} to {after.tolist()}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True, help="official file, for example CLAP_weights_2023.pth")
    parser.add_argument(
        "--variant", choices=[*sorted(VARIANTS), "clapcap"], help="recognised from the keys if not given"
    )
    parser.add_argument(
        "--tokenizer", required=True, help="folder or Hub id: gpt2 (2023, clapcap), bert-base-uncased (2022)"
    )
    parser.add_argument("--output", required=True, help="folder to write")
    arguments = parser.parse_args()
    try:
        convert(arguments.checkpoint, arguments.tokenizer, arguments.output, arguments.variant)
    except (OSError, ConversionError) as error:
        fail(str(error))


if __name__ == "__main__":
    main()
