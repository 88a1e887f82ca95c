"""Full-size parity with the authors' code: converted checkpoints, from files and arrays to similarities."""

import numpy as np
import pytest
import torch
from official import byte_level_gpt2, clip, full_size_checkpoint, golden, letters_bert
from transformers import AutoFeatureExtractor, AutoModel

from afm_hf import load_audio
from afm_hf.conversion.msclap import convert
from afm_hf.models.clap_afm.modeling_clap_afm import contrastive_loss

pytestmark = pytest.mark.slow

# tests/parity/README.md; an FFT in place of the authors' convolutional STFT moves embeddings (of scale 4) by 1e-4.
FROM_AUDIO, FROM_LOG_MEL, TEXT = 3e-4, 2e-5 * 4, 2e-5
LOG_MEL_DB = 0.06


@pytest.fixture(scope="module", params=["2022", "2023"])
def converted(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    full_size_checkpoint(f"clap{request.param}", folder / "official.pth")
    tokenizer = (byte_level_gpt2 if request.param == "2023" else letters_bert)(folder / "tokenizer")
    convert(str(folder / "official.pth"), tokenizer, str(folder / "converted"))
    (folder / "official.pth").unlink()
    model = AutoModel.from_pretrained(folder / "converted").eval()
    extractor = AutoFeatureExtractor.from_pretrained(folder / "converted")
    extractor.channels, extractor.resampler = "concat", "torchaudio"  # what the authors' wrapper does
    return request.param, model, extractor, *golden(f"clap{request.param}")


def official_clip(extractor, record, name):
    """The model's input as the authors' wrapper makes it: their random crop at the recorded place."""
    waveform, rate = clip(name)
    samples = load_audio(
        {"array": waveform, "sampling_rate": rate}, extractor.sampling_rate, channels="concat", resampler="torchaudio"
    )
    start = record.get("start_index") or 0
    return samples[start : start + extractor.clip_samples(extractor.max_length_s)]


@torch.no_grad()
def test_every_golden_clip_gives_the_official_embedding(converted):
    _, model, extractor, record, arrays = converted
    embeddings = []
    for name in record["audio_names"]:
        samples = official_clip(extractor, record["audio_preprocess"][name], name)
        inputs = extractor([samples], sampling_rate=extractor.sampling_rate, return_tensors="pt")
        embeddings.append(model.get_audio_features(**inputs, normalize=False).pooler_output)
        if f"logmel_{name}" in arrays:
            frames = inputs["input_features"].shape[2]
            rows = inputs["input_features"][0, 0, [0, 1, 2, 3, frames // 2, frames - 1]]
            assert np.abs(rows.numpy() - arrays[f"logmel_{name}"]).max() < LOG_MEL_DB
    embeddings = torch.cat(embeddings)
    assert np.abs(embeddings.numpy() - arrays["audio_embedding"]).max() < FROM_AUDIO

    texts = torch.from_numpy(arrays["text_embedding"])
    normalise = torch.nn.functional.normalize
    similarity = model.logit_scale.exp() * normalise(embeddings, dim=-1) @ normalise(texts, dim=-1).T
    assert np.abs(similarity.numpy() - arrays["similarity"]).max() < 1e-3
    assert (similarity.numpy().argmax(1) == arrays["similarity"].argmax(1)).all()


@torch.no_grad()
def test_resampled_and_tiled_samples_are_the_official_ones(converted):
    _, _, extractor, record, arrays = converted
    for name in record["audio_names"]:
        samples = torch.as_tensor(official_clip(extractor, record["audio_preprocess"][name], name))
        samples = extractor.fill(samples, extractor.clip_samples(extractor.max_length_s), "repeat")
        assert np.abs(samples[::2503].numpy() - arrays[f"pre_{name}_every2503"]).max() < 2e-6


@torch.no_grad()
def test_texts_give_the_official_embedding(converted):
    variant, model, _, record, arrays = converted
    tokens = {name: torch.tensor(values) for name, values in record["text_tokens"].items()}
    official_rule = "last_nonzero_token" if variant == "2023" else "cls"
    model.text_model.config.pooling = official_rule
    embeddings = model.get_text_features(**tokens, normalize=False).pooler_output
    assert np.abs(embeddings.numpy() - arrays["text_embedding"]).max() < TEXT
    if variant == "2023":
        model.text_model.config.pooling = "last_token"
        ours = model.get_text_features(**tokens, normalize=False).pooler_output
        same = (ours - embeddings).abs().amax(dim=1) < 1e-6
        # Only the caption with an exclamation mark is pooled elsewhere.
        assert [text for text, equal in zip(record["texts"], same, strict=True) if not equal] == [record["texts"][3]]


@torch.no_grad()
def test_raw_spectrograms_of_any_length_give_the_official_embedding(converted):
    _, model, extractor, record, arrays = converted
    long_clip = torch.from_numpy(clip("long_44k_25")[0])
    cases = [case for case in record["raw"] if f"raw_{case}_embedding" in arrays]
    assert {"long", "just_over", "exactly_1024_frames"} <= set(cases)
    for case in cases:
        log_mel = extractor.log_mel(long_clip[:, : record["raw"][case]["first_samples"]])[:, None]
        embedding = model.get_audio_features(log_mel, normalize=False).pooler_output
        assert np.abs(embedding.numpy() - arrays[f"raw_{case}_embedding"]).max() < FROM_LOG_MEL, case


@torch.no_grad()
def test_the_contrastive_loss_is_the_official_formula(converted):
    _, _, _, record, arrays = converted
    # The authors' `forward` returns unnormalised embeddings; the recorded loss is that of the first three pairs.
    normalise = torch.nn.functional.normalize
    audio = normalise(torch.from_numpy(arrays["forward_audio_embed"]), dim=-1)
    text = normalise(torch.from_numpy(arrays["forward_caption_embed"]), dim=-1)
    loss = contrastive_loss(record["logit_scale_exp"] * audio @ text.T)
    assert abs(loss.item() - record["contrastive_loss_3pairs"]) < 1e-4
