"""Entailment by thresholds, probes and answers: the rules, what goes in, what is refused."""

import io

import numpy as np
import pytest
import soundfile
import torch
from generating_models import parts
from tiny_models import RATE, clap_parts, stock_clap_parts, tiny_clap, tone, write_tones
from torch.utils.data import Dataset
from transformers import ClapProcessor, pipeline

from afm_hf import AudioDecodeError, AudioEntailmentPipeline, ClapAfmProcessor
from afm_hf.adaptation.entailment import LABELS, fit_entailment_probe, fit_thresholds
from afm_hf.entailment.entailment_labels import AudioEntailmentResult, EntailmentThresholds
from afm_hf.entailment.entailment_prompts import OPTIONS, entailment_prompt, named_letter, named_option
from afm_hf.models.clap_afm.embedding_clap_afm import embed_audio, embed_texts

TEXTS = ["a dog barks", "it rains", "an engine"]


@pytest.fixture(scope="module")
def clap():
    model, tokenizer, extractor = clap_parts()
    return AudioEntailmentPipeline(
        model=model, processor=ClapAfmProcessor(extractor, tokenizer), device="cpu", thresholds=(-0.1, 0.1)
    )


def generative(kind, **kwargs):
    model, processor = parts(kind)
    if kind == "mellow":
        processor.pad_prompt, processor.prompt_length = False, 120  # byte tokens are many
        model.config.text_config.max_position_embeddings = 512
    return AudioEntailmentPipeline(model=model, processor=processor, device="cpu", sampling_rate=RATE, **kwargs)


def clips(count=3):
    return [tone(200 * (index + 1), seed=index) for index in range(count)]


