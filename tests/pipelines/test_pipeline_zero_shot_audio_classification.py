"""Users swap our pipeline in for the stock one: the same numbers, and what is added must not change them."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import tiny_models
import torch
from tiny_models import CLIP_S, LABELS, RATE, clap_parts, stock_clap_parts, tone
from torch.utils.data import Dataset
from transformers import pipeline
from transformers.pipelines.zero_shot_audio_classification import ZeroShotAudioClassificationPipeline as Stock

import afm_hf
from afm_hf import AudioDecodeError, ZeroShotAudioClassificationPipeline
from afm_hf.models.clap_afm.background_clap_afm import EVERYDAY_SOUNDS
from afm_hf.models.clap_afm.embedding_clap_afm import embed_texts


def make(parts, cls=ZeroShotAudioClassificationPipeline, **kwargs):
    model, tokenizer, extractor = parts
    return cls(model=model, tokenizer=tokenizer, feature_extractor=extractor, device="cpu", **kwargs)


@pytest.fixture
def pipe():
    return make(clap_parts())


@pytest.fixture(scope="module")
def clips():
    return [tone(300 * (index + 1), seed=index) for index in range(5)]


def scores(result):
    return {entry["label"]: entry["score"] for entry in result}


def assert_same(ours, theirs, tolerance=1e-5):
    assert scores(ours) == pytest.approx(scores(theirs), abs=tolerance)
    assert [entry["score"] for entry in ours] == sorted((entry["score"] for entry in ours), reverse=True)


def count_calls(monkeypatch, owner, name):
    calls = []
    original = getattr(owner, name)

    def counted(*args, **kwargs):
        calls.append(kwargs or args)
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, counted)
    return calls


# -- as the stock pipeline --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [clap_parts, stock_clap_parts], ids=["ClapAfm", "transformers-clap"])
@pytest.mark.parametrize("options", [{}, {"hypothesis_template": "{}"}], ids=["default", "bare"])
def test_scores_and_structure_equal_the_stock_pipeline(parts, options, clips):
    parts = parts()
    ours, stock = make(parts), make(parts, Stock)
    one, other = (pipe(clips[0], candidate_labels=LABELS, **options) for pipe in (ours, stock))
    assert_same(one, other)
    assert [list(entry) for entry in one] == [list(entry) for entry in other]
    assert type(one[0]["score"]) is type(other[0]["score"])
    many, others = (pipe(clips, candidate_labels=LABELS, batch_size=2, **options) for pipe in (ours, stock))
    assert type(many) is type(others) and len(many) == len(others) == len(clips)
    for mine, theirs in zip(many, others, strict=True):
        assert_same(mine, theirs)


@pytest.mark.parametrize("parts", [clap_parts, stock_clap_parts], ids=["ClapAfm", "transformers-clap"])
def test_logits_equal_a_call_of_the_model(parts, clips):
    model, tokenizer, extractor = parts()
    pipe = make((model, tokenizer, extractor))
    features = extractor([clips[0]], sampling_rate=RATE, return_tensors="pt")
    texts = tokenizer([f"This is a sound of {label}." for label in LABELS], padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**features, **texts).logits_per_audio
    got = pipe.forward(pipe.preprocess(clips[0]), candidate_labels=tuple(LABELS))["logits"]
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_in_bfloat16_the_logits_are_those_of_the_model(clips):
    model, tokenizer, extractor = clap_parts()
    pipe = make((model.to(torch.bfloat16), tokenizer, extractor))
    texts = tokenizer([f"This is a sound of {label}." for label in LABELS], padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**pipe.preprocess(clips[0]), **texts).logits_per_audio
    got = pipe.forward(pipe.preprocess(clips[0]), candidate_labels=tuple(LABELS))["logits"]
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-4)


def test_a_model_that_hides_its_towers_is_called_whole(clips):
    class Whole(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner, self.config, self.device, self.dtype = inner, inner.config, inner.device, inner.dtype

        def can_generate(self):
            return False

        def forward(self, **inputs):
            return self.inner(**inputs)

    model, tokenizer, extractor = clap_parts()
    expected = make((model, tokenizer, extractor))(clips[:3], candidate_labels=LABELS)
    pipe = make((Whole(model), tokenizer, extractor))
    for got, wanted in zip(pipe(clips[:3], candidate_labels=LABELS, batch_size=2), expected, strict=True):
        assert_same(got, wanted)
    with pytest.raises(ValueError, match="2 templates cannot be averaged"):
        pipe(clips[0], candidate_labels=LABELS, hypothesis_template=["a {}", "the {}"])


@pytest.mark.parametrize("task", ["zero-shot-audio-classification", "audio-quality-assessment"])
def test_a_model_without_a_text_tower_is_refused_with_what_to_use(task):
    with pytest.raises(ValueError, match=r"PengiModel does not embed audio and text apart.*audio-text-generation"):
        pipeline(task, model=str(afm_hf.bundled_model("pengi-small")))


def test_the_task_name_gives_this_class_and_save_pretrained_round_trips(tmp_path, clips):
    folder = tiny_models.tiny_clap(tmp_path / "model")
    pipe = pipeline("zero-shot-audio-classification", model=str(folder), device="cpu")
    assert type(pipe) is ZeroShotAudioClassificationPipeline
    pipe.save_pretrained(tmp_path / "saved")
    assert "custom_pipelines" not in json.loads((tmp_path / "saved" / "config.json").read_text())
    again = pipeline("zero-shot-audio-classification", model=str(tmp_path / "saved"), device="cpu")
    assert_same(again(clips[0], candidate_labels=LABELS), pipe(clips[0], candidate_labels=LABELS))


def test_the_class_can_be_the_first_thing_imported():
    # Its module imports transformers' pipelines, which then register the class that is not there yet.
    code = (
        "from afm_hf import ZeroShotAudioClassificationPipeline as ours\n"
        "from transformers.pipelines import PIPELINE_REGISTRY as registry\n"
        "assert registry.check_task('zero-shot-audio-classification')[1]['impl'] is ours"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# -- labels are encoded once ------------------------------------------------------------------------------------------


def test_labels_are_encoded_once_for_all_clips_and_calls(pipe, clips, monkeypatch):
    calls = count_calls(monkeypatch, pipe.model, "get_text_features")
    pipe(clips, candidate_labels=LABELS)
    pipe(clips, candidate_labels=tuple(LABELS), batch_size=3)
    pipe(clips[0], candidate_labels=LABELS)
    assert len(calls) == 1
    assert calls[0]["input_ids"].shape[0] == len(LABELS)
    pipe(clips[0], candidate_labels=LABELS[:2])
    pipe(clips[0], candidate_labels=LABELS, hypothesis_template="{}")
    assert len(calls) == 3


def test_texts_are_padded_no_further_than_the_longest(pipe, clips, monkeypatch):
    calls = count_calls(monkeypatch, pipe.model, "get_text_features")
    pipe(clips[0], candidate_labels=["ab", "abcd"], hypothesis_template="{}")
    assert calls[0]["input_ids"].shape == (2, 4)


def change_in_place(model):
    with torch.no_grad():
        model.text_projection.linear1.weight.mul_(-1.5)


def change_by_an_optimizer(model):
    weight = model.text_projection.linear1.weight
    weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    torch.optim.AdamW([weight], lr=1.0).step()


def change_by_loading(model):
    model.load_state_dict(clap_parts(seed=1)[0].state_dict())


def change_to_new_tensors(model):
    weight = model.text_projection.linear1.weight
    model.text_projection.linear1.weight = torch.nn.Parameter(-weight.detach().clone())


@pytest.mark.parametrize(
    "change",
    [change_in_place, change_by_an_optimizer, change_by_loading, change_to_new_tensors],
    ids=lambda f: f.__name__,
)
def test_changed_weights_are_never_answered_from_the_cache(pipe, clips, change):
    before = pipe(clips[0], candidate_labels=LABELS)
    change(pipe.model)
    after = pipe(clips[0], candidate_labels=LABELS)
    assert scores(after) != pytest.approx(scores(before), abs=1e-4)
    fresh = make((pipe.model, pipe.tokenizer, pipe.feature_extractor))
    assert_same(after, fresh(clips[0], candidate_labels=LABELS), tolerance=0)


def test_another_dtype_is_another_model_to_the_cache(pipe, clips, monkeypatch):
    pipe(clips[0], candidate_labels=LABELS)
    calls = count_calls(monkeypatch, pipe.model, "get_text_features")
    pipe.model.to(torch.bfloat16)
    pipe(clips[0], candidate_labels=LABELS)
    assert len(calls) == 1


def test_the_cache_stays_small_and_can_be_cleared(pipe, clips, monkeypatch):
    for index in range(20):
        pipe(clips[0], candidate_labels=[f"label {index}", "rain"])
    assert len(pipe._label_cache) == 8
    calls = count_calls(monkeypatch, pipe.model, "get_text_features")
    pipe(clips[0], candidate_labels=["label 19", "rain"])
    assert not calls
    pipe.clear_label_cache()
    pipe(clips[0], candidate_labels=["label 19", "rain"])
    assert len(calls) == 1


def test_weights_that_do_not_count_their_changes_are_encoded_once_per_call(clips, monkeypatch):
    with torch.inference_mode():
        parts = clap_parts()
    pipe = make(parts)
    calls = count_calls(monkeypatch, pipe.model, "get_text_features")
    pipe(clips, candidate_labels=LABELS)
    assert len(calls) == 1
    pipe(clips, candidate_labels=LABELS)
    assert len(calls) == 2


def test_a_subclass_may_encode_labels_its_own_way(clips):
    class Shifted(ZeroShotAudioClassificationPipeline):
        def _encode_labels(self, labels, templates):
            return super()._encode_labels(labels, templates).flip(0)

    parts = clap_parts()
    plain, shifted = (make(parts, cls)(clips[0], candidate_labels=LABELS) for cls in (make(parts).__class__, Shifted))
    swapped = dict(zip(LABELS, reversed(LABELS), strict=True))
    assert {swapped[label]: score for label, score in scores(plain).items()} == pytest.approx(scores(shifted), abs=1e-5)


# -- batches, long clips ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [2, 5])
@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_batches_equal_single_clips(clips, batch_size, padding_side):
    model, _, extractor = clap_parts()
    pipe = make((model, tiny_models.byte_tokenizer(padding_side=padding_side), extractor))
    single = [pipe(clip, candidate_labels=LABELS) for clip in clips]
    for got, wanted in zip(pipe(clips, candidate_labels=LABELS, batch_size=batch_size), single, strict=True):
        assert_same(got, wanted)


def test_windows_of_different_counts_share_a_batch(pipe):
    clips = [tone(500, CLIP_S * length, seed=length) for length in (1, 3, 2)]
    options = {"candidate_labels": LABELS, "truncation": "windows"}
    single = [pipe(clip, **options) for clip in clips]
    for got, wanted in zip(pipe(clips, batch_size=3, **options), single, strict=True):
        assert_same(got, wanted)
    assert pipe.preprocess(clips[1], truncation="windows")["input_features"].shape[:2] == (1, 3)
    first = pipe(clips[1], candidate_labels=LABELS, truncation="first")
    assert scores(first) != pytest.approx(scores(single[1]), abs=1e-4)


def test_truncation_of_ours_is_refused_for_other_extractors(clips):
    with pytest.raises(ValueError, match=r"truncation='windows'.*ClapFeatureExtractor"):
        make(stock_clap_parts())(clips[0], candidate_labels=LABELS, truncation="windows")


class Items(Dataset):
    def __init__(self, items):
        self.items, self.read = items, []

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        self.read.append(index)
        return self.items[index]


def test_datasets_and_generators_stream(pipe, clips):
    expected = pipe(clips, candidate_labels=LABELS)
    dataset = Items(clips)
    stream = iter(pipe(dataset, candidate_labels=LABELS, batch_size=2))
    assert_same(next(stream), expected[0])
    assert dataset.read == [0, 1]
    taken = []
    stream = iter(pipe((taken.append(1) or clip for clip in clips), candidate_labels=LABELS, batch_size=2))
    assert_same(next(stream), expected[0])
    assert len(taken) < len(clips)
    for got, wanted in zip([None, *stream], expected, strict=True):
        assert got is None or scores(got) == pytest.approx(scores(wanted), abs=1e-5)
    rows = pipe(
        Items([{"audio": {"array": clip, "sampling_rate": RATE}, "id": 3} for clip in clips]), candidate_labels=LABELS
    )
    assert [scores(row) for row in rows] == [pytest.approx(scores(row), abs=1e-5) for row in expected]


def test_rows_and_columns_of_datasets(pipe, clips):
    datasets = pytest.importorskip("datasets")
    expected = pipe(clips, candidate_labels=LABELS)
    data = datasets.Dataset.from_dict({"audio": [{"array": clip.tolist(), "sampling_rate": RATE} for clip in clips]})
    for got in (pipe(data["audio"], candidate_labels=LABELS), list(pipe(data, candidate_labels=LABELS, batch_size=2))):
        assert [scores(row) for row in got] == [pytest.approx(scores(row), abs=1e-5) for row in expected]
    stream = pipe(data.to_iterable_dataset(), candidate_labels=LABELS)
    assert len(list(stream)) == len(clips)


def test_workers_decode_in_other_processes(pipe, tmp_path):
    paths = [str(path) for path in tiny_models.write_tones(tmp_path, 3)]
    expected = pipe(paths, candidate_labels=LABELS)
    got = pipe(paths, candidate_labels=LABELS, batch_size=2, num_workers=1)
    assert [scores(row) for row in got] == [pytest.approx(scores(row), abs=1e-5) for row in expected]
    (tmp_path / "bad.wav").write_text("no audio")
    with pytest.raises(AudioDecodeError, match=r"audios\[3\].*bad\.wav"):
        pipe([*paths, str(tmp_path / "bad.wav")], candidate_labels=LABELS, num_workers=1)


# -- what a clip may be -----------------------------------------------------------------------------------------------


def test_every_form_of_a_clip_gives_the_same(pipe, tmp_path):
    clip = tone(400)
    path = tmp_path / "clip.wav"
    soundfile.write(path, clip, RATE, subtype="FLOAT")
    wanted = scores(pipe(clip, candidate_labels=LABELS))
    forms = {
        "path": str(path),
        "Path": path,
        "bytes": path.read_bytes(),
        "mapping": {"array": clip, "sampling_rate": RATE},
        "datasets' undecoded": {"path": None, "bytes": path.read_bytes()},
        "tensor": torch.from_numpy(clip),
        "stereo": np.stack([clip, clip]),
        "floats": clip.tolist(),
    }
    for name, form in forms.items():
        got = pipe(form, candidate_labels=LABELS)
        assert scores(got) == pytest.approx(wanted, abs=1e-5), name
    with path.open("rb") as file:
        assert scores(pipe(file, candidate_labels=LABELS)) == pytest.approx(wanted, abs=1e-5)
    assert pipe([], candidate_labels=LABELS) == []


@pytest.mark.parametrize("parts", [clap_parts, stock_clap_parts], ids=["ClapAfm", "transformers-clap"])
def test_sampling_rate_resamples_bare_arrays(parts):
    pipe = make(parts())
    clip = tone(400, rate=2 * RATE)
    wanted = scores(pipe({"array": clip, "sampling_rate": 2 * RATE}, candidate_labels=LABELS))
    assert scores(pipe(clip, candidate_labels=LABELS, sampling_rate=2 * RATE)) == pytest.approx(wanted, abs=1e-6)
    assert scores(pipe(clip, candidate_labels=LABELS)) != pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_clip_that_fails_is_named(pipe, clips, tmp_path, batch_size):
    bad = tmp_path / "broken.wav"
    bad.write_bytes(b"RIFF nothing")
    with pytest.raises(AudioDecodeError, match=r"from \S*broken\.wav"):
        pipe(str(bad), candidate_labels=LABELS)
    with pytest.raises(AudioDecodeError, match=r"audios\[2\], \S*broken\.wav"):
        pipe([*clips[:2], str(bad)], candidate_labels=LABELS, batch_size=batch_size)
    with pytest.raises(AudioDecodeError, match=r"audios\[1\]"):
        list(pipe((clip for clip in [clips[0], np.zeros(0)]), candidate_labels=LABELS, batch_size=batch_size))
    with pytest.raises(AudioDecodeError, match=r"audios\[0\]"):
        make(stock_clap_parts())([np.array([np.nan] * 100)], candidate_labels=LABELS)


# -- labels, templates, scores ----------------------------------------------------------------------------------------


def test_an_ensemble_is_the_normalised_mean_of_normalised_embeddings(pipe, clips):
    templates = ["a {}", "the sound of {} far away"]
    with torch.no_grad():
        texts = torch.stack(
            [
                pipe.model.get_text_features(
                    **pipe.tokenizer([t.format(x) for x in LABELS], padding=True, return_tensors="pt")
                ).pooler_output
                for t in templates
            ]
        ).mean(0)
        texts = texts / texts.norm(dim=-1, keepdim=True)
        audio = pipe.model.get_audio_features(**pipe.preprocess(clips[0])).pooler_output
        expected = (pipe.model.logit_scale.exp() * audio @ texts.t())[0].softmax(0)
    got = scores(pipe(clips[0], candidate_labels=LABELS, hypothesis_template=templates))
    assert [got[label] for label in LABELS] == pytest.approx(expected.tolist(), abs=1e-6)
    one = pipe(clips[0], candidate_labels=LABELS, hypothesis_template=["a {}", "a {}"])
    assert_same(one, pipe(clips[0], candidate_labels=LABELS, hypothesis_template="a {}"))


def test_many_labels_are_encoded_in_chunks(pipe, clips, monkeypatch):
    labels = [f"label {'long ' * (index * 7 % 10)}{index}" for index in range(10)]  # in no order of length
    whole = pipe(clips[0], candidate_labels=labels)
    pipe.clear_label_cache()
    module = sys.modules[embed_texts.__module__]
    monkeypatch.setattr(module, "TEXTS_PER_BATCH", 3)
    assert_same(pipe(clips[0], candidate_labels=labels), whole)


def test_multi_label_scores_do_not_depend_on_the_other_labels(pipe, clips):
    both = scores(pipe(clips[0], candidate_labels=LABELS, multi_label=True))
    alone = scores(pipe(clips[0], candidate_labels=LABELS[:1], multi_label=True))
    assert alone[LABELS[0]] == pytest.approx(both[LABELS[0]], abs=1e-6)
    logits = pipe.forward(pipe.preprocess(clips[0]), candidate_labels=(*LABELS, *EVERYDAY_SOUNDS))["logits"][0]
    of_labels, everyday = logits[: len(LABELS)], logits[len(LABELS) :]
    bar = np.quantile(everyday, 0.9)
    for label, logit in zip(LABELS, of_labels.tolist(), strict=True):
        assert (both[label] > 0.5) == (logit > bar), "above 0.5: better than nine of ten everyday sounds"
    assert sorted(LABELS, key=both.get) == sorted(LABELS, key=dict(zip(LABELS, of_labels.tolist(), strict=True)).get)


@pytest.mark.parametrize("parts", [clap_parts, stock_clap_parts], ids=["ClapAfm", "transformers-clap"])
def test_few_labels_that_are_not_there_are_above_one_half_for_any_clap(parts, clips):
    """Whatever a model's logits are by nature: those of everyday sounds are the measure."""
    pipe = make(parts())
    labels = ["a volcano", "a jackhammer", "an accordion", "popcorn", "a dishwasher", "marbles", "a parrot", "a kazoo"]
    one = [entry["score"] for result in pipe(clips, candidate_labels=labels, multi_label=True) for entry in result]
    with torch.no_grad():
        getattr(pipe.model, "logit_scale", getattr(pipe.model, "logit_scale_a", None)).add_(1.0)
    two = [entry["score"] for result in pipe(clips, candidate_labels=labels, multi_label=True) for entry in result]
    assert one == pytest.approx(two, abs=1e-4), "the temperature is taken out"
    assert np.mean(np.array(one) > 0.5) < 0.5


