"""Caption metrics give what pycocoevalcap gave for the same captions."""

import importlib.util
import json
import random
import sys
import threading
import types
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from afm_hf.evaluation.metrics import java_captions
from afm_hf.evaluation.metrics.bleu import bleu, bleu_counts, bleu_of_sums
from afm_hf.evaluation.metrics.captions import CAPTION_METRICS, WITHOUT_JAVA, caption_scores
from afm_hf.evaluation.metrics.cider import cider_d
from afm_hf.evaluation.metrics.ngrams import count_ngrams
from afm_hf.evaluation.metrics.pairs import CaptionPairs
from afm_hf.evaluation.metrics.rouge import common_length, rouge_l
from afm_hf.evaluation.metrics.tokenizer import ptb_words

GOLDEN = json.loads(Path(__file__).with_name("caption_golden.json").read_text(encoding="utf-8"))
SETS = [pytest.param(golden, id=name) for name, golden in GOLDEN["sets"].items()]


@pytest.mark.parametrize("golden", SETS)
def test_words_are_those_of_the_java_tokenizer(golden):
    pairs = CaptionPairs.from_texts(golden["candidates"], golden["references"])
    assert [" ".join(words) for words in pairs.candidates] == golden["words"]["candidates"]
    assert [[" ".join(words) for words in clip] for clip in pairs.references] == golden["words"]["references"]


@pytest.mark.parametrize(("text", "words"), GOLDEN["lines"])
def test_odd_texts_are_cut_as_the_java_tokenizer_cuts_them(text, words):
    assert ptb_words(text) == words


@pytest.mark.parametrize("golden", SETS)
@pytest.mark.parametrize("metric", WITHOUT_JAVA)
def test_scores_are_those_of_pycocoevalcap(golden, metric):
    result = caption_scores(golden["candidates"], golden["references"], metrics=[metric])
    assert result.scores[metric] == pytest.approx(golden["corpus"][metric], abs=1e-9)
    np.testing.assert_allclose(result.per_clip[metric], golden["per_clip"][metric], atol=1e-9)
    assert not result.left_out and list(result.scores) == [metric]


def test_a_candidate_without_words_scores_0_and_is_counted():
    result = caption_scores(["...", "rain falls"], ["a dog", "rain falls"], metrics=WITHOUT_JAVA)
    assert result.empty == 1
    assert all(scores[0] == 0 for scores in result.per_clip.values())
    assert result.per_clip["rouge_l"][1] == 1


def test_clips_may_have_different_numbers_of_references():
    result = caption_scores(["a dog", "rain"], [["a dog", "one dog", "dogs"], "rain"], metrics=["rouge_l"])
    assert result.references_per_clip == 2 and result.scores["rouge_l"] == 1


def test_the_order_of_clips_and_references_does_not_matter():
    golden = GOLDEN["sets"]["clotho"]
    order = random.Random(0).sample(range(len(golden["candidates"])), len(golden["candidates"]))
    shuffled = caption_scores(
        [golden["candidates"][i] for i in order], [golden["references"][i][::-1] for i in order], metrics=WITHOUT_JAVA
    )
    for name, score in shuffled.scores.items():
        assert score == pytest.approx(golden["corpus"][name], abs=1e-9)


def test_texts_without_a_word_in_common_score_nothing():
    scores = caption_scores(["a dog barks", "rain"], ["thunder rolls", "cats meow"], metrics=WITHOUT_JAVA).scores
    assert set(scores.values()) == {0.0}


def test_bleu_of_a_part_comes_from_the_sums_of_its_clips():
    golden = GOLDEN["sets"]["clotho"]
    table = bleu_counts(CaptionPairs.from_texts(golden["candidates"], golden["references"])).table()
    part = CaptionPairs.from_texts(golden["candidates"][:9], golden["references"][:9])
    np.testing.assert_allclose(bleu_of_sums(table[:9].sum(0)), [scores.corpus for scores in bleu(part)])


def test_ngrams_are_counted_as_one_by_one():
    random_words = random.Random(1)
    sentences = [random_words.choices("abc", k=random_words.randint(0, 9)) for _ in range(40)]
    for order, counts in enumerate(count_ngrams(sentences, 4), 1):
        expected = [Counter(zip(*(words[i:] for i in range(order)), strict=False)) for words in sentences]
        for sentence, counter in enumerate(expected):
            assert sorted(counts.count[counts.sentence == sentence]) == sorted(counter.values())
        assert len(set(counts.ngram.tolist())) == len(set().union(*expected))


