"""How answers of language models are read, and what of them is not kept."""

import pytest

pytest.importorskip("jsonschema")

from afm_hf.data.synthesis import FORMS, GROUPS, load_instructions
from afm_hf.data.synthesis.filters import REASONS, Seen, fault
from afm_hf.data.synthesis.requests import UnreadableError, read_item, request_of, written

KINDS = {each.kind: each for each in load_instructions()}
EVERY = [*KINDS.values(), *load_instructions(["choices"], borrow_choices=True)]
DOG = "A brown dog barks at the postman."


def captions_of(example):
    return [text for name, text in example.items() if name.startswith("caption")]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("instruction", EVERY, ids=lambda each: f"{each.kind}-{len(each.labels)}")
def test_the_examples_in_our_prompts_are_what_the_filter_keeps(instruction, form):
    for example in instruction.examples:
        assert read_item(instruction, written(instruction, example["item"], form), form) == example["item"]
        reason = fault(instruction, example["item"], captions_of(example))
        whole = "wrong" in instruction.labels or instruction.group != "choices"
        assert reason in (("", "repeats an example") if whole else ("", "repeats an example", "choices alike"))


@pytest.mark.parametrize("instruction", EVERY, ids=lambda each: f"{each.kind}-{len(each.labels)}")
def test_a_request_shows_the_form_the_examples_and_the_caption(instruction):
    values = {"caption": DOG, "caption1": DOG, "caption2": "Rain.", "aspect": "what happens"}
    request = request_of(instruction, values, "json")
    assert [message["role"] for message in request.messages[:2]] == ["system", "user"]
    assert len(request.messages) == 2 + 2 * len(instruction.examples) and DOG in request.messages[-1]["content"]
    assert request.schema == instruction.schema and "JSON" in request.messages[0]["content"]
    lines = request_of(instruction, values, "lines", with_examples=False)
    assert lines.schema is None and len(lines.messages) == 2
    assert lines.start == f"{next(iter(instruction.labels.values()))}:"


@pytest.mark.parametrize(
    ("kind", "form", "text", "expected"),
    [
        ("questions", "json", 'Sure!\n```json\n{"question": "Who barks?", "answer": "a dog"}\n```', "a dog"),
        ("questions", "json", '{"a": {"b"\n{"question": "Who barks?", "answer": " a  dog "} bye', "a dog"),
        ("questions", "lines", "Question: Who barks?\nAnswer: a dog", "a dog"),
        ("questions", "lines", "**Question:** Who barks?\n\n**Answer:** a dog\nthat is brown", "a dog that is brown"),
        ("questions", "lines", '1. nothing\nquestion: Who barks?\nANSWER: "a dog"\nQuestion: And?', "a dog"),
        ("choices", "lines", "Question: Who?\nRight: a dog\nWrong 1: a\nWrong 2) : b\nWrong 3: c\nWrong: d", "a dog"),
        ("choices", "lines", "Question: Who?\nRight answer: a dog\nWrong: a\nWrong: b\nWrong: c", "a dog"),
    ],
)
def test_items_are_found_in_what_models_write_around_them(kind, form, text, expected):
    item = read_item(KINDS[kind], text, form)
    assert item["answer"] == expected and len(item.get("wrong", "abc")) == 3


@pytest.mark.parametrize(
    ("kind", "form", "text", "reason"),
    [
        ("questions", "json", "I cannot do that.", "unparsed"),
        ("questions", "json", "[1, 2]", "unparsed"),
        ("questions", "json", "{" * 5000, "unparsed"),
        ("questions", "json", '{"question": "Who?"}', "schema"),
        ("questions", "json", '{"question": "Who?", "answer": 3}', "schema"),
        ("questions", "json", '{"question": "Who?", "answer": "a dog", "note": ""}', "schema"),
        ("questions", "json", '{"question": "Tell me who.", "answer": "a dog"}', "schema"),
        ("choices", "json", '{"question": "Who?", "answer": "a dog", "wrong": ["a", "b"]}', "schema"),
        ("questions", "lines", "Question: Who barks?", "unparsed"),
        ("questions", "lines", "Question: Who barks?\nAnswer:", "unparsed"),
        ("choices", "lines", "Question: Who?\nRight: a dog\nWrong: a cat", "schema"),
        ("entailment", "lines", "", "unparsed"),
    ],
)
def test_what_is_no_item_is_told_apart(kind, form, text, reason):
    with pytest.raises(UnreadableError) as error:
        read_item(KINDS[kind], text, form)
    assert error.value.reason == reason


def qa(question, answer, **others):
    return {"question": question, "answer": answer, **others}