def similarity(pipe, clip, text):
    """Written out."""
    inputs = pipe.processor.feature_extractor([clip], sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        return float(embed_audio(pipe.model, inputs)[0] @ embed_texts(pipe.model, pipe.processor.tokenizer, [text])[0])


# -- contrastive models -----------------------------------------------------------------------------------------------


def test_the_label_is_where_the_similarity_lies(clap):
    value = similarity(clap, clips()[0], TEXTS[0])
    for low, high, label in (
        (value + 0.1, value + 0.2, "contradiction"),
        (value - 0.1, value + 0.2, "neutral"),
        (value - 0.2, value - 0.1, "entailment"),
    ):
        result = clap(clips()[0], hypothesis=TEXTS[0], thresholds=(low, high))
        assert isinstance(result, AudioEntailmentResult) and result.label == label
        assert result.similarity == pytest.approx(value, abs=1e-5)
        assert max(result.scores, key=result.scores.get) == label and result.scores[label] > 0
        assert result.settings["thresholds"] == [low, high] and result.settings["premise"] == "audio"
        assert result.settings["scoring"] == "thresholds" and result.settings["model"]


class Rows(Dataset):
    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


def test_files_arrays_lists_and_rows_give_the_same(clap, tmp_path):
    paths = [str(path) for path in write_tones(tmp_path, 3)]
    arrays = [soundfile.read(path, dtype="float32")[0] for path in paths]
    wanted = [clap(path, hypothesis=text) for path, text in zip(paths, TEXTS, strict=True)]
    rows = [{"audio": path, "hypothesis": text} for path, text in zip(paths, TEXTS, strict=True)]
    opened = io.BytesIO((tmp_path / "00.wav").read_bytes())
    for got in (
        clap(paths, hypothesis=TEXTS, batch_size=2),
        clap(arrays, hypothesis=TEXTS, batch_size=3),
        clap(rows, batch_size=2),
        list(clap(Rows(rows), batch_size=3)),
        list(clap(iter(rows), batch_size=2)),
        [clap(opened, hypothesis=TEXTS[0]), *wanted[1:]],
    ):
        assert [(r.label, r.hypothesis) for r in got] == [(r.label, r.hypothesis) for r in wanted]
        assert [r.similarity for r in got] == pytest.approx([r.similarity for r in wanted], abs=1e-5)


def test_several_hypotheses_of_a_clip(clap):
    single = [clap(clips()[0], hypothesis=text).similarity for text in TEXTS]
    together = clap(clips()[0], hypothesis=TEXTS)
    assert [result.similarity for result in together] == pytest.approx(single, abs=1e-5)
    ragged = clap(
        [{"audio": clips()[1], "hypothesis": TEXTS}, {"audio": clips()[0], "hypothesis": TEXTS[0]}], batch_size=2
    )
    assert len(ragged[0]) == 3 and ragged[1].similarity == pytest.approx(single[0], abs=1e-5)
    shared = clap(clips(2), hypothesis=TEXTS[1], batch_size=2)
    assert [result.hypothesis for result in shared] == [TEXTS[1]] * 2


def test_captions_beside_the_clip_and_in_place_of_it(clap):
    row = {"caption": ["a dog", "a bark"], "hypothesis": TEXTS[0]}
    alone = clap(row, premise="caption", scoring="similarity")
    texts = embed_texts(clap.model, clap.processor.tokenizer, [*row["caption"], TEXTS[0]]).detach()
    caption = torch.nn.functional.normalize(texts[:2].mean(dim=0), dim=-1)
    assert alone.label is None and alone.caption == row["caption"]
    assert alone.similarity == pytest.approx(float(caption @ texts[2]), abs=1e-5)
    heard = similarity(clap, clips()[0], TEXTS[0])
    both = clap({**row, "audio": clips()[0]}, premise="both", scoring="similarity")
    assert both.similarity == pytest.approx((heard + alone.similarity) / 2, abs=1e-5)
    captioned = clap(clips()[0], hypothesis=TEXTS[0], caption=row["caption"], premise="both", scoring="similarity")
    assert captioned.similarity == pytest.approx(both.similarity, abs=1e-5)
    plain = clap({**row, "audio": clips()[0]}, scoring="similarity")  # a caption counts only when it is asked for
    assert plain.similarity == pytest.approx(heard, abs=1e-5) and plain.caption is None


def test_a_captioner_captions_what_has_no_caption(clap):
    def captioner(clip, sampling_rate=None, truncation=None):
        assert sampling_rate == RATE
        return [{"generated_text": f"a tone of {len(clip)} samples"}]

    given = {"audio": clips()[1], "hypothesis": TEXTS[0], "caption": "mine"}
    results = clap(
        [{"audio": clips()[0], "hypothesis": TEXTS[0]}, given],
        premise="both",
        captioner=captioner,
        scoring="similarity",
    )
    assert [result.caption for result in results] == [f"a tone of {len(clips()[0])} samples", "mine"]
    with pytest.raises(ValueError, match=r"has no caption\. Give `caption`, or a `captioner`"):
        clap(clips()[0], hypothesis=TEXTS[0], premise="both", scoring="similarity")


def test_thresholds_of_another_premise_are_refused(clap):
    with pytest.raises(ValueError, match="fitted with the premise 'audio', but this is 'caption'"):
        clap({"caption": "a dog", "hypothesis": TEXTS[0]}, premise="caption")


def test_without_thresholds_it_says_how_to_fit_them_and_they_travel_with_the_checkpoint(tmp_path):
    folder = tiny_clap(tmp_path / "clap")
    pipe = pipeline("audio-entailment", model=str(folder), device="cpu")
    with pytest.raises(ValueError, match=r"No thresholds for the premise 'audio'.*fit_thresholds\(results, labels\)"):
        pipe(clips()[0], hypothesis=TEXTS[0])
    results = pipe(clips(), hypothesis=TEXTS, scoring="similarity")
    thresholds = fit_thresholds(results, ["neutral", "contradiction", "entailment"])
    assert thresholds.settings["model"] == str(folder)
    fitted = pipeline("audio-entailment", model=str(folder), device="cpu", thresholds=thresholds)
    wanted = [result.label for result in fitted(clips(), hypothesis=TEXTS)]
    fitted.save_pretrained(tmp_path / "saved")
    again = pipeline("audio-entailment", model=str(tmp_path / "saved"), device="cpu")
    assert [result.label for result in again(clips(), hypothesis=TEXTS)] == wanted
    thresholds.save(tmp_path / "t.json")
    named = pipeline("audio-entailment", model=str(folder), device="cpu", thresholds=tmp_path / "t.json")
    assert [result.label for result in named(clips(), hypothesis=TEXTS)] == wanted


def test_a_probe_reads_what_embed_gives(clap, tmp_path):
    rows = [
        {"audio": clip, "hypothesis": text, "caption": f"{text} here"}
        for clip, text in zip(clips(), TEXTS, strict=True)
    ]
    embeddings = clap.embed(rows, premise="both", batch_size=2)
    assert sorted(embeddings) == ["audio", "caption", "hypothesis"]
    assert {tuple(value.shape) for value in embeddings.values()} == {(3, 12)}
    assert float(embeddings["audio"][1] @ embeddings["hypothesis"][1]) == pytest.approx(
        similarity(clap, clips()[1], TEXTS[1]), abs=1e-5
    )
    for inputs in (("audio", "hypothesis"), ("audio", "hypothesis", "caption"), ("hypothesis",)):
        probe = fit_entailment_probe(embeddings, LABELS, inputs)
        probe.save(tmp_path / "probe.safetensors")
        results = clap(rows, probe=tmp_path / "probe.safetensors", batch_size=2)
        assert [result.label for result in results] == probe.predict(embeddings) == list(LABELS)
        assert all(sum(result.scores.values()) == pytest.approx(1) for result in results)
        assert results[0].settings["premise"] == "+".join(inputs)
    with pytest.raises(ValueError, match="needs `probe`"):
        clap(rows, scoring="probe")


def test_transformers_own_clap_works():
    model, tokenizer, extractor = stock_clap_parts()
    pipe = AudioEntailmentPipeline(model=model, processor=ClapProcessor(extractor, tokenizer), device="cpu")
    assert pipe(clips()[0], hypothesis=TEXTS[0], thresholds=(-2, -1)).label == "entailment"


def test_bad_clips_are_named_and_may_be_kept_apart(clap, tmp_path):
    bad = clips()[0].copy()
    bad[7] = np.nan
    soundfile.write(tmp_path / "nan.wav", bad, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE // 2), RATE)
    soundfile.write(tmp_path / "good.wav", clips()[0], RATE, subtype="FLOAT")
    names = ("good.wav", "nan.wav", "silent.wav", "gone.wav")
    rows = [{"audio": str(tmp_path / name), "hypothesis": TEXTS[0]} for name in names]
    with pytest.raises(AudioDecodeError, match=r"audios\[1\].*nan\.wav.*NaN"):
        clap(rows)
    good, *bad = clap(rows, on_error="return", batch_size=3)
    assert good.similarity == pytest.approx(similarity(clap, clips()[0], TEXTS[0]), abs=1e-5)
    assert all(isinstance(error, AudioDecodeError) for error in bad)
    assert [name for name, error in zip(names[1:], bad, strict=True) if name in str(error)] == list(names[1:])


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ("clips", {"hypothesis": TEXTS[:2]}, "`hypothesis` is a list of 2, but there is a list of 3 inputs"),
        ("clip", {}, "The hypothesis is None"),
        ("clip", {"hypothesis": " "}, "The hypothesis is ' '"),
        ("clip", {"hypothesis": []}, r"The hypothesis is \[\]"),
        ("clip", {"hypothesis": "a", "scoring": "letter"}, "`scoring` is 'letter'; expected one of 'thresholds'"),
        ("clip", {"hypothesis": "a", "premise": "text"}, "`premise` is 'text'"),
        ("clip", {"hypothesis": "a", "options": {"a": None, "b": None}}, r"\['options'\] is not for a ClapAfmModel"),
        ("clip", {"hypothesis": "a", "thresholds": (0.5, 0.1)}, "Give the smaller one first"),
        ("clip", {"hypothesis": "a", "thresholds": 0.5}, "`thresholds` is 0.5"),
        ("clip", {"hypothesis": "a", "premises": "audio"}, r"Unknown arguments: \['premises'\]"),
        ("text", {}, "There is no clip"),
    ],
)
def test_what_makes_no_sense_is_refused(clap, given, options, message):
    inputs = {"clips": clips(), "clip": clips()[0], "text": {"caption": "a", "hypothesis": "b"}}[given]
    with pytest.raises(ValueError, match=message):
        clap(inputs, **options)


