"""The processors of the generating models: every kind of audio, mistakes by name, prompts, answers as text."""

import logging

import numpy as np
import pytest
import soundfile
import torch
from generating_models import save, write_clips
from pair_models import KINDS as PAIRS
from pair_models import any_to_any, noise, tiny_pair_model
from prefix_models import CLIP_S, KINDS, RATE, tiny_processor
from transformers import TextIteratorStreamer

from afm_hf import AudioDecodeError

END, SPACE, BANG = 256, 220, 0


def processor_of(kind):
    return tiny_pair_model(kind)[1] if kind in PAIRS else tiny_processor(kind)


def prompt_of(kind):
    return None if kind == "clapcap" else "what is it"


class Decoder:
    """What `datasets` gives where audio is decoded late: torchcodec's decoder."""

    def __init__(self, samples, rate):
        self.samples, self.rate = samples, rate

    def get_all_samples(self):
        return type("Samples", (), {"data": torch.from_numpy(self.samples)[None], "sample_rate": self.rate})()


@pytest.mark.parametrize("kind", [*KINDS, *PAIRS])
def test_arrays_files_items_and_decoders_are_heard_alike(kind, tmp_path):
    processor, clip = processor_of(kind), noise(0)
    path = tmp_path / "clip.wav"
    soundfile.write(path, clip, RATE, subtype="FLOAT")
    items = [clip, str(path), path, {"array": clip, "sampling_rate": RATE}, Decoder(clip, RATE), path.read_bytes()]
    items.append({"path": str(path), "bytes": None})
    made = processor(audio=items, text=prompt_of(kind), sampling_rate=None)["input_features"]
    assert len(made) == len(items)
    for features in made[1:]:
        torch.testing.assert_close(features, made[0])
    if kind in PAIRS:
        mixed = processor(audio=[(str(path), {"array": clip, "sampling_rate": RATE})], text="what is it")
        torch.testing.assert_close(mixed["input_features"][0], made[0])


@pytest.mark.parametrize("kind", [*KINDS, *PAIRS])
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (np.full(100, np.nan, np.float32), "NaN"),
        (np.zeros(0, np.float32), "no samples|empty"),
        ("/no/such/file.wav", "file.wav"),
    ],
)
def test_an_unusable_clip_is_named_by_its_place(kind, bad, reason):
    processor, good = processor_of(kind), noise(0)
    if kind in PAIRS:
        audio, place = [(good, good), (good, bad)], r"audio\[1\]\[1\]"
    else:
        audio, place = [good, good, bad], r"audio\[2\]"
    with pytest.raises(AudioDecodeError, match=rf"(?s){place}.*({reason})"):
        processor(audio=audio, text=prompt_of(kind), sampling_rate=RATE)


@pytest.mark.parametrize("kind", [*KINDS, *PAIRS])
def test_silence_is_audio_only_where_it_is_allowed(kind):
    processor = processor_of(kind)
    with pytest.raises(AudioDecodeError, match="silent"):
        processor(audio=np.zeros(4000, np.float32), text=prompt_of(kind), sampling_rate=RATE)
    processor.feature_extractor.allow_silence = True
    made = processor(audio=np.zeros(4000, np.float32), text=prompt_of(kind), sampling_rate=RATE)
    assert torch.isfinite(made["input_features"]).all()


@pytest.mark.parametrize("kind", [*KINDS, *PAIRS])
def test_texts_of_the_wrong_type_are_named(kind):
    processor = processor_of(kind)
    with pytest.raises(ValueError, match=r"`text` is 5, a int; expected a string"):
        processor(audio=noise(0), text=5, sampling_rate=RATE)
    with pytest.raises(ValueError, match=r"`text\[1\]` is 3.5, a float; expected a string"):
        processor(audio=[noise(0), noise(1)], text=["a", 3.5], sampling_rate=RATE)
    with pytest.raises(ValueError, match=r"`text_target\[0\]` is b'a', a bytes; expected a string"):
        processor(audio=[noise(0)], text=prompt_of(kind), text_target=[b"a"], sampling_rate=RATE)


@pytest.mark.parametrize("kind", [*KINDS, *PAIRS])
def test_labels_of_answers_of_any_length_are_the_answers_alone(kind):
    processor, answers = processor_of(kind), ["rain", "a dog barks at night!", "wind"]
    made = processor(audio=[noise(i) for i in range(3)], text=prompt_of(kind), text_target=answers, sampling_rate=RATE)
    for row, labels, mask, answer in zip(
        made["input_ids"], made["labels"], made["attention_mask"], answers, strict=True
    ):
        expected = processor.encode(answer + " <|endoftext|>")
        assert labels[labels != -100].tolist() == expected
        assert row[labels != -100].tolist() == expected
        assert mask.sum() == len(row[mask.bool()]) and row[mask.bool()].tolist()[-len(expected) :] == expected
        assert (labels[~mask.bool()] == -100).all()


