"""What only Pengi does: prompts, with and without text encoder."""

import pytest
import torch
from prefix_models import PREFIX, RATE, clips, prompts, tiny_model, tiny_processor

from afm_hf import PengiConfig, PengiForConditionalGeneration

VARIANTS = ["pengi", "pengi_no_text_enc"]


@pytest.fixture(params=VARIANTS)
def parts(request):
    return request.param, tiny_model(request.param), tiny_processor(request.param)


@torch.no_grad()
def test_the_prompt_changes_the_answer_but_not_the_audio_prefix(parts):
    _, model, processor = parts
    one, other = (processor(audio=clips(1), text=text, sampling_rate=RATE) for text in ("what is it", "how many"))
    prefixes = [
        model.get_prefix(
            x["input_features"],
            prompt_input_ids=x["prompt_input_ids"],
            prompt_attention_mask=x["prompt_attention_mask"],
        )
        for x in (one, other)
    ]
    assert prefixes[0].shape == (1, 2 * PREFIX, 16)
    torch.testing.assert_close(prefixes[0][:, :PREFIX], prefixes[1][:, :PREFIX], atol=1e-5, rtol=1e-4)
    assert (prefixes[0][:, PREFIX:] - prefixes[1][:, PREFIX:]).abs().max() > 1e-3
    assert not torch.allclose(model(**one).logits, model(**other).logits)


def test_clip_prompts_are_filled_up_and_cut_with_their_end():
    made = tiny_processor("pengi").prompt_inputs(["ab", "a very long prompt"])
    a, b = made["prompt_input_ids"].tolist()
    assert a[0] == b[0] == 256 and a[3:] == [257] * 9 and b[-1] == 257
    assert made["prompt_attention_mask"].tolist() == [[1] * 4 + [0] * 8, [1] * 12]


def test_prompts_without_text_encoder_get_the_end_and_are_filled_up():
    processor = tiny_processor("pengi_no_text_enc")
    made = processor.prompt_inputs(["ab", "a very long prompt"])
    a, b = made["prompt_input_ids"].tolist()
    assert a == [*processor.encode("ab"), 220, 256] + [0] * 8
    assert b == processor.encode("a very long ")  # cut like the authors cut: at the end, whatever stands there


def test_what_fills_a_clip_prompt_up_does_not_matter():
    model, processor = tiny_model("pengi"), tiny_processor("pengi")
    made = processor.prompt_inputs(["ab"])
    with torch.no_grad():
        filled = model.model.get_prompt_embedding(made["prompt_input_ids"], made["prompt_attention_mask"])
        bare = model.model.get_prompt_embedding(made["prompt_input_ids"][:, :4])
    torch.testing.assert_close(filled, bare, atol=1e-5, rtol=1e-4)


def test_normalising_the_prompt_is_a_choice_of_the_config():
    ids = tiny_processor("pengi").prompt_inputs(["ab"])["prompt_input_ids"]
    with torch.no_grad():
        model = tiny_model("pengi").model
        embedding = model.get_prompt_embedding(ids)
        assert (embedding.norm(dim=-1) - 1).abs() > 0.1
        torch.testing.assert_close(
            model.get_prompt_prefix(ids), model.prompt_mapper(embedding / embedding.norm(dim=-1, keepdim=True))
        )
        model.config.normalize_prompt = False
        torch.testing.assert_close(model.get_prompt_prefix(ids), model.prompt_mapper(embedding))


def test_a_missing_prompt_is_an_error_that_says_what_to_do(parts):
    _, model, processor = parts
    with pytest.raises(ValueError, match=r"example 0 is None.*'generate audio caption'"):
        processor(audio=clips(), sampling_rate=RATE)
    with pytest.raises(ValueError, match="example 1 is ''"):
        processor(audio=clips(), text=["a", "", "b"], sampling_rate=RATE)
    inputs = processor(audio=clips(), text="a", sampling_rate=RATE)
    with pytest.raises(ValueError, match="needs a prompt"):
        model(**{name: value for name, value in inputs.items() if not name.startswith("prompt")})
    with pytest.raises(ValueError, match="1 prompts for 3 examples"):
        model(**dict(inputs, prompt_input_ids=inputs["prompt_input_ids"][:1]))


def test_the_text_encoder_can_be_frozen():
    model, processor = tiny_model("pengi"), tiny_processor("pengi")
    model.freeze_text_encoder()
    inputs = processor(audio=clips(), text=prompts("pengi"), text_target="a", sampling_rate=RATE)
    model(**inputs).loss.backward()
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
    assert not [name for name in with_gradient if "prompt_encoder" in name or "prompt_text_projection" in name]
    assert "model.prompt_projection.linear1.weight" in with_gradient
    tiny_model("pengi_no_text_enc").freeze_text_encoder()  # nothing to freeze, nothing to fail


def test_describe_joins_three_answers(parts):
    _, model, processor = parts
    texts = processor.describe(model, clips(2), sampling_rate=RATE, max_new_tokens=4, do_sample=False)
    expected = []
    for prompt in processor.describe_prompts:
        inputs = processor(audio=clips(2), text=prompt, sampling_rate=RATE)
        sequences = model.generate(**inputs, max_new_tokens=4, do_sample=False)
        expected.append(processor.decode_answers(sequences, inputs["input_ids"]))
    assert texts == [
        f"{expected[0][i]} {expected[1][i]} this audio contains sound events: {expected[2][i]}." for i in range(2)
    ]


def test_the_released_sizes_are_the_defaults():
    with torch.device("meta"):
        bare = PengiForConditionalGeneration(PengiConfig())
        full = PengiForConditionalGeneration(PengiConfig(text_encoder_config={"model_type": "clip_text_model"}))
    # 323 M in the golden record, with AudioSet heads and buffers; without the placeholder's row
    assert 0.22e9 < bare.num_parameters() < 0.26e9
    assert 0.315e9 < full.num_parameters() < 0.324e9
