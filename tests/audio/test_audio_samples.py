"""Samples in memory: a rate under any of its names, or a warning; integers by their type, or a refusal."""

import array
import functools
import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pair_models import tiny_pair_model
from prefix_models import tiny_processor
from tiny_models import RATE, clap_parts, tone
from transformers.pipelines import pipeline

import afm_hf
from afm_hf import AudioDecodeError, ClapAfmProcessor, load_audio
from afm_hf.audio import audio_samples
from afm_hf.training.collators import ClapCollator, LabelCollator

LABELS = ["rain", "a dog"]


@functools.cache
def zero_shot():
    """Scores by label."""
    model, tokenizer, extractor = clap_parts()
    parts = {"model": model, "tokenizer": tokenizer, "feature_extractor": extractor}
    pipe = pipeline("zero-shot-audio-classification", **parts, device="cpu")

    def scores(clip, **kwargs):
        return {entry["label"]: entry["score"] for entry in pipe(clip, candidate_labels=LABELS, **kwargs)}

    return scores


@functools.cache
def clap_processor():
    _, tokenizer, extractor = clap_parts()
    return ClapAfmProcessor(extractor, tokenizer)


@pytest.fixture
def told(caplog):
    """Warnings of an assumed rate, as many as there are."""
    audio_samples.warn_of_assumed_rate.cache_clear()
    caplog.set_level(logging.WARNING)
    yield lambda: [record.message for record in caplog.records if "are taken to be at" in record.message]
    audio_samples.warn_of_assumed_rate.cache_clear()


# -- the rate and its names -------------------------------------------------------------------------------------------

NAMES = ["sample_rate", "samplerate", "sr", "SR", "fs", "Fs", "rate", "frame_rate", "samplingRate", "sampling-rate"]


@pytest.mark.parametrize("name", [*NAMES, "sample_rate_hz", "sampling_frequency"])
def test_a_rate_is_known_under_its_usual_names(name, told):
    expected = load_audio({"array": tone(300, 0.5, 16_000), "sampling_rate": 16_000}, RATE)
    assert len(expected) == RATE // 2
    for key in ("array", "raw"):
        np.testing.assert_array_equal(load_audio({key: tone(300, 0.5, 16_000), name: 16_000}, RATE), expected)
    tensor = {"array": torch.from_numpy(tone(300, 0.5, 16_000)), name: torch.tensor(16_000)}
    np.testing.assert_array_equal(load_audio(tensor, RATE), expected)
    assert not told()


def test_rates_that_contradict_each_other_are_refused():
    clip = tone(300)
    with pytest.raises(AudioDecodeError, match=r"contradict each other: 8000 Hz under 'sampling_rate' and 44100.*'sr'"):
        load_audio({"array": clip, "sampling_rate": 8_000, "sr": 44_100}, RATE)
    inner = {"array": clip, "fs": 16_000}
    with pytest.raises(AudioDecodeError, match="says 8000 Hz, but its 'array' says 16000 Hz"):
        load_audio({"array": inner, "sampling_rate": 8_000}, RATE)
    extractor = clap_parts()[2]
    for audio in ({"array": clip, "sample_rate": 16_000}, SimpleNamespace(data=clip, sample_rate=16_000)):
        with pytest.raises(ValueError, match=r"audio\[0\].*16000.*sampling_rate=8000"):
            extractor([audio], sampling_rate=8_000)
    assert len(load_audio({"array": clip, "sampling_rate": None, "sr": RATE, "rate": RATE}, RATE)) == len(clip)


@pytest.mark.parametrize("name", ["orig_sr", "audio_rate", "Native Hz", "clip_freq"])
def test_a_name_that_may_mean_the_rate_is_asked_about(name):
    with pytest.raises(AudioDecodeError, match=f"but with '{name}' = 44100.*call it 'sampling_rate'"):
        load_audio({"array": tone(300), name: 44_100}, RATE)


def test_what_is_no_rate_is_left_alone(told):
    beside = {"bit_rate": 128_000, "bitrate": 64_000, "generated": 5_000, "label": "rate", "rated": True, 7: 16_000}
    assert len(load_audio({"array": tone(300, 1.0), "sampling_rate": RATE, "orig_sr": 44_100}, RATE)) == RATE
    assert not told()
    assert len(load_audio({"array": tone(300, 1.0), **beside}, RATE)) == RATE
    assert len(told()) == 1


