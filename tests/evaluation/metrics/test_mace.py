"""MACE: the formula by hand, one score for each sentence, bad clips, mistakes; agreement with people."""

import json

import numpy as np
import pytest
import torch
from tiny_models import RATE, tiny_clap, tone, write_tones

from afm_hf.evaluation.metrics import mace as mace_module
from afm_hf.evaluation.metrics.mace import Mace, mace
from afm_hf.evaluation.metrics.pairwise import official_categories, pairwise_accuracy
from afm_hf.retrieval.embedding import ClapEmbedder

CANDIDATES = ["A dog barks.", "Rain falls on, on the roof!", "birds"]
REFERENCES = [["a dog", "a dog that barks twice"], ["rain"], ["birds sing", "a bird", "an engine", "birds sing"]]


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    return ClapEmbedder(str(tiny_clap(tmp_path_factory.mktemp("model"))), device="cpu")


@pytest.fixture
def clips(tmp_path):
    return [str(path) for path in write_tones(tmp_path / "clips", 3)]


def unit(vector):
    return vector / np.linalg.norm(vector)


@torch.no_grad()
def plain(embedder, candidate, references, clip):
    """One sentence at a time: (similarity with the references, with the audio)."""

    def text(words):
        tokens = embedder.tokenizer([words], return_tensors="pt")
        return unit(embedder.model.get_text_features(**tokens).pooler_output[0].numpy())

    features = embedder.feature_extractor([clip], truncation="windows", return_tensors="pt")
    heard = unit(embedder.model.get_audio_features(**features).pooler_output[0].numpy())
    return np.mean([text(candidate) @ text(reference) for reference in references]), text(candidate) @ heard


def test_every_sentence_gets_the_papers_score(embedder, clips):
    expected = np.array([plain(embedder, *item) for item in zip(CANDIDATES, REFERENCES, clips, strict=True)])
    for mode, wanted in (("text", expected[:, 0]), ("audio", expected[:, 1]), ("combined", expected.mean(1))):
        result = Mace(embedder, mode=mode, batch_size=2)(CANDIDATES, REFERENCES, clips)
        np.testing.assert_allclose(result.scores, wanted, atol=1e-5)
        assert result.score == pytest.approx(wanted.mean(), abs=1e-5)
        assert result.settings["mode"] == mode
    np.testing.assert_allclose(result.text_similarities, expected[:, 0], atol=1e-5)
    np.testing.assert_allclose(result.audio_similarities, expected[:, 1], atol=1e-5)
    assert mace(CANDIDATES, REFERENCES, clips, embedder).scores == pytest.approx(result.scores, abs=1e-5)


def test_a_sentence_with_an_error_loses_the_penalty(embedder):
    heard = []

    def detector(sentences):
        heard.extend(sentences)
        return [0.97, 0.98, 0.2]

    free = Mace(embedder, mode="text")(CANDIDATES, REFERENCES)
    metric = Mace(embedder, mode="text", error_detector=detector)
    result = metric(CANDIDATES, REFERENCES)
    assert heard == ["a dog barks", "rain falls on on the roof", "birds"]
    factors = np.array([1, 0.7, 1])  # 0.97 is not above the threshold
    np.testing.assert_allclose(result.scores, np.array(free.scores) * factors, atol=1e-9)
    assert result.score == pytest.approx(np.mean(np.array(free.scores) * factors))
    assert result.similarities == free.scores and result.errors == 1
    assert result.settings["error_detector"] == "detector" and "error_detector" not in free.settings
    other = Mace(embedder, mode="text", error_detector=detector, error_threshold=0.1, penalty=1)(CANDIDATES, REFERENCES)
    assert other.score == 0 and other.errors == 3


def test_targets_are_embedded_once_for_several_systems(embedder, clips, monkeypatch):
    metric = Mace(embedder)
    expected = [metric(captions, REFERENCES, clips).scores for captions in (CANDIDATES, CANDIDATES[::-1])]
    targets = metric.embed_targets(REFERENCES, clips)
    monkeypatch.setattr(embedder, "embed_features", None)  # no more audio
    assert metric.score(CANDIDATES, targets).scores == pytest.approx(expected[0], abs=1e-6)
    assert metric.score(CANDIDATES[::-1], targets).scores == pytest.approx(expected[1], abs=1e-6)
    with pytest.raises(ValueError, match="2 candidates for 3 clips"):
        metric.score(CANDIDATES[:2], targets)
    monkeypatch.setattr(embedder, "fingerprint", "another")
    with pytest.raises(ValueError, match="Another model"):
        metric.score(CANDIDATES, targets)


def test_long_audio_is_heard_whole_and_always_the_same_way(embedder):
    clip = np.concatenate([tone(200, seconds=0.5), tone(900, seconds=0.7)])
    clip = {"array": clip, "sampling_rate": RATE}
    scores = [Mace(embedder, mode="audio")(["a dog"], audio=[clip]).scores for _ in range(2)]
    assert scores[0] == scores[1]
    first = Mace(embedder, mode="audio", truncation="first")(["a dog"], audio=[clip])
    assert first.scores != scores[0] and first.settings["truncation"] == "first"
    with pytest.raises(ValueError, match="other scores at every run"):
        Mace(embedder, truncation="random")


