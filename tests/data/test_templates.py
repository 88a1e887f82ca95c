from collections import Counter

import pytest

from afm_hf.data import PromptSampler, domain_templates, domains, load_templates, template_names
from afm_hf.models.adiff.processing_adiff import AdiffProcessor
from afm_hf.models.clap_afm.embedding_clap_afm import as_templates
from afm_hf.models.prefix_lm.prompts_afm import CAPTION_PROMPTS, CLASS_PROMPTS, DIFFERENCE_PROMPTS, TIERS

ROW = {"source": "cld.csv:2", "caption1": "A {dog} barks.", "caption2": "rain"}


def prompts(name):
    return {task: template["prompt"] for task, template in load_templates(name).items()}


def test_every_template_has_a_prompt_and_a_source():
    assert template_names() == ["differences", "domains", "mellow", "pengi", "position_captioning", "zero_shot"]
    for name in template_names():
        for template in load_templates(name).values():
            assert template["prompt"] and template["source"]
    with pytest.raises(ValueError, match="There are no templates 'clap'; expected one of differences"):
        load_templates("clap")


def test_sentences_by_domain_have_a_place_for_the_label_and_an_unknown_name_lists_them():
    assert {"esc50", "music", "speech-emotion", "ensemble"} <= set(domains())
    for name in domains():
        assert as_templates(domain_templates(name)) == tuple(domain_templates(name))
    assert len(domain_templates("ensemble")) == len(set(domain_templates("ensemble"))) == 6
    with pytest.raises(ValueError, match=r"no stored template 'jazz'; expected one of sound, .*music"):
        domain_templates("jazz")


@pytest.mark.parametrize("name", ["differences", "position_captioning"])
def test_paraphrases_are_many_different_and_belong_to_one_task(name):
    templates = load_templates(name)
    every = [text for template in templates.values() for text in [template["prompt"], *template["paraphrases"]]]
    assert all(len(template["paraphrases"]) >= 30 for template in templates.values())
    assert max(Counter(every).values()) == 1 and all(text == text.strip().lower() for text in every)


def test_the_prompts_are_those_that_the_models_are_asked_with():
    assert tuple(prompts("differences")) == TIERS
    assert tuple(prompts("differences").values()) == AdiffProcessor.tier_prompts
    mellow, pengi = prompts("mellow"), prompts("pengi")
    assert tuple(mellow[f"difference-{tier}"] for tier in TIERS) == DIFFERENCE_PROMPTS["afm_mellow"]
    assert mellow["caption"] == CAPTION_PROMPTS["afm_mellow"] and pengi["caption"] == CAPTION_PROMPTS["afm_pengi"]
    assert mellow["primary-sound"] == CLASS_PROMPTS["afm_mellow"] and pengi["sound"] == CLASS_PROMPTS["afm_pengi"]
    assert prompts("position_captioning")["first"] == CAPTION_PROMPTS["afm_adiff"]


def test_draws_depend_on_seed_and_row_alone():
    rows = [f"x.csv:{number}" for number in range(400)]
    prompt = "explain the difference in detail"
    drawn = [PromptSampler(3)(prompt, row) for row in rows]
    assert drawn == [PromptSampler(3)(prompt, row) for row in reversed(rows)][::-1]
    assert drawn != [PromptSampler(4)(prompt, row) for row in rows]
    known = load_templates("differences")["detailed"]
    assert set(drawn) == {known["prompt"], *known["paraphrases"]}
    assert 60 < drawn.count(prompt) < 140  # a quarter


@pytest.mark.parametrize("task", ["caption", "primary-sound", "difference-concise", "difference-detailed"])
def test_mellow_is_asked_in_many_ways(task):
    prompt = prompts("mellow")[task]
    drawn = {PromptSampler(canonical_share=0)(prompt, str(row)) for row in range(400)}
    assert len(drawn) >= 30 and prompt not in drawn and all(text == text.strip().lower() for text in drawn)


def test_the_canonical_share():
    prompt = "explain the difference in detail"
    assert {PromptSampler(canonical_share=1)(prompt, str(row)) for row in range(50)} == {prompt}
    assert prompt not in {PromptSampler(canonical_share=0)(prompt, str(row)) for row in range(50)}
    assert PromptSampler(canonical_share=0)("caption first audio", "x") != "caption first audio"
    assert PromptSampler()("question: how many dogs?", "x") == "question: how many dogs?"
    with pytest.raises(ValueError, match="`canonical_share` is 2"):
        PromptSampler(canonical_share=2)


def test_position_captioning_answers_for_the_clip_that_is_asked_for():
    sampler = PromptSampler(canonical_share=1)
    assert sampler.position(ROW, "first") == {
        "prompt": "caption the first audio",
        "answer": "The audio 1 is A {dog} barks.",
    }
    assert sampler.position(ROW, "second")["answer"] == "The audio 2 is rain."
    assert sampler.position(ROW, "both")["answer"] == "The audio 1 is A {dog} barks. The audio 2 is rain."
    drawn = {sampler.position({**ROW, "source": f"x:{row}"})["prompt"] for row in range(60)}
    assert drawn == set(prompts("position_captioning").values())
    with pytest.raises(ValueError, match="caption2 is empty, but 'both' asks for it"):
        sampler.position({**ROW, "caption2": ""}, "both")
    with pytest.raises(ValueError, match="`which` is 'third'"):
        sampler.position(ROW, "third")
