"""What CLAPCAP and both variants of Pengi have in common: generation, batches, losses, freezing, saving, processors."""

import numpy as np
import pytest
import torch
from prefix_models import AUDIO, CLIP_S, END, KINDS, PREFIX, RATE, clips, prompts, tiny_model, tiny_processor
from transformers import AutoModel, AutoModelForMultimodalLM, AutoProcessor, GenerationConfig

from afm_hf import average_log_prob_beam_search
from afm_hf.models.prefix_lm.modeling_afm_prefix_lm import AfmVocabularyHead

NEW = 7


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def parts(kind):
    model, processor = tiny_model(kind), tiny_processor(kind)
    return kind, model, processor, processor(audio=clips(), text=prompts(kind), sampling_rate=RATE)


def placeholders(kind):
    return PREFIX if kind == "clapcap" else 2 * PREFIX


def row(inputs, index):
    return {name: value[index : index + 1] for name, value in inputs.items()}


def new_tokens(sequences, inputs):
    return sequences[:, inputs["input_ids"].shape[1] :]


DECODINGS = {
    "greedy": {"do_sample": False},
    "beam": {"num_beams": 3, "do_sample": False},
    "beams returned": {"num_beams": 3, "num_return_sequences": 2, "do_sample": False},
    "authors' beams": {"num_beams": 3, "num_return_sequences": 3, "custom_generate": average_log_prob_beam_search},
}


@torch.no_grad()
def naive_beams(model, inputs, beams, steps, stop, temperature=1.0):
    """The authors' rule for one clip, written anew: no cache, lists, one beam at a time."""
    start = inputs["input_ids"][0].tolist()
    found = [([], 0.0, False)]  # tokens, sum of log-probabilities, whether it has ended
    for _ in range(steps):
        candidates = []
        for tokens, total, ended in found:
            if ended:
                candidates.append((total / len(tokens), tokens, total, True))
                continue
            ids = torch.tensor([start + tokens])
            others = {name: value for name, value in inputs.items() if name not in ("input_ids", "attention_mask")}
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **others).logits[0, -1]
            log_probs = torch.log_softmax(logits / temperature, -1)
            for token in log_probs.topk(beams).indices.tolist():
                sum_ = total + log_probs[token].item()
                candidates.append((sum_ / (len(tokens) + 1), [*tokens, token], sum_, token == stop))
        best = sorted(candidates, key=lambda candidate: -candidate[0])[:beams]
        found = [candidate[1:] for candidate in best]
        if all(ended for _, _, ended in found):
            break
    ranked = sorted(found, key=lambda beam: -beam[1] / len(beam[0]))
    return [tokens for tokens, _, _ in ranked], [total / len(tokens) for tokens, total, _ in ranked]


def test_the_authors_beam_rule_equals_a_naive_one(parts):
    _, model, _, inputs = parts
    greedy = new_tokens(model.generate(**row(inputs, 0), max_new_tokens=NEW, do_sample=False), inputs)[0]
    for stop, temperature in ((END, 1.0), (greedy[1].item(), 1.0), (greedy[3].item(), 0.7)):
        for index in range(2):
            expected, scores = naive_beams(model, row(inputs, index), 3, NEW, stop, temperature)
            made = model.generate(
                **row(inputs, index),
                custom_generate=average_log_prob_beam_search,
                num_beams=3,
                num_return_sequences=3,
                max_new_tokens=NEW,
                temperature=temperature,
                eos_token_id=stop,
                return_dict_in_generate=True,
            )
            tokens = new_tokens(made.sequences, inputs).tolist()
            assert [ours[: len(beam)] for ours, beam in zip(tokens, expected, strict=True)] == expected
            assert not any(token for ours, beam in zip(tokens, expected, strict=True) for token in ours[len(beam) :])
            np.testing.assert_allclose(made.sequences_scores.numpy(), scores, atol=1e-4)


def test_labels_cover_the_answer_alone(parts):
    kind, model, processor, _ = parts
    answers, begin = ["a dog", "rain!", "b"], "so "
    inputs = processor(audio=clips(), text=prompts(kind), text_target=answers, add_text=begin, sampling_rate=RATE)
    front = placeholders(kind) + len(begin)
    for index, answer in enumerate(answers):
        ids = [*processor.encode(answer), 220, END]
        padding = inputs["labels"].shape[1] - front - len(ids)
        assert inputs["labels"][index].tolist() == [-100] * front + ids + [-100] * padding
        assert (
            inputs["input_ids"][index].tolist()
            == [AUDIO] * placeholders(kind) + processor.encode(begin) + ids + [0] * padding
        )
        assert inputs["attention_mask"][index].tolist() == [1] * (front + len(ids)) + [0] * padding
    output = model(**inputs)
    logits, labels = output.logits[:, :-1, :AUDIO].flatten(0, 1), inputs["labels"][:, 1:].flatten()
    torch.testing.assert_close(output.loss, torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100))


