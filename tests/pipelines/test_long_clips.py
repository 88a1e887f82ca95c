"""Clips that are too long to be held are embedded while they are read, to what the whole would give."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_models import CLIP_S, RATE, tiny_clap, tone
from transformers.pipelines import pipeline

from afm_hf import AudioDecodeError
from afm_hf.models.clap_afm import embedding_clap_afm
from afm_hf.models.common import window_streams_afm
from afm_hf.pipelines.audio_files import read_batches
from afm_hf.retrieval import ClapEmbedder, embed_files

LABELS = ["rain", "a dog"]


@pytest.fixture
def files(tmp_path):
    """A short clip, a long one with a pause, another short one, another long one."""
    (tmp_path / "clips").mkdir()
    pause = np.zeros(round(3 * CLIP_S * RATE), np.float32)
    long = np.concatenate([tone(300, 3.3 * CLIP_S), pause, tone(700, 2.4 * CLIP_S, seed=1)])
    clips = [tone(500, CLIP_S), long, tone(900, 0.7 * CLIP_S), tone(400, 6.5 * CLIP_S, seed=2)]
    paths = [tmp_path / "clips" / f"{index}.wav" for index in range(len(clips))]
    for path, clip in zip(paths, clips, strict=True):
        soundfile.write(path, clip, RATE, subtype="FLOAT")
    return [str(path) for path in paths]


@pytest.fixture
def streamed(monkeypatch):
    """From now on clips of four windows or more are long, and made two windows at a time; counts those embedded."""

    def begin():
        monkeypatch.setattr(window_streams_afm, "WINDOWS_AT_A_TIME", 2)
        monkeypatch.setattr(embedding_clap_afm, "MOST_PARTS", 2)
        seen = []
        embed = window_streams_afm.LongClips.embed

        def counted(self, model, place):
            seen.append(place)
            return embed(self, model, place)

        monkeypatch.setattr(window_streams_afm.LongClips, "embed", counted)
        return seen

    return begin


def test_embeddings_and_indices_are_those_of_the_whole(files, streamed, tmp_path):
    embedder = ClapEmbedder(tiny_clap(tmp_path / "model"), device="cpu")
    whole = embedder.embed_audio(files, "windows")
    seen = streamed()
    np.testing.assert_allclose(embedder.embed_audio(files, "windows"), whole, atol=1e-5)
    assert seen == [1, 3]
    for workers in (0, 1):
        index = embed_files(
            files, tmp_path / f"{workers}.safetensors", embedder, truncation="windows", num_workers=workers
        )
        np.testing.assert_allclose(index.embeddings, whole, atol=1e-5)
    np.testing.assert_allclose(
        embedder.embed_audio(io.BytesIO(Path(files[1]).read_bytes()), "windows"), whole[1:2], atol=1e-5
    )


def test_the_pipeline_scores_as_if_it_held_the_whole(files, streamed, tmp_path):
    pipe = pipeline("zero-shot-audio-classification", model=str(tiny_clap(tmp_path / "model")), device="cpu")
    options = {"candidate_labels": LABELS, "truncation": "windows"}

    def scores(results):
        return [[entry["score"] for entry in sorted(result, key=lambda entry: entry["label"])] for result in results]

    whole = scores(pipe(files, batch_size=3, **options))
    seen = streamed()
    np.testing.assert_allclose(scores(pipe(files, batch_size=3, **options)), whole, atol=1e-5)
    np.testing.assert_allclose(scores([pipe(files[3], **options)]), whole[3:], atol=1e-5)
    (batch,) = read_batches(pipe.feature_extractor, [files], "windows", long_clips=True)
    np.testing.assert_allclose(
        scores(pipe.classify_features(batch.features, candidate_labels=LABELS)), whole, atol=1e-5
    )
    assert len(seen) == 5


def test_what_is_wrong_behind_many_windows_is_told_before_anything_is_embedded(files, streamed, tmp_path):
    broken = tmp_path / "clips" / "9.wav"
    clip = tone(400, 9 * CLIP_S)
    clip[-50] = np.nan
    soundfile.write(broken, clip, RATE, subtype="FLOAT")
    embedder = ClapEmbedder(tiny_clap(tmp_path / "model"), device="cpu")
    seen = streamed()
    with pytest.raises(AudioDecodeError, match=r"9\.wav.*NaN"):
        embedder.embed_audio([str(broken)], "windows")
    assert seen == []
    index = embed_files([*files, str(broken)], tmp_path / "i.safetensors", embedder, truncation="windows")
    assert len(index) == 4 and list(index.failures) == [str(broken)]
