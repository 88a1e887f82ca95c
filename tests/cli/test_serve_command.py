"""`afm-hf serve` over HTTP: what a client of OpenAI's chat API gets of the bundled Mellow, and what it is told."""

import base64
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from commands import run_command
from transformers import AutoModelForMultimodalLM, AutoProcessor
from transformers.utils.import_utils import is_serve_available

from afm_hf import bundled_audio, bundled_model
from afm_hf.cli.web.serve import checked_request

CLIPS = {clip.stem.rsplit("_", 2)[0]: clip.read_bytes() for clip in bundled_audio()}


def hear(name):
    """A clip in a message, as OpenAI's API has it."""
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(CLIPS[name]).decode(), "format": "ogg"}}


def user(*parts):
    return {"role": "user", "content": [{"type": "text", "text": p} if isinstance(p, str) else p for p in parts]}


COW = user(hear("cow_mooing"), "what is the sound?")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a server with mellow-small."""
    if not is_serve_available():
        pytest.skip("needs transformers[serving]: fastapi, uvicorn and openai")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log"
    command = [sys.executable, "-m", "afm_hf", "serve", "mellow-small", "--port", str(port), "--device", "cpu"]
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            if process.poll() is not None:
                pytest.fail(log.read_text())
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def expected():
    """What the model says without a server."""
    model = AutoModelForMultimodalLM.from_pretrained(bundled_model("mellow-small"))
    processor = AutoProcessor.from_pretrained(bundled_model("mellow-small"))

    def ask(question, *names):
        inputs = processor(audio=[CLIPS[name] for name in names], text=question)
        return processor.decode_answers(model.generate(**inputs), inputs["input_ids"])[0]

    return ask


def post(server, messages, **settings):
    """Status and body of the answer."""
    body = json.dumps({"messages": messages, **settings}).encode()
    request = urllib.request.Request(
        f"{server}/v1/chat/completions", body, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def answer_to(server, messages, **settings):
    code, text = post(server, messages, **settings)
    assert code == 200, text
    return json.loads(text)["choices"][0]["message"]["content"]


@pytest.mark.slow
def test_clips_are_heard_and_questions_answered(server, expected):
    assert answer_to(server, [COW]) == expected("what is the sound?", "cow_mooing")
    both = user(hear("rain"), hear("cow_mooing"), "which audio is louder?")
    assert answer_to(server, [both]) == expected("which audio is louder?", "rain", "cow_mooing")
    told = expected("listen. what is the sound?", "cow_mooing")
    assert answer_to(server, [{"role": "system", "content": "listen."}, COW]) == told


@pytest.mark.slow
def test_a_later_question_is_about_the_last_clip(server, expected):
    rain = user(hear("rain"), "what is the sound?")
    answer = {"role": "assistant", "content": "rain"}
    assert answer_to(server, [rain, answer, COW]) == expected("what is the sound?", "cow_mooing")
    later = [COW, answer, user("is it loud or quiet?")]
    assert answer_to(server, later) == expected("is it loud or quiet?", "cow_mooing")


@pytest.mark.slow
def test_a_stream_gives_the_same_answer(server):
    code, text = post(server, [COW], stream=True)
    assert code == 200
    chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    assert all("error" not in chunk for chunk in chunks), text
    said = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    assert said == answer_to(server, [COW])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([user("what is the sound?")], "No message of the user has a clip"),
        ([user(hear("rain"), hear("rain"), hear("rain"), "hm?")], "has 3 clips"),
        ([COW, {"role": "assistant", "content": "a cow"}], "and user at the end"),
        ([user({"type": "input_audio", "input_audio": {"data": "aGVsbG8=", "format": "wav"}}, "hm?")], "cannot load"),
        ([user({"type": "input_audio", "input_audio": {"data": "!", "format": "wav"}}, "hm?")], "is no base64"),
        ([user({"type": "input_audio"}, "hm?")], '"data" (the file in base64)'),
        ([], "at least one message"),
        ([user({"type": "image_url", "image_url": {"url": "a.png"}}, "hm?")], "contains 'image'"),
    ],
    ids=["no clip", "three clips", "no question", "no audio", "no base64", "no file", "no message", "an image"],
)
def test_what_cannot_be_answered_is_refused_with_the_reason(server, messages, says):
    code, text = post(server, messages)
    assert code == 400 and says in json.loads(text)["error"]["message"]


@pytest.mark.slow
def test_more_tokens_than_there_is_place_for_are_refused(server):
    code, text = post(server, [COW], max_tokens=5000)
    assert code == 400 and "has places for" in json.loads(text)["error"]["message"]


@pytest.mark.slow
def test_the_model_is_called_by_the_name_that_it_was_started_with(server):
    assert answer_to(server, [COW], model="mellow-small") == answer_to(server, [COW])
    code, text = post(server, [COW], model="gpt-5")
    assert code == 400 and "'gpt-5'" in text and "'mellow-small'" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_an_answer_is_as_short_as_asked(server, name):
    code, text = post(server, [COW], **{name: 1})
    assert code == 200 and json.loads(text)["usage"]["completion_tokens"] == 1


def test_the_length_of_an_answer_is_asked_for_by_either_name():
    for settings, expected in [
        ({}, 9),
        ({"max_tokens": 3}, 3),
        ({"max_completion_tokens": 4}, 4),
        ({"max_completion_tokens": 4, "max_tokens": 3}, 4),
    ]:
        request = {"messages": [COW], "model": "mellow-small", **settings}
        assert checked_request(request, 9, {"mellow-small"}) == {"messages": [COW], "max_tokens": expected}


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({}, 'None as "messages"'),
        ({"messages": []}, "at least one message"),
        ({"messages": ["what is the sound?"]}, "is no message"),
        ({"messages": [{"content": "hm?"}]}, '"role"'),
        ({"messages": [user({"text": "hm?"})]}, '"type"'),
        ({"messages": [user({"type": "text"})]}, "A text is None"),
        ({"messages": [user({"type": "audio_url"})]}, '"url"'),
        ({"messages": [user({"type": "input_audio"})]}, '"data"'),
        ({"messages": [user({"type": "input_audio", "input_audio": {"data": "aGVsbG8="}})]}, '"format"'),
        ({"messages": [user({"type": "input_audio", "input_audio": {"data": "é", "format": "wav"}})]}, "no base64"),
        ({"messages": [COW], "model": "gpt-5"}, "'gpt-5', but this server has 'mellow-small'"),
    ],
)
def test_a_request_that_is_none_is_refused_before_the_model_is_asked(request_, says):
    with pytest.raises(ValueError) as error:
        checked_request(request_, 9, {"mellow-small"})
    assert says in str(error.value)


@pytest.mark.parametrize("model", ["clap-small", "pengi-small"])
def test_a_model_that_reads_no_messages_is_refused(monkeypatch, model):
    monkeypatch.setattr("transformers.utils.import_utils.is_serve_available", lambda: True)
    monkeypatch.setitem(sys.modules, "transformers.cli.serve", None)  # no server is started
    assert model in run_command("serve", model, code=2).output


@pytest.mark.parametrize("content", [None, "{", '{"model_type": "bert"}'], ids=["empty", "broken", "another model"])
def test_a_folder_without_a_mellow_is_refused(monkeypatch, tmp_path, content):
    monkeypatch.setattr("transformers.utils.import_utils.is_serve_available", lambda: True)
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    output = run_command("serve", tmp_path, code=2).output
    assert tmp_path.name in output


def test_a_path_that_the_server_would_take_for_a_revision_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("transformers.utils.import_utils.is_serve_available", lambda: True)
    folder = tmp_path / "me@home"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "afm_mellow"}')
    assert "has an @" in run_command("serve", folder, code=2).output


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr("transformers.utils.import_utils.is_serve_available", lambda: False)
    assert "afm-hf[serving]" in run_command("serve", code=2).output
