"""Pengi's description, and classification by what a model would say."""

import functools

import pytest
import torch
from generating_models import KINDS, examples, parts
from prefix_models import RATE, clips
from tiny_models import clap_parts, tiny_clap
from transformers.pipelines import PIPELINE_REGISTRY

from afm_hf import AudioTextGenerationPipeline, ZeroShotAudioClassificationPipeline, score_answers

LABELS = ["a dog", "rain on a roof", "wind"]


def make(kind, **kwargs):
    model, processor = parts(kind)
    return AudioTextGenerationPipeline(model=model, processor=processor, device="cpu", sampling_rate=RATE, **kwargs)


def scores(result):
    return {entry["label"]: entry["score"] for entry in result}


# -- describe ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pengi", "pengi_no_text_enc"])
def test_descriptions_are_those_of_the_processor_in_batches(kind):
    pipe = make(kind)
    wanted = pipe.processor.describe(pipe.model, clips(3), sampling_rate=RATE)
    assert len(set(wanted)) > 1
    assert pipe.describe(clips(3), batch_size=2) == [[{"generated_text": text}] for text in wanted]
    assert pipe(clips(1)[0], task="describe") == [{"generated_text": wanted[0]}]


def test_only_pengi_describes():
    with pytest.raises(ValueError, match="Only Pengi describes; this is a Mellow"):
        make("mellow").describe(clips(1)[0])
    with pytest.raises(ValueError, match="`task` is 'sing'"):
        make("pengi")(clips(1)[0], task="sing")


# -- classify ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["clapcap", "pengi", "mellow", "adiff"])
def test_likelihoods_are_those_of_the_labels_as_answers(kind):
    pipe = make(kind)
    results = pipe.classify(examples(kind), LABELS, batch_size=2)
    prompts = {"pengi": "this is a sound of", "adiff": "caption the first audio", "clapcap": None}
    prompt = prompts.get(kind, "what is the primary sound present in the audio?")
    for example, result in zip(examples(kind), results, strict=True):
        audio = [list(example)] if isinstance(example, tuple) else [example]
        inputs = pipe.processor(audio=audio, text=prompt, sampling_rate=RATE)
        wanted = score_answers(pipe.model, pipe.processor, inputs, LABELS).mean[0]
        got = {entry["label"]: entry["log_likelihood"] for entry in result}
        assert [got[label] for label in LABELS] == pytest.approx(wanted.tolist(), abs=1e-4)
        assert [scores(result)[label] for label in LABELS] == pytest.approx(wanted.softmax(0).tolist(), abs=1e-4)
        assert [entry["score"] for entry in result] == sorted(scores(result).values(), reverse=True)
    assert pipe.classify(examples(kind)[0], ", ".join(LABELS))[0]["label"] == results[0][0]["label"]


def cosines(parts_of_clap, answer):
    model, tokenizer, _ = parts_of_clap
    texts = [f"This is a sound of {text}." for text in (answer, *LABELS)]
    with torch.no_grad():
        encoded = model.get_text_features(**tokenizer(texts, padding=True, return_tensors="pt")).pooler_output
    encoded = encoded / encoded.norm(dim=-1, keepdim=True)
    return (encoded[1:] @ encoded[0]).tolist()


def test_similarities_are_cosines_of_the_answer_and_the_labels(tmp_path):
    clap = clap_parts()
    zero_shot = ZeroShotAudioClassificationPipeline(
        model=clap[0], tokenizer=clap[1], feature_extractor=clap[2], device="cpu"
    )
    pipe = make("pengi")
    for given in (clap[:2], zero_shot, tiny_clap(tmp_path / "clap"), str(tmp_path / "clap")):
        results = pipe.classify(clips(3), LABELS, method="similarity", similarity_model=given, batch_size=2)
        for clip, result in zip(clips(3), results, strict=True):
            answer = pipe(clip, prompt="this is a sound of")[0]["generated_text"]
            assert [scores(result)[label] for label in LABELS] == pytest.approx(cosines(clap, answer), abs=1e-4)


def test_both_ways_at_once_and_the_label_that_was_said(monkeypatch):
    pipe, clap = make("pengi"), clap_parts()[:2]
    options = {"similarity_model": clap, "prompt": "what is it"}
    both = pipe.classify(clips(2), LABELS, method="both", batch_size=2, **options)[1]
    alone = pipe.classify(clips(2)[1], LABELS, **options)
    assert scores(both["likelihood"]) == pytest.approx(scores(alone), abs=1e-4)  # of a batch of two, and of one
    assert scores(both["similarity"]) == pytest.approx(
        scores(pipe.classify(clips(2)[1], LABELS, method="similarity", **options)), abs=1e-4
    )
    assert both["match"] is None
    said = {"Wind.": "wind", "there is a dog and a cat": "a dog", "a dog in the wind": None, "": None}
    for text, label in said.items():
        monkeypatch.setattr(pipe, "generate", lambda *args, text=text: [[text]])
        result = pipe.classify(clips(1)[0], LABELS, method="both", **options)
        assert (result["generated_text"], result["match"]) == (text, label)


