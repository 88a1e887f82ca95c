"""A speech encoder of transformers in the place of HTSAT, alone and in Pengi (SELM)."""

import numpy as np
import pytest
import torch
from prefix_models import bytes_tokenizer, tiny_config
from transformers import AutoModel, AutoModelForMultimodalLM, AutoProcessor, Wav2Vec2Config, Wav2Vec2FeatureExtractor
from transformers import Wav2Vec2Model as Wav2Vec2

from afm_hf import (
    AfmSpeechEncoderConfig,
    AfmSpeechEncoderModel,
    AfmSpeechFeatureExtractor,
    PengiForConditionalGeneration,
    PengiProcessor,
)

RATE = 16000  # Hz


def wav2vec2_config(**kwargs):
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16}
    convolutions = {"conv_dim": [8, 8], "conv_kernel": [10, 8], "conv_stride": [8, 8], "num_feat_extract_layers": 2}
    positions = {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
    return Wav2Vec2Config(**sizes, **convolutions, **positions, **kwargs)


def clips(count=2, seconds=0.3):
    generator = np.random.default_rng(0)
    return [(0.1 * generator.standard_normal(round(seconds * RATE)) + 0.05).astype(np.float32) for _ in range(count)]


def test_the_extractor_prepares_waveforms_as_wav2vec2s_own():
    made = AfmSpeechFeatureExtractor(max_length_s=0.3)(clips(), sampling_rate=RATE, return_tensors="pt")
    theirs = Wav2Vec2FeatureExtractor()(clips(), sampling_rate=RATE, return_tensors="pt")["input_values"]
    assert made["input_features"].shape == (2, 1, 4800, 1)
    torch.testing.assert_close(made["input_features"][:, 0, :, 0], theirs, atol=1e-5, rtol=1e-5)
    windows = AfmSpeechFeatureExtractor(max_length_s=0.1)(
        clips(1), sampling_rate=RATE, truncation="windows", return_tensors="pt"
    )
    assert windows["input_features"].shape == (1, 3, 1, 1600, 1)


def test_one_layer_is_taken_and_averaged(tmp_path):
    torch.manual_seed(0)
    trained = Wav2Vec2(wav2vec2_config()).eval()
    model = AfmSpeechEncoderModel.from_encoder(trained, layer=2)
    features = AfmSpeechFeatureExtractor(max_length_s=0.3)(clips(), sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**features)
        expected = trained(features["input_features"][:, 0, :, 0], output_hidden_states=True).hidden_states[2]
    torch.testing.assert_close(outputs.last_hidden_state, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(outputs.pooler_output, expected.mean(1), atol=1e-5, rtol=1e-4)
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        torch.testing.assert_close(again(**features).pooler_output, outputs.pooler_output, atol=1e-5, rtol=1e-4)


def test_pengi_hears_speech_and_the_encoder_stays_frozen(tmp_path):
    torch.manual_seed(0)
    config = tiny_config(
        "pengi_no_text_enc", audio_config=AfmSpeechEncoderConfig(encoder_config=wav2vec2_config(), layer=2)
    )
    model = PengiForConditionalGeneration(config)
    tokenizer = bytes_tokenizer(special=["<|audio|>"])
    extractor = AfmSpeechFeatureExtractor(max_length_s=0.3)
    processor = PengiProcessor(extractor, tokenizer, bytes_tokenizer(), prefix_length=6, prompt_length=12)
    inputs = processor(audio=clips(), text="this emotion is", text_target=["happy", "sad"], sampling_rate=RATE)
    model.freeze_audio_tower()
    model.train()
    model(**inputs).loss.backward()
    assert all(p.grad is None for p in model.model.audio_tower.parameters())
    assert model.model.audio_projection.linear1.weight.grad.abs().sum() > 0
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again, processor = AutoModelForMultimodalLM.from_pretrained(tmp_path), AutoProcessor.from_pretrained(tmp_path)
    asked = processor(audio=clips(), text="this emotion is", sampling_rate=RATE)
    assert isinstance(processor.feature_extractor, AfmSpeechFeatureExtractor)
    assert torch.equal(again.generate(**asked, max_new_tokens=3), model.eval().generate(**asked, max_new_tokens=3))


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"`layer` is 4, but the encoder \(wav2vec2\) has 3 layers"):
        AfmSpeechEncoderConfig(encoder_config=wav2vec2_config())
    model = AfmSpeechEncoderModel(AfmSpeechEncoderConfig(encoder_config=wav2vec2_config(), layer=1))
    with pytest.raises(ValueError, match=r"\(batch, 1, samples, 1\).*\(2, 1, 100, 64\)"):
        model(torch.zeros(2, 1, 100, 64))
