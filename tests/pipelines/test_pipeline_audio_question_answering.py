"""Questions reach each model in the words that it was trained with; choices are scored, and what is said is read."""

import pytest
from generating_models import examples, parts
from prefix_models import RATE, clips
from torch.utils.data import Dataset

from afm_hf import AudioQuestionAnsweringPipeline, AudioTextGenerationPipeline, score_answers
from afm_hf.models.prefix_lm.prompts_afm import letter_of, question_prompt

CHOICES = ["A dog", "rain", "wind"]


def make(kind, cls=AudioQuestionAnsweringPipeline, **kwargs):
    model, processor = parts(kind)
    if kind == "mellow":
        processor.pad_prompt, processor.prompt_length = False, 80  # byte tokens are many
    return cls(model=model, processor=processor, device="cpu", sampling_rate=RATE, **kwargs)


@pytest.mark.parametrize(
    ("model_type", "choices", "prompt"),
    [
        ("afm_pengi", (), "question: What is it"),
        ("afm_pengi", ("yes", "no"), "question: What is it"),
        ("afm_pengi", CHOICES, "question: What is it"),
        ("afm_mellow", (), "what is it"),
        ("afm_mellow", ("No", "yes"), "what is it? answer yes or no"),
        ("afm_mellow", CHOICES, "what is it? a) a dog b) rain c) wind"),
    ],
)
def test_questions_in_the_words_of_each_model(model_type, choices, prompt):
    assert question_prompt(model_type, "What is it ", choices) == prompt


@pytest.mark.parametrize("kind", ["pengi", "mellow"])
def test_open_questions(kind):
    pipe, plain = make(kind), make(kind, AudioTextGenerationPipeline)
    prompt = {"pengi": "question: what is it?", "mellow": "what is it?"}[kind]
    wanted = [result[0]["generated_text"] for result in plain(examples(kind), prompt=prompt)]
    got = pipe(examples(kind), question="what is it?", batch_size=2)
    assert got == [{"answer": text, "generated_text": text} for text in wanted]
    many = pipe(examples(kind)[0], question="what is it?", num_beams=2, num_return_sequences=2)
    assert len(many["generated_texts"]) == 2 and many["answer"] == many["generated_texts"][0]


@pytest.mark.parametrize(
    ("kind", "scored", "prompt"),
    [
        ("pengi", CHOICES, "question: what is it?"),
        ("mellow", ["a) A dog", "b) rain", "c) wind"], "what is it? a) a dog b) rain c) wind"),
    ],
)
def test_choices_are_scored_as_answers(kind, scored, prompt):
    pipe = make(kind)
    result = pipe(examples(kind)[0], question="what is it?", choices=CHOICES)
    example = examples(kind)[0]
    inputs = pipe.processor(audio=[list(example)] if kind == "mellow" else [example], text=prompt, sampling_rate=RATE)
    wanted = score_answers(pipe.model, pipe.processor, inputs, scored).mean[0]
    assert [entry["log_likelihood"] for entry in result["scores"]] == pytest.approx(wanted.tolist(), abs=1e-4)
    assert [entry["score"] for entry in result["scores"]] == pytest.approx(wanted.softmax(0).tolist(), abs=1e-4)
    assert [(entry["choice"], entry["letter"]) for entry in result["scores"]] == list(zip(CHOICES, "abc", strict=True))
    best = int(wanted.argmax())
    assert (result["answer"], result["letter"]) == (CHOICES[best], "abc"[best])
    assert result["score"] == pytest.approx(float(wanted.softmax(0)[best]), abs=1e-4)
    assert result["generated_text"] and result["generated_letter"] is None  # random weights name none


class Rows(Dataset):
    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


@pytest.mark.parametrize("kind", ["pengi", "mellow"])
def test_rows_with_and_without_choices_share_a_batch(kind):
    rows = [
        {"audio": examples(kind)[0], "question": "what is it?", "choices": CHOICES},
        {"audio": examples(kind)[1], "question": "is it a dog?"},
        {"audio": examples(kind)[2], "question": "is it a dog?", "choices": ["yes", "no"], "answer": "yes"},
    ]
    pipe = make(kind)
    single = [pipe(row) for row in rows]
    for got in (pipe(rows, batch_size=3), list(pipe(Rows(rows), batch_size=2))):
        for result, wanted in zip(got, single, strict=True):
            assert result["generated_text"] == wanted["generated_text"] and result.keys() == wanted.keys()
            assert [entry["score"] for entry in result.get("scores", [])] == pytest.approx(
                [entry["score"] for entry in wanted.get("scores", [])], abs=1e-4
            )
    each = pipe(
        [row["audio"] for row in rows[::2]],
        question=[row["question"] for row in rows[::2]],
        choices=[row["choices"] for row in rows[::2]],
    )
    assert [result["answer"] for result in each] == [single[0]["answer"], single[2]["answer"]]


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("b) rain", "b"),
        ("(C) wind", "c"),
        ("a", "a"),
        ("d) thunder", None),
        ("Rain.", "b"),
        ("it is a dog that barks", "a"),
        ("rain and wind", None),
        ("windy", None),
        ("", None),
    ],
)
def test_the_choice_that_an_answer_names(answer, letter):
    assert letter_of(answer, CHOICES) == letter


def test_no_within_other_words_is_no_answer():
    assert letter_of("noise", ["yes", "no"]) is None
    assert letter_of("no, it is not", ["yes", "no"]) == "b"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "The question is None"),
        ({"question": " "}, "The question is ' '"),
        ({"question": "x", "choices": ["a"]}, r"`choices` is \['a'\]; expected a list of 2 to 26"),
        ({"question": "x", "choices": "a,b"}, "`choices` is 'a,b'"),
        ({"question": "x", "choices": ["a", " "]}, r"choices\[1\] is ' '"),
        ({"question": "x", "choices": ["a", "A "]}, r"choices\[1\], 'A ', is there twice"),
        ({"question": ["x", "y"]}, "`question` is a list of 2, but there is no list of inputs"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make("pengi")(clips(1)[0], **options)
    with pytest.raises(ValueError, match="CLAPCAP reads no prompt"):
        make("clapcap")
