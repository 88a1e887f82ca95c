"""What happens behind the page's buttons, without a browser and without gradio."""

import numpy as np
import pytest
import soundfile

from afm_hf import AfmFeatureExtractor

pytest.importorskip("matplotlib")

from afm_hf.demo.adaptation import COLUMNS, adapt_to_clips
from afm_hf.demo.answers import answer_question, caption_clip, tell_difference
from afm_hf.demo.classify import classify_clip, split_labels
from afm_hf.demo.clips import MOST_CLIPS, Clip, example_clips, licence_line, message_for_visitors, read_clip
from afm_hf.demo.models import DemoModels
from afm_hf.demo.pictures import band_frequencies, clip_picture
from afm_hf.demo.quality import score_quality

LABELS = "cow mooing, rain, applause"
RATE = 16000


@pytest.fixture(scope="module")
def models():
    return DemoModels(max_duration_s=20)


@pytest.fixture(scope="module")
def clips():
    return example_clips()


@pytest.fixture
def bad_clips(tmp_path):
    """Name -> path of uploads that cannot be used."""
    contents = {
        "silent": np.zeros(RATE, np.float32),
        "nan": np.full(RATE, np.nan, np.float32),
        "long": np.random.default_rng(0).normal(scale=0.1, size=21 * 1000).astype(np.float32),
    }
    paths = {name: tmp_path / f"{name}.wav" for name in (*contents, "empty", "broken")}
    for name, samples in contents.items():
        soundfile.write(paths[name], samples, 1000 if name == "long" else RATE, subtype="FLOAT")
    paths["empty"].write_bytes(b"")
    paths["broken"].write_bytes(b"This is a letter, and no sound." * 100)
    return {name: str(path) for name, path in paths.items()}


def test_the_fitting_label_of_an_example_comes_first(models, clips):
    scores, _, picture = classify_clip(models, clips["cow mooing"], LABELS)
    assert next(iter(scores)) == "cow mooing" and sum(scores.values()) == pytest.approx(1, abs=1e-5)
    assert [axis.get_ylabel() for axis in picture.axes[:2]] == ["amplitude", "frequency (Hz)"]
    assert picture.axes[1].get_xlabel() == "time (s)"