def test_without_a_text_model_that_of_the_zero_shot_task_is_taken(tmp_path, monkeypatch):
    task = PIPELINE_REGISTRY.supported_tasks["zero-shot-audio-classification"]
    folder = str(tiny_clap(tmp_path / "clap-small"))
    monkeypatch.setitem(task, "default", {"model": (folder, "main")})
    pipe = make("pengi")
    result = pipe.classify(clips(1)[0], LABELS, method="similarity")
    named = pipe.classify(clips(1)[0], LABELS, method="similarity", similarity_model=folder)
    assert scores(result) == pytest.approx(scores(named), abs=1e-6)


def test_labels_are_encoded_once_for_all_batches(monkeypatch):
    model, tokenizer, _ = clap_parts()
    texts, encode = [], model.get_text_features
    monkeypatch.setattr(model, "get_text_features", lambda **kw: texts.append(len(kw["input_ids"])) or encode(**kw))
    pipe, options = make("pengi"), {"method": "similarity", "similarity_model": (model, tokenizer)}
    pipe.classify(clips(3), LABELS, batch_size=2, **options)
    pipe.classify(clips(1)[0], LABELS, **options)
    assert sorted(texts) == [1, 1, 2, len(LABELS)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"candidate_labels": []}, "is empty"),
        ({"candidate_labels": ["a", "a"]}, "is there twice"),
        ({"candidate_labels": LABELS, "method": "guess"}, "`method` is 'guess'"),
        ({"candidate_labels": LABELS, "hypothesis_template": "none"}, "has no place"),
        ({"candidate_labels": LABELS, "hypothesis_template": ["a {}", "the {}"]}, "There are 2 templates"),
        ({"candidate_labels": LABELS, "method": "similarity", "similarity_model": 3}, "gives a NoneType"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make("pengi").classify(clips(1)[0], **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beams", [1, 2])
def test_several_questions_about_one_clip_are_answered_as_one_after_the_other(kind, beams, monkeypatch):
    pipe = make(kind)
    clip = examples(kind)[0]
    questions = ["what is it", "is it so", "where", "what is it, please"]
    alone = [pipe(clip, prompt=question, num_beams=beams) for question in questions]
    heard = []
    listen = type(pipe.model.model).hear
    monkeypatch.setattr(
        type(pipe.model.model), "hear", lambda self, *args, **how: heard.append(1) or listen(self, *args, **how)
    )
    assert pipe(clip, prompt=questions, num_beams=beams) == alone
    assert len(heard) == 1, "the clip was heard more than once"
    rows = [{"audio": clip, "prompt": questions}, {"audio": clip, "prompt": questions[2]}]
    assert pipe(rows, num_beams=beams, batch_size=2) == [alone, alone[2]]


@pytest.mark.parametrize("kind", ["pengi", "mellow"])
def test_labels_are_scored_for_each_of_several_questions(kind):
    pipe = make(kind)
    clip, questions = examples(kind)[0], ["what is it", "is it so"]
    for found, question in zip(pipe.classify(clip, "a,b", prompt=questions), questions, strict=True):
        wanted = {entry["label"]: entry["score"] for entry in pipe.classify(clip, "a,b", prompt=question)}
        assert {entry["label"]: pytest.approx(entry["score"], abs=1e-5) for entry in found} == wanted


def test_questions_behind_the_audio_are_read_from_a_shared_cache(monkeypatch):
    pipe = make("mellow")
    widths = []
    forward = type(pipe.model).forward

    @functools.wraps(forward)  # `generate` looks at its arguments
    def counted(self, input_ids=None, **how):
        widths.append(tuple(input_ids.shape))
        return forward(self, input_ids=input_ids, **how)

    monkeypatch.setattr(type(pipe.model), "forward", counted)
    pipe(examples("mellow")[0], prompt=["what is it", "where is it"], max_new_tokens=2)
    (once, shared), (rows, rest) = widths[:2]
    assert (once, rows) == (1, 2) and shared >= pipe.processor.prefix_length
    assert shared + rest == len(pipe.processor.front_ids("where is it"))


def test_no_questions_are_refused():
    with pytest.raises(ValueError, match="list of prompts is empty"):
        make("pengi")(examples("pengi")[0], prompt=[])
