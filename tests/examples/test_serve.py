"""The example of a web service: what a client gets, and what strangers cannot do."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import serve
from starlette.testclient import TestClient

from afm_hf import bundled_audio

CLIPS = {clip.stem.rsplit("_", 2)[0]: clip.read_bytes() for clip in bundled_audio()}
LABELS = [("label", label) for label in ("rain", "cow mooing", "applause")]


@pytest.fixture(scope="module")
def client():
    with TestClient(serve.app) as client:
        yield client


def best(response):
    assert response.status_code == 200, response.text
    return response.json()["labels"][0]["label"]


def test_a_clip_gets_its_label(client):
    response = client.post("/classify", params=LABELS, content=CLIPS["cow_mooing"])
    assert best(response) == "cow mooing"
    assert sum(row["score"] for row in response.json()["labels"]) == pytest.approx(1, abs=1e-4)
    assert client.get("/health").json()["status"] == "ready"


def test_requests_at_the_same_time_get_their_own_answers(client):
    """With labels of their own, so that each of them needs the tokenizer."""
    names = ["rain", "cow_mooing", "applause", "footsteps"] * 4
    asked = [[("label", name.replace("_", " ")), ("label", f"nothing {i}")] for i, name in enumerate(names)]
    alone = [client.post("/classify", params=labels, content=CLIPS[n]) for n, labels in zip(names, asked, strict=True)]
    with ThreadPoolExecutor(8) as threads:
        posts = [
            threads.submit(client.post, "/classify", params=labels, content=CLIPS[name])
            for name, labels in zip(names, asked, strict=True)
        ]
        together = [post.result() for post in posts]
    for one, other in zip(alone, together, strict=True):
        assert [row["label"] for row in one.json()["labels"]] == [row["label"] for row in other.json()["labels"]]
        scores = [[row["score"] for row in answer.json()["labels"]] for answer in (one, other)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-5)


@pytest.mark.parametrize(
    ("labels", "content", "code", "says"),
    [
        (LABELS, b"this is no audio", 422, "the clip"),
        (LABELS, b"", 422, "the clip"),
        ([("label", " ")], CLIPS["rain"], 422, "label"),
        ([], CLIPS["rain"], 422, "label"),
    ],
    ids=["no audio", "nothing", "a blank label", "no label"],
)
def test_wrong_requests_are_answered_in_words(client, labels, content, code, says):
    response = client.post("/classify", params=labels, content=content)
    assert response.status_code == code and says in response.text


def test_clips_that_are_too_large_or_too_long_are_refused(client, monkeypatch):
    monkeypatch.setattr(serve, "MOST_BYTES", 1000)
    assert client.post("/classify", params=LABELS, content=CLIPS["rain"]).status_code == 413
    monkeypatch.setattr(serve, "MOST_BYTES", 10**7)
    monkeypatch.setattr(serve, "MOST_SECONDS", 0.1)
    response = client.post("/classify", params=LABELS, content=CLIPS["rain"])
    assert response.status_code == 422 and "0.1" in response.text
