"""What holds for every pipeline of the models that answer in words, whatever the task."""

import numpy as np
import pytest
import torch
from generating_models import KINDS, PAIRS, examples, parts, prompt_of, save, write_clips
from prefix_models import RATE, clips
from torch.utils.data import Dataset
from transformers import AutoProcessor, TextIteratorStreamer, pipeline

from afm_hf import AudioDecodeError, AudioTextGenerationPipeline, average_log_prob_beam_search


def make(kind, **kwargs):
    model, processor = parts(kind)
    return AudioTextGenerationPipeline(model=model, processor=processor, device="cpu", sampling_rate=RATE, **kwargs)


def texts(result):
    return [entry["generated_text"] for entry in result]


def directly(pipe, example, prompt, **kwargs):
    """The answers of processor and model, without pipeline."""
    audio = [list(example)] if isinstance(example, tuple) else [example]
    inputs = pipe.processor(audio=audio, text=prompt, sampling_rate=RATE)
    return pipe.processor.decode_answers(pipe.model.generate(**inputs, **kwargs), inputs["input_ids"])


class Rows(Dataset):
    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


# -- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_processor_and_model(kind):
    pipe = make(kind)
    audio = examples(kind)
    wanted = [directly(pipe, example, prompt_of(kind)) for example in audio]
    assert len({text for answers in wanted for text in answers}) > 1
    assert texts(pipe(audio[0], prompt=prompt_of(kind))) == wanted[0]
    assert [texts(result) for result in pipe(audio, prompt=prompt_of(kind))] == wanted
    assert [texts(result) for result in pipe(audio, prompt=prompt_of(kind), batch_size=2)] == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_batches_of_different_prompts_equal_single_inputs(kind):
    pipe = make(kind)
    if kind == "mellow":
        pipe.processor.pad_prompt = False
    prompts = ["a", "what is this", "is it a dog"]  # of different lengths: filled up on the left
    rows = [{"audio": audio, "prompt": prompt} for audio, prompt in zip(examples(kind), prompts, strict=True)]
    single = [texts(pipe(row)) for row in rows]
    assert [texts(result) for result in pipe(rows, batch_size=3)] == single
    assert [texts(result) for result in pipe(examples(kind), prompt=prompts, batch_size=2)] == single
    assert [texts(result) for result in pipe(rows, prompt="another", batch_size=3)] == single  # a row's own comes first


@pytest.mark.parametrize("kind", ["clapcap", "pengi"])
def test_windows_of_different_counts_share_a_batch(kind):
    pipe = make(kind, truncation="windows", prompt=prompt_of(kind))
    audio = [clips(2, seconds)[1] for seconds in (0.5, 1.5, 1.0)]
    assert pipe(audio, batch_size=3) == [pipe(clip) for clip in audio]
    assert pipe.preprocess(audio[1], RATE, "windows", prompt="x")["inputs"]["input_features"].shape[:2] == (1, 3)


def test_several_windows_are_refused_for_pairs():
    with pytest.raises(ValueError, match="not for models with two audios"):
        make("mellow")(examples("mellow")[0], prompt="x", truncation="windows")


def test_every_form_of_input_gives_the_same(tmp_path):
    pipe = make("pengi", prompt="what is it")
    paths = write_clips(tmp_path, 2)
    wanted = [texts(pipe(path)) for path in paths]
    decoded = [{"array": clip / 4, "sampling_rate": RATE} for clip in clips(2)]
    for forms in (decoded, [{"audio": form, "id": 1} for form in decoded], [clip / 4 for clip in clips(2)]):
        assert [texts(result) for result in pipe(forms)] == wanted
        assert [texts(result) for result in pipe(Rows(forms), batch_size=2)] == wanted
        assert [texts(result) for result in pipe((form for form in forms), batch_size=2)] == wanted
    assert texts(pipe((clips(2)[0] / 4).tolist())) == wanted[0]
    assert pipe([]) == [] and len(pipe(Rows(decoded))) == 2
    workers = pipe(paths, num_workers=1, batch_size=2)
    assert [texts(result) for result in workers] == wanted


def test_rows_of_datasets(tmp_path):
    datasets = pytest.importorskip("datasets")
    pipe = make("pengi")
    data = {"audio": [{"array": clip.tolist(), "sampling_rate": RATE} for clip in clips(2)], "prompt": ["a", "is it"]}
    data = datasets.Dataset.from_dict({**data, "path": ["x", "y"]})
    wanted = [texts(pipe(clip, prompt=prompt)) for clip, prompt in zip(clips(2), data["prompt"], strict=True)]
    for given in (data, data.to_iterable_dataset()):
        assert [texts(result) for result in pipe(given)] == wanted
    assert [texts(result) for result in pipe(data["audio"], prompt=["a", "is it"])] == wanted