def test_a_clip_of_a_single_step_has_no_picture_of_its_scores_over_time(models, clips, tmp_path):
    samples, rate = soundfile.read(clips["cow mooing"], dtype="float32")
    soundfile.write(tmp_path / "short.wav", samples[: rate // 4], rate)
    assert classify_clip(models, str(tmp_path / "short.wav"), LABELS)[1] is None


def test_a_longer_clip_has_a_picture_of_its_scores_over_time(models, clips, tmp_path):
    rain, cow = (soundfile.read(clips[name], dtype="float32")[0] for name in ("rain", "cow mooing"))
    samples = np.concatenate([rain, np.zeros(4 * RATE, np.float32), np.tile(cow, 3)])
    soundfile.write(tmp_path / "both.wav", samples, RATE)
    _, picture, _ = classify_clip(models, str(tmp_path / "both.wav"), LABELS)
    axis = picture.axes[0]
    assert axis.get_xlim() == pytest.approx((0, len(samples) / RATE), abs=0.01)
    assert {label.get_text() for label in axis.get_yticklabels()} == set(LABELS.split(", "))
    shown = axis.collections[0].get_array()
    assert shown.mask.any() and not shown.mask.all()  # nothing is drawn where nothing is heard


def test_labels_scored_by_themselves_need_not_sum_to_one(models, clips):
    scores, *_ = classify_clip(models, clips["rain"], LABELS, "a {}\na sound of {}", "its middle", True)
    assert all(0 <= score <= 1 for score in scores.values())
    assert scores != classify_clip(models, clips["rain"], LABELS)[0]


def test_the_page_says_what_the_pipelines_say(models, clips):
    pipe = models.pipeline("audio-captioning")
    assert caption_clip(models, clips["rain"])[0] == pipe(clips["rain"])[0]["generated_text"]
    score = models.pipeline("audio-quality-assessment")(clips["rain"]).score
    assert list(score_quality(models, clips["rain"])[0].values()) == pytest.approx([score, 1 - score], abs=1e-5)


def test_questions_are_about_one_clip_or_two(models, clips):
    answer, shares, first, second = answer_question(models, clips["rain"], None, "what is the sound?", "rain, applause")
    assert answer in ("rain", "applause") and max(shares, key=shares.get) == answer
    assert first is not None and second is None
    answer, shares, _, second = answer_question(models, clips["rain"], clips["cow mooing"], "which audio is higher?")
    assert answer and shares is None and second is not None


def test_a_detailed_difference_says_more_than_a_concise_one(models, clips):
    pair = clips["rain"], clips["cow mooing"]
    assert len(tell_difference(models, *pair, "detailed")[0]) > len(tell_difference(models, *pair)[0]) > 0


def test_adaptation_shows_each_clip_before_and_after_and_the_entropy_of_each_step(models, clips):
    said, rows, entropy, _ = adapt_to_clips(models, list(clips.values())[:2], LABELS, steps=3, views=4)
    assert [len(row) for row in rows] == [len(COLUMNS)] * 2 and rows[0][0].startswith("cow_mooing")
    steps = len(entropy.axes[0].lines[0].get_xdata()) - 1
    assert 0 <= steps <= 3 and f"in {steps} steps" in said


@pytest.mark.parametrize(
    ("name", "reason"),
    [("silent", "silent"), ("nan", "NaN"), ("long", "20"), ("empty", "empty"), ("broken", "broken.wav")],
)
def test_bad_uploads_are_refused_by_name_and_reason(models, bad_clips, name, reason, tmp_path):
    for answer in (
        lambda path: classify_clip(models, path, LABELS),
        lambda path: caption_clip(models, path),
        lambda path: score_quality(models, path),
        lambda path: adapt_to_clips(models, [path], LABELS),
    ):
        with pytest.raises(ValueError) as caught:
            answer(bad_clips[name])
        said = message_for_visitors(caught.value)
        assert f"{name}.wav" in said and reason.lower() in said.lower()
        assert str(tmp_path) not in said and "`" not in said and "Traceback" not in said


def test_a_clip_whose_heard_part_is_silent_is_named(models, tmp_path):
    samples = np.zeros(5 * RATE, np.float32)
    samples[4 * RATE :] = 0.1 * np.sin(np.arange(RATE))
    soundfile.write(tmp_path / "late.wav", samples, RATE)
    with pytest.raises(ValueError) as caught:
        classify_clip(models, str(tmp_path / "late.wav"), LABELS, heard="its beginning")
    said = message_for_visitors(caught.value)
    assert "late.wav" in said and "silent" in said and "`" not in said
    assert classify_clip(models, str(tmp_path / "late.wav"), LABELS)[0]


def test_missing_words_and_clips_are_asked_for(models, clips):
    clip = clips["rain"]
    for answer, expected in (
        (lambda: classify_clip(models, None, LABELS), "no clip yet"),
        (lambda: classify_clip(models, clip, " , "), "no labels"),
        (lambda: classify_clip(models, clip, "rain, rain"), "twice"),
        (lambda: classify_clip(models, clip, LABELS, "no place"), "no place"),
        (lambda: answer_question(models, clip, None, " "), "no question"),
        (lambda: answer_question(models, clip, None, "what?", "rain"), "one choice"),
        (lambda: tell_difference(models, clip, None), "second clip"),
        (lambda: score_quality(models, clip, "good", "good"), "prompts"),
        (lambda: adapt_to_clips(models, [], LABELS), "no clips"),
        (lambda: adapt_to_clips(models, [clip], "rain"), "at least 2"),
        (lambda: adapt_to_clips(models, [clip] * (MOST_CLIPS + 1), LABELS), "at most 16"),
    ):
        with pytest.raises(ValueError, match=expected):
            answer()


def test_labels_may_stand_one_a_line():
    assert split_labels("rain\n a dog ,\n\napplause") == ["rain", "a dog", "applause"]


def test_a_model_that_is_not_there_is_told_when_the_page_starts():
    with pytest.raises(ValueError, match="no folder"):
        DemoModels(ask="./nowhere")


def test_bands_are_drawn_at_the_frequency_that_they_hear():
    """Also where the mel bank was built for another rate than that of the audio, as for CLAP 2022."""
    for extractor in (AfmFeatureExtractor(), AfmFeatureExtractor(mel_sampling_rate=32000)):
        rate = extractor.sampling_rate
        tone = np.sin(2 * np.pi * 3000 * np.arange(rate) / rate).astype(np.float32)
        features = extractor([tone], sampling_rate=rate, return_tensors="np")["input_features"][0, 0]
        loudest = int(features.mean(axis=0).argmax())
        assert band_frequencies(extractor)[loudest] == pytest.approx(3000, rel=0.05)


def test_a_clip_of_few_samples_has_a_picture(models, tmp_path):
    soundfile.write(tmp_path / "click.wav", np.array([0.0, 0.5, -0.5, 0.1]), RATE)
    extractor = models.pipeline("zero-shot-audio-classification").feature_extractor
    clip = read_clip(tmp_path / "click.wav", extractor)
    clip_picture(clip, extractor).savefig(tmp_path / "click.png")
    assert (tmp_path / "click.png").stat().st_size > 1000


WITHOUT_GREY = [("windows", []), ("segments", []), (None, [])]


@pytest.mark.parametrize(
    ("truncation", "grey"),
    [("first", [(2.415, 6.0)]), ("center", [(0.0, 1.7925), (4.2075, 6.0)]), *WITHOUT_GREY],
)
def test_what_the_model_does_not_hear_is_grey_and_said(models, truncation, grey):
    extractor = models.pipeline("zero-shot-audio-classification").feature_extractor
    assert extractor.truncation == "windows"  # which holds where nothing else is said
    noise = np.random.default_rng(0).normal(scale=0.1, size=6 * extractor.sampling_rate).astype(np.float32)
    wave = clip_picture(Clip("noise.wav", noise, extractor.sampling_rate), extractor, truncation).axes[0]
    shaded = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in wave.patches]
    assert shaded == [pytest.approx(part) for part in grey]
    assert ("s of it heard" in wave.get_title()) == bool(grey)


def test_a_caption_of_a_long_clip_hears_all_of_it_and_an_answer_its_beginning(models, clips, tmp_path):
    rain, rate = soundfile.read(clips["rain"], dtype="float32")
    soundfile.write(tmp_path / "long.wav", np.tile(rain, 3), rate)
    _, whole = caption_clip(models, str(tmp_path / "long.wav"))
    *_, beginning, _ = answer_question(models, str(tmp_path / "long.wav"), None, "what is the sound?")
    assert not whole.axes[0].patches and len(beginning.axes[0].patches) == 1


def test_examples_come_with_their_licences(clips):
    assert len(clips) >= 4
    assert licence_line().count("(CC") + licence_line().count("(MIT") == len(clips)