def test_arguments_by_another_name_are_refused():
    clip = tone(300)
    for call in (clap_parts()[2], clap_processor(), tiny_processor("clapcap")):
        for name in ("sample_rate", "sr"):
            with pytest.raises(ValueError, match=f"`{name}` is no argument.*`sampling_rate`"):
                call(audio=[clip], **{name: RATE})
    with pytest.raises(ValueError, match="`sr` is no argument"):
        zero_shot()(clip, sr=RATE)
    with pytest.raises(ValueError, match="`fs` is no argument"):
        clap_processor()(audio=[clip], audio_kwargs={"fs": RATE})


def test_the_column_of_a_row_is_the_rate_of_its_clip(told):
    clip = tone(300, 1.0, 16_000)
    pipe = zero_shot()
    expected = pipe({"array": clip, "sampling_rate": 16_000})
    for row in ({"audio": clip, "sampling_rate": 16_000}, {"audio": clip.tolist(), "sr": 16_000, "rate": 5}):
        assert pipe(row) == pytest.approx(expected)
    rows = [{"audio": clip, "sample_rate": 16_000, "text": "rain", "label": "rain"}]
    wanted = clap_parts()[2]([clip], sampling_rate=16_000, return_tensors="pt")["input_features"]
    for collator in (ClapCollator(clap_processor()), LabelCollator(clap_parts()[2], LABELS)):
        torch.testing.assert_close(collator(rows)["input_features"], wanted)
    ask = pipeline("audio-captioning", model=str(afm_hf.bundled_model("pengi-small")), device="cpu", max_new_tokens=3)
    assert ask({"audio": clip, "fs": 16_000}) == ask({"array": clip, "sampling_rate": 16_000})
    assert not told()


# -- a rate that nobody gave ------------------------------------------------------------------------------------------

BARE = {
    "array": lambda clip: clip,
    "tensor": torch.from_numpy,
    "list": lambda clip: clip.tolist(),
    "mapping": lambda clip: {"array": clip},
    "mapping of a list": lambda clip: {"raw": clip.tolist(), "path": None},
    "rate is None": lambda clip: {"array": clip, "sampling_rate": None},
    "buffer": lambda clip: memoryview(clip),
}
TAKERS = {
    "load_audio": lambda: lambda clip: load_audio(clip, RATE),
    "extractor": lambda: lambda clip: clap_processor().feature_extractor([clip]),
    "CLAP's processor": lambda: lambda clip: clap_processor()(audio=[clip], text="rain"),
    "CLAPCAP's processor": lambda: lambda clip: tiny_processor("clapcap")(audio=[clip]),
    "Mellow's processor": lambda: lambda clip: tiny_pair_model("mellow")[1](audio=[(clip, clip)], text="hm"),
    "pipeline": zero_shot,
    "row in a pipeline": lambda: lambda clip: zero_shot()({"audio": clip}),
    "collator": lambda: lambda clip: ClapCollator(clap_processor())([{"audio": clip, "text": "rain"}]),
}


def test_a_rate_in_a_table_of_text_is_a_number_and_other_words_are_none():
    assert audio_samples.rate_of({"audio": "a.wav", "samplerate": " 32000"}, "a row", is_row=True) == 32000
    assert audio_samples.rate_of({"audio": "a.wav", "sr": "", "fs": "shared"}, "a row", is_row=True) is None


@pytest.mark.parametrize("form", BARE.values(), ids=BARE)
@pytest.mark.parametrize("taker", TAKERS.values(), ids=TAKERS)
def test_samples_without_a_rate_warn_in_every_form(form, taker, told):
    take = taker()
    for _ in range(2):
        take(form(tone(300)))
    assert len(told()) == 1 and "Pass `sampling_rate`" in told()[0]


# -- integers ---------------------------------------------------------------------------------------------------------

QUIET = np.array([0, 20, -3, 7, -20, 1] * 400, np.int16)


