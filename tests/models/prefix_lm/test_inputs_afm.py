"""What the models are given: audio where placeholders stand, a place for each token, whatever the padding."""

import copy

import pytest
import torch
from conformity_models import every_generating_row, make_row
from transformers import DynamicCache

from afm_hf.models.prefix_lm.inputs_afm import check_places, positions_of, without_answers

BEGINNINGS = ["a", "a dog", ""]  # of answers: rows of unequal length


@pytest.fixture
def row(request):
    return make_row(request.param)


def without(inputs, *names):
    return {name: value for name, value in inputs.items() if name not in names}


def never_heard(model):
    """Makes the model fail if its encoder runs."""

    def refuse(module, args):
        raise AssertionError("the audio encoder was run")

    model.model.audio_tower.register_forward_pre_hook(refuse)


@every_generating_row()
def test_placeholders_without_audio_are_refused(row):
    inputs = without(row.prompt_inputs(), "input_features", "input_features_mask")
    for call in (row.model, row.model.model, row.model.generate):
        with pytest.raises(ValueError, match=r"placeholders.*no `input_features`.*generate\(\*\*inputs\)"):
            call(**inputs)


@every_generating_row()
@torch.no_grad()
def test_from_a_cache_the_audio_is_not_needed_again(row):
    inputs = row.prompt_inputs(slice(1))
    first = row.model.generate(
        **inputs, max_new_tokens=2, min_new_tokens=2, do_sample=False, return_dict_in_generate=True
    )
    longer = row.model.generate(**inputs, max_new_tokens=5, min_new_tokens=5, do_sample=False)
    mask = torch.ones_like(first.sequences)
    again = row.model.generate(
        input_ids=first.sequences,
        attention_mask=mask,
        past_key_values=first.past_key_values,
        max_new_tokens=3,
        min_new_tokens=3,
        do_sample=False,
    )
    assert torch.equal(again, longer)
    cache = DynamicCache(config=row.model.config.text_config)
    row.model(**inputs, past_key_values=cache)
    assert torch.isfinite(row.model(input_ids=longer[:, -5:-4], past_key_values=cache).logits).all()


@every_generating_row()
@torch.no_grad()
def test_the_cache_goes_by_both_of_its_names(row):
    """transformers up to 5.23 calls it `past_key_values`, newer versions `cache`."""
    inputs, following = row.prompt_inputs(slice(1)), torch.tensor([[5]])
    outputs = row.model(**inputs, use_cache=True)
    assert isinstance(outputs.cache, DynamicCache) and outputs.past_key_values is outputs.cache
    both = [
        row.model(input_ids=following, **{name: copy.deepcopy(outputs.cache)}).logits
        for name in ("past_key_values", "cache")
    ]
    torch.testing.assert_close(*both)
    with pytest.raises(ValueError, match="two names of one argument"):
        row.model(input_ids=following, cache=outputs.cache, past_key_values=outputs.cache)


@every_generating_row()
def test_words_alone_need_no_audio(row):
    ids = torch.tensor([[5, 6, 7]])
    assert torch.isfinite(row.model(input_ids=ids).logits).all()


@every_generating_row()
@torch.no_grad()
def test_audio_beside_the_vectors_of_words_is_heard(row):
    """The placeholders are known by their vector, in training as in `generate`, whatever the decoding."""
    inputs = {**row.inputs}
    expected = row.model(**inputs)
    embeds = row.model.get_input_embeddings()(inputs.pop("input_ids"))
    got = row.model(inputs_embeds=embeds, **inputs)
    torch.testing.assert_close(got.logits, expected.logits, rtol=0, atol=0)
    torch.testing.assert_close(got.loss, expected.loss, rtol=0, atol=0)
    inputs = row.prompt_inputs()
    for decoding in ({"do_sample": False}, {"num_beams": 3, "num_return_sequences": 2}):
        made = row.model.generate(**inputs, max_new_tokens=4, **decoding)[:, inputs["input_ids"].shape[1] :]
        embeds = row.model.get_input_embeddings()(inputs["input_ids"])
        others = without(inputs, "input_ids")
        assert torch.equal(row.model.generate(inputs_embeds=embeds, max_new_tokens=4, **others, **decoding), made)


@every_generating_row()
def test_vectors_of_words_need_audio_where_placeholders_stand_and_only_there(row):
    inputs = row.prompt_inputs()
    embeds = row.model.get_input_embeddings()(inputs["input_ids"])
    others = without(inputs, "input_ids")
    for call in (row.model, row.model.generate):
        with pytest.raises(ValueError, match=r"hold.* audio placeholders.*no `input_features`"):
            call(inputs_embeds=embeds, attention_mask=inputs["attention_mask"])
        with pytest.raises(
            ValueError, match=r"`inputs_embeds` has \[0, 0, 0\] placeholders.*leave `input_features` out"
        ):
            call(inputs_embeds=torch.ones_like(embeds), **others)
    with pytest.raises(ValueError, match=r"either `input_ids` or `inputs_embeds`; there are both"):
        row.model(input_ids=inputs["input_ids"], inputs_embeds=embeds)
    with pytest.raises(ValueError, match="there are neither"):
        row.model(attention_mask=inputs["attention_mask"])


