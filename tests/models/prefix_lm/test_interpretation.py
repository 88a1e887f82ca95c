"""The words nearest to a prefix: the right ones, of every part, for every model."""

import json
import math

import pytest
import torch
from pair_models import PROMPTS, noise, pair_batch, tiny_pair_model
from prefix_models import RATE, clips, prompts, tiny_model, tiny_processor

from afm_hf import interpret_prefix

PARTS = {
    "clapcap": {"audio": (0, 3)},
    "pengi": {"audio": (0, 3), "prompt": (3, 6)},
    "pengi_no_text_enc": {"audio": (0, 3), "prompt": (3, 6)},
    "adiff": {"first audio": (0, 3), "separator": (3, 4), "second audio": (4, 7), "prompt": (7, 10)},
    "mellow": {"first audio": (0, 5), "second audio": (5, 10)},
}


def parts(kind):
    """(model, processor, inputs of two examples)."""
    if kind in ("mellow", "adiff"):
        model, processor = tiny_pair_model(kind)
        return model, processor, pair_batch(processor)
    model, processor = tiny_model(kind), tiny_processor(kind)
    return model, processor, processor(audio=clips(2), text=prompts(kind, 2), sampling_rate=RATE)


def say(model, *sayings):
    """Lets the prefix be the vectors of the letters of a word, one word for each example."""
    table = model.get_input_embeddings().weight

    def prefix(input_features, **kwargs):
        return torch.stack([table[[ord(letter) - ord("!") for letter in saying]] for saying in sayings])

    model.model.get_prefix = prefix


@pytest.mark.parametrize("kind", PARTS)
def test_a_prefix_of_words_is_read_back_by_part(kind):
    model, processor, inputs = parts(kind)
    assert model.config.prefix_parts == PARTS[kind]
    first, second = "thunderous"[: model.config.num_placeholders], "birdsongat"[: model.config.num_placeholders]
    say(model, first, second)
    readings = interpret_prefix(model, inputs, processor)
    for saying, reading in zip((first, second), readings, strict=True):
        assert [part.name for part in reading] == list(PARTS[kind])
        for name, (start, stop) in PARTS[kind].items():
            assert [near[0].text for near in reading[name].vectors] == list(saying[start:stop])
            assert reading[name].start == start
            assert all(near[0].similarity == pytest.approx(1, abs=1e-5) for near in reading[name].vectors)


@pytest.mark.parametrize("kind", PARTS)
def test_the_prefix_is_the_one_that_the_language_model_gets(kind):
    model, processor, inputs = parts(kind)
    prefix = model(**inputs).audio_hidden_states[1, 2].detach()
    table = model.get_input_embeddings().weight.detach()[:-1]  # without the placeholder
    cosines = torch.cosine_similarity(prefix[None], table)
    model.train()  # dropout and SpecAugment must not show
    near = interpret_prefix(model, inputs, processor, top_k=4)[1].parts[0].vectors[2]
    assert model.training
    assert [word.token_id for word in near] == cosines.topk(4).indices.tolist()
    assert [word.similarity for word in near] == pytest.approx(cosines.topk(4).values.tolist(), abs=1e-5)


def test_the_placeholder_is_never_a_word_and_the_dot_product_prefers_long_vectors():
    model, processor, inputs = parts("clapcap")
    table = model.get_input_embeddings().weight
    with torch.no_grad():
        table[ord("x") - ord("!")] = 3 * table[ord("a") - ord("!")]
        table[model.config.audio_token_id] = 5 * table[ord("a") - ord("!")]
    say(model, "aaa", "bbb")
    every = interpret_prefix(model, inputs, processor, top_k=257)
    ids = {word.token_id for part in every[0] for near in part.vectors for word in near}
    assert ids == set(range(257))
    assert {word.text for word in every[0]["audio"].vectors[0][:2]} == {"a", "x"}
    dot = interpret_prefix(model, inputs, processor.tokenizer, top_k=1, similarity="dot")
    assert dot[0]["audio"].words == ["x"]
    length = math.sqrt(float(table[ord("a") - ord("!")].detach().square().sum()))
    assert dot[0]["audio"].vectors[0][0].similarity == pytest.approx(3 * length**2, rel=1e-4)


def test_prints_and_turns_into_json():
    model, processor = tiny_pair_model("adiff")
    inputs = processor(audio=[noise(0), noise(1)], text=PROMPTS[0], sampling_rate=RATE)
    say(model, "aab;cdcxyz")
    reading = interpret_prefix(model, inputs, processor, top_k=2)[0]
    assert str(reading).splitlines() == [
        "first audio (3 vectors): 'a', 'b'",
        "separator (1 vectors): ';'",
        "second audio (3 vectors): 'c', 'd'",
        "prompt (3 vectors): 'x', 'y', 'z'",
    ]
    made = json.loads(json.dumps(reading.to_dict()))
    assert made["separator"][0][0]["text"] == ";" and len(made["prompt"]) == 3 and len(made["prompt"][0]) == 2
    with pytest.raises(KeyError, match="no part 'audio'"):
        reading["audio"]


def test_without_the_separator_there_is_no_such_part():
    model, processor = tiny_pair_model("adiff", use_separator=False, use_cross_projection=False)
    readings = interpret_prefix(model, pair_batch(processor), processor)
    assert [part.name for part in readings[0]] == ["first audio", "second audio", "prompt"]


def test_mistakes_are_named():
    model, processor, inputs = parts("clapcap")
    with pytest.raises(ValueError, match="no `input_features`"):
        interpret_prefix(model, {"input_ids": inputs["input_ids"]}, processor)
    with pytest.raises(ValueError, match="`top_k` is 258; it must be between 1 and the 257 words"):
        interpret_prefix(model, inputs, processor, top_k=258)
    with pytest.raises(ValueError, match="'euclidean'; expected 'cosine' or 'dot'"):
        interpret_prefix(model, inputs, processor, similarity="euclidean")
