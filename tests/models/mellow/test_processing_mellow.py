"""Chat messages for Mellow: the same inputs as a call, transformers' own pipeline, and what is refused."""

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from pair_models import any_to_any, noise, tiny_pair_model
from prefix_models import RATE
from transformers import AutoProcessor

from afm_hf.models.mellow import chat_mellow


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """(model, processor, folder with both, paths of two clips)."""
    folder = tmp_path_factory.mktemp("mellow")
    model, processor = tiny_pair_model("mellow")
    model.generation_config.max_new_tokens = 6
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    paths = [str(folder / f"{index}.wav") for index in range(2)]
    for index, path in enumerate(paths):
        soundfile.write(path, noise(index), RATE, subtype="FLOAT")
    return model, processor, folder, paths


def chat(*clips, text="what differs"):
    """A user's turn."""
    content = [{"type": "audio", "audio": clip} for clip in clips]
    return [{"role": "user", "content": [*content, {"type": "text", "text": text}]}]


def same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], atol=1e-4, rtol=1e-4)


def inputs_of(processor, messages, **kwargs):
    return processor.apply_chat_template(messages, tokenize=True, return_dict=True, **kwargs)


def test_messages_give_the_inputs_of_a_call(saved):
    _, processor, _, (first, second) = saved
    direct = processor(audio=[first, second], text="what differs")
    same(inputs_of(processor, chat(first, second)), direct)
    array = {"array": noise(1), "sampling_rate": RATE}
    same(inputs_of(processor, chat(first, array)), direct)
    same(inputs_of(processor, chat(noise(0), noise(1)), processor_kwargs={"sampling_rate": RATE}), direct)
    by_key = [
        {"type": "audio", "path": first},
        {"type": "text", "text": "what differs"},
        {"type": "audio", "url": second},
    ]
    same(inputs_of(processor, [{"role": "user", "content": by_key}]), direct)
    same(inputs_of(processor, chat(first)), processor(audio=first, text="what differs"))
    pairs = processor(audio=[[first, second], [second, second]], text=["what differs", "hm"])
    same(inputs_of(processor, [chat(first, second), chat(second, text="hm")]), pairs)
    ids = processor.apply_chat_template(chat(first, second), tokenize=True)
    assert torch.equal(ids, direct["input_ids"])
    numbers = inputs_of(processor, chat(first), return_tensors="np")
    assert isinstance(numbers["input_ids"], np.ndarray)


def test_messages_may_be_the_objects_of_clients(saved):
    processor = saved[1]

    @dataclass
    class Message:
        role: str
        content: list
        tool_calls: list | None = None

    class Part:  # as pydantic's models
        def __init__(self, **set_):
            self.set = set_

        def model_dump(self):
            return {"audio": None, "text": None, **self.set}

    parts = [Part(type="audio", audio=noise(0)), Part(type="text", text="what differs")]
    wanted = inputs_of(processor, chat(noise(0)), processor_kwargs={"sampling_rate": RATE})
    same(inputs_of(processor, [Message("user", parts)], processor_kwargs={"sampling_rate": RATE}), wanted)


def test_without_tokens_the_prompt_is_returned(saved):
    _, processor, _, (first, second) = saved
    assert processor.apply_chat_template(chat(first, second)) == "what differs"
    two = [
        {"type": "text", "text": "listen."},
        {"type": "audio", "audio": first},
        {"type": "text", "text": "what is it?"},
    ]
    assert processor.apply_chat_template([[{"role": "user", "content": two}]]) == ["listen. what is it?"]
    other = "{{ messages[0].content[0].text | upper }}"
    assert processor.apply_chat_template(chat(first), chat_template=other) == "WHAT DIFFERS"


def test_the_beginning_of_the_answer_is_continued(saved):
    _, processor, _, (first, second) = saved
    messages = [*chat(first, second), {"role": "assistant", "content": "the first"}]
    made = inputs_of(processor, messages, continue_final_message=True)
    same(made, processor(audio=[first, second], text="what differs", add_text="the first"))


def test_of_a_conversation_the_last_question_is_asked_about_the_last_clips(saved, monkeypatch):
    said = []
    monkeypatch.setattr(chat_mellow.logger, "warning_once", said.append)
    _, processor, _, (first, second) = saved
    answer = {"role": "assistant", "content": "a dog"}
    later = {"role": "user", "content": "and now"}
    made = inputs_of(processor, [*chat(first), answer, *chat(first, second), answer, later])
    same(made, processor(audio=[first, second], text="and now"))
    assert len(said) == 1 and "without the questions and answers before" in said[0]
    again = inputs_of(processor, [*chat(first, second), answer, *chat(second)])
    same(again, processor(audio=second, text="what differs"))
    begun = [*chat(first, second), answer, later, {"role": "assistant", "content": "the first"}]
    made = inputs_of(processor, begun, continue_final_message=True)
    same(made, processor(audio=[first, second], text="and now", add_text="the first"))