def test_clapcap_and_bare_models_are_refused():
    model, processor = parts("clapcap")
    with pytest.raises(ValueError, match="CLAPCAP reads no prompt"):
        AudioEntailmentPipeline(model=model, processor=processor)
    with pytest.raises(ValueError, match="needs its processor, but was given a NoneType"):
        AudioEntailmentPipeline(model=clap_parts()[0])


# -- models that answer in words --------------------------------------------------------------------------------------

MCQ = list(OPTIONS["afm_mellow"])


@pytest.mark.parametrize(
    ("answer", "letter", "text"),
    [
        ("a) it is definitely true", 0, 0),
        ("b) it is definitely false", 1, 1),
        ("(C) It is plausible.", 2, 2),
        ("d", 3, None),
        ("b)", 1, None),
        ("The answer is B.", 1, None),
        ("a) or b)", None, None),
        ("it is definitely false", None, 1),
        ("I think that it is plausible", None, 2),
        ("a) it is definitely false", 0, 1),  # the two ways differ
        ("a dog barks", None, None),
        ("it is plausible or it is definitely true", None, None),
        ("e) something else", None, None),
        ("", None, None),
    ],
)
def test_answers_are_read_and_never_guessed(answer, letter, text):
    assert (named_letter(answer, MCQ), named_option(answer, MCQ)) == (letter, text)


def test_yes_and_no_are_whole_words():
    options = list(OPTIONS["afm_pengi"])
    assert [named_option(text, options) for text in ("Yes.", "no", "i cannot tell", "nothing", "yes and no")] == [
        *(0, 1, 2),
        *(None, None),
    ]