def test_common_subsequences_are_as_long_as_by_the_table_of_the_textbook():
    def textbook(first, second):
        table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
        for i, one in enumerate(first):
            for j, other in enumerate(second):
                table[i + 1][j + 1] = table[i][j] + 1 if one == other else max(table[i][j + 1], table[i + 1][j])
        return table[-1][-1]

    words = random.Random(2)
    for _ in range(300):
        first, second = (words.choices("abcde", k=words.randint(0, 70)) for _ in range(2))
        assert common_length(first, second) == textbook(first, second)


def test_rouge_of_disjoint_captions_is_0():
    assert rouge_l(CaptionPairs.from_texts(["rain"], ["a dog"])).corpus == 0


def test_without_java_the_others_are_given_and_the_result_says_why(monkeypatch):
    monkeypatch.setattr(java_captions.shutil, "which", lambda _: None)
    result = caption_scores(["a dog barks", "rain"], ["a dog", "rain falls"], prompt="generate audio caption")
    assert tuple(result.scores) == WITHOUT_JAVA
    assert set(result.left_out) == set(CAPTION_METRICS) - set(WITHOUT_JAVA)
    assert all("needs Java" in reason and "\n" not in reason for reason in result.left_out.values())
    assert result.settings["prompt"] == "generate audio caption"
    assert json.loads(result.to_json())["scores"].keys() == set(WITHOUT_JAVA)


@pytest.fixture
def java_programs(monkeypatch, tmp_path):
    """Stand-ins for Java and pycocoevalcap."""
    spice, meteor = types.ModuleType("pycocoevalcap.spice.spice"), types.ModuleType("pycocoevalcap.meteor.meteor")
    spice.__file__ = str(tmp_path / "spice.py")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "stanford-corenlp-3.6.0-models.jar").touch()
    answer = 0.25, [{"All": {"f": 0.2}}, {"All": {"f": 0.3}}]
    spice.Spice = lambda: types.SimpleNamespace(compute_score=lambda references, candidates: answer)
    meteor.Meteor = lambda: types.SimpleNamespace(
        lock=threading.Lock(),
        meteor_p=types.SimpleNamespace(kill=lambda: None),
        compute_score=lambda references, candidates: (0.4, [0.4, 0.4]),
    )
    for name in ("pycocoevalcap", "pycocoevalcap.spice", "pycocoevalcap.meteor"):
        package = types.ModuleType(name)
        package.__path__ = []
        package.__spec__ = importlib.util.spec_from_loader(name, None)
        monkeypatch.setitem(sys.modules, name, package)
    sys.modules["pycocoevalcap.spice"].spice = spice
    monkeypatch.setitem(sys.modules, "pycocoevalcap.spice.spice", spice)
    monkeypatch.setitem(sys.modules, "pycocoevalcap.meteor.meteor", meteor)
    monkeypatch.setattr(java_captions.shutil, "which", lambda _: "/usr/bin/java")
    return types.SimpleNamespace(spice=spice, meteor=meteor, folder=tmp_path)


def test_spider_is_the_mean_of_cider_and_spice(java_programs):
    result = caption_scores(["a dog barks", "rain"], ["a dog", "rain falls"])
    assert not result.left_out and result.scores["meteor"] == 0.4
    assert result.scores["spider"] == pytest.approx((result.scores["cider_d"] + 0.25) / 2)
    np.testing.assert_allclose(result.per_clip["spider"], (result.per_clip["cider_d"] + [0.2, 0.3]) / 2)


def test_spice_never_starts_its_large_download(java_programs):
    next((java_programs.folder / "lib").iterdir()).unlink()
    java_programs.spice.Spice = lambda: pytest.fail("it was started")
    result = caption_scores(["a dog barks", "rain"], ["a dog", "rain falls"], metrics=["spice", "spider", "rouge_l"])
    assert list(result.scores) == ["rouge_l"]
    assert "get_stanford_models" in result.left_out["spice"] and "get_stanford_models" in result.left_out["spider"]


def test_a_java_program_that_fails_leaves_the_others(java_programs):
    lock = threading.Lock()

    def fail(references, candidates):
        lock.acquire()
        raise OSError("no memory\nand a long trace")

    java_programs.meteor.Meteor = lambda: types.SimpleNamespace(
        lock=lock, compute_score=fail, meteor_p=types.SimpleNamespace(kill=lambda: None)
    )
    result = caption_scores(["a dog barks", "rain"], ["a dog", "rain falls"], metrics=["meteor", "rouge_l"])
    assert list(result.scores) == ["rouge_l"]
    assert result.left_out == {"meteor": "METEOR was started, but failed: no memory"}
    assert not lock.locked()  # or METEOR would wait for it for ever