def test_one_label_alone_is_scored_by_itself_and_that_is_said(pipe, clips, monkeypatch):
    said = []
    module = sys.modules[ZeroShotAudioClassificationPipeline.__module__]
    monkeypatch.setattr(module.logger, "warning_once", said.append)
    alone = [result[0]["score"] for result in pipe(clips, candidate_labels=["rain"], batch_size=2)]
    assert len(set(np.round(alone, 4))) > 1 and "One label alone" in said[0]
    asked = [result[0]["score"] for result in pipe(clips, candidate_labels=["rain"], multi_label=True)]
    assert alone == pytest.approx(asked, abs=1e-5)
    features = {name: torch.cat([pipe.preprocess(clip)[name] for clip in clips]) for name in ["input_features"]}
    rows = pipe.classify_features(features, candidate_labels=["rain"])
    assert [row[0]["score"] for row in rows] == pytest.approx(alone, abs=1e-5)


def test_everyday_sounds_are_encoded_once(pipe, clips, monkeypatch):
    calls = count_calls(monkeypatch, pipe.model, "get_text_features")
    pipe(clips, candidate_labels=LABELS, multi_label=True)
    pipe(clips[0], candidate_labels=LABELS[:2], multi_label=True)
    assert sum(len(call["input_ids"]) for call in calls) == len(LABELS) + len(EVERYDAY_SOUNDS) + 2


