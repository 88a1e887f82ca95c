"""A trained classifier hears what the other pipelines hear; models of others are answered as by the stock pipeline."""

import numpy as np
import pytest
import soundfile
import torch
from tiny_models import CLIP_S, RATE, clap_config, clap_parts, tone, write_tones
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, pipeline
from transformers import Wav2Vec2ForSequenceClassification as Wav2Vec2Classifier
from transformers.pipelines.audio_classification import AudioClassificationPipeline as Stock

from afm_hf import (
    AudioClassificationPipeline,
    AudioDecodeError,
    ClapAfmForAudioClassification,
)


def classifier(num_labels=3, **kwargs):
    torch.manual_seed(0)
    config = clap_config()
    config.num_labels = num_labels
    for name, value in kwargs.items():
        setattr(config, name, value)
    return ClapAfmForAudioClassification(config).eval()


def make(model=None):
    return pipeline(
        "audio-classification", model=model or classifier(), feature_extractor=clap_parts()[2], device="cpu"
    )


def scores(result):
    return {entry["label"]: entry["score"] for entry in result}


@pytest.fixture(autouse=True)
def no_ffmpeg(monkeypatch):
    monkeypatch.setenv("PATH", "")


@pytest.fixture
def pipe():
    return make()


def test_the_task_gives_this_class_for_a_saved_model_too(pipe, tmp_path):
    assert type(pipe) is AudioClassificationPipeline
    pipe.model.save_pretrained(tmp_path)
    pipe.feature_extractor.save_pretrained(tmp_path)
    again = pipeline("audio-classification", model=str(tmp_path))
    assert type(again) is AudioClassificationPipeline
    assert scores(again(tone(300))) == pytest.approx(scores(pipe(tone(300))), abs=1e-6)


def test_every_form_of_a_clip_gives_the_same(pipe, tmp_path):
    clip = tone(400)
    path = tmp_path / "clip.wav"
    soundfile.write(path, clip, RATE, subtype="FLOAT")
    with torch.no_grad():
        inputs = pipe.feature_extractor([clip], sampling_rate=RATE, return_tensors="pt")
        wanted = pipe.model(**inputs).logits[0].softmax(-1).tolist()
    wanted = {f"LABEL_{index}": score for index, score in enumerate(wanted)}
    forms = {
        "samples": clip,
        "path": str(path),
        "Path": path,
        "bytes": path.read_bytes(),
        "mapping": {"array": clip, "sampling_rate": RATE},
        "raw": {"raw": clip, "sampling_rate": RATE},
        "datasets' undecoded": {"path": None, "bytes": path.read_bytes()},
        "row": {"audio": str(path), "label": 1},
        "tensor": torch.from_numpy(clip),
        "stereo": np.stack([clip, clip]),
        "list of one": [str(path)],
    }
    for name, form in forms.items():
        found = pipe(form)
        assert scores(found[0] if name == "list of one" else found) == pytest.approx(wanted, abs=1e-5), name
    with path.open("rb") as file:
        assert scores(pipe(file)) == pytest.approx(wanted, abs=1e-5)


def test_other_rates_are_resampled_without_torchaudio(pipe):
    fast = tone(400, rate=2 * RATE)
    found = scores(pipe({"array": fast, "sampling_rate": 2 * RATE}))
    assert scores(pipe(fast, sampling_rate=2 * RATE)) == pytest.approx(found, abs=1e-6)
    assert found == pytest.approx(scores(pipe(tone(400))), abs=0.05)


@pytest.mark.parametrize("workers", [0, 1])
def test_clips_of_different_windows_share_a_batch_and_bad_ones_are_named(pipe, tmp_path, workers):
    clips = [tone(500, CLIP_S * length, seed=length) for length in (1, 3, 2)]
    options = {"truncation": "windows", "sampling_rate": RATE}
    single = [scores(pipe(clip, **options)) for clip in clips]
    batched = pipe(clips, batch_size=3, num_workers=workers, **options)
    assert [scores(found) for found in batched] == [pytest.approx(one, abs=1e-5) for one in single]
    paths = [str(path) for path in write_tones(tmp_path, 2)]
    bad = tmp_path / "bad.wav"
    bad.write_text("no audio")
    with pytest.raises(AudioDecodeError, match=r"audios\[2\].*bad\.wav"):
        pipe([*paths, str(bad)], batch_size=2, num_workers=workers)


def test_streams_are_answered_as_they_come(pipe):
    clips = [{"array": tone(100 * (index + 1)), "sampling_rate": RATE} for index in range(4)]
    expected = [scores(found) for found in pipe(clips)]
    stream = pipe((clip for clip in clips), batch_size=2)
    assert [scores(found) for found in stream] == [pytest.approx(one, abs=1e-5) for one in expected]


def test_scores_follow_the_problem_type():
    clip = {"array": tone(300), "sampling_rate": RATE}
    several = make(classifier(problem_type="multi_label_classification"))
    logits = scores(several(clip, function_to_apply="none"))
    assert scores(several(clip)) == pytest.approx({k: 1 / (1 + np.exp(-v)) for k, v in logits.items()}, abs=1e-6)
    one = make(classifier(num_labels=1))
    assert scores(one(clip)) == pytest.approx(scores(one(clip, function_to_apply="none")), abs=1e-6)
    assert scores(one(clip)) != {"LABEL_0": 1.0}
    taught = classifier()
    features = clap_parts()[2]([tone(300)], sampling_rate=RATE, return_tensors="pt")
    taught(**features, labels=torch.tensor([[1.0, 0.0, 1.0]]))  # the first labels say that it is several
    assert sum(scores(make(taught)(clip)).values()) != pytest.approx(1.0)
    assert len(several(clip, top_k=2)) == 2


def test_models_of_others_are_left_as_they_are():
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8, 8),
        conv_stride=(5, 4),
        conv_kernel=(10, 8),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        classifier_proj_size=8,
    )
    parts = {"model": Wav2Vec2Classifier(config).eval(), "feature_extractor": Wav2Vec2FeatureExtractor()}
    ours, stock = pipeline("audio-classification", **parts), Stock(**parts)
    clips = [tone(300, rate=16000), tone(500, rate=16000)]
    assert type(ours) is AudioClassificationPipeline
    assert scores(ours(clips[0])) == pytest.approx(scores(stock(clips[0])), abs=1e-6)
    for mine, theirs in zip(ours(clips, batch_size=2), stock(clips, batch_size=2), strict=True):
        assert scores(mine) == pytest.approx(scores(theirs), abs=1e-6)
    with pytest.raises(ValueError, match="`truncation`: Wav2Vec2FeatureExtractor takes none"):
        ours(clips[0], truncation="windows")
