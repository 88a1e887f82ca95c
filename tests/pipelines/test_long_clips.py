"""Clips that are too long to be held are heard while they are read, to what the whole would give, by all models."""

import io
from pathlib import Path

import generating_models
import numpy as np
import pytest
import soundfile
import torch
from tiny_models import CLIP_S, RATE, tiny_clap, tone
from transformers import AutoFeatureExtractor
from transformers.pipelines import pipeline

from afm_hf import AfmFeatureExtractor, AudioDecodeError, ClapAfmForAudioClassification
from afm_hf.evaluation.metrics.mace import Mace
from afm_hf.models.clap_afm.embedding_clap_afm import embed_audio
from afm_hf.models.common import feature_extraction_afm, window_streams_afm
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
    """From now on clips of three windows or more are long, and made two windows at a time; counts windows handed on."""

    def begin():
        monkeypatch.setattr(window_streams_afm, "WINDOWS_AT_A_TIME", 2)
        monkeypatch.setattr(window_streams_afm, "MOST_PARTS", 2)
        seen = []
        following = window_streams_afm.WindowRun.__next__

        def counted(self):
            windows = following(self)
            seen.append(len(windows))
            return windows

        monkeypatch.setattr(window_streams_afm.WindowRun, "__next__", counted)
        return seen

    return begin


def test_embeddings_and_indices_are_those_of_the_whole(files, streamed, tmp_path):
    embedder = ClapEmbedder(tiny_clap(tmp_path / "model"), device="cpu")
    whole = embedder.embed_audio(files, "windows")
    seen = streamed()
    np.testing.assert_allclose(embedder.embed_audio(files, "windows"), whole, atol=1e-5)
    assert sum(seen) == 1 + 7 + 1 + 7 and max(seen) == 2
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
    (batch,) = read_batches(pipe.feature_extractor, [files], "windows")
    np.testing.assert_allclose(
        scores(pipe.classify_features(batch.features, candidate_labels=LABELS)), whole, atol=1e-5
    )
    assert sum(seen) == 16 + 7 + 16 and max(seen) == 2


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


def quality(files, folder):
    """Scores of each clip and of its segments."""
    pipe = pipeline("audio-quality-assessment", model=str(tiny_clap(folder)), device="cpu")
    return lambda: [score for result in pipe(files, batch_size=3) for score in (result.score, *result.segment_scores)]


def classes(files, folder):
    """Scores by a classifier."""
    model = ClapAfmForAudioClassification.from_pretrained(tiny_clap(folder)).eval()
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    pipe = pipeline("audio-classification", model=model, feature_extractor=extractor, device="cpu")
    options = {"truncation": "windows", "function_to_apply": "sigmoid", "batch_size": 3}
    return lambda: [
        entry["score"]
        for result in pipe(files, **options)
        for entry in sorted(result, key=lambda entry: entry["label"])
    ]


def entailed(files, folder):
    """Similarities of clips and a hypothesis."""
    pipe = pipeline("audio-entailment", model=str(tiny_clap(folder)), device="cpu")
    rows = [{"audio": file, "hypothesis": "rain falls"} for file in files]
    return lambda: [
        result.similarity for result in pipe(rows, scoring="similarity", truncation="windows", batch_size=3)
    ]


def rated(files, folder):
    """MACE of captions, by the audio alone."""
    metric = Mace(ClapEmbedder(tiny_clap(folder), device="cpu"), mode="audio", batch_size=3)
    return lambda: metric(["rain falls"] * len(files), audio=files).audio_similarities


def file_by_file(files, folder):
    """Embeddings of the files that a command reads."""
    pipe = pipeline("zero-shot-audio-classification", model=str(tiny_clap(folder)), device="cpu")

    def embedded():
        batches = read_batches(pipe.feature_extractor, [files[:3], files[3:]], "windows")
        return np.concatenate([embed_audio(pipe.model, batch.features).detach() for batch in batches])

    return embedded


@pytest.mark.parametrize("made", [quality, classes, entailed, rated, file_by_file])
def test_whoever_hears_long_clips_hears_what_is_in_the_whole(files, streamed, tmp_path, made):
    result = made(files, tmp_path / "model")
    whole = result()
    seen = streamed()
    np.testing.assert_allclose(result(), whole, atol=1e-5)
    assert sum(seen) >= 12 and max(seen) == 2, "the windows were not handed on a few at a time"


@pytest.mark.parametrize("kind", ["clapcap", "pengi"])
@pytest.mark.parametrize("beams", [1, 2])
def test_long_clips_are_put_into_the_same_words(files, streamed, kind, beams):
    model, processor = generating_models.parts(kind)
    pipe = pipeline("audio-text-generation", model=model, processor=processor)
    options = {"prompt": generating_models.prompt_of(kind), "truncation": "windows", "num_beams": beams}
    whole = [pipe(file, **options) for file in files]
    prefix = model.get_audio_features(**heard(processor, files[1])).pooler_output
    seen = streamed()
    assert [pipe(file, **options) for file in files] == whole == pipe(files, batch_size=4, **options)
    assert max(seen) == 2
    again = model.get_audio_features(**heard(processor, files[1], stream_windows=True)).pooler_output
    torch.testing.assert_close(again, prefix, atol=1e-5, rtol=0)


def heard(processor, file, **how):
    """What a model hears of a file, in windows."""
    return dict(processor.feature_extractor([file], truncation="windows", return_tensors="pt", **how))


def test_ten_times_the_length_takes_no_more_windows_or_samples_at_a_time(tmp_path, monkeypatch):
    """Memory is flat where no chunk that is handed on grows with the clip."""
    embedder = ClapEmbedder(tiny_clap(tmp_path / "model"), device="cpu")
    windows, samples, most = [], [], []
    log_mel, cut = AfmFeatureExtractor.log_mel, feature_extraction_afm.cut_windows

    def counted(self, waveforms, device="cpu"):
        windows.append(len(waveforms))
        return log_mel(self, waveforms, device)

    def noted(blocks, *args, **kwargs):
        return cut((samples.append(len(block)) or block for block in blocks), *args, **kwargs)

    monkeypatch.setattr(AfmFeatureExtractor, "log_mel", counted)
    monkeypatch.setattr(feature_extraction_afm, "cut_windows", noted)
    for seconds in (30, 300):
        path = tmp_path / f"{seconds}.wav"
        soundfile.write(path, tone(300, seconds), RATE)
        windows.clear(), samples.clear()
        embedder.embed_audio([str(path)], "windows")
        assert sum(windows) >= seconds / CLIP_S
        most.append((max(windows), max(samples)))
    assert most[1][0] == most[0][0] and most[1][1] <= 2**20


def test_hidden_states_of_windows_that_are_not_held_are_refused(files, streamed, tmp_path):
    embedder = ClapEmbedder(tiny_clap(tmp_path / "model"), device="cpu")
    streamed()
    features = embedder.feature_extractor(files[1], truncation="windows", stream_windows=True, return_tensors="pt")
    with pytest.raises(ValueError, match="without `stream_windows`"):
        embedder.model.get_audio_features(**features, output_hidden_states=True)
    with pytest.raises(ValueError, match='return_tensors="pt"'):
        embedder.feature_extractor(files[1], truncation="windows", stream_windows=True)
