"""Test-time adaptation: only the vector learns, the model stays, a vector fits its own model alone."""

import gc
import hashlib
import json

import numpy as np
import pytest
import torch
from tiny_models import CLIP_S, LABELS, RATE, byte_tokenizer, clap_2022_config, clap_parts, perturb, tone
from torch.nn import functional as F
from transformers import pipeline

from afm_hf import AudioDecodeError, ClapAfmModel, DomainVector
from afm_hf.adaptation.test_time.augmentation import AfmAugmentation
from afm_hf.adaptation.test_time.domain_vector import text_fingerprint
from afm_hf.adaptation.test_time.optimization import AdaptationSettings, adapt
from afm_hf.adaptation.test_time.prompted_labels import PromptedLabels
from afm_hf.evaluation.test_time_study import Task, bootstrap_interval, generalization_report, hits
from afm_hf.models.clap_afm.embedding_clap_afm import embed_texts

FAST = {"views": 6, "keep": 0.5, "steps": 3, "min_entropy": 0.0, "guard": False}


def bert_parts():
    model, tokenizer, extractor = clap_parts()
    torch.manual_seed(0)
    model = perturb(ClapAfmModel(clap_2022_config())).eval()
    return model, tokenizer, extractor


def mean_bert_parts():
    model, tokenizer, extractor = bert_parts()
    model.config.text_config.pooling = model.text_model.config.pooling = "mean"
    return model, tokenizer, extractor


TOWERS = {"gpt2": clap_parts, "bert": bert_parts, "bert, mean": mean_bert_parts}


@pytest.fixture(params=TOWERS)
def parts(request):
    return TOWERS[request.param]()


def pipe(task, parts, **kwargs):
    model, tokenizer, extractor = parts
    return pipeline(task, model=model, tokenizer=tokenizer, feature_extractor=extractor, device="cpu", **kwargs)


def weights_hash(model):
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