def test_bad_clips_are_named_and_the_rest_is_scored(embedder, clips, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    audio = [clips[0], str(tmp_path / "bad.wav"), str(tmp_path / "absent.wav")]
    good = Mace(embedder)(CANDIDATES[:1], REFERENCES[:1], clips[:1])
    result = Mace(embedder, batch_size=2)(CANDIDATES, REFERENCES, audio)
    assert result.scores[1:] == [None, None] and result.scores[0] == pytest.approx(good.scores[0], abs=1e-6)
    assert result.score == result.scores[0]
    assert "bad.wav" in result.skipped[1] and "absent.wav" in result.skipped[2]
    assert None not in result.text_similarities
    assert json.loads(result.to_json())["scores"][1] is None
    with pytest.raises(ValueError, match="None of the 1 clips can be heard"):
        Mace(embedder, mode="audio")(["a dog"], audio=[audio[1]])


def test_captions_by_clip_are_scored_as_lists_are(embedder):
    said, true = {"b": [CANDIDATES[0]], "a": CANDIDATES[1]}, {"a": REFERENCES[1], "b": REFERENCES[0]}
    wanted = Mace(embedder, mode="text")(CANDIDATES[:2], REFERENCES[:2])
    found = Mace(embedder, mode="text")(said, true)
    assert found.scores == pytest.approx(wanted.scores, abs=1e-6)
    assert Mace(embedder, mode="text")(iter(CANDIDATES[:2]), iter(REFERENCES[:2])).scores == pytest.approx(
        wanted.scores, abs=1e-6
    )
    with pytest.raises(ValueError, match="`candidates` is a dictionary by clip, `references` is not"):
        Mace(embedder, mode="text")(said, REFERENCES[:2])


def test_mistakes_are_named(embedder, clips):
    metric = Mace(embedder)
    for arguments, message in (
        ((CANDIDATES, REFERENCES[:2], clips), "3 candidates but 2 references"),
        ((CANDIDATES, REFERENCES, clips[:1]), "3 candidates but 1 audio"),
        ((CANDIDATES, None, clips), "needs `references`"),
        ((CANDIDATES, REFERENCES), "needs `audio`"),
        (("a dog", REFERENCES, clips), "`candidates` is one text; expected a list"),
        ((["a", " ", "b"], REFERENCES, clips), r"candidates\[1\]"),
        ((CANDIDATES, [["a"], "b", ["c"]], clips), r"references\[1\] is the text 'b'"),
        ((CANDIDATES, [["a"], [], ["c"]], clips), r"references\[1\]` is empty"),
        (([], [], []), "`candidates` is empty"),
    ):
        with pytest.raises(ValueError, match=message):
            metric(*arguments)
    with pytest.raises(ValueError, match="`mode` is 'both'"):
        Mace(embedder, mode="both")
    for options in ({"penalty": 2}, {"error_threshold": 97}, {"batch_size": 0}):
        with pytest.raises(ValueError, match="numbers from 0 to 1"):
            Mace(embedder, **options)
    text_only = Mace(embedder, mode="text").embed_targets(REFERENCES)
    with pytest.raises(ValueError, match="lack what this metric's mode needs"):
        metric.score(CANDIDATES, text_only)
    assert mace_module.MODES == ("combined", "text", "audio")


def test_agreement_with_people_is_counted_as_in_the_released_evaluation():
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(2, 900)).round(1)
    human = generator.integers(-4, 5, size=900)
    result = pairwise_accuracy(first, second, human)
    for kind, part in {"HC": slice(250), "HI": slice(250, 500), "HM": slice(500, 750), "MM": slice(750, None)}.items():
        hits = sum((a - b) * vote > 0 for a, b, vote in zip(first[part], second[part], human[part], strict=True))
        assert result.categories[kind] == pytest.approx(hits / np.count_nonzero(human[part]))
        assert result.counts[kind] == np.count_nonzero(human[part])
    assert result.accuracy == pytest.approx(np.sum((first - second) * human > 0) / np.count_nonzero(human))
    assert result.ties == np.sum((first == second) & (human != 0)) > 0
    assert official_categories(3) == ["HC"] * 3


def test_items_without_preference_or_score_do_not_count():
    result = pairwise_accuracy([0.9, 0.1, 0.5, None], [0.1, 0.9, 0.5, 0.2], [2, 0, 1, 1], ["HC", "HC", "MM", "HI"])
    assert (result.accuracy, result.ties) == (0.5, 1)
    assert result.categories == {"HC": 1.0, "MM": 0.0, "HI": None}
    assert result.settings == {"left_out": 2}
    with pytest.raises(ValueError, match="'second': 1"):
        pairwise_accuracy([1, 2], [1], [1, 1])
    with pytest.raises(ValueError, match="one item or more"):
        pairwise_accuracy([], [], [])
