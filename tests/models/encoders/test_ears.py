"""Several encoders that hear the same clip, as the audio side of CLAP and of the models that answer in words."""

import numpy as np
import pytest
import torch
from transformers import (
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForMultimodalLM,
    BertConfig,
    GPT2Config,
    LlamaConfig,
)

from afm_hf import (
    AfmEarsConfig,
    AfmEarsFeatureExtractor,
    AfmEarsModel,
    AfmEffectsCnnConfig,
    AfmEffectsCnnFeatureExtractor,
    AfmHtsatConfig,
    AfmYamnetConfig,
    AfmYamnetFeatureExtractor,
    ClapAfmAudioConfig,
    ClapAfmConfig,
    ClapAfmModel,
    ClapAfmTextConfig,
    MellowConfig,
    MellowForCausalLM,
    PengiConfig,
    PengiForConditionalGeneration,
    bundled_model,
)

YAMNET = AfmYamnetConfig(channels=[8, 12], strides=[1, 2], stem_channels=4, use_class_head=False)
EFFECTS = AfmEffectsCnnConfig(channels=[4, 8, 6])


def front_end(**kwargs):
    ears = [AfmYamnetFeatureExtractor(), AfmEffectsCnnFeatureExtractor()]
    return AfmEarsFeatureExtractor(ears=ears, padding="repeat", **kwargs)


def both(extractor=None):
    return AfmEarsConfig(ears=[YAMNET, EFFECTS], frames=(extractor or front_end()).frames())


def noise(seconds, seed=0):
    return np.random.default_rng(seed).normal(size=int(seconds * 44100)).astype(np.float32) / 10


def features(extractor, *clips):
    return extractor(list(clips), sampling_rate=44100, return_tensors="pt")["input_features"]


def test_the_features_of_all_ears_lie_side_by_side():
    extractor = front_end()
    together = features(extractor, noise(3))
    frames = extractor.frames()
    assert together.shape == (1, 1, max(frames), 64 + 96)
    window = torch.from_numpy(noise(3)[: extractor.clip_samples(2.415)])[None]
    effects = AfmEffectsCnnFeatureExtractor().log_mel(window)
    torch.testing.assert_close(together[:, 0, : frames[1], 64:], effects)
    assert not together[:, :, frames[1] :, 64:].any()
    assert frames[0] == 240 and frames[1] >= 100


@torch.no_grad()
def test_embeddings_are_put_one_after_the_other():
    extractor = front_end()
    model = AfmEarsModel(both(extractor)).eval()
    together = features(extractor, noise(3), noise(2, 1))
    outputs = model(together)
    assert outputs.pooler_output.shape == (2, 18) == (2, model.config.hidden_size)
    alone = model.ears[0](together[:, :, :240, :64]).pooler_output
    torch.testing.assert_close(outputs.pooler_output[:, :12], alone)
    torch.testing.assert_close(model(together[1:]).pooler_output, outputs.pooler_output[1:])


@torch.no_grad()
def test_embeddings_are_standardised_by_those_of_the_training_clips(tmp_path):
    model = AfmEarsModel(both()).eval()
    clips = features(front_end(), *(noise(2, seed) for seed in range(4)))
    plain = model(clips).pooler_output
    model.standardize(plain)
    torch.testing.assert_close(model(clips).pooler_output, (plain - plain.mean(0)) / plain.std(0).clamp(min=1e-6))
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()
    assert torch.equal(again.mean, model.mean) and torch.equal(again.std, model.std)