@every_generating_row()
@torch.no_grad()
def test_padding_on_the_left_changes_no_probability(row):
    """Without `position_ids`, which nobody passes in a training loop."""
    inputs = row.prompt_inputs(add_text=BEGINNINGS, padding_side="left")
    assert not inputs["attention_mask"][:, 0].all()
    together = row.model(**inputs).logits.log_softmax(-1)
    for index, text in enumerate(BEGINNINGS):
        alone = row.model(**row.prompt_inputs(slice(index, index + 1), add_text=[text])).logits.log_softmax(-1)
        torch.testing.assert_close(together[index, -alone.shape[1] :], alone[0], atol=2e-4, rtol=1e-4)


@every_generating_row()
@torch.no_grad()
def test_padding_on_the_left_changes_no_loss_and_no_step_from_a_cache(row):
    answers = ["a dog", "b", "rain"]
    losses = [row.model(**row.prompt_inputs(text_target=answers, padding_side=side)).loss for side in ("left", "right")]
    torch.testing.assert_close(*losses, atol=1e-4, rtol=1e-4)
    inputs = row.prompt_inputs(add_text=["a", "a dog", "so"], padding_side="left")
    whole = row.model(**inputs).logits[:, -1]
    cache = DynamicCache(config=row.model.config.text_config)
    start = {name: inputs[name][:, :-1] for name in ("input_ids", "attention_mask")}
    row.model(**{**inputs, **start}, past_key_values=cache)
    step = row.model(inputs["input_ids"][:, -1:], attention_mask=inputs["attention_mask"], past_key_values=cache)
    torch.testing.assert_close(step.logits[:, -1], whole, atol=2e-4, rtol=1e-4)


def short_of_places(row, places):
    """The row's model with fewer places."""
    config = copy.deepcopy(row.model.config)
    name = "n_positions" if config.text_config.model_type == "gpt2" else "max_position_embeddings"
    setattr(config.text_config, name, places)
    return type(row.model)(config).eval()


@every_generating_row()
def test_a_row_longer_than_the_places_is_named_before_the_work(row):
    answers = ["b", "a dog", "rain"]
    inputs = row.prompt_inputs(text_target=answers)
    width = inputs["input_ids"].shape[1]
    model = short_of_places(row, width - 1)
    never_heard(model)
    with pytest.raises(ValueError, match=rf"Row 1 .*{width} tokens.*places for {width - 1}\b.*by 1 tokens"):
        model(**inputs)


@every_generating_row()
@torch.no_grad()
def test_padding_takes_no_place(row):
    """A row that fits alone fits beside others, on whichever side it is filled up."""
    inputs = row.prompt_inputs()
    width = inputs["input_ids"].shape[1]
    model = short_of_places(row, width)
    padded = {
        "input_ids": torch.nn.functional.pad(inputs["input_ids"], (4, 0)),
        "attention_mask": torch.nn.functional.pad(inputs["attention_mask"], (4, 0)),
    }
    logits = model(**{**inputs, **padded}).logits[:, 4:]
    torch.testing.assert_close(logits, model(**inputs).logits, atol=2e-4, rtol=1e-4)


@every_generating_row()
def test_more_new_tokens_than_places_are_refused_before_the_work(row):
    inputs = row.prompt_inputs()
    width = inputs["input_ids"].shape[1]
    model = short_of_places(row, width + 3)
    model.generation_config.pad_token_id = 0
    made = model.generate(**inputs, max_new_tokens=4, min_new_tokens=4, do_sample=False)  # the last is not read again
    assert made.shape[1] == width + 4
    never_heard(model)
    for limit in ({"max_new_tokens": 5}, {"max_length": width + 5}, {"max_new_tokens": 1000, "num_beams": 3}):
        with pytest.raises(ValueError, match=rf"prompt has {width} tokens.*places for {width + 3}\b.*at most 4\b"):
            model.generate(**inputs, **limit)
    embeds = model.get_input_embeddings()(inputs["input_ids"])
    with pytest.raises(ValueError, match="at most 4"):
        model.generate(inputs_embeds=embeds, max_new_tokens=5)


def test_positions_count_real_tokens_and_places_are_counted_by_them():
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 0]])
    assert positions_of(mask, 5).tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 3, 3]]
    assert positions_of(mask, 2).tolist() == [[1, 2], [3, 3]]
    assert positions_of(mask[:, None, None], 5) is None and positions_of(None, 5) is None
    check_places(4, 5, positions_of(mask, 5))
    check_places(None, 5, None)
    with pytest.raises(ValueError, match="Row 1 of the batch has 4 tokens"):
        check_places(3, 5, positions_of(mask, 5))


def test_prompts_without_answers_stand_at_the_right_end():
    ids = torch.tensor([[9, 9, 1, 2, 7, 7], [8, 3, 7, 0, 0, 0]])
    labels = torch.tensor([[-100, -100, -100, -100, 7, 7], [-100, -100, 7, -100, -100, -100]])
    mask = torch.tensor([[0, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]])
    prompts, kept = without_answers(ids, labels, mask, 0)
    assert prompts.tolist() == [[9, 1, 2], [0, 8, 3]] and kept.tolist() == [[1, 1, 1], [0, 1, 1]]
    with pytest.raises(ValueError, match=r"`labels` have the shape \(2, 5\) and `input_ids` \(2, 6\)"):
        without_answers(ids, labels[:, 1:], mask, 0)
