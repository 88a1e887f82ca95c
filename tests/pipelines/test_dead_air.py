"""Silence around a clip changes nothing, wherever all of a long clip is heard: in models, pipelines and indices."""

import numpy as np
import pytest
import soundfile
import torch
from prefix_models import tiny_model, tiny_processor
from tiny_models import CLIP_S, RATE, clap_parts, tiny_clap, tone
from transformers.pipelines import pipeline

from afm_hf import AudioDecodeError, ClapAfmForAudioClassification, ClapAfmProcessor
from afm_hf.retrieval import ClapEmbedder, embed_files

SECONDS = 3 * CLIP_S
LABELS = ["rain", "a dog"]


def faint(seconds):
    """Noise of the last bit of 16."""
    return np.random.default_rng(0).integers(-1, 2, round(seconds * RATE)).astype(np.float32) / 2**15


DEAD_AIR = {
    "behind": lambda clip: np.concatenate([clip, np.zeros(20 * RATE, np.float32)]),
    "before": lambda clip: np.concatenate([np.zeros(20 * RATE + 77, np.float32), clip]),
    "near silence": lambda clip: np.concatenate([faint(5.3), clip, faint(5)]),
}


def zero_shot(folder):
    pipe = pipeline("zero-shot-audio-classification", model=str(folder), device="cpu", candidate_labels=LABELS)
    return lambda clip: [
        entry["score"]
        for entry in sorted(pipe(clip, truncation="windows", sampling_rate=RATE), key=lambda e: e["label"])
    ]


def quality(folder):
    pipe = pipeline("audio-quality-assessment", model=str(folder), device="cpu")
    return lambda clip: [pipe(clip, sampling_rate=RATE).score]


def classifier(folder):
    torch.manual_seed(0)
    model = ClapAfmForAudioClassification.from_pretrained(folder).eval()
    extractor = clap_parts()[2]

    @torch.no_grad()
    def logits(clip):
        inputs = extractor([clip], sampling_rate=RATE, truncation="windows", return_tensors="pt")
        return model(**inputs).logits[0].tolist()

    return logits


def embedder(folder):
    made = ClapEmbedder(folder, device="cpu")
    return lambda clip: made.embed_audio([{"array": clip, "sampling_rate": RATE}], "windows")[0]


def captioner(folder):
    model, processor = tiny_model("clapcap"), tiny_processor("clapcap")

    @torch.no_grad()
    def logits(clip):
        return model(**processor(audio=[clip], sampling_rate=RATE, truncation="windows")).logits[0, -1, :250]

    return logits


TAKERS = [zero_shot, classifier, embedder, captioner]


@pytest.mark.parametrize("dead_air", DEAD_AIR.values(), ids=DEAD_AIR)
@pytest.mark.parametrize("taker", TAKERS, ids=lambda taker: taker.__name__)
def test_dead_air_changes_nothing(taker, dead_air, tmp_path):
    take = taker(tiny_clap(tmp_path))
    clips = [tone(400, SECONDS), tone(900, SECONDS, seed=1)]
    alone = [np.asarray(take(clip)) for clip in clips]
    for clip, expected in zip(clips, alone, strict=True):
        np.testing.assert_allclose(take(dead_air(clip)), expected, atol=1e-4)
    assert np.abs(alone[0] - alone[1]).max() > 1e-3


def test_silent_segments_have_no_quality(tmp_path):
    score = quality(tiny_clap(tmp_path))
    clip = tone(400, SECONDS)
    assert score(DEAD_AIR["behind"](clip)) == pytest.approx(score(clip), abs=1e-5)


def test_an_index_holds_files_with_dead_air_by_their_sound(tmp_path):
    clip = tone(400, SECONDS)
    soundfile.write(tmp_path / "alone.wav", clip, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "behind.wav", DEAD_AIR["behind"](clip), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "silent.wav", faint(30), RATE, subtype="FLOAT")
    index = embed_files(tmp_path, tmp_path / "i.safetensors", tiny_clap(tmp_path / "model"), truncation="windows")
    (failure,) = index.failures.items()
    assert failure[0] == str(tmp_path / "silent.wav") and "it is silent" in failure[1]
    np.testing.assert_allclose(index.embeddings[0], index.embeddings[1], atol=1e-4)


def test_what_sounds_longer_counts_more(tmp_path):
    """A second of one sound and a moment of another: their windows are not worth the same."""
    take = embedder(tiny_clap(tmp_path))
    long, short = tone(300, 4 * CLIP_S), tone(1500, 0.1 * CLIP_S, seed=1)
    gap = np.zeros(round(3 * CLIP_S * RATE), np.float32)
    both = take(np.concatenate([long, gap, short]))
    assert both @ take(long) > 0.999


def test_silence_alone_is_refused_by_all(tmp_path):
    folder = tiny_clap(tmp_path)
    for taker in (*TAKERS, quality):
        with pytest.raises(AudioDecodeError, match="it is silent"):
            taker(folder)(faint(10))
    processor = ClapAfmProcessor(clap_parts()[2], clap_parts()[1])
    with pytest.raises(AudioDecodeError, match=r"audio\[1\].*it is silent"):
        processor(audio=[tone(3), faint(3)], truncation="windows", sampling_rate=RATE)