def answering(monkeypatch, pipe, answers):
    """The pipeline, whose model says these answers."""
    waiting = iter(answers)
    monkeypatch.setattr(pipe, "generate", lambda inputs, _: [[next(waiting)] for _ in inputs["input_ids"]])
    return pipe


def test_classes_are_those_of_the_words_whatever_the_letters(monkeypatch):
    answers = ["a) ...", "b) ...", "c) ...", "d) ...", "who knows"]
    official = answering(monkeypatch, generative("mellow"), answers)
    got = [result.label for result in official(clips(1)[0], hypothesis=["x"] * 5)]
    assert got == ["entailment", "contradiction", "neutral", None, None]
    swapped = {"it is true": "entailment", "it is plausible": "neutral", "it is false": "contradiction"}
    other = answering(monkeypatch, generative("mellow", options=swapped), answers)
    results = other(clips(1)[0], hypothesis=["x"] * 5)
    assert [result.label for result in results] == ["entailment", "neutral", "contradiction", None, None]
    assert results[4].answer == "who knows" and results[0].settings["options"] == swapped


def test_likelihood_takes_the_likeliest_option_and_batches_change_nothing():
    pipe = generative("mellow", scoring="likelihood")
    single = [pipe(clip, hypothesis=text) for clip, text in zip(clips(), TEXTS, strict=True)]
    for result in single:
        assert result.label == OPTIONS["afm_mellow"][result.answer.split(") ")[1]]
        assert 0 < sum(result.scores.values()) < 1  # the rest is of "i cannot determine"
    batched = pipe(clips(), hypothesis=TEXTS, batch_size=3)
    assert [result.answer for result in batched] == [result.answer for result in single]
    for got, wanted in zip(batched, single, strict=True):
        assert got.scores == pytest.approx(wanted.scores, abs=1e-4)


def test_pengi_is_asked_without_options():
    pipe = generative("pengi")
    result = pipe(clips()[0], hypothesis="A dog.")
    assert result.settings["scoring"] == "likelihood" and result.answer in OPTIONS["afm_pengi"]
    assert sum(result.scores.values()) == pytest.approx(1)
    assert pipe(clips()[0], hypothesis="A dog.", scoring="text").label is None  # random weights say nothing of it
    with pytest.raises(ValueError, match="not shown letters"):
        pipe(clips()[0], hypothesis="A dog.", scoring="letter")
    with pytest.raises(ValueError, match=r"\['thresholds'\] is not for a PengiForConditionalGeneration"):
        pipe(clips()[0], hypothesis="A dog.", thresholds=(0, 1))
    with pytest.raises(ValueError, match="no place for"):
        pipe(clips()[0], hypothesis="A dog.", prompt="question: what?")


def test_models_that_answer_caption_before_they_reason():
    pipe = generative("pengi", premise="both")
    captioned = pipe(clips()[0], hypothesis="A dog.", caption="rain")
    assert captioned.caption == "rain" and captioned.settings["premise"] == "both"
    own = pipe(clips()[0], hypothesis="A dog.")
    assert own.caption == pipe._as_captioner(None)(clips()[0], sampling_rate=RATE)[0]["generated_text"].strip()


@pytest.mark.parametrize(
    ("model_type", "captions", "prompt"),
    [
        ("afm_mellow", None, "a {dog} barks. a) it is definitely true b) it is definitely false c) it is plausible"),
        ("afm_mellow", ["Rain."], "caption: rain. hypothesis: a {dog} barks. a) it is definitely true"),
        ("afm_pengi", None, "question: is it true that a {dog} barks?"),
        ("afm_pengi", ["Rain.", "Wind"], "question: is it true that a {dog} barks? caption: rain. wind"),
    ],
)
def test_prompts(model_type, captions, prompt):
    options = list(OPTIONS[model_type])
    assert entailment_prompt(model_type, "A {dog} barks.", captions, None, options).startswith(prompt)


def test_options_that_make_no_sense():
    with pytest.raises(ValueError, match="means 'true'; expected one of entailment"):
        generative("mellow", options={"yes": "true", "no": "contradiction"})
    with pytest.raises(ValueError, match="expected 2 to 8 answers"):
        generative("mellow", options={"yes": "entailment"})


def test_margins_and_labels_agree_at_the_thresholds():
    thresholds = EntailmentThresholds(low=0.25, high=0.5)
    assert [thresholds.label(value) for value in (0.24, 0.25, 0.5)] == ["contradiction", "neutral", "entailment"]
    assert EntailmentThresholds(low=0.5, high=0.5).label(0.5) == "entailment"
    assert thresholds.margins(0.375) == {"entailment": -0.125, "neutral": 0.125, "contradiction": -0.125}
