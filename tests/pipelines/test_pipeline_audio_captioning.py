"""Each model is asked for a caption as it was trained."""

import pytest
from generating_models import parts, save
from prefix_models import RATE, clips
from transformers import pipeline

from afm_hf import AudioCaptioningPipeline, AudioTextGenerationPipeline


def make(kind, cls=AudioCaptioningPipeline):
    model, processor = parts(kind)
    return cls(model=model, processor=processor, device="cpu", sampling_rate=RATE)


@pytest.mark.parametrize(
    ("kind", "prompt"),
    [
        ("clapcap", None),
        ("pengi", "generate audio caption"),
        ("mellow", "caption the audio."),
        ("adiff", "caption the first audio"),
    ],
)
def test_the_prompt_is_the_models_own(kind, prompt):
    captions = make(kind)(clips(3), batch_size=2)
    assert captions == make(kind, AudioTextGenerationPipeline)(clips(3), prompt=prompt)
    other = make(kind)(clips(1)[0], prompt="what is it")
    assert other == make(kind, AudioTextGenerationPipeline)(clips(1)[0], prompt="what is it")


@pytest.mark.parametrize(
    ("said", "caption"),
    [
        ("the audio 1 is a dog barking", "a dog barking"),
        ("The audio 1 is A dog", "A dog"),
        ("a dog near the audio 1 is", "a dog near the audio 1 is"),
    ],
)
def test_the_frame_of_captions_of_pairs_is_taken_away(said, caption, monkeypatch):
    pipe = make("mellow")
    monkeypatch.setattr(pipe, "generate", lambda *args: [[said]])
    assert pipe(clips(1)[0]) == [{"generated_text": caption}]


def test_a_caption_is_of_one_clip_and_prompts_are_text():
    with pytest.raises(ValueError, match="2 clips were given where MellowForCausalLM takes 1 for this task"):
        make("mellow")(tuple(clips(2)))
    with pytest.raises(ValueError, match="The prompt is 3"):
        make("pengi")(clips(1)[0], prompt=3)


def test_the_task_gives_this_class(tmp_path):
    pipe = pipeline("audio-captioning", model=str(save("clapcap", tmp_path)), device="cpu")
    assert type(pipe) is AudioCaptioningPipeline
    assert pipe(clips(2), sampling_rate=RATE) == make("clapcap")(clips(2))
