"""Likelihoods of answers by one cached pass equal those of a plain pass for every answer."""

import pytest
import torch
from generating_models import KINDS, PAIRS, parts, prompt_of
from prefix_models import RATE, clips

from afm_hf import score_answers

ANSWERS = ["a dog", "rain on a roof!", "no", "Wind"]


def make_inputs(kind, processor, prompts=None):
    audio = clips(2)
    audio = [[audio[0], audio[1]], [audio[1], audio[0]]] if kind in PAIRS else audio
    return processor(audio=audio, text=prompts or prompt_of(kind), sampling_rate=RATE)


def plain_loss(model, processor, inputs, row, answer):
    """The loss of one answer in one forward pass over everything, without cache and padding."""
    one = {name: value[row : row + 1] for name, value in inputs.items()}
    kept = one.pop("attention_mask")[0].bool()
    front = one.pop("input_ids")[:, kept]
    ids = torch.tensor([processor.answer_ids(answer.lower() if hasattr(processor, "train_lower_case") else answer)])
    labels = torch.cat([torch.full_like(front, -100), ids], dim=1)
    with torch.no_grad():
        return float(model(input_ids=torch.cat([front, ids], dim=1), labels=labels, use_cache=False, **one).loss)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_equal_the_loss_of_each_answer_alone(kind):
    model, processor = parts(kind)
    inputs = make_inputs(kind, processor)
    scores = score_answers(model, processor, inputs, ANSWERS, batch_size=3)
    for row in range(2):
        for place, answer in enumerate(ANSWERS):
            loss = plain_loss(model, processor, inputs, row, answer)
            assert float(scores.mean[row, place]) == pytest.approx(-loss, abs=1e-4)
            assert int(scores.tokens[row, place]) == len(processor.answer_ids(answer))
    torch.testing.assert_close(scores.sum, scores.mean * scores.tokens)
    assert (scores.mean[0] - scores.mean[1]).abs().max() > 1e-3  # the audio matters


@pytest.mark.parametrize("kind", ["clapcap", "mellow"])
def test_rows_filled_up_on_the_left_score_as_they_do_alone(kind):
    model, processor = parts(kind)
    if kind == "mellow":
        processor.pad_prompt = False
    inputs = make_inputs(kind, processor, prompts=["a", "what is the sound of"])
    assert not inputs["attention_mask"].all()
    scores = score_answers(model, processor, inputs, [["a dog"], ["a dog", "no"]])
    assert float(scores.mean[0, 0]) == pytest.approx(-plain_loss(model, processor, inputs, 0, "a dog"), abs=1e-4)
    assert float(scores.mean[1, 1]) == pytest.approx(-plain_loss(model, processor, inputs, 1, "no"), abs=1e-4)
    assert scores.sum[0, 1] == float("-inf") and scores.tokens[0, 1] == 0


def test_the_audio_is_heard_once_whatever_the_number_of_answers(monkeypatch):
    model, processor = parts("pengi")
    inputs, heard = make_inputs("pengi", processor), []
    encode = model.model.audio_tower.forward
    monkeypatch.setattr(model.model.audio_tower, "forward", lambda *a, **k: heard.append(1) or encode(*a, **k))
    score_answers(model, processor, inputs, [f"answer {index}" for index in range(9)], batch_size=2)
    assert len(heard) == 1


def test_without_the_end_a_beginning_is_at_least_as_likely():
    model, processor = parts("pengi")
    inputs = make_inputs("pengi", processor)
    scores = score_answers(model, processor, inputs, ["r", "rain", "rain on a roof"], with_end=False)
    assert scores.tokens.tolist() == [[1, 4, 14]] * 2
    assert bool((scores.sum[:, 0] >= scores.sum[:, 1]).all() and (scores.sum[:, 1] >= scores.sum[:, 2]).all())


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ("a dog", "`answers` is the string 'a dog'"),
        ([], r"answers of example 0 are \[\]"),
        (["a", " "], r"answers of example 0 are \['a', ' '\]"),
        ([["a"], []], r"answers of example 1 are \[\]"),
        ([["a"]] * 3, "lists for 3 examples, but `inputs` has 2 examples"),
    ],
)
def test_answers_that_make_no_sense_are_refused(answers, message):
    model, processor = parts("pengi")
    with pytest.raises(ValueError, match=message):
        score_answers(model, processor, make_inputs("pengi", processor), answers)