@pytest.mark.parametrize(
    "hold",
    [
        lambda pcm: pcm,
        torch.from_numpy,
        list,
        lambda pcm: tuple(pcm),
        memoryview,
        lambda pcm: array.array("h", pcm.tolist()),
        lambda pcm: pcm.astype(np.int32) * 2**16,
        lambda pcm: {"array": list(pcm)},
    ],
    ids=["array", "tensor", "list", "tuple", "memoryview", "array.array", "int32", "mapping"],
)
def test_integers_are_scaled_by_their_type_in_every_container(hold):
    for pcm in (QUIET, QUIET * 1000):
        np.testing.assert_allclose(
            load_audio(hold(pcm), RATE, source_sampling_rate=RATE), pcm / 2**15, atol=1e-7, rtol=0
        )
        expected = zero_shot()(pcm.astype(np.float32) / 2**15, sampling_rate=RATE)
        assert zero_shot()(hold(pcm), sampling_rate=RATE) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("scale", [1, 1000], ids=["quiet", "loud"])
@pytest.mark.parametrize(
    "hold",
    [
        lambda pcm: pcm.tolist(),
        lambda pcm: {"array": pcm.tolist()},
        lambda pcm: pcm.astype(object),
        lambda pcm: pcm.astype(np.int64),
        lambda pcm: torch.from_numpy(pcm).long(),
        lambda pcm: memoryview(pcm.astype(np.int64)),
        lambda pcm: pcm.astype(np.float32),
        lambda pcm: pcm.astype(float).tolist(),
        lambda pcm: torch.from_numpy(pcm).double(),
    ],
    ids=["list", "mapping", "objects", "int64", "long", "buffer", "floats", "list of floats", "doubles"],
)
def test_integers_without_a_known_full_scale_are_refused_however_quiet(hold, scale):
    extractor, pipe = clap_processor().feature_extractor, zero_shot()
    for call in (lambda x: load_audio(x, RATE, source_sampling_rate=RATE), lambda x: extractor([x]), pipe):
        with pytest.raises(ValueError, match=r"(dtype (int64|object)|whole numbers only).*32768"):
            call(hold(scale * QUIET))


def test_nested_lists_of_integers_are_refused_and_of_fractions_are_a_batch():
    extractor = clap_parts()[2]
    with pytest.raises(AudioDecodeError, match=r"audio\[0\].*dtype int64"):
        extractor([QUIET.tolist(), QUIET.tolist()], sampling_rate=RATE)
    batch = extractor([tone(300).tolist(), tone(500).tolist()], sampling_rate=RATE)["input_features"]
    assert batch.shape[0] == 2


def test_full_scale_and_a_little_more_is_no_pcm():
    square = np.sign(tone(300, 0.1))
    np.testing.assert_array_equal(load_audio(square, RATE, source_sampling_rate=RATE), square)
    loud = (3 * tone(300, 0.1)).astype(np.float32)
    np.testing.assert_array_equal(load_audio(loud, RATE, source_sampling_rate=RATE), loud)


def test_the_bytes_of_a_file_are_no_samples():
    content = afm_hf.bundled_audio()[0].read_bytes()
    with pytest.raises(AudioDecodeError, match=r"bytes of an audio file.*tobytes"):
        load_audio(np.frombuffer(content, np.uint8), RATE, source_sampling_rate=RATE)
    expected = load_audio(content, RATE)
    for held in (memoryview(content), bytearray(content), array.array("B", content)):
        np.testing.assert_array_equal(load_audio(held, RATE), expected)


# -- what decoders give -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [16_000, torch.tensor(16_000)])
def test_decoded_samples_know_their_rate(rate, told):
    stereo = torch.from_numpy(np.stack([tone(300, 1.0, 16_000), tone(900, 1.0, 16_000)]))
    decoded = SimpleNamespace(data=stereo, sample_rate=rate, pts_seconds=0.0, duration_seconds=1.0)
    expected = load_audio({"array": stereo, "sampling_rate": 16_000}, RATE)
    np.testing.assert_array_equal(load_audio(decoded, RATE), expected)
    half = load_audio(decoded, RATE, offset_s=0.5, duration_s=0.25)
    np.testing.assert_allclose(half[500:-500], expected[RATE // 2 + 500 : RATE // 2 + RATE // 4 - 500], atol=1e-4)
    features = clap_parts()[2]([decoded, decoded], return_tensors="pt")["input_features"]
    assert len(features) == 2
    pipe = zero_shot()
    assert pipe(decoded) == pytest.approx(pipe({"array": stereo, "sampling_rate": 16_000}))
    with pytest.raises(AudioDecodeError, match=r"44\.1 Hz.*not kHz"):
        load_audio(SimpleNamespace(data=stereo, sample_rate=44.1), RATE)
    assert not told()
