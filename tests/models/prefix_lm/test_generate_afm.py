"""`generate()`: labels never reach the prompt, and the length that a call asks for is the one that it gets."""

import pytest
import torch
from conformity_models import ANSWERS, BATCH, every_generating_row, make_row
from transformers import GenerationConfig

NEW = 4
GREEDY = {"do_sample": False, "max_new_tokens": NEW, "min_new_tokens": NEW}


@pytest.fixture
def row(request):
    return make_row(request.param)


def front_of(inputs, index):
    """Row `index` without its answer and padding, written anew."""
    real = inputs["attention_mask"][index].bool()
    is_front = inputs["labels"][index] == -100
    others = ("input_ids", "attention_mask", "labels")
    ids = inputs["input_ids"][index][real & is_front][None]
    rest = {name: value[index : index + 1] for name, value in inputs.items() if name not in others}
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **rest}


@every_generating_row()
@pytest.mark.parametrize("how", [{}, {"num_beams": 2, "num_return_sequences": 2}], ids=["greedy", "beams"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_answers_are_not_shown(row, how, side):
    """What `Seq2SeqTrainer` hands over holds them: with labels, they are left out of the prompt."""
    inputs = row.prompt_inputs(text_target=ANSWERS, add_text=["so", "", "a b"], padding_side=side)
    width = inputs["input_ids"].shape[1]
    made = row.model.generate(**inputs, **GREEDY, **how)
    each = how.get("num_return_sequences", 1)
    assert len(made) == BATCH * each
    for index in range(BATCH):
        front = front_of(inputs, index)
        alone = row.model.generate(**front, **GREEDY, **how)[:, front["input_ids"].shape[1] :]
        assert torch.equal(made[index * each : (index + 1) * each, width:], alone)
        prompt = made[index * each, :width]
        assert prompt[-front["input_ids"].shape[1] :].tolist() == front["input_ids"][0].tolist()
        assert not prompt[: -front["input_ids"].shape[1]].any()


@every_generating_row()
def test_other_answers_change_nothing(row):
    made = []
    for answers in (ANSWERS, ["x" * 9] * BATCH):
        inputs = row.prompt_inputs(text_target=answers)
        sequences = row.model.generate(**inputs, **GREEDY, return_dict_in_generate=True).sequences
        made.append(row.processor.decode_answers(sequences, inputs["input_ids"]))
    assert made[0] == made[1]


@every_generating_row()
def test_labels_without_tokens_are_refused(row):
    embeds = torch.zeros(1, 3, row.model.config.hidden_size)
    with pytest.raises(ValueError, match="`labels` were given to `generate` without `input_ids`"):
        row.model.generate(inputs_embeds=embeds, labels=torch.zeros(1, 3, dtype=torch.long))


@every_generating_row()
def test_the_length_of_the_call_goes_before_that_of_the_checkpoint(row):
    inputs = row.prompt_inputs()
    width = inputs["input_ids"].shape[1]
    row.model.generation_config.eos_token_id = None
    row.model.generation_config.max_new_tokens = 6

    def length(**kwargs):
        return row.model.generate(**inputs, do_sample=False, **kwargs).shape[1] - width

    assert length() == 6
    assert length(max_length=width + 2) == 2
    assert length(generation_config=GenerationConfig(max_length=width + 3)) == 3
    assert length(max_new_tokens=4) == 4
    assert length(max_length=width + 2, max_new_tokens=4) == 4  # with transformers' warning
    row.model.generation_config.max_length = width + 1
    assert length() == 6
    with pytest.raises(ValueError, match=f"`max_length` is set to {width}"):
        length(max_length=width)


@every_generating_row()
def test_the_shortest_length_of_the_call_goes_before_that_of_the_checkpoint(row):
    inputs = row.prompt_inputs(slice(1))
    width = inputs["input_ids"].shape[1]
    first = row.model.generate(**inputs, max_new_tokens=1, do_sample=False)[0, -1].item()
    row.model.generation_config.eos_token_id = first
    row.model.generation_config.min_new_tokens = 5
    how = {"max_new_tokens": 8, "do_sample": False}
    assert row.model.generate(**inputs, **how).shape[1] >= width + 5
    assert row.model.generate(**inputs, **how, min_length=width).shape[1] == width + 1