def random_views(model, clips=2, views=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return list(F.normalize(torch.randn(clips, views, model.config.projection_dim, generator=generator), dim=-1))


def tones(count=3):
    return [tone(200 * (index + 1), CLIP_S, seed=index) for index in range(count)]


# -- labels under a vector --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", ["before", "after"])
@pytest.mark.parametrize("template", ["{}", "hear {}."])
def test_the_prompts_own_embeddings_give_what_the_words_give(parts, position, template):
    model, tokenizer, _ = parts
    prompted = PromptedLabels(model, tokenizer, LABELS, "the sound of", template, position)
    texts = [f"the sound of {x}" if position == "before" else f"{x} the sound of" for x in LABELS]
    expected = embed_texts(model, tokenizer, [template.format(text) for text in texts])
    torch.testing.assert_close(prompted.embed(prompted.prompt_embeddings()), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("position", ["before", "after"])
@pytest.mark.parametrize("count", [1, 4])
def test_running_the_shared_part_once_changes_nothing(position, count):
    model, tokenizer, _ = clap_parts()
    shared, plain = (
        PromptedLabels(model, tokenizer, LABELS, "sound of", "a {}!", position, share=share) for share in (True, False)
    )
    assert type(shared._rows) is not type(plain._rows)
    tensor = (torch.randn(count, 16) * 0.3).requires_grad_()
    weight = torch.randn(len(LABELS), 12)
    results = [(rows.embed(tensor), rows) for rows in (shared, plain)]
    grads = [torch.autograd.grad((texts * weight).sum(), tensor)[0] for texts, _ in results]
    torch.testing.assert_close(results[0][0], results[1][0], atol=1e-6, rtol=0)
    torch.testing.assert_close(*grads, atol=1e-5, rtol=0)


def test_adapting_with_the_shared_part_gives_the_same_vector():
    model, tokenizer, _ = clap_parts()
    settings = AdaptationSettings(**{**FAST, "steps": 3})
    one, other = (
        adapt(model, tokenizer, random_views(model), LABELS, settings, share=share) for share in (True, False)
    )
    torch.testing.assert_close(one.vector.tensor, other.vector.tensor, atol=1e-5, rtol=0)


def test_texts_that_leave_no_room_are_refused(parts):
    model, tokenizer, _ = parts
    room = PromptedLabels(model, tokenizer, LABELS, "of", "{}").max_tokens
    prompted = PromptedLabels(model, tokenizer, LABELS, "of", "{}")
    prompted.embed(torch.zeros(room, 16))
    with pytest.raises(ValueError, match=f"room for {room} tokens.*has {room + 1}"):
        prompted.embed(torch.zeros(room + 1, 16))
    with pytest.raises(ValueError, match="8 numbers a token, but the text tower has 16"):
        prompted.embed(torch.zeros(2, 8))


# -- learning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tokens", "embedding"])
@pytest.mark.parametrize("train", [False, True])
def test_only_the_vector_learns(parts, kind, train):
    model, tokenizer, _ = parts
    model.train(train)
    modes = [module.training for module in model.modules()]
    before = weights_hash(model)
    result = adapt(model, tokenizer, random_views(model), LABELS, AdaptationSettings(kind=kind, **FAST))
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())
    assert weights_hash(model) == before
    assert [module.training for module in model.modules()] == modes
    assert result.entropies[-1] < result.entropies[0] and len(result.entropies) == FAST["steps"] + 1
    assert not result.vector.tensor.requires_grad


def test_no_step_is_the_plain_call_and_the_vector_gives_what_the_result_says(parts):
    adapter, classify = pipe("test-time-adaptation", parts), pipe("zero-shot-audio-classification", parts)
    clips = tones()
    for result in (
        adapter(clips, candidate_labels=LABELS, together=True, **FAST),
        adapter(clips, candidate_labels=LABELS, together=True, kind="embedding", **FAST),
        adapter(clips, candidate_labels=LABELS, together=True, position="after", prompt="heard", **FAST),
    ):
        if result.vector.prompt == "This is a sound of":
            check_equal(classify(clips, candidate_labels=LABELS), result.before)
        check_equal(classify(clips, candidate_labels=LABELS, domain_vector=result.vector), result.after)
        check_equal(classify(clips, candidate_labels=LABELS, domain_vector=result), result.after)


def check_equal(got, expected):
    for one, other in zip(got, expected, strict=True):
        assert {x["label"]: x["score"] for x in one} == pytest.approx({x["label"]: x["score"] for x in other}, abs=1e-5)


def test_the_same_seed_gives_the_same_vector_and_another_another():
    adapter = pipe("test-time-adaptation", clap_parts())
    first, again, other = (adapter(tones(1)[0], candidate_labels=LABELS, seed=s, **FAST) for s in (3, 3, 4))
    torch.testing.assert_close(first.vector.tensor, again.vector.tensor, atol=1e-5, rtol=1e-4)
    assert first.entropies == pytest.approx(again.entropies, abs=1e-5)
    assert (first.vector.tensor - other.vector.tensor).abs().max() > 1e-3
    assert first.settings["seed"] == 3


def test_one_by_one_and_together_and_in_batches_and_as_a_stream():
    adapter = pipe("test-time-adaptation", clap_parts(), candidate_labels=LABELS, **FAST)
    clips = tones()
    single = [adapter(clip) for clip in clips]
    for results in (adapter(clips), adapter(clips, batch_size=2), list(adapter(clip for clip in clips))):
        for one, other in zip(results, single, strict=True):
            torch.testing.assert_close(one.vector.tensor, other.vector.tensor, atol=1e-5, rtol=0)
    rows = adapter([{"audio": {"array": clip, "sampling_rate": RATE}} for clip in clips], together=True)
    joint = adapter(clips, together=True)
    assert len(joint.after) == 3 and joint.settings["clips"] == 3
    torch.testing.assert_close(rows.vector.tensor, joint.vector.tensor, atol=1e-5, rtol=0)
    assert not torch.allclose(joint.vector.tensor, single[0].vector.tensor)


def test_a_vector_can_be_gone_on_from():
    model, tokenizer, _ = clap_parts()
    every = AdaptationSettings(**{**FAST, "keep": 1.0})
    first = adapt(model, tokenizer, random_views(model), LABELS, every)
    more = adapt(model, tokenizer, random_views(model), LABELS, every, first.vector)
    assert more.entropies[0] == pytest.approx(first.entropies[-1], abs=1e-5)
    check_equal(more.before, first.after)


def test_zero_start_and_the_number_of_tokens():
    model, tokenizer, _ = clap_parts()
    words = PromptedLabels(model, tokenizer, LABELS, "This is a sound of", "{}.").prompt_embeddings()
    settings = {**FAST, "steps": 0}
    for options, expected in (
        ({"start": "zero", "tokens": 2}, torch.zeros(2, 16)),
        ({"tokens": 2}, words[-2:]),
        ({"tokens": len(words) + 1}, torch.cat([torch.zeros(1, 16), words])),
    ):
        result = adapt(model, tokenizer, random_views(model), LABELS, AdaptationSettings(**settings, **options))
        torch.testing.assert_close(result.vector.tensor, expected)


def test_in_inference_mode_and_without_gradients():
    model, tokenizer, _ = clap_parts()
    expected = adapt(model, tokenizer, random_views(model), LABELS, AdaptationSettings(**FAST))
    for mode in (torch.inference_mode, torch.no_grad):
        with mode():
            result = adapt(model, tokenizer, random_views(model), LABELS, AdaptationSettings(**FAST))
        torch.testing.assert_close(result.vector.tensor, expected.vector.tensor, atol=1e-5, rtol=1e-4)


def repeat(count):
    """Tensors alive, and hash of the model, before and after many adaptations."""
    adapter = pipe("test-time-adaptation", clap_parts())
    views = adapter.encode(tones(1), **{name: FAST[name] for name in ("views",)})
    settings = {**FAST, "steps": 1}
    adapter.adapt_to(views, LABELS, settings)
    states = []
    for repeats in (0, count):
        for _ in range(repeats):
            adapter.adapt_to(views, LABELS, settings)
        gc.collect()
        alive = sum(1 for item in gc.get_objects() if isinstance(item, torch.Tensor))
        states.append((alive, weights_hash(adapter.model)))
    return states


def test_many_adaptations_leave_nothing_behind():
    before, after = repeat(20)
    assert after == before


@pytest.mark.slow
def test_a_thousand_adaptations_leave_nothing_behind():
    before, after = repeat(1000)
    assert after == before


# -- guards -----------------------------------------------------------------------------------------------------------


def test_the_guard_stops_before_all_clips_become_one_label():
    model, tokenizer, _ = clap_parts()
    views = random_views(model, clips=4)
    free = {**FAST, "learning_rate": 0.3, "steps": 40, "keep": 1.0}
    wild = adapt(model, tokenizer, views, LABELS, AdaptationSettings(**free))
    kept = adapt(model, tokenizer, views, LABELS, AdaptationSettings(**{**free, "guard": True}))
    assert len({best[0]["label"] for best in wild.before}) > 1
    assert wild.agreement < 0.9  # what it guards against does happen
    assert kept.stopped == "guard" and kept.agreement >= 0.9
    assert len({best[0]["label"] for best in kept.after}) > 1


def test_it_stops_where_nothing_is_left_to_gain():
    model, tokenizer, _ = clap_parts()
    settings = AdaptationSettings(**{**FAST, "min_entropy": 1.0})
    result = adapt(model, tokenizer, random_views(model), LABELS, settings)
    assert result.stopped == "entropy" and len(result.entropies) == 1
    check_equal(result.after, result.before)


def test_diversity_keeps_the_clips_apart():
    model, tokenizer, _ = clap_parts()
    views = random_views(model, clips=4, views=1)
    free = {**FAST, "learning_rate": 0.05, "steps": 20, "keep": 1.0}

    def spread(**more):
        result = adapt(model, tokenizer, views, LABELS, AdaptationSettings(**free, **more))
        shares = [sum(x["score"] for clip in result.after for x in clip if x["label"] == name) / 4 for name in LABELS]
        return -sum(share * np.log(share) for share in shares)

    assert spread(diversity=2.0) > spread()


# -- vectors ----------------------------------------------------------------------------------------------------------


def test_a_vector_is_saved_and_loaded_and_printed(tmp_path):
    adapter, classify = (
        pipe(task, clap_parts()) for task in ("test-time-adaptation", "zero-shot-audio-classification")
    )
    result = adapter(tones(1)[0], candidate_labels=LABELS, **FAST)
    path = tmp_path / "vector.safetensors"
    result.vector.save(path)
    loaded = DomainVector.load(path)
    assert loaded.key() == result.vector.key() and loaded.fingerprint == result.vector.fingerprint
    assert loaded.settings["steps"] == FAST["steps"] and torch.equal(loaded.tensor, result.vector.tensor)
    check_equal([classify(tones(1)[0], candidate_labels=LABELS, domain_vector=str(path))], result.after)
    assert list(tmp_path.iterdir()) == [path]
    assert "clip 0" in str(result) and json.loads(result.to_json())["vector"]["kind"] == "tokens"


def test_a_vector_on_the_wrong_model_is_refused():
    right, wrong = clap_parts(seed=0), clap_parts(seed=1)
    vector = pipe("test-time-adaptation", right)(tones(1)[0], candidate_labels=LABELS, **FAST).vector
    for task in ("zero-shot-audio-classification", "test-time-adaptation"):
        with pytest.raises(ValueError, match="belongs to another model"):
            pipe(task, wrong)(tones(1)[0], candidate_labels=LABELS, domain_vector=vector)
    same = clap_parts(seed=0)
    classify = pipe("zero-shot-audio-classification", same)
    classify(tones(1)[0], candidate_labels=LABELS, domain_vector=vector)
    with torch.no_grad():
        same[0].audio_projection.linear1.weight.add_(1)  # the other side
    assert text_fingerprint(same[0]) == vector.fingerprint
    with torch.no_grad():
        same[0].text_projection.linear1.weight[0, 0] += 1e-3
    with pytest.raises(ValueError, match="belongs to another model"):
        classify(tones(1)[0], candidate_labels=LABELS, domain_vector=vector)


def test_the_label_cache_knows_vectors_and_a_call_can_do_without():
    parts = clap_parts()
    adapter = pipe("test-time-adaptation", parts)
    clip = tones(1)[0]
    one, two = (adapter(clip, candidate_labels=LABELS, seed=seed, **FAST) for seed in (0, 1))
    plain = pipe("zero-shot-audio-classification", parts)(clip, candidate_labels=LABELS)
    classify = pipe("zero-shot-audio-classification", parts, domain_vector=one.vector)
    for _ in range(2):
        check_equal([classify(clip, candidate_labels=LABELS)], one.after)
        check_equal([classify(clip, candidate_labels=LABELS, domain_vector=two.vector)], two.after)
        check_equal([classify(clip, candidate_labels=LABELS, domain_vector=None)], [plain])
    several = classify(clip, candidate_labels=LABELS, hypothesis_template=["{}.", "{}."])
    check_equal([several], one.after)  # the vector's own template, twice


@pytest.mark.parametrize("content", [b"", b"not safetensors", "other"])
def test_files_without_a_vector_are_refused(tmp_path, content):
    path = tmp_path / "bad.safetensors"
    if content == "other":
        from safetensors.torch import save_file

        save_file({"weight": torch.zeros(2)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="is no domain vector"):
        DomainVector.load(path)
    with pytest.raises(FileNotFoundError, match="There is no file"):
        DomainVector.load(tmp_path / "none.safetensors")


# -- views ------------------------------------------------------------------------------------------------------------


def test_views_differ_by_seed_and_each_augmentation_can_be_left_out():
    _, _, extractor = clap_parts()
    clip = torch.from_numpy(tones(1)[0])
    nothing = {"gain_db": 0, "noise_db": None, "crop": 1, "time_stripes": 0, "mel_stripes": 0}
    plain = extractor([clip.numpy()], sampling_rate=RATE, return_tensors="pt")["input_features"]
    still = AfmAugmentation(**nothing).views(clip, extractor, 3)
    torch.testing.assert_close(still, plain.expand(3, -1, -1, -1))
    for name in nothing:
        chosen = AfmAugmentation(**{k: v for k, v in nothing.items() if k != name})
        views = chosen.views(clip, extractor, 4, seed=1)
        assert views.shape == (4, *plain.shape[1:]) and views.isfinite().all()
        assert not torch.allclose(views[0], views[1]), name
        torch.testing.assert_close(views, chosen.views(clip, extractor, 4, seed=1), atol=1e-5, rtol=1e-4)
        assert not torch.equal(views, chosen.views(clip, extractor, 4, seed=2))


def test_a_crop_is_never_silent():
    _, _, extractor = clap_parts()
    clip = torch.zeros(4 * round(RATE * CLIP_S))
    clip[100:150] = 0.5
    assert AfmAugmentation(crop=0.1).views(clip, extractor, 20).isfinite().all()


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, message",
    [
        ({"steps": -1}, "`steps` is -1"),
        ({"views": 0}, "`views` is 0"),
        ({"keep": 0}, r"`keep` is 0; expected a number in \(0, 1"),
        ({"learning_rate": float("nan")}, "`learning_rate` is nan"),
        ({"temperature": 0.0}, "`temperature` is 0.0"),
        ({"kind": "prefix"}, "`kind` is 'prefix'; expected one of 'tokens', 'embedding'"),
        ({"position": "around"}, "`position` is 'around'"),
        ({"prompt": " "}, "`prompt` is ' '"),
        ({"template": "no place"}, "no place for the label"),
        ({"augmentation": {"crop": 2}}, "`crop` of the augmentation is 2"),
        ({"augmentation": 3}, "`augmentation` is 3"),
        ({"together": "yes"}, "`together` is 'yes'"),
        ({"stepz": 3}, "Unknown arguments: .'stepz'"),
        ({"domain_vector": 3}, "`domain_vector` is a int"),
        ({"candidate_labels": ["rain"]}, "two labels or more.*there is 1"),
        ({"candidate_labels": None}, "No labels were given"),
    ],
)
def test_bad_settings_are_named(options, message):
    adapter = pipe("test-time-adaptation", clap_parts())
    with pytest.raises(ValueError, match=message):
        adapter(tones(1)[0], **{"candidate_labels": LABELS, "views": 2, "steps": 1, **options})


def test_bad_clips_are_named(tmp_path):
    adapter = pipe("test-time-adaptation", clap_parts(), candidate_labels=LABELS, **FAST)
    (tmp_path / "broken.wav").write_bytes(b"RIFF nothing")
    with pytest.raises(AudioDecodeError, match=r"broken\.wav"):
        adapter([tones(1)[0], str(tmp_path / "broken.wav")])
    with pytest.raises(AudioDecodeError, match="silent"):
        adapter(np.zeros(RATE, np.float32))
    with pytest.raises(ValueError, match="no clips"):
        adapter((clip for clip in []), together=True)
    with pytest.raises(ValueError, match=r"views.*\(2, 12\), \(3, 12\)"):
        adapter.adapt_to([torch.zeros(2, 12), torch.zeros(3, 12)], LABELS)


# -- generalisation ---------------------------------------------------------------------------------------------------


def test_the_report_leaves_the_clips_out_and_measures_the_other_tasks():
    adapter = pipe("test-time-adaptation", clap_parts())
    views = random_views(adapter.model, clips=12)
    tasks = {"one": Task(views[:6], LABELS[:2] * 3), "two": Task(views[6:], LABELS[2:] * 3)}
    nothing = generalization_report(adapter, tasks, clips=2, draws=3, **{**FAST, "steps": 0})
    assert nothing.own == (0, 0, 0) and nothing.others == (0, 0, 0)
    assert nothing.zero_shot["one"] == pytest.approx(100 * np.mean(hits(adapter, tasks["one"])))
    wild = {**FAST, "steps": 20, "learning_rate": 0.3}
    report = generalization_report(adapter, tasks, adapt_on=["one"], clips=2, draws=4, **wild)
    assert set(report.gains) == {"one"} and set(report.gains["one"]) == {"one", "two"}
    assert report.own[0] == pytest.approx(report.gains["one"]["one"])
    assert report.stopped == {"steps": 4} and report.settings["draws"] == 4
    with pytest.raises(ValueError, match="has 6 clips; more than 6 are needed"):
        generalization_report(adapter, tasks, clips=6)
    with pytest.raises(ValueError, match=r"no tasks \['three'\]"):
        generalization_report(adapter, tasks, adapt_on=["three"])
    with pytest.raises(ValueError, match=r"\['birds'\] of clips are not among"):
        Task(views[:2], ["rain", "birds"], ["rain", "a dog"])


def test_the_interval_holds_the_mean_and_narrows():
    values = [float(v) for v in range(10)]
    mean, low, high = bootstrap_interval(values)
    assert mean == 4.5 and 2 < low < 4.5 < high < 7
    _, low_more, high_more = bootstrap_interval(values * 10)
    assert high_more - low_more < (high - low) / 2


def test_byte_tokens_of_a_label_that_is_not_ascii():
    model, _, _ = clap_parts()
    prompted = PromptedLabels(model, byte_tokenizer(), ["été", "日本"], "son: de", "{}.")
    expected = embed_texts(model, byte_tokenizer(), ["son: de été.", "son: de 日本."])
    torch.testing.assert_close(prompted.embed(prompted.prompt_embeddings()), expected, atol=1e-6, rtol=0)
