"""From rows to batches: labels on answers only, broken clips left out, random choices that do not depend on workers."""

import numpy as np
import pytest
import torch
from pair_models import tiny_pair_model
from prefix_models import RATE, clips, tiny_processor
from tiny_models import clap_parts, write_tones

from afm_hf import AudioDecodeError, ClapAfmProcessor
from afm_hf.training.collators import ClapCollator, LabelCollator, PrefixLMCollator


def clap_processor():
    _, tokenizer, extractor = clap_parts()
    return ClapAfmProcessor(extractor, tokenizer)


@pytest.fixture
def rows(tmp_path):
    return [{"audio": str(path), "text": f"tone {path.stem}"} for path in write_tones(tmp_path, 4)]


@pytest.fixture
def broken(tmp_path, rows):
    """A file that is no sound, a missing one, and an array with a hole."""
    (tmp_path / "noise.wav").write_bytes(b"not a sound")
    silence = np.full(1000, np.nan, dtype=np.float32)
    bad = [str(tmp_path / "noise.wav"), str(tmp_path / "missing.wav"), {"array": silence, "sampling_rate": RATE}]
    return [{"audio": clip, "text": "broken"} for clip in bad]


def test_clap_batches_are_those_of_the_processor(rows):
    processor = clap_processor()
    batch = ClapCollator(processor)(rows)
    audio, text = [row["audio"] for row in rows], [row["text"] for row in rows]
    expected = processor(audio=audio, text=text, padding=True, return_tensors="pt")
    assert batch.pop("return_loss") is True and batch.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(batch[name], value, atol=1e-5, rtol=1e-4)


def test_broken_clips_are_named_counted_and_left_out_with_their_texts(rows, broken, caplog):
    mixed = [broken[0], rows[0], broken[1], rows[1], broken[2]]
    collator = ClapCollator(clap_processor())
    batch, expected = collator(mixed), ClapCollator(clap_processor())(rows[:2])
    for name in ("input_ids", "input_features"):
        torch.testing.assert_close(batch[name], expected[name], atol=1e-5, rtol=1e-4)
    assert collator.left_out == 3 and caplog.text.count("left out") == 3
    assert "noise.wav" in caplog.text and "missing.wav" in caplog.text


def test_a_batch_of_broken_clips_alone_and_strictness_raise(broken, rows):
    with pytest.raises(ValueError, match="None of the 3 clips"):
        ClapCollator(clap_processor())(broken)
    with pytest.raises(AudioDecodeError, match=r"missing\.wav"):
        ClapCollator(clap_processor(), on_bad_audio="raise")([rows[0], broken[1]])


def test_one_of_several_captions_is_drawn_from_seed_and_batch():
    row = {"audio": clips(1)[0], "caption": ["a low tone", "a tone", "a sound", "noise"]}
    batches = [[{**row, "caption": [*row["caption"], str(i)]}] for i in range(8)]
    collator, other = ClapCollator(clap_processor(), sampling_rate=RATE), ClapCollator(
        clap_processor(), seed=1, sampling_rate=RATE
    )  # fmt: skip
    first, again = ([collator(batch)["input_ids"].tolist() for batch in batches] for _ in range(2))
    torch.manual_seed(5)
    assert first == again and len({str(ids) for ids in first}) > 1
    assert first != [other(batch)["input_ids"].tolist() for batch in batches]


def test_random_crops_are_drawn_from_seed_and_batch():
    row = {"audio": np.concatenate(clips(3)), "text": "noise"}
    collator = ClapCollator(clap_processor(), sampling_rate=RATE, truncation="random")
    first, again = collator([row])["input_features"], collator([row])["input_features"]
    torch.testing.assert_close(first, again, atol=1e-5, rtol=1e-4)
    assert not torch.equal(first, collator([{**row, "text": "other"}])["input_features"])


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ({"audio": "x.wav"}, r"columns \['audio'\].*'text'"),
        ({"text": "x"}, "'audio'"),
        ({"audio": clips(1)[0], "text": " "}, "expected words"),
        ({"audio": clips(1)[0], "text": 3}, "expected words"),
    ],
)
def test_rows_without_what_is_needed_are_refused(row, match):
    with pytest.raises(ValueError, match=match):
        ClapCollator(clap_processor(), sampling_rate=RATE)([row])


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="on_bad_audio"):
        ClapCollator(clap_processor(), on_bad_audio="replace")
    with pytest.raises(ValueError, match="no rows"):
        ClapCollator(clap_processor())([])
    with pytest.raises(ValueError, match="two clips"):
        PrefixLMCollator(tiny_processor("pengi"), random_second_audio=True)
    with pytest.raises(ValueError, match="one clip a row"):
        clip = clips(1)[0]
        row = {"audio": clip, "audio2": clip, "prompt": "what", "answer": "x"}
        PrefixLMCollator(tiny_processor("pengi"), sampling_rate=RATE)([row])


