"""Converts an official msclap checkpoint (CLAP 2022, CLAP 2023 or CLAPCAP) into a transformers folder.

    python conversions/convert_msclap.py --checkpoint CLAP_weights_2023.pth --tokenizer gpt2 --output clap-2023

The sizes are read off the weights, so that smaller models trained with the official code convert too. Key names as in
microsoft/CLAP (MIT), `msclap/models/clap.py`, `htsat.py`, `audio.py` and `mapper.py`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers.processors import TemplateProcessing
from transformers import AutoModel, AutoModelForMultimodalLM, BertConfig, PreTrainedTokenizerFast

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

from .checkpoint import ConversionError, StateDict, Weights, read_checkpoint
from .common import Drop, Rename, build, count_layers, length, load_tokenizer, rename_keys, sizes, sizes_that_fit
from .encoders import FRONT_END, check_front_end, gpt2_config, gpt2_keys, htsat_config, htsat_keys
from .folder import Converted, check_output
from .prefix_lm import (
    ADDED,
    add_placeholder,
    generation_config,
    language_model_tokenizer,
    mapper_sizes,
    with_placeholder,
)

AUDIO_PROJECTION, TEXT_PROJECTION = "audio_encoder.projection.", "caption_encoder.projection."
CNN14, TEXT_ENCODER = "audio_encoder.base.", "caption_encoder.base."
PROJECTIONS = [
    Rename(AUDIO_PROJECTION, "audio_projection."),
    Rename(TEXT_PROJECTION, "text_projection."),
    Rename("logit_scale", "logit_scale"),
]
CNN14_KEYS: list[Rename | Drop] = [
    FRONT_END,
    Drop(r"\.fc_audioset\.", "AudioSet head: CLAP does not use it"),
    *(Rename(f"{CNN14}conv_block{block + 1}.", f"audio_model.encoder.blocks.{block}.") for block in range(6)),
    Rename(CNN14, "audio_model.encoder."),
]
BERT_KEYS: list[Rename | Drop] = [
    Drop(r"\.embeddings\.position_ids$", "position numbers of transformers < 4.31"),
    Drop(r"\.pooler\.", "CLAP takes the state of [CLS] itself, not BERT's pooler"),
    Rename(TEXT_ENCODER, "text_model.encoder."),
]
CLAPCAP_KEYS = [
    *htsat_keys("clap.base.htsat.", "model.audio_tower."),
    Rename("clap.projection.", "model.audio_projection."),
    Rename("clap_project.", "model.audio_mapper."),
    *gpt2_keys("gpt.transformer.", "model.language_model."),
    Rename("gpt.lm_head.", "lm_head."),
]


@dataclass(frozen=True)
class Variant:
    """What the weights do not say about one official model."""

    table: list[Rename | Drop]
    feature_extractor: dict[str, Any]
    word_table: str
    max_text_tokens: int
    paper: str
    prompt: str


VARIANTS = {
    "2022": Variant(
        table=[*CNN14_KEYS, *BERT_KEYS, *PROJECTIONS],
        feature_extractor={"sampling_rate": 44100, "mel_sampling_rate": 44100, "max_length_s": 5.0},
        word_table=f"{TEXT_ENCODER}embeddings.word_embeddings.weight",
        max_text_tokens=100,
        paper="https://arxiv.org/abs/2206.04769",
        prompt="this is a sound of {}",
    ),
    "2023": Variant(
        table=[
            *htsat_keys("audio_encoder.base.htsat.", "audio_model.encoder."),
            *gpt2_keys(TEXT_ENCODER, "text_model.encoder."),
            *PROJECTIONS,
        ],
        # The official HTSAT ignores its YAML file: the mel bank is built for 32 kHz whatever the audio's rate.
        feature_extractor={"sampling_rate": 44100, "mel_sampling_rate": 32000, "max_length_s": 7.0},
        word_table=f"{TEXT_ENCODER}wte.weight",
        max_text_tokens=77,
        paper="https://arxiv.org/abs/2309.05767",
        prompt="this is the sound of {}",
    ),
}


# What keys of a variant begin with: one of each row. There are many of each, so that one that is missing is noticed
# later, and by its name.
SIGNS: dict[str, tuple[tuple[str, ...], ...]] = {
    "2022": ((f"{CNN14}conv_block",), (f"{TEXT_ENCODER}embeddings.", f"{TEXT_ENCODER}encoder.")),
    "2023": ((f"{CNN14}htsat.",), (f"{TEXT_ENCODER}wte.", f"{TEXT_ENCODER}h.")),
    "clapcap": (("clap.base.htsat.",), ("clap_project.",), ("gpt.",)),
}


def recognise(keys: Iterable[str]) -> str:
    """The variant that the keys belong to: "2022", "2023" or "clapcap".

    Raises:
        ConversionError: if they belong to neither; the message says what they look like.
    """
    known = list(keys)
    for variant, rows in SIGNS.items():
        if all(any(key.startswith(row) for key in known) for row in rows):
            return variant
    raise ConversionError(f"the keys are those of no CLAP model known here, for example {known[:3]}.")


def cnn14_config(weights: StateDict) -> AfmCnn14Config:
    """Sizes of a Cnn14, read off its weights."""
    blocks = count_layers(weights, f"{CNN14}conv_block", first=1)
    return AfmCnn14Config(
        num_mel_bins=length(weights, f"{CNN14}bn0.weight"),
        block_channels=[length(weights, f"{CNN14}conv_block{i + 1}.bn1.weight") for i in range(blocks)],
        pool_sizes=[2] * (blocks - 1) + [1],
        hidden_size=length(weights, f"{CNN14}fc1.bias"),
    )


def bert_config(weights: StateDict) -> BertConfig:
    """Sizes of a BERT, read off its weights; heads are 64 wide, as in every released BERT."""
    embeddings, layers = f"{TEXT_ENCODER}embeddings.", f"{TEXT_ENCODER}encoder.layer."
    vocab_size, width = sizes(weights, f"{embeddings}word_embeddings.weight", 2)
    return BertConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        num_hidden_layers=count_layers(weights, layers),
        num_attention_heads=max(1, width // 64),
        intermediate_size=length(weights, f"{layers}0.intermediate.dense.bias"),
        max_position_embeddings=length(weights, f"{embeddings}position_embeddings.weight", 2),
        type_vocab_size=length(weights, f"{embeddings}token_type_embeddings.weight", 2),
    )


def make_config(weights: StateDict, variant: str) -> ClapAfmConfig:
    """The config of the converted model; see the functions above."""
    audio = htsat_config(weights) if variant == "2023" else cnn14_config(weights)
    text = gpt2_config(weights) if variant == "2023" else bert_config(weights)
    return ClapAfmConfig(
        audio_config=ClapAfmAudioConfig(
            encoder_config=audio, projection_dim=length(weights, f"{AUDIO_PROJECTION}layer_norm.weight")
        ),
        text_config=ClapAfmTextConfig(
            encoder_config=text,
            pooling="last_token" if variant == "2023" else "cls",
            projection_dim=length(weights, f"{TEXT_PROJECTION}layer_norm.weight"),
        ),
    )


def make_tokenizer(location: str, variant: str, vocab_size: int) -> Any:
    """The tokenizer, such that a plain call gives what the text tower was trained on.

    CLAP 2023: the caption, a lone space token and `<|endoftext|>`; the padding token is `!`. CLAP 2022: plain BERT.

    Raises:
        OSError: if there is no tokenizer.
        ConversionError: if it is not the one that the variant needs, or has more tokens than the word table has rows.
    """
    tokenizer = load_tokenizer(location)
    if len(tokenizer) > vocab_size:
        raise ConversionError(
            f"The tokenizer {location!r} has {len(tokenizer)} tokens, but the checkpoint's word table has {vocab_size} "
            "rows."
        )
    if len(tokenizer) < vocab_size:
        print(f"  NOTE: the tokenizer {location!r} has {len(tokenizer)} tokens for a word table of {vocab_size} rows.")
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
    check_output(output)
    weights = read_checkpoint(checkpoint)
    found = recognise(weights)
    if variant not in (None, found):
        raise ConversionError(f"{checkpoint} holds CLAP {found}, but --variant {variant} was given.")
    make = convert_clapcap if found == "clapcap" else convert_clap
    return make(weights, Path(checkpoint).name, tokenizer, found).finish(output)


def convert_clap(weights: Weights, name: str, tokenizer: str, variant: str) -> Converted:
    """Converts the weights of CLAP 2022 or 2023 (file `name`); see `convert`."""
    conversion = rename_keys(weights, VARIANTS[variant].table)
    with sizes_that_fit(f"CLAP {variant}", weights, VARIANTS[variant].word_table):
        config = make_config(weights, variant)
        words = make_tokenizer(tokenizer, variant, config.text_config.encoder_config.vocab_size)
        model = build(ClapAfmModel, config, conversion)
    extractor = ClapAfmFeatureExtractor(**VARIANTS[variant].feature_extractor)
    return Converted(
        name=f"CLAP {variant}",
        model=model,
        processor=ClapAfmProcessor(extractor, words),
        conversion=conversion,
        facts={"variant": variant, "official_file": name, "front_end": check_front_end(weights, extractor)},
        card=model_card(variant, model.num_parameters()),
        reload=AutoModel.from_pretrained,
        inputs={"text": ["a tone", "a dog!"], "return_tensors": "pt", "padding": True},
    )


def convert_clapcap(weights: Weights, name: str, tokenizer: str, variant: str) -> Converted:
    """Converts the weights of CLAPCAP (file `name`); see `convert`."""
    conversion = rename_keys(weights, CLAPCAP_KEYS)
    with sizes_that_fit("CLAPCAP", weights, "gpt.transformer.wte.weight"):
        config = ClapAfmCaptioningConfig(
            audio_config=htsat_config(weights, "clap.base.htsat."),
            text_config=with_placeholder(gpt2_config(weights, "gpt.transformer.")),
            projection_dim=length(weights, "clap.projection.layer_norm.weight"),
            **mapper_sizes(weights, "clap_project."),
        )
        words = language_model_tokenizer(tokenizer, config.text_config.vocab_size - 1)
        config.pad_token_id = words.pad_token_id
        add_placeholder(conversion, "model.language_model.wte.weight")
        model = build(ClapAfmForConditionalGeneration, config, conversion)
    model.generation_config = generation_config(config, words, num_beams=5, max_new_tokens=67)
    extractor = ClapAfmFeatureExtractor(**VARIANTS["2023"].feature_extractor)
    return Converted(
        name="CLAPCAP",
        model=model,
        processor=ClapAfmCaptioningProcessor(extractor, words, prefix_length=config.prefix_length),
        conversion=conversion,
        facts={"variant": variant, "official_file": name, "front_end": check_front_end(weights, extractor)},
        card=clapcap_card(model.num_parameters()),
        reload=AutoModelForMultimodalLM.from_pretrained,
        added=ADDED,
    )


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