def test_a_system_message_goes_in_front_of_the_question(saved):
    _, processor, _, (first, _) = saved
    for role in ("system", "developer"):
        messages = [{"role": role, "content": "be brief."}, *chat(first)]
        assert processor.apply_chat_template(messages) == "be brief. what differs"
        same(inputs_of(processor, messages), processor(audio=first, text="be brief. what differs"))


def test_clips_come_in_data_urls_as_servers_make_them(saved):
    _, processor, _, (first, _) = saved
    url = "data:audio/wav;base64," + base64.b64encode(Path(first).read_bytes()).decode()
    messages = [{"role": "user", "content": [{"type": "audio", "url": url}, {"type": "text", "text": "what differs"}]}]
    same(inputs_of(processor, messages), inputs_of(processor, chat(first)))


def test_the_template_travels_with_the_processor(saved):
    _, processor, folder, (first, second) = saved
    again = AutoProcessor.from_pretrained(folder)
    assert again.chat_template == processor.chat_template
    same(inputs_of(again, chat(first, second)), inputs_of(processor, chat(first, second)))


def test_transformers_own_pipeline_answers_as_model_and_processor_do(saved):
    model, processor, folder, (first, second) = saved
    ask = any_to_any(folder)
    for messages, audio in [(chat(first, second), [first, second]), (chat(second), second)]:
        inputs = processor(audio=audio, text="what differs")
        expected = processor.decode_answers(model.generate(**inputs), inputs["input_ids"])[0]
        made = ask(text=messages, return_full_text=False)[0]["generated_text"]
        assert made.strip() == expected
        answer = ask(text=messages)[0]["generated_text"][-1]
        assert answer["role"] == "assistant" and answer["content"].strip() == expected
    both = ask(text=[chat(first, second), chat(second)], return_full_text=False)
    assert [result[0]["generated_text"] for result in both] == [
        ask(text=messages, return_full_text=False)[0]["generated_text"]
        for messages in (chat(first, second), chat(second))
    ]


def test_exclamation_marks_reach_the_pipelines_answer(saved):
    _, processor, _, _ = saved
    prompt = [257, 257, 256, 257, 256, *processor.encode("what differs"), 0, 0, 0]
    whole = torch.tensor([[*prompt, *processor.encode("look out! now"), 256, 0, 0]])
    question = processor.post_process_multimodal_output(torch.tensor([prompt]))[0]
    answer = processor.post_process_multimodal_output(whole)[0]
    assert answer.removeprefix(question) == "look out! now"


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([*chat("a.wav"), {"role": "assistant", "content": "a dog"}], "continue_final_message=True"),
        ([*chat("a.wav"), {"role": "system", "content": "be kind"}], "expected system messages, if any, then"),
        ([*chat("a.wav"), {"role": "tool", "content": "3"}, *chat("b.wav")], "the roles .*'tool'"),
        ([{"role": "system", "content": "be kind"}], "and user at the end"),
        ([], "and user at the end"),
        ([{"role": "system", "content": [{"type": "audio", "audio": "a.wav"}]}, *chat("a.wav")], "only the user's may"),
        (chat("a.wav", "b.wav", "c.wav"), "has 3 clips, but Mellow hears one or two"),
        (chat(), "no message of the user has a clip"),
        ([*chat("a.wav"), {"role": "assistant", "content": "a dog"}, *chat(text="")], "has no text"),
        (chat("data:audio/wav,abc"), "expected `data:audio/...;base64,`"),
        (chat("data:audio/wav;base64,a"), "is no base64"),
        (chat("a.wav", text=" "), "has no text"),
        ([{"role": "user", "content": [{"type": "image", "image": "a.png"}]}], "a message contains 'image'"),
        ([{"role": "user", "content": 3}], "expected a string or a list of parts"),
        ([{"role": "user", "content": [{"type": "audio"}]}], "no 'audio', 'url' or 'path'"),
        ([{"role": "user", "content": [{"type": "text", "text": 3}]}], "expected a string under the key 'text'"),
    ],
)
def test_what_mellow_cannot_answer_is_refused(saved, messages, reason):
    _, processor, _, _ = saved
    with pytest.raises(ValueError, match=f"(?i){reason}"):
        processor.apply_chat_template(messages, tokenize=True)


def test_options_without_meaning_are_refused(saved):
    _, processor, _, _ = saved
    with pytest.raises(ValueError, match="know no tools"):
        processor.apply_chat_template(chat("a.wav"), tokenize=True, tools=[{"name": "x"}])