def test_mismatched_counts_name_both_numbers(parts):
    kind, model, processor, inputs = parts
    with pytest.raises(ValueError, match=r"2 entries for 3 examples"):
        processor(audio=clips(), text=["a", "b"], sampling_rate=RATE)
    with pytest.raises(ValueError, match=r"`text_target` has 1 entries for 3 examples"):
        processor(audio=clips(), text=prompts(kind), text_target=["a"], sampling_rate=RATE)
    with pytest.raises(ValueError, match="needs `audio`"):
        processor(text="a")
    short = dict(inputs, input_ids=inputs["input_ids"][:, 1:], attention_mask=inputs["attention_mask"][:, 1:])
    count = placeholders(kind)
    with pytest.raises(ValueError, match=rf"gives {count} vectors each.*\[{count - 1}, {count - 1}, {count - 1}\]"):
        model(**short)


def test_saving_and_loading_changes_no_bit(parts, tmp_path):
    kind, model, processor, inputs = parts
    model.generation_config = GenerationConfig(num_beams=2, max_new_tokens=4, pad_token_id=0, eos_token_id=220)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again = AutoModelForMultimodalLM.from_pretrained(tmp_path).eval()
    assert type(again) is type(model)
    weights = model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in again.state_dict().items())
    assert again.lm_head.weight is again.get_input_embeddings().weight
    made = AutoProcessor.from_pretrained(tmp_path)(audio=clips(), text=prompts(kind), sampling_rate=RATE)
    assert sorted(made) == sorted(inputs)
    assert all(torch.equal(value, made[name]) for name, value in inputs.items())
    with torch.no_grad():
        torch.testing.assert_close(again(**made).logits, model(**inputs).logits, atol=1e-5, rtol=1e-4)
        base = AutoModel.from_pretrained(tmp_path).eval()
        torch.testing.assert_close(
            base(**made).last_hidden_state, model.model(**inputs).last_hidden_state, atol=1e-5, rtol=1e-4
        )
    assert torch.equal(again.generate(**made), model.generate(**inputs))


def test_freezing_really_freezes_and_the_rest_trains(parts):
    kind, model, processor, _ = parts
    inputs = processor(audio=clips(), text=prompts(kind), text_target=["a", "b", "c"], sampling_rate=RATE)
    model.freeze_audio_tower()
    model.freeze_language_model()
    model.train()
    assert not model.model.audio_tower.training and model.model.audio_mapper.training
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    model(**inputs).loss.backward()
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    frozen = ("model.audio_tower.", "model.language_model.", "lm_head.")
    assert not [name for name in changed if name.startswith(frozen)]
    expected = {name for name in before if not name.startswith(frozen)}
    if kind == "pengi":  # what stands behind the pooled token, and words that are in no prompt, get no gradient
        expected = {name for name in expected if not name.startswith("model.prompt_encoder.")}
    # softmax over keys does not feel a shift of all keys, but every matrix as a whole moves
    assert expected <= changed


def test_one_step_of_training_everything_lowers_the_loss(parts):
    kind, model, processor, _ = parts
    inputs = processor(audio=clips(), text=prompts(kind), text_target=["a", "b", "c"], sampling_rate=RATE)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    first = model(**inputs).loss
    first.backward()
    optimizer.step()
    with torch.no_grad():
        assert model(**inputs).loss < first


@torch.no_grad()
def test_windows_of_a_long_clip_are_averaged(parts):
    kind, model, processor, _ = parts
    long = clips(1, 3 * CLIP_S)[0]
    prompt = prompts(kind, 1)
    inputs = processor(audio=[long, clips(1)[0]], text=prompt and prompt * 2, sampling_rate=RATE, truncation="windows")
    assert inputs["input_features"].shape[:2] == (2, 3) and inputs["input_features_mask"].tolist() == [
        [1] * 3,
        [1, 0, 0],
    ]
    made = model.generate(**inputs, max_new_tokens=NEW, do_sample=False)
    single = processor(audio=clips(1), text=prompt, sampling_rate=RATE)
    alone = model.generate(**single, max_new_tokens=NEW, do_sample=False)
    assert torch.equal(made[1], alone[0])
    for decoding in DECODINGS.values():
        model.generate(**inputs, max_new_tokens=2, **decoding)


@torch.no_grad()
def test_the_placeholder_is_never_likely(parts):
    _, model, _, inputs = parts
    assert (model(**inputs).logits[..., AUDIO] == torch.finfo(torch.float32).min).all()


def test_decoded_answers_are_the_new_text(parts):
    _, _, processor, inputs = parts
    sequences = torch.cat([inputs["input_ids"], torch.tensor([[*processor.encode("a dog"), 220, END, 0]] * 3)], dim=1)
    assert processor.decode_answers(sequences, inputs["input_ids"]) == ["a dog"] * 3


@pytest.mark.parametrize("shape", [(1, 1, 6), (5, 1, 6), (2, 4, 6), (3, 3, 6), (5, 6)])
def test_the_head_is_a_linear_layer_whichever_way_it_is_computed(shape):
    head, states = AfmVocabularyHead(6, 11, bias=False), torch.randn(shape)
    expected = torch.nn.functional.linear(states, head.weight)
    with torch.no_grad():
        torch.testing.assert_close(head(states), expected)
        assert head(states).is_contiguous()
    assert head(states).requires_grad