def clap(encoder):
    torch.manual_seed(0)
    text = BertConfig(vocab_size=300, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    audio = ClapAfmAudioConfig(encoder_config=encoder, projection_dim=16)
    return ClapAfmModel(
        ClapAfmConfig(
            audio_config=audio, text_config=ClapAfmTextConfig(encoder_config=text, pooling="cls", projection_dim=16)
        )
    ).eval()


@pytest.mark.parametrize("ear", ["yamnet", "effects", "both"])
@torch.no_grad()
def test_each_ear_and_both_are_an_audio_tower_of_clap(ear, tmp_path):
    extractor = {"yamnet": AfmYamnetFeatureExtractor, "effects": AfmEffectsCnnFeatureExtractor, "both": front_end}[
        ear
    ]()
    model = clap({"yamnet": YAMNET, "effects": EFFECTS, "both": both()}[ear])
    rate = extractor.sampling_rate
    inputs = extractor(
        [noise(3), noise(9, 1)], sampling_rate=44100, truncation="windows", return_tensors="pt"
    )  # several windows
    embeddings = model.get_audio_features(**inputs).pooler_output
    assert embeddings.shape == (2, 16) and rate in (16000, 44100)
    alone = extractor([noise(3)], sampling_rate=44100, truncation="windows", return_tensors="pt")
    torch.testing.assert_close(model.get_audio_features(**alone).pooler_output[0], embeddings[0], atol=1e-5, rtol=1e-4)
    model.save_pretrained(tmp_path)
    extractor.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(again.get_audio_features(**inputs).pooler_output, embeddings)
    loaded = AutoFeatureExtractor.from_pretrained(tmp_path)
    assert type(loaded) is type(extractor) and loaded.to_dict() == extractor.to_dict()


@torch.no_grad()
def test_pengi_hears_with_both_ears(tmp_path):
    torch.manual_seed(0)
    words = GPT2Config(vocab_size=258, n_embd=16, n_layer=1, n_head=2, n_positions=64)
    config = PengiConfig(
        audio_config=both(), text_config=words, prompt_config=None, projection_dim=16, mapper_layers=1, mapper_heads=2
    )
    model = PengiForConditionalGeneration(config).eval()
    model.save_pretrained(tmp_path)
    again = AutoModelForMultimodalLM.from_pretrained(tmp_path).eval()
    assert type(again.model.audio_tower) is AfmEarsModel
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_what_makes_no_sense_is_told():
    with pytest.raises(ValueError, match="but have 0 and 1 entries"):
        AfmEarsConfig(frames=[96])
    with pytest.raises(ValueError, match="but have 1 and 2 entries"):
        AfmEarsConfig(ears=[YAMNET], frames=[1, 2])
    with pytest.raises(ValueError, match=r"ears\[1\] is a 'gpt2'; expected one of afm_htsat"):
        AfmEarsConfig(ears=[YAMNET, GPT2Config()], frames=[240, 100])
    with pytest.raises(ValueError, match=r"of shape \(batch, 1, 240, 160\), but was given \(1, 1, 240, 64\)"):
        AfmEarsModel(both())(torch.zeros(1, 1, 240, 64))
    with pytest.raises(ValueError, match="names no front-end"):
        AfmEarsFeatureExtractor()
    with pytest.raises(ValueError, match=r"ears\[0\] is of the type 'Whisper"):
        AfmEarsFeatureExtractor(ears=[{"feature_extractor_type": "WhisperFeatureExtractor"}])


def test_one_ear_may_be_the_papers_own():
    config = AfmEarsConfig(ears=[AfmHtsatConfig(), YAMNET], frames=[100, 240])
    assert config.hidden_size == AfmHtsatConfig().hidden_size + 12 and AfmEarsConfig(**config.to_dict()).ears


def classifying(**kwargs):
    config = both()
    config.use_framewise_head, config.num_classes, config.head_dim = True, 5, 7
    return AfmEarsConfig.from_dict({**config.to_dict(), **kwargs})


@torch.no_grad()
def test_the_ears_hear_step_by_step_and_their_mean_is_the_clip():
    model = AfmEarsModel(both()).eval()
    clips = features(front_end(), noise(2.4), noise(2.4, 1))
    model.standardize(model(clips).pooler_output + torch.arange(18.0))
    outputs = model(clips)
    assert outputs.last_hidden_state.shape == (2, model.config.num_steps(), 18) == (2, 4, 18)
    torch.testing.assert_close(outputs.last_hidden_state.mean(1), outputs.pooler_output, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@torch.no_grad()
def test_hidden_states_of_all_ears_can_be_chosen_by_their_places():
    extractor = front_end()
    model = AfmEarsModel(both(extractor)).eval()
    heard = features(extractor, noise(1))
    whole = model(heard, output_hidden_states=True).hidden_states
    assert len(whole) == 3 + 4 and model(heard).hidden_states is None
    chosen = model(heard, output_hidden_states=[0, 3, -1]).hidden_states
    assert [state is not None for state in chosen] == [True, False, False, True, False, False, True]
    torch.testing.assert_close(chosen[3], whole[3], rtol=0, atol=0)
    model.config.output_hidden_states = True
    assert len(model(heard).hidden_states) == len(whole)


def test_how_an_ear_attends_is_said_of_all_of_them():
    sizes = {"spec_size": 64, "embed_dim": 8, "depths": [1, 1], "num_attention_heads": [1, 2], "window_size": 4}
    config = AfmEarsConfig(ears=[AfmHtsatConfig(**sizes), YAMNET], frames=[240, 240])
    model = AfmEarsModel._from_config(config, attn_implementation="eager")
    assert [ear.config._attn_implementation for ear in model.ears] == ["eager", "eager"]
    assert not AfmEarsModel(both())._keep_in_fp32_modules_strict  # neither ear has a batch norm over log-mels
    assert model._keep_in_fp32_modules_strict == {"bn0"}


def test_a_classifier_over_all_ears_gives_probabilities_at_every_step(tmp_path):
    model = AfmEarsModel(classifying()).eval()
    clips = features(front_end(), noise(2.4))
    outputs = model(clips)
    assert outputs.framewise_output.shape == (1, 4, 5) and outputs.clipwise_output.shape == (1, 5)
    torch.testing.assert_close(outputs.framewise_output.sum(-1), torch.ones(1, 4))
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()(clips)
    torch.testing.assert_close(again.framewise_output, outputs.framewise_output)


def tiny_llama():
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    return LlamaConfig(
        vocab_size=20, hidden_size=16, intermediate_size=16, num_hidden_layers=1, pad_token_id=0, **heads
    )


@pytest.mark.parametrize("audio", [classifying(), AfmYamnetConfig(channels=[8], strides=[2], stem_channels=4)])
def test_mellow_hears_the_class_scores_of_every_patch(audio):
    model = MellowForCausalLM(MellowConfig(audio_config=audio, text_config=tiny_llama(), clip_frames=240)).eval()
    assert model.config.num_placeholders == 2 * 5  # the clip and four patches, twice
    yamnet = AfmYamnetFeatureExtractor(truncation="first", max_length_s=2.415)
    extractor = front_end() if isinstance(audio, AfmEarsConfig) else yamnet
    rate = extractor.sampling_rate
    waves = [noise(2.415)[: int(2.415 * rate)] for _ in range(2)]
    heard = extractor(waves, sampling_rate=rate, return_tensors="pt")["input_features"][:, :, :240]
    ids = torch.tensor([[19] * 10 + [3, 4]])
    with torch.no_grad():
        one = model(input_ids=ids, input_features=heard[None])
        model.model.frame_projection.weight.zero_()
        other = model(input_ids=ids, input_features=heard[None])
    assert not torch.allclose(one.logits[:, -1, :19], other.logits[:, -1, :19])


@torch.no_grad()
def test_mellow_may_do_without_the_embedding_of_the_clip():
    model = MellowForCausalLM(
        MellowConfig(audio_config=classifying(), text_config=tiny_llama(), clip_vector="classes")
    ).eval()
    heard = features(front_end(), noise(2.415), noise(2.415, 1))
    outputs = model.model.audio_tower(heard)
    tokens = model.model.get_audio_tokens(heard)
    assert tokens.shape == (2, 5, 16)
    frames = model.model.frame_projection(outputs.framewise_output)
    torch.testing.assert_close(tokens[:, 0], model.model.audio_projection(frames.mean(1)))
    with pytest.raises(ValueError, match=r'`clip_vector="classes"` needs an encoder'):
        MellowConfig(audio_config={"model_type": "afm_cnn14", "use_clipwise_head": True}, clip_vector="classes")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["clap-small", "pengi-small", "mellow-small", "adiff-small"])
def test_saved_ears_are_loaded_in_the_number_format_that_is_asked_for(name, dtype):
    """Their configs stand in a list, where transformers leaves the format of their training."""
    model = AutoModel.from_pretrained(bundled_model(name), dtype=dtype)
    kept = {name for name, value in model.named_parameters() if value.dtype != dtype}
    assert {part.rsplit(".", 1)[-1] for part in kept} <= {"logit_scale"}, "the scale alone stays as it is"
    extractor = AutoFeatureExtractor.from_pretrained(bundled_model(name))
    heard = features(extractor, noise(2)).to(dtype)
    if name in ("mellow-small", "adiff-small"):
        heard = heard[:, None].expand(-1, 2, -1, -1, -1)  # they hear pairs
    with torch.no_grad():
        pooled = model.get_audio_features(input_features=heard).pooler_output
    assert pooled.dtype == dtype and bool(pooled.isfinite().all())