@pytest.mark.parametrize("kind", PAIRS)
def test_a_tuple_is_a_pair_and_a_list_a_batch(kind):
    pipe = make(kind, prompt="what is it")
    first, second = clips(2)
    pair = pipe((first, second))
    for other in ({"audio": [first, second]}, {"audio": (first, second)}):
        assert pipe(other) == pair
    assert pipe([(first, second), [second, first]]) == [pair, pipe((second, first))]
    assert pipe([first, second]) == [pipe(first), pipe(second)]
    assert pipe(first) == pipe((first, first)) != pair


# -- generation settings ----------------------------------------------------------------------------------------------


def generated_with(pipe, monkeypatch):
    """Collects the settings of `generate`."""
    calls, generate = [], pipe.model.generate
    names = {"input_ids", "attention_mask", "input_features", "prompt_input_ids", "prompt_attention_mask"}

    def record(**kwargs):
        calls.append({name: value for name, value in kwargs.items() if name not in names})
        return generate(**kwargs)

    monkeypatch.setattr(pipe.model, "generate", record)
    return calls


def test_the_checkpoints_settings_hold_where_the_user_says_nothing(monkeypatch):
    pipe = make("pengi", prompt="x", num_beams=2)
    calls = generated_with(pipe, monkeypatch)
    pipe(clips(1)[0])
    pipe(clips(1)[0], max_new_tokens=3, generate_kwargs={"do_sample": True})
    assert calls == [{"num_beams": 2}, {"num_beams": 2, "max_new_tokens": 3, "do_sample": True}]
    pipe.model.generation_config.max_new_tokens = None
    monkeypatch.setattr(pipe.model, "generate", lambda **kwargs: calls.append(kwargs) or torch.zeros(1, 99).long())
    pipe(clips(1)[0])
    pipe(clips(1)[0], max_length=70)
    places = pipe.model.config.max_position_embeddings - pipe.model.config.num_placeholders + 1
    assert calls[-2]["max_new_tokens"] == places < 256 and "max_new_tokens" not in calls[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_length_of_the_call_is_obeyed(kind):
    """Whatever `max_new_tokens` the checkpoint has; `max_length` counts the prompt, too."""
    pipe = make(kind, prompt=prompt_of(kind))
    prompt = pipe.preprocess(examples(kind)[0], sampling_rate=RATE, prompt=prompt_of(kind))["inputs"]["input_ids"]
    whole = texts(pipe(examples(kind)[0]))[0]
    short = texts(pipe(examples(kind)[0], max_length=prompt.shape[1] + 2))[0]
    assert len(whole) > 2 >= len(short) and whole.startswith(short)
    with pytest.raises(ValueError, match=r"places for \d+.*at most \d+"):
        pipe(examples(kind)[0], max_new_tokens=10_000)


def test_the_authors_beams(monkeypatch):
    pipe = make("clapcap", custom_generate=average_log_prob_beam_search)
    pipe.model.generation_config.num_beams = 3
    wanted = directly(pipe, clips(1)[0], None, custom_generate=average_log_prob_beam_search, num_beams=3)
    assert texts(pipe(clips(1)[0])) == wanted


def test_several_sequences_of_each_input():
    pipe = make("pengi", prompt="what is it")
    many = pipe(clips(2), num_beams=3, num_return_sequences=2, batch_size=2)
    assert [len(result) for result in many] == [2, 2]
    assert texts(many[1]) == directly(pipe, clips(2)[1], "what is it", num_beams=3, num_return_sequences=2)


def test_streaming_gives_the_answer_piece_by_piece():
    pipe = make("pengi", prompt="what is it")
    streamer = TextIteratorStreamer(pipe.processor.tokenizer, skip_prompt=True, skip_special_tokens=True)
    answer = pipe(clips(1)[0], streamer=streamer)
    assert "".join(streamer).strip() == texts(answer)[0] != ""


def test_an_answer_ends_where_this_call_says():
    pipe = make("pengi", prompt="what is it")
    whole = [texts(result)[0] for result in pipe(clips(3))]
    end = whole[0][2]
    id_of_end = pipe.processor.encode(end)[0]
    wanted = [text.partition(end)[0] for text in whole]
    assert wanted != whole
    assert [texts(result)[0] for result in pipe(clips(3), eos_token_id=id_of_end, batch_size=3)] == wanted
    pipe.model.generation_config.eos_token_id = [256, id_of_end]
    assert [texts(result)[0] for result in pipe(clips(3), batch_size=2)] == wanted


@pytest.mark.parametrize("kind", ["pengi", "mellow"])
def test_half_precision(kind):
    model, processor = parts(kind)
    pipe = AudioTextGenerationPipeline(model=model.to(torch.bfloat16), processor=processor, device="cpu")
    inputs = pipe.preprocess(examples(kind)[0], sampling_rate=RATE, prompt="x")["inputs"]
    assert inputs["input_features"].dtype == torch.float32 and inputs["input_ids"].dtype == torch.long
    assert isinstance(pipe(examples(kind)[0], sampling_rate=RATE, prompt="x")[0]["generated_text"], str)


# -- loading, saving --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["audio-text-generation", "audio-captioning", "audio-question-answering"])
def test_saves_and_loads_model_and_processor(task, tmp_path):
    pipe = pipeline(task, model=str(save("pengi", tmp_path / "model")), device="cpu")
    options = {"question": "what is it"} if task == "audio-question-answering" else {"prompt": "what is it"}
    pipe.save_pretrained(tmp_path / "saved")
    again = pipeline(task, model=str(tmp_path / "saved"), device="cpu", local_files_only=True)
    clip = {"array": clips(1)[0], "sampling_rate": RATE}
    assert again(clip, **options) == pipe(clip, **options)
    assert type(AutoProcessor.from_pretrained(tmp_path / "saved")) is type(pipe.processor)


def test_other_models_are_sent_elsewhere():
    with pytest.raises(ValueError, match=r"needs CLAPCAP, Pengi, ADIFF or Mellow.*any-to-any"):
        AudioTextGenerationPipeline(model=parts("pengi")[0], processor=None)


# -- what cannot be used ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_clip_that_fails_is_named(batch_size, tmp_path):
    pipe = make("pengi", prompt="x")
    bad = tmp_path / "broken.wav"
    bad.write_bytes(b"RIFF nothing")
    with pytest.raises(AudioDecodeError, match=r"from \S*broken\.wav"):
        pipe(str(bad))
    with pytest.raises(AudioDecodeError, match=r"audios\[2\], \S*broken\.wav"):
        pipe([*clips(2), str(bad)], batch_size=batch_size)
    with pytest.raises(AudioDecodeError, match=r"audios\[1\]"):
        list(pipe((clip for clip in [clips(1)[0], np.zeros(0)]), batch_size=batch_size))


def test_of_a_pair_the_clip_that_fails_is_named(tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"RIFF nothing")
    pairs = [(clips(1)[0], clips(2)[1]), (clips(1)[0], tmp_path / "broken.wav")]
    with pytest.raises(AudioDecodeError, match=r"audios\[1\], the second clip, \S*broken\.wav"):
        make("adiff")(pairs, prompt="x", batch_size=2)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_errors_may_stand_in_place_of_results(batch_size, tmp_path):
    pipe = make("pengi", prompt="x", on_error="return")
    (tmp_path / "broken.wav").write_bytes(b"RIFF nothing")
    bad = str(tmp_path / "broken.wav")
    wanted = pipe(clips(2), batch_size=2)
    got = pipe([bad, *clips(2), bad, (1.5, "x")[1:]], batch_size=batch_size)
    assert got[1:3] == wanted
    assert all(isinstance(got[index], AudioDecodeError) and bad in str(got[index]) for index in (0, 3))
    assert isinstance(got[4], ValueError) and isinstance(pipe(bad), AudioDecodeError)


@pytest.mark.parametrize(
    ("kind", "audio", "options", "message"),
    [
        ("pengi", ("a.wav", "b.wav"), {"prompt": "x"}, "2 clips were given where PengiFor.* takes 1 "),
        (
            "pengi",
            ["a.wav", ("a.wav", "b.wav")],
            {"prompt": "x", "on_error": "raise"},
            r"cannot load audio|audios\[1\]",
        ),
        ("mellow", ("a", "b", "c"), {"prompt": "x"}, "3 clips were given where Mellow.* takes 1 or 2"),
        ("mellow", {"audio": []}, {"prompt": "x"}, "0 clips were given"),
        ("pengi", "a.wav", {}, "PengiForConditionalGeneration needs a prompt, as `prompt='generate audio caption'`"),
        ("mellow", "a.wav", {"prompt": " "}, "The prompt is ' '; expected a string"),
        ("pengi", {"audio": "a.wav", "prompt": 3}, {}, "The prompt is 3; expected a string"),
        ("clapcap", "a.wav", {"prompt": ""}, "The prompt is ''; expected a string"),
        ("pengi", ["a.wav", "b.wav"], {"prompt": ["x"] * 3}, "list of 3, but there is a list of 2 inputs"),
        ("pengi", "a.wav", {"prompt": "x", "promt": 1}, r"Unknown arguments: \['promt'\]"),
        ("pengi", "a.wav", {"prompt": "x", "on_error": "skip"}, "`on_error` is 'skip'"),
        (
            "pengi",
            "a.wav",
            {"prompt": "x", "max_new_tokens": 2, "generate_kwargs": {"max_new_tokens": 3}},
            "`max_new_tokens` is given twice",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(kind, audio, options, message):
    with pytest.raises(ValueError, match=message):
        make(kind)(audio, **options)


def test_an_input_that_makes_no_sense_is_named_by_its_place():
    first, second = clips(2)
    with pytest.raises(ValueError, match=r"audios\[1\]: .* its sampling rate is 4000 Hz"):
        make("pengi", prompt="x")([first, {"array": second, "sampling_rate": 4000}])
    with pytest.raises(ValueError, match=r"audios\[1\]: 2 clips were given"):
        make("pengi", prompt="x")([first, (first, second)])