@pytest.mark.parametrize("kind", ["clapcap", "pengi", "pengi_no_text_enc", "mellow", "adiff"])
def test_labels_stand_on_the_answers_and_their_ends_alone(kind):
    processor = tiny_pair_model(kind)[1] if kind in ("mellow", "adiff") else tiny_processor(kind)
    prompt = None if kind == "clapcap" else "what is it"
    rows = [
        {"audio": clip, "prompt": prompt, "answer": text} for clip, text in zip(clips(2), ["a", "a b"], strict=True)
    ]
    batch = PrefixLMCollator(processor, sampling_rate=RATE)(rows)
    for labels, ids, answer in zip(batch["labels"], batch["input_ids"], ["a", "a b"], strict=True):
        learned = labels[labels != -100]
        assert learned.tolist() == processor.answer_ids(answer)
        assert torch.equal(ids[labels != -100], learned)


@pytest.fixture
def pair_processor():
    return tiny_pair_model("mellow")[1]


def pair_rows(count=4):
    return [{"audio": clip, "prompt": "caption it", "answer": str(i)} for i, clip in enumerate(clips(count))]


def seconds(batch):
    """Which clip of the batch each row hears second."""
    first, second = batch["input_features"].unbind(1)
    return [next(i for i in range(len(first)) if torch.equal(clip, first[i])) for clip in second]


def test_a_row_with_one_clip_hears_it_twice_or_another_one_of_the_batch(pair_processor):
    rows = pair_rows()
    assert seconds(PrefixLMCollator(pair_processor, sampling_rate=RATE)(rows)) == [0, 1, 2, 3]
    collator = PrefixLMCollator(pair_processor, random_second_audio=True, sampling_rate=RATE)
    drawn = seconds(collator(rows))
    assert all(second != index for index, second in enumerate(drawn))
    assert drawn == seconds(collator(rows))
    orders = [[rows[i] for i in order] for order in ([1, 0, 2, 3], [3, 2, 1, 0], [2, 3, 0, 1], [0, 2, 1, 3])]
    assert len({str(seconds(collator(order))) for order in orders}) > 1


def test_second_clips_may_come_from_a_pool_and_given_ones_stay(pair_processor):
    rows = pair_rows(3)
    pool = [rows[2]["audio"]]
    rows[0]["audio2"], rows[1]["audio2"] = rows[1]["audio"], ""  # the official files write "" for none
    batch = PrefixLMCollator(pair_processor, random_second_audio=pool, sampling_rate=RATE)(rows)
    assert seconds(batch) == [1, 2, 2]


def test_a_pair_with_a_broken_second_clip_is_left_out(pair_processor, broken):
    rows = pair_rows(2)
    rows[0]["audio2"] = broken[0]["audio"]
    collator = PrefixLMCollator(pair_processor, sampling_rate=RATE)
    assert len(collator(rows)["input_ids"]) == 1 and collator.left_out == 1


def test_labels_are_indices_or_zeros_and_ones_and_broken_clips_leave_no_label(rows, broken):
    collator = LabelCollator(clap_processor(), ["dog", "rain", "wind"])
    named = [{"audio": row["audio"], "label": label} for row, label in zip(rows, ["wind", "dog"], strict=False)]
    batch = collator([named[0], {**broken[0], "label": "rain"}, named[1]])
    assert batch["labels"].tolist() == [2, 0] and len(batch["input_features"]) == 2 and collator.left_out == 1
    several = collator([{"audio": rows[0]["audio"], "labels": ["dog", "wind"]}, {**rows[1], "labels": []}])
    assert several["labels"].tolist() == [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    with pytest.raises(ValueError, match="'cat', which is none of the 3"):
        collator([{**rows[0], "label": "cat"}])
    with pytest.raises(ValueError, match="only 1 are different"):
        LabelCollator(clap_processor(), ["dog", "dog"])