@pytest.mark.parametrize(
    ("kind", "item", "reason"),
    [
        ("questions", qa("What does the animal do?", "The dog barks at somebody."), ""),
        ("questions", qa("Is there a dog?", "yes"), ""),
        ("questions", qa("Why?", "The dog barks."), "length"),
        ("questions", qa("What happens here?", DOG), "repeats the caption"),
        ("questions", qa("What happens here?", "I hear that a brown dog barks at the postman."), "repeats the caption"),
        ("questions", qa("Who barks in the rain?", "It is the rain, the rain."), "repeats itself"),
        ("questions", qa("Which brown dog barks?", "a brown dog"), "leaks the answer"),
        ("questions", qa("What does the caption tell?", "It tells of a dog."), "speaks of the text"),
        ("questions", qa("How does a listener feel?", "They feel joy and awe."), "ungrounded"),
        ("questions", qa("Which machine is heard?", "It is the engine of an old car."), "repeats an example"),
        ("choices", qa("Who is loud?", "a dog", wrong=["a cat", "a cow", "a hen"]), ""),
        ("choices", qa("Who is loud?", "a dog", wrong=["a cat", "A cat.", "a hen"]), "choices alike"),
        ("choices", qa("Who is loud?", "a dog", wrong=["a cat", "a dog", "a hen"]), "choices alike"),
        ("choices", qa("Is the dog loud?", "the dog", wrong=["a cat", "a cow", "a hen"]), "leaks the answer"),
        ("entailment", {"hypothesis": "A pet is excited."}, ""),
        ("entailment", {"hypothesis": "A brown dog barks at a postman."}, "repeats the caption"),
        ("entailment", {"hypothesis": "Somebody plays a guitar."}, "repeats an example"),
        ("entailment", {"hypothesis": "The dog is a dog."}, "repeats itself"),
        ("neutral", {"hypothesis": "The dog knows the postman well."}, ""),
        ("neutral", {"hypothesis": "The dog barks loudly at the postman now."}, ""),
        ("neutral", {"hypothesis": "The postman barks at the dog."}, "no news"),
        ("contradiction", {"hypothesis": "The dog sleeps in silence."}, ""),
        ("contradiction", {"hypothesis": "The dog does not make noise."}, "leaks the answer"),
        ("contradiction", {"hypothesis": "The dog is barking."}, "no news"),
        ("contradiction", {"hypothesis": "This contradicts the premise."}, "speaks of the text"),
    ],
)
def test_each_reason_to_drop_an_item(kind, item, reason):
    assert fault(KINDS[kind], item, [DOG]) == reason
    assert not reason or reason in REASONS


def test_words_of_the_prompt_are_nothing_bad_if_no_examples_were_shown():
    item = {"hypothesis": "An animal makes noise."}
    assert fault(KINDS["entailment"], item, [DOG]) == "repeats an example"
    assert fault(KINDS["entailment"], item, [DOG], with_examples=False) == ""


def test_a_difference_speaks_of_both_clips():
    both = [DOG, "Rain falls on leaves."]
    text = "The first has the sharp voice of a dog, the second the soft patter of rain."
    assert fault(KINDS["concise"], {"difference": text}, both) == ""
    assert fault(KINDS["concise"], {"difference": text.replace("rain", "water")}, both) == "ungrounded"
    assert fault(KINDS["concise"], {"difference": text}, both[::-1]) == "ungrounded"  # mixed up
    turned = "The second is the soft patter of rain, and the first the sharp voice of a dog."
    assert fault(KINDS["concise"], {"difference": turned}, both) == ""
    twice = "The dog is louder than the rain. The dog is louder than the rain."
    assert fault(KINDS["concise"], {"difference": twice}, both) == "repeats itself"


def test_a_caption_with_a_negation_may_be_contradicted_with_one():
    item = {"hypothesis": "A bird sings without rest."}
    assert fault(KINDS["contradiction"], item, [DOG]) == "leaks the answer"
    assert fault(KINDS["contradiction"], item, ["No birds sing."]) == ""


def test_duplicates_are_of_one_clip_and_of_one_sentence():
    seen = Seen()
    asked = qa("Who is there?", "a dog")
    assert seen.is_new(KINDS["questions"], asked, ["1.wav"]) and seen.is_new(KINDS["questions"], asked, ["2.wav"])
    assert not seen.is_new(KINDS["questions"], qa("who is there", "a cat"), ["1.wav"])
    sentence = {"hypothesis": "An animal is there."}
    assert seen.is_new(KINDS["entailment"], sentence, ["1.wav"])
    assert not seen.is_new(KINDS["neutral"], sentence, ["1.wav"])  # of one clip it cannot be both
    assert not seen.is_new(KINDS["entailment"], sentence, ["2.wav"])


def test_other_kinds_are_refused():
    with pytest.raises(ValueError, match=r"'poems'.*'questions'"):
        load_instructions(["poems"])
    with pytest.raises(ValueError, match="expected some of"):
        load_instructions([])
    assert {each.group for each in load_instructions()} == set(GROUPS)
