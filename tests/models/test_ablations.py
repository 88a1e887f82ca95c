"""The papers' ablations as configs: other encoders, mappers, projections and language models."""

import pytest
import torch
from pair_models import EXTRACTOR, PROMPTS, noise, pair_batch, tiny_pair_model
from prefix_models import CLIP_S, KINDS, RATE, bytes_tokenizer, clips, prompts, tiny_model, tiny_processor
from transformers import AutoConfig

from afm_hf import AfmCnn14Config, MellowConfig, MellowFeatureExtractor, MellowForCausalLM, MellowProcessor

SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
LANGUAGE_MODELS = {
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 96},
    "llama": {**SMALL, "num_key_value_heads": 1},
    "qwen2": {**SMALL, "num_key_value_heads": 1},
    "gpt_neox": SMALL,
}
CNN14 = {"num_mel_bins": 16, "block_channels": [4, 6, 8], "pool_sizes": [2, 2, 1], "hidden_size": 12}
FRAMES = 1 + round(CLIP_S * RATE) // EXTRACTOR["hop_length"]
PAIRS = ["adiff", "mellow"]


def language_model(model_type):
    ends = {"vocab_size": 258, "bos_token_id": 256, "eos_token_id": 256, "pad_token_id": 0}
    return AutoConfig.for_model(model_type, **LANGUAGE_MODELS[model_type], **ends)


def enlarge(model):
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.4)
    return model.eval()


def with_config(kind, **changes):
    """A tiny model whose config has `changes`, and its processor."""
    if kind in PAIRS:
        model, processor = tiny_pair_model(kind)
    else:
        model, processor = tiny_model(kind), tiny_processor(kind)
    config = type(model.config)(**{**model.config.to_dict(), **changes})
    changed = enlarge(type(model)(config))
    changed.generation_config = model.generation_config
    changed.generation_config.suppress_tokens = [config.audio_token_id]
    changed.generation_config.pad_token_id = 0
    processor.prefix_length = config.num_placeholders
    return changed, processor


def batch(kind, processor, **kwargs):
    if kind in PAIRS:
        return pair_batch(processor, **kwargs)
    return processor(audio=clips(2), text=prompts(kind, 2), sampling_rate=RATE, **kwargs)


def works(kind, model, processor):
    """Forward, generation as without a cache, audio that matters, and a step that makes the loss smaller."""
    inputs = batch(kind, processor)
    how = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": 256}
    assert torch.equal(model.generate(**inputs, **how), model.generate(**inputs, **how, use_cache=False))
    with torch.no_grad():
        heard = model(**inputs).logits
        other = model(**{**inputs, "input_features": inputs["input_features"].flip(0)}).logits
    assert torch.isfinite(heard).all() and not torch.allclose(heard, other)

    inputs = batch(kind, processor, text_target=["a dog barks", "rain"])
    loss = model(**inputs).loss
    loss.backward()
    learned = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    assert [name for name, weight in learned.items() if weight.grad is None] == []
    # A step after which a plane would lie lower by 0.001: one of fixed length is too long for some random weights.
    steepness = sum(weight.grad.square().sum().item() for weight in learned.values())
    torch.optim.SGD(learned.values(), lr=1e-3 / steepness).step()
    assert model(**inputs).loss < loss


@pytest.mark.parametrize("model_type", LANGUAGE_MODELS)
@pytest.mark.parametrize("kind", [*KINDS, *PAIRS])
def test_any_causal_language_model(kind, model_type):
    model, processor = with_config(kind, text_config=language_model(model_type))
    assert model.model.language_model.config.model_type == model_type
    assert model.lm_head.weight is model.get_input_embeddings().weight
    works(kind, model, processor)


@pytest.mark.parametrize("kind", [*KINDS, "adiff"])
def test_linear_mappers(kind):
    model, processor = with_config(kind, mapper="linear")
    processor.prompt_length = model.config.prefix_length if kind in ("adiff", "pengi_no_text_enc") else 12
    layers = [name for name, _ in model.named_parameters() if "mapper" in name]
    assert layers and all(".linear." in name for name in layers)
    works(kind, model, processor)


def test_a_linear_mapper_of_words_needs_as_many_as_the_prefix_has_vectors():
    model, processor = with_config("adiff", mapper="linear")
    with pytest.raises(ValueError, match=r"prompt has 24 tokens.*3 vectors.*`prompt_length` to 3"):
        model(**batch("adiff", processor))


@pytest.mark.parametrize("options", [{"projection": "linear"}, {"projection": "transformer", "projection_heads": 2}])
def test_projections_of_mellow(options):
    works("mellow", *with_config("mellow", **options))


@pytest.mark.parametrize("kind", [*KINDS, "adiff"])
def test_cnn14_as_encoder(kind):
    works(kind, *with_config(kind, audio_config=AfmCnn14Config(**CNN14)))


