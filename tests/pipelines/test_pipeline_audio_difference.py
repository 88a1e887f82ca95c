"""Pairs are asked for their difference in the words of each paper, tier by tier."""

import pytest
from generating_models import PAIRS, examples, parts, save
from prefix_models import RATE, clips
from transformers import pipeline

from afm_hf import AudioDifferencePipeline, AudioTextGenerationPipeline

PROMPTS = {
    "adiff": {
        "concise": "explain the difference in few words",
        "brief": "explain the difference in a sentence",
        "detailed": "explain the difference in detail",
    },
    "mellow": {
        "concise": "explain the difference between the two audios in few words.",
        "brief": "explain the difference between the two audios in one extended sentence.",
        "detailed": "explain the difference between the two audios in detail.",
    },
}


def make(kind, cls=AudioDifferencePipeline):
    model, processor = parts(kind)
    processor.prompt_length = 40  # all of the longest prompt of byte tokens would not fit
    return cls(model=model, processor=processor, device="cpu", sampling_rate=RATE)


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("tier", ["concise", "brief", "detailed"])
def test_each_tier_has_the_prompt_of_the_paper(kind, tier):
    pipe, asked = make(kind), []
    front = pipe.processor.encode
    pipe.processor.encode = lambda text: asked.append(text) or front(text)
    pipe(examples(kind)[0], tier=tier)
    assert PROMPTS[kind][tier] in asked[0]
    assert make(kind)({"audio": list(examples(kind)[0]), "tier": tier}) == pipe(examples(kind)[0], tier=tier)


@pytest.mark.parametrize("kind", PAIRS)
def test_lists_of_pairs_and_prompts_of_ones_own(kind):
    pairs = examples(kind)
    pipe, plain = make(kind), make(kind, AudioTextGenerationPipeline)
    assert pipe(pairs, batch_size=2) == plain(pairs, prompt=PROMPTS[kind]["concise"])
    tiers = ["detailed", "concise", "brief"]
    assert pipe(pairs, tier=tiers, batch_size=3) == plain(pairs, prompt=[PROMPTS[kind][tier] for tier in tiers])
    assert pipe(pairs[0], prompt="what differs") == plain(pairs[0], prompt="what differs")
    assert pipe(pairs[0]) != pipe(pairs[0][::-1])


def test_wrong_pairs_tiers_and_models_are_named():
    first, second = clips(2)
    with pytest.raises(ValueError, match=r"audios\[1\]: 1 clips were given where AdiffFor\S+ takes 2 for this task"):
        make("adiff")([(first, second), first], batch_size=2)
    with pytest.raises(ValueError, match=r"audios\[1\]: 3 clips were given"):
        make("adiff")([(first, second), (first, second, first)])
    with pytest.raises(ValueError, match=r"1 clips were given.*Give a pair as a tuple"):
        make("mellow")([first, second])
    with pytest.raises(ValueError, match="`tier` is 'long'; expected one of 'concise', 'brief', 'detailed'"):
        make("mellow")((first, second), tier="long")
    with pytest.raises(ValueError, match=r"hears two clips, ADIFF or Mellow, but PengiFor.* hears 1"):
        make("pengi")


def test_the_task_gives_this_class(tmp_path):
    pipe = pipeline("audio-difference", model=str(save("adiff", tmp_path)), device="cpu")
    assert type(pipe) is AudioDifferencePipeline
    pipe.save_pretrained(tmp_path / "again")
    again = pipeline("audio-difference", model=str(tmp_path / "again"), device="cpu")
    assert again(tuple(clips(2)), sampling_rate=RATE) == pipe(tuple(clips(2)), sampling_rate=RATE)