def test_meteor_that_does_not_answer_is_ended(java_programs, monkeypatch):
    ended = threading.Event()

    def wait(references, candidates):
        assert ended.wait(30)
        raise ValueError("could not convert string to float: b''")  # what comes of a pipe that is shut

    java_programs.meteor.Meteor = lambda: types.SimpleNamespace(
        lock=threading.Lock(), compute_score=wait, meteor_p=types.SimpleNamespace(kill=ended.set)
    )
    monkeypatch.setattr(java_captions, "METEOR_START_S", 0.01)
    monkeypatch.setattr(java_captions, "METEOR_CLIP_S", 0.0)
    result = caption_scores(["a dog barks", "rain"], ["a dog", "rain falls"], metrics=["meteor", "rouge_l"])
    assert list(result.scores) == ["rouge_l"] and "METEOR was started, but failed" in result.left_out["meteor"]


def test_one_clip_has_no_cider():
    with pytest.raises(ValueError, match="1 clip is too few"):
        cider_d(CaptionPairs.from_texts(["a dog"], ["a dog"]))
    result = caption_scores(["a dog"], ["a dog"], metrics=WITHOUT_JAVA)
    assert "cider_d" not in result.scores and "too few" in result.left_out["cider_d"]


@pytest.mark.parametrize(
    ("candidates", "references", "message"),
    [
        ([], [], "0 candidates"),
        ("a dog", ["a dog"], "one text"),
        (["a dog"], ["a dog", "rain"], "1 candidates and references of 2 clips"),
        (["a dog", None], ["a dog", "rain"], "candidate of clip 1 is None"),
        (["a dog", "rain"], ["a dog", []], "Clip 1 has the references"),
        (["a dog", "rain"], ["a dog", ["rain", "!"]], "Clip 1 has the references"),
        (["a dog"], [["a dog", 3]], "reference of clip 0 is 3"),
    ],
)
def test_what_does_not_fit_together_is_named(candidates, references, message):
    with pytest.raises(ValueError, match=message):
        caption_scores(candidates, references)


SAID, TRUE = {"1.wav": ["a dog barks"], "2.wav": ["rain"]}, {"2.wav": ["rain falls", "rain"], "1.wav": ["a dog barks"]}


@pytest.mark.parametrize(
    ("said", "true"),
    [
        (SAID, TRUE),
        ({1: "a dog barks", 2: "rain"}, {2: ["rain falls", "rain"], 1: "a dog barks"}),
        (
            {clip: [{"image_id": clip, "caption": text} for text in texts] for clip, texts in SAID.items()},
            {clip: [{"image_id": clip, "caption": text} for text in texts] for clip, texts in TRUE.items()},
        ),
        ((text for text in ("a dog barks", "rain")), (texts for texts in (["a dog barks"], ("rain falls", "rain")))),
        (np.array(["a dog barks", "rain"]), [np.array(["a dog barks"]), (t for t in ("rain falls", "rain"))]),
    ],
    ids=["pycocoevalcap", "texts", "coco", "generators", "arrays"],
)
def test_captions_by_clip_are_scored_as_lists_are(said, true):
    wanted = caption_scores(["a dog barks", "rain"], [["a dog barks"], ["rain falls", "rain"]], metrics=WITHOUT_JAVA)
    found = caption_scores(said, true, metrics=WITHOUT_JAVA)
    assert found.scores == pytest.approx(wanted.scores) and found.clips == 2
    np.testing.assert_allclose(found.per_clip["rouge_l"], wanted.per_clip["rouge_l"])


@pytest.mark.parametrize(
    ("said", "true", "message"),
    [
        (SAID, {"1.wav": ["a"], "3.wav": ["b"]}, r"not the same: `references` lacks 1 .'2.wav'.; `candidates` lacks 1"),
        (SAID, [["a dog"], ["rain"]], "`candidates` is a dictionary by clip, `references` is not"),
        ({"1.wav": ["a dog", "a cat"]}, {"1.wav": ["a dog"]}, r"clip 0 is \['a dog', 'a cat'\]; expected one text"),
        ({"1.wav": []}, {"1.wav": ["a dog"]}, r"clip 0 is \[\]; expected one text"),
        (["a dog"] * 5, "a dog", "`references` is one text"),
        (["a dog"], {"a dog"}, "`references` is a set"),
        (["a dog"], [{"a dog", "a cat"}], "reference of clip 0 is {"),
        (["a dog"], [{"text": "a dog"}], "reference of clip 0 is {'text': 'a dog'}; expected a text"),
        ([{"image_id": 2, "caption": "a dog"}], [["a dog"]], "open whose clips they are"),
        (["a dog"], [b"a dog"], "reference of clip 0 is b'a dog'"),
    ],
)
def test_ids_and_letters_are_never_scored(said, true, message):
    with pytest.raises(ValueError, match=message):
        caption_scores(said, true, metrics=WITHOUT_JAVA)


def test_unknown_metrics_are_named():
    with pytest.raises(ValueError, match=r"'bleu4'.*bleu_4"):
        caption_scores(["a"], ["a"], metrics=["bleu4"])
