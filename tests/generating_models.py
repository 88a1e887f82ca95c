"""The tiny models that answer in words, each with its processor, and what their pipelines are given."""

import functools
from pathlib import Path

import soundfile
from pair_models import tiny_pair_model
from prefix_models import RATE, clips, tiny_model, tiny_processor

KINDS = ["clapcap", "pengi", "pengi_no_text_enc", "mellow", "adiff"]
PAIRS = ["mellow", "adiff"]


def parts(kind, max_new_tokens=6):
    """(model, processor) of one kind, whose answers are a few printable letters, not the same for all examples."""
    if kind in PAIRS:
        return _letters_only(*tiny_pair_model(kind), max_new_tokens)
    return _of_seed(kind, _telling_seed(kind), max_new_tokens)


def _of_seed(kind, seed, max_new_tokens):
    model, processor = tiny_model(kind, seed=seed), tiny_processor(kind)
    model.generation_config.eos_token_id = 256
    model.generation_config.pad_token_id = 0
    return _letters_only(model, processor, max_new_tokens)


def _letters_only(model, processor, max_new_tokens):
    model.generation_config.max_new_tokens = max_new_tokens
    model.generation_config.suppress_tokens = [*range(94, 256), model.config.audio_token_id]
    return model, processor


@functools.cache
def _telling_seed(kind):
    """The first seed of weights with which the examples are answered differently; versions of the libraries differ."""
    for seed in (int(kind == "clapcap"), *range(2, 12)):
        model, processor = _of_seed(kind, seed, 6)
        asked = (processor(audio=[one], text=prompt_of(kind), sampling_rate=RATE) for one in examples(kind))
        if len({tuple(model.generate(**inputs)[0].tolist()) for inputs in asked}) > 1:
            return seed
    raise AssertionError(f"No tiny {kind} answers differently.")


def examples(kind, count=3):
    """Inputs of a pipeline: clips, or pairs for the models with two."""
    audio = clips(count)
    return [(audio[i], audio[i - 1]) for i in range(count)] if kind in PAIRS else audio


def prompt_of(kind):
    """A prompt; CLAPCAP reads none."""
    return None if kind == "clapcap" else "what is it"


def save(kind, folder):
    """Saves a tiny checkpoint; returns its folder."""
    model, processor = parts(kind)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return Path(folder)


def write_clips(folder, count=3):
    """WAV files `00.wav`, ... of noise in different colours; returns their paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index:02d}.wav" for index in range(count)]
    for path, clip in zip(paths, clips(count), strict=True):
        soundfile.write(path, clip / 4, RATE, subtype="FLOAT")
    return [str(path) for path in paths]