@pytest.mark.parametrize("kind", ["pengi", "pengi_no_text_enc", "mellow", "adiff"])
def test_prompts_that_are_too_long_are_cut_with_one_warning(kind, caplog):
    processor = processor_of(kind)
    logging.getLogger("transformers").propagate = True
    from afm_hf.models.prefix_lm import processing_afm_prefix_lm

    processing_afm_prefix_lm.logger.warning_once.cache_clear()
    length = processor.prompt_length
    with caplog.at_level("WARNING"):
        long = [processor(audio=noise(0), text="a" * n, sampling_rate=RATE) for n in (length + 1, length + 1)]
        other = processor(audio=noise(0), text="a" * (length + 1), sampling_rate=RATE)
    assert sum("the rest is cut off" in record.message for record in caplog.records) == 1
    name = "input_ids" if kind == "mellow" else "prompt_input_ids"
    assert torch.equal(long[0][name], other[name])
    assert len(long[0][name][0]) == length + (2 * (processor.prefix_length // 2 + 1) if kind == "mellow" else 0)


def test_without_padding_the_prompt_of_mellow_is_as_long_as_it_is():
    model, processor = tiny_pair_model("mellow")
    processor.pad_prompt = False
    made = processor(audio=[noise(0), noise(1)], text="what differs", sampling_rate=RATE)
    assert made["input_ids"][0].tolist()[-12:] == processor.encode("what differs")
    batch = processor(audio=[[noise(0), noise(1)]] * 2, text=["what differs", "hm"], sampling_rate=RATE)
    assert batch["attention_mask"].sum(dim=1).diff().item() == -10
    how = {"max_new_tokens": 5, "do_sample": False}
    one = model.generate(**made, **how)[0, -5:]
    assert torch.equal(model.generate(**batch, **how)[0, -5:], one)


@pytest.mark.parametrize("kind", PAIRS)
def test_streams_the_text_that_is_decoded(kind):
    model, processor = tiny_pair_model(kind)
    inputs = processor(audio=[noise(0), noise(1)], text="what differs", sampling_rate=RATE)
    streamer = TextIteratorStreamer(processor.tokenizer, skip_prompt=True)
    sequences = model.generate(**inputs, max_new_tokens=6, do_sample=False, streamer=streamer)
    assert "".join(streamer) == processor.tokenizer.decode(sequences[0, inputs["input_ids"].shape[1] :])


@pytest.mark.parametrize("kind", [*KINDS, *PAIRS])
def test_transformers_any_to_any_pipeline_takes_every_model(kind, tmp_path):
    save(kind, tmp_path)
    path = write_clips(tmp_path / "clips", 1)[0]
    ask = any_to_any(tmp_path)
    inputs = ask.processor(audio=path, text="hm")
    expected = ask.processor.decode_answers(ask.model.generate(**inputs), inputs["input_ids"])
    made = ask(text="hm", audio=path, return_full_text=False)
    assert [result["generated_text"].strip() for result in made] == expected
    with pytest.raises(ValueError, match="takes audio and text, but `images` were given"):
        ask.processor(audio=path, text="hm", images=[1])


# -- answers as text --------------------------------------------------------------------------------------------------


def decoded(processor, *answers, **kwargs):
    """Decodes answers (token ids) behind a prompt of two tokens."""
    front = [processor.audio_token_id, END]
    return processor.decode_answers(torch.tensor([front + ids for ids in answers]), torch.tensor([front]), **kwargs)


def ids(text):
    return [SPACE if letter == " " else ord(letter) - ord("!") for letter in text]


@pytest.mark.parametrize("kind", [*KINDS, *PAIRS])
def test_exclamation_marks_are_words_and_padding_is_not(kind):
    processor = processor_of(kind)
    assert processor.encode("look out!") == ids("look out!")
    stop = [END] if kind == "mellow" else [SPACE]  # where the authors' decoding ends
    loud, calm = ids("look out!") + stop, ids("calm") + stop + 5 * [BANG]
    assert decoded(processor, loud, calm) == ["look out!", "calm"]
    assert decoded(processor, ids("no! no") + stop) == ["no! no"]
    assert decoded(processor, ids("!!!") + stop) == ["!!!"]
    assert decoded(processor, stop) == [""]
    # Both ends one after the other, as in training.
    assert decoded(processor, [*ids("hey!"), SPACE, END, BANG, BANG]) == ["hey!"]


@pytest.mark.parametrize("kind", ["clapcap", "mellow"])
def test_answers_cut_by_the_length_limit_keep_their_last_word_where_the_ends_are_told(kind):
    processor = processor_of(kind)
    rows = [ids("watch out!"), ids("quiet now!")]
    assert decoded(processor, *rows, stop_token_ids=[END]) == ["watch out!", "quiet now!"]


def test_padding_behind_an_end_that_was_not_told_is_no_text():
    processor = processor_of("mellow")
    assert decoded(processor, ids("a dog.") + 3 * [BANG]) == ["a dog."]
    loud = [ids("a dog!!!"), ids("a cat.") + 2 * [BANG]]
    assert decoded(processor, *loud, stop_token_ids=ids(".")) == ["a dog!!!", "a cat"]


def test_nothing_behind_the_end_and_no_special_token_is_text():
    processor = processor_of("mellow")
    assert decoded(processor, [*ids("rain"), END, *ids("never said")]) == ["rain"]
    assert decoded(processor, [processor.audio_token_id, *ids("rain")]) == ["rain"]


def test_digits_behind_a_lone_space_stay_in_answers_of_mellow():
    # SmolLM2 writes " 5" as a space and a digit; only the end token ends its answers.
    assert decoded(processor_of("mellow"), [*ids("about 5 dogs"), END]) == ["about 5 dogs"]


def test_clips_shorter_than_the_model_hears_are_as_long():
    made = processor_of("mellow")(audio=noise(0)[:200], text="hm", sampling_rate=RATE)
    assert made["input_features"].shape[-2] == 1 + round(CLIP_S * RATE) // 40