def test_the_bundled_model_scores_what_is_there_above_what_is_not():
    pipe = pipeline("zero-shot-audio-classification", model=str(afm_hf.bundled_model("clap-small")))
    paths = [str(clip) for clip in afm_hf.bundled_audio()]
    there = {"applause": "applause", "cow": "cow mooing", "cymbal": "cymbal", "rain": "rain", "train": "train"}
    absent = ["a volcano", "a jackhammer", "an accordion", "popcorn", "a parrot", "a kazoo"]
    results = [
        {entry["label"]: entry["score"] for entry in result}
        for result in pipe(paths, candidate_labels=[*there.values(), *absent], multi_label=True, batch_size=8)
    ]
    present = [
        scores_of[label]
        for path, scores_of in zip(paths, results, strict=True)
        for name, label in there.items()
        if path.rpartition("/")[2].startswith(f"{name}_")
    ]
    others = [scores_of[label] for scores_of in results for label in absent]
    assert np.mean(np.array(others) > 0.5) < 0.2
    assert np.mean(np.array(present)[:, None] > np.array(others)[None]) > 0.75  # the area under the curve


def test_top_k_labels_as_a_string_and_settings_of_the_pipeline(clips):
    pipe = make(clap_parts(), candidate_labels=", ".join(LABELS), top_k=2)
    result = pipe(clips[0])
    assert_same(result, pipe(clips[0], top_k=None)[:2])
    assert {entry["label"] for entry in pipe(clips[0], top_k=None)} == set(LABELS)
    assert [entry["label"] for entry in pipe(clips[0], candidate_labels="one")] == ["one"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "No labels were given"),
        ({"candidate_labels": None}, "No labels were given"),
        ({"candidate_labels": []}, "is empty"),
        ({"candidate_labels": " , "}, "is empty"),
        ({"candidate_labels": ["a", 3]}, r"candidate_labels\[1\] is 3"),
        ({"candidate_labels": ["a", " "]}, r"candidate_labels\[1\] is ' '"),
        ({"candidate_labels": 7}, "must be a list of strings"),
        ({"candidate_labels": ["a", "b", "a"]}, r"candidate_labels\[2\], 'a', is there twice"),
        ({"candidate_labels": ["a"], "hypothesis_template": "no place"}, "'no place' has no place"),
        ({"candidate_labels": ["a"], "hypothesis_template": ["{}", "{label}"]}, "'{label}' has no place"),
        ({"candidate_labels": ["a"], "hypothesis_template": "{"}, "'{' has no place"),
        ({"candidate_labels": ["a"], "hypothesis_template": []}, "empty list"),
        ({"candidate_labels": ["a"], "top_k": 0}, "`top_k` is 0"),
        ({"candidate_labels": ["a"], "truncation": "last"}, "truncation"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(pipe, clips, arguments, message):
    with pytest.raises(ValueError, match=message):
        pipe(clips[0], **arguments)
