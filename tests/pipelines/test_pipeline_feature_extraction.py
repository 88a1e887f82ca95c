"""`feature-extraction` hears recordings without ffmpeg and reads words; models of others are left as they are."""

import numpy as np
import pytest
import soundfile
import torch
from prefix_models import tiny_model, tiny_processor
from tiny_models import RATE, byte_tokenizer, clap_parts, htsat_config, tiny_clap, tone, write_tones
from transformers import BertConfig, BertModel, pipeline

from afm_hf import AfmHtsatModel, AudioDecodeError, FeatureExtractionPipeline
from afm_hf.retrieval import ClapEmbedder


@pytest.fixture(autouse=True)
def no_ffmpeg(monkeypatch):
    monkeypatch.setenv("PATH", "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(tiny_clap(tmp_path_factory.mktemp("model")))


@pytest.fixture
def pipe(folder):
    return pipeline("feature-extraction", model=folder, device="cpu")


def test_a_clap_embeds_recordings_and_words_into_one_space(pipe, folder, tmp_path):
    assert type(pipe) is FeatureExtractionPipeline
    embedder = ClapEmbedder(folder, device="cpu")
    clip = str(write_tones(tmp_path, 1)[0])
    assert np.array(pipe(clip)) == pytest.approx(embedder.embed_audio([clip]), abs=1e-6)
    assert np.array(pipe("a dog barks.")) == pytest.approx(embedder.embed_text(["a dog barks."]), abs=1e-6)


def test_every_form_of_a_recording_gives_the_same(pipe, tmp_path):
    clip = tone(400)
    path = tmp_path / "without suffix"
    soundfile.write(path, clip, RATE, subtype="FLOAT", format="WAV")
    wanted = pipe(str(path), return_tensors=True)
    assert wanted.shape == (1, 12)
    for form in (path, path.read_bytes(), {"array": clip, "sampling_rate": RATE}, {"audio": str(path)}):
        assert torch.allclose(pipe(form, return_tensors=True), wanted, atol=1e-6)
    assert torch.allclose(pipe(clip, sampling_rate=RATE, return_tensors=True), wanted, atol=1e-6)


def test_batches_give_what_single_inputs_give(pipe, tmp_path):
    clips = [str(path) for path in write_tones(tmp_path, 3)]
    for inputs in (clips, ["rain", "a dog barks at cars"]):
        alone = [pipe(one, return_tensors=True) for one in inputs]
        together = pipe(inputs, batch_size=3, return_tensors=True)
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(alone, together, strict=True))
    assert len(pipe([clips[0], "rain"])) == 2
    with pytest.raises(ValueError, match="recordings and words"):
        pipe([clips[0], "rain"], batch_size=2)


def test_long_recordings_are_heard_as_asked_for(pipe, folder):
    long = {"array": np.concatenate([tone(300), tone(900), tone(1500)]), "sampling_rate": RATE}
    first, whole = (pipe(long, truncation=how, return_tensors=True) for how in ("first", "windows"))
    assert not torch.allclose(first, whole, atol=1e-3)
    wanted = ClapEmbedder(folder, device="cpu").embed_audio([long], "windows")
    assert whole.numpy() == pytest.approx(wanted, abs=1e-6)


def test_an_encoder_and_a_generating_model_give_hidden_states(tmp_path):
    clip = str(write_tones(tmp_path, 1)[0])
    extractor = clap_parts()[2]
    encoder = AfmHtsatModel(htsat_config()).eval()
    pipe = pipeline("feature-extraction", model=encoder, feature_extractor=extractor, device="cpu")
    with torch.no_grad():
        wanted = encoder(**extractor([clip], return_tensors="pt")).last_hidden_state
    assert torch.allclose(pipe(clip, return_tensors=True), wanted, atol=1e-6)
    with pytest.raises(ValueError, match="are words, but AfmHtsatModel has no tokenizer"):
        pipe("rain")
    processor, model = tiny_processor("clapcap"), tiny_model("clapcap")
    parts = {"tokenizer": processor.tokenizer, "feature_extractor": processor.feature_extractor}
    pipe = pipeline("feature-extraction", model=model, device="cpu", **parts)
    heard = pipe(clip, return_tensors=True)
    assert heard.ndim == 3 and len(heard) == 1 and heard.isfinite().all()
    assert np.isfinite(pipe("a dog barks at cars.")).all()


def test_what_cannot_be_heard_is_named(pipe):
    with pytest.raises(AudioDecodeError, match=r"missing\.wav"):
        pipe("missing.wav")
    deaf = pipeline("feature-extraction", model=pipe.model, tokenizer=pipe.tokenizer)
    deaf.feature_extractor = None
    with pytest.raises(ValueError, match=r"'missing\.wav' is a recording, but there is no feature extractor"):
        deaf("missing.wav")


def test_models_of_others_are_left_as_they_are():
    config = BertConfig(
        vocab_size=257, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    pipe = pipeline("feature-extraction", model=BertModel(config).eval(), tokenizer=byte_tokenizer())
    assert pipe.feature_extractor is None
    assert np.shape(pipe("song.wav")) == (1, 8, 16)