def test_cnn14_in_mellow():
    audio = AfmCnn14Config(**CNN14, use_clipwise_head=True, num_classes=5)
    model, processor = with_config("mellow", audio_config=audio, downsampling=None, clip_frames=FRAMES)
    steps = FRAMES // 4
    assert model.config.downsampling == 1
    assert model.config.prefix_parts == {"first audio": (0, 1 + steps), "second audio": (1 + steps, 2 + 2 * steps)}
    works("mellow", model, processor)

    clip = batch("mellow", processor)["input_features"][:1, 0]
    with torch.no_grad():
        # Small scores: of decibels around -15 random layers can make some that a sigmoid rounds to 0 or 1.
        model.model.audio_tower.fc_audioset.weight.mul_(0.01)
        heard = model.model.audio_tower(clip)
        first = model.model.audio_projection(model.model.clip_projection(heard.clipwise_output))
        frames = model.model.audio_projection(heard.last_hidden_state)
        made = model.model.get_audio_tokens(clip)
    assert heard.clipwise_output.shape == (1, 5) and 0 < heard.clipwise_output.min() < heard.clipwise_output.max() < 1
    torch.testing.assert_close(made[:, 0], first)
    torch.testing.assert_close(made[:, 1:], frames)


def test_the_official_sizes_of_cnn14_in_mellow():
    config = MellowConfig(audio_config={"model_type": "afm_cnn14", "use_clipwise_head": True})
    assert config.encoder_width == 2048 and config.audio_length == 32  # the clip, and 31 steps of 32 frames each
    assert MellowConfig().audio_length == 129
    again = MellowConfig(**config.to_dict())
    assert again.audio_config.use_clipwise_head and again.num_placeholders == 64


def test_clips_of_another_length_are_refused_with_cnn14():
    audio = AfmCnn14Config(**CNN14, use_clipwise_head=True, num_classes=5)
    model, processor = with_config("mellow", audio_config=audio, downsampling=None, clip_frames=2 * FRAMES)
    with pytest.raises(ValueError, match=f"gives {FRAMES // 4} vectors.*Set `clip_frames`"):
        model(**batch("mellow", processor))
    with pytest.raises(ValueError, match=r"no frame-wise head and no clip-wise one"):
        MellowConfig(audio_config=AfmCnn14Config(**CNN14))
    with pytest.raises(ValueError, match="`downsampling` is 65; it must be between 1 and the encoder's 25 frames"):
        MellowConfig(audio_config=audio, clip_frames=FRAMES, downsampling=65)


def test_mellow_on_gpt2_separates_with_its_end_token():
    model, processor = with_config("mellow", text_config=language_model("gpt2"))
    processor.prompt_suffix = " <|endoftext|>"
    ids = processor(audio=noise(0), text="hm", sampling_rate=RATE)["input_ids"][0].tolist()
    length = model.config.audio_length
    assert ids[length] == ids[2 * length + 1] == 256
    assert ids[2 * length + 2 :][:4] == processor.encode("hm <|endoftext|>")


@pytest.mark.parametrize("kind", [*KINDS, *PAIRS])
def test_a_frozen_language_model_stands_still(kind):
    model, processor = with_config(kind)
    model.freeze_language_model()
    inputs = batch(kind, processor, text_target=["a", "b"])
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    model(**inputs).loss.backward()
    torch.optim.SGD((weight for weight in model.parameters() if weight.requires_grad), lr=0.1).step()
    moved = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    assert not {name for name in moved if "language_model" in name or "lm_head" in name}
    assert {name for name in moved if "mapper" in name or "projection" in name}


def test_the_extractor_of_mellow_gives_the_frames_of_the_default_config():
    made = MellowFeatureExtractor()(noise(0), sampling_rate=32000, return_tensors="pt")["input_features"]
    assert made.shape[2] == MellowConfig().clip_frames


def test_saved_and_loaded_with_cnn14(tmp_path):
    audio = AfmCnn14Config(**CNN14, use_clipwise_head=True, num_classes=5)
    model, _ = with_config("mellow", audio_config=audio, downsampling=None, clip_frames=FRAMES)
    model.save_pretrained(tmp_path)
    again = MellowForCausalLM.from_pretrained(tmp_path)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in model.state_dict().items())
    processor = MellowProcessor(
        MellowFeatureExtractor(max_length_s=CLIP_S, **EXTRACTOR),
        bytes_tokenizer(["<|audio|>"]),
        prefix_length=again.config.num_placeholders,
    )
    inputs = processor(audio=noise(0), text=PROMPTS[0], sampling_rate=RATE)
    torch.testing.assert_close(model(**inputs).logits, again.eval()(**inputs).logits, atol=1e-5, rtol=1e-4)
