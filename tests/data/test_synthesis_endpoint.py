"""Answers of a server: a real one on this machine, that behaves well, or ill."""

import json

import pytest
from audio_files import write_clip, write_csv
from commands import run_command
from written_by import ITEMS, chat_server, completion

pytest.importorskip("httpx")
pytest.importorskip("jsonschema")

from afm_hf.data.synthesis import EndpointWriter, WriterError, load_instructions
from afm_hf.data.synthesis.requests import request_of


def request(kind="questions", form="json", caption="A dog."):
    instruction = next(each for each in load_instructions() if each.kind == kind)
    return request_of(instruction, {"caption": caption, "aspect": "what happens"}, form)


def writer(url, **settings):
    return EndpointWriter(url, "some-model", **{"api_key": "secret", "tries": 3, **settings})


def test_what_is_sent_is_what_openai_documents():
    with chat_server(lambda number, body: completion("well")) as (url, bodies):
        assert writer(url + "/", temperature=0.5, seed=3, max_new_tokens=9).write([request()]) == ["well"]
        assert writer(url, api_key=None).write([request(form="lines")]) == ["well"]
    first, second = bodies
    assert first["path"] == "/v1/chat/completions" and first["key"] == "Bearer secret" and second["key"] is None
    assert (first["model"], first["temperature"], first["seed"], first["max_tokens"]) == ("some-model", 0.5, 3, 9)
    assert first["messages"][0]["role"] == "system" and first["messages"][-1]["content"].startswith("Sound: A dog.")
    asked = first["response_format"]
    assert asked["type"] == "json_schema" and asked["json_schema"]["schema"]["required"] == ["question", "answer"]
    assert "response_format" not in second


def test_answers_come_in_the_order_of_the_requests():
    with chat_server(lambda number, body: completion(body["messages"][-1]["content"])) as (url, bodies):
        said = writer(url).write([request(caption=f"Dog {number}.") for number in range(12)])
    assert [f"Dog {number}." in text for number, text in enumerate(said)] == [True] * 12 and len(bodies) == 12


def test_a_busy_server_is_asked_again():
    def answer(number, body):
        return completion("well") if number == 3 else ((429, {}, {"Retry-After": "0"}), (503, {}, {}))[number - 1]

    with chat_server(answer) as (url, bodies):
        assert writer(url).write([request()]) == ["well"]
    assert len(bodies) == 3


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ((500, {"error": "broken"}, {"Retry-After": "0"}), "answers 500"),
        ((400, {"error": "too long"}, {}), "too long"),
        ((200, b"<html>", {}), "without `choices`"),
        (completion("  "), "empty"),
        (completion(None), "empty"),
    ],
)
def test_a_request_that_fails_costs_the_others_nothing(said, words):
    def answer(number, body):
        return said if "Dog 1" in body["messages"][-1]["content"] else completion("well")

    with chat_server(answer) as (url, _):
        good, bad, other = writer(url, tries=2).write([request(caption=f"Dog {number}.") for number in range(3)])
    assert (good, other) == ("well", "well") and isinstance(bad, WriterError) and words in str(bad)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ((401, {"error": "no such key"}, {}), "no such key.*Check the URL"),
        ((404, {"error": "no such model"}, {}), "no such model"),
        ((400, {"error": "response_format is not known"}, {}), "--form lines"),
    ],
)
def test_what_no_request_can_pass_stops_at_once(said, words):
    with chat_server(lambda number, body: said) as (url, bodies), pytest.raises(WriterError, match=words) as error:
        writer(url, parallel=1).write([request()] * 5)
    assert len(bodies) < 5 and "secret" not in str(error.value)


def test_no_server_and_no_url():
    with chat_server(lambda number, body: completion("well")) as (url, _):
        pass
    with pytest.raises(WriterError, match=r"cannot be reached.*running"):
        writer(url, tries=1).write([request()])
    with pytest.raises(ValueError, match="expected a URL"):
        writer("localhost:8000")


def test_the_command_makes_a_table_that_a_recipe_reads(tmp_path, monkeypatch):
    rows = [[f"{name}.wav", f"A dog of {name} barks in the rain."] for name in ("ann", "ben", "cleo")]
    for name, _ in rows:
        write_clip(tmp_path / "clips" / name)
    write_csv(tmp_path / "clips" / "metadata.csv", "file_name,caption", *rows)
    monkeypatch.setenv("MY_KEY", "secret")

    def answer(number, body):
        item = next(item for words, item in ITEMS.items() if words in body["messages"][-1]["content"])
        return completion(f"Here it is: {json.dumps(item)}")

    with chat_server(answer) as (url, bodies):
        options = ["--data", tmp_path / "clips", "--endpoint", url, "--model", "some-model", "--api-key-env", "MY_KEY"]
        result = run_command("make-data", *options, "--no-examples", "-o", tmp_path / "made")
        assert {body["key"] for body in bodies} == {"Bearer secret"} and len(bodies) == 24
        run_command("make-data", *options, "--no-examples", "-o", tmp_path / "made")
        assert len(bodies) == 24  # everything is there
    assert "all" in result.stdout and not any("secret" in path.read_text() for path in (tmp_path / "made").iterdir())
    made = json.loads((tmp_path / "made" / "train.json").read_text())
    assert {row["taskname"] for row in made} == {"clips"} and len(made) == 3 + 3 + 3 + 3  # sentences once each
