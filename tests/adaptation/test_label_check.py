"""Labels that a model can hardly tell apart are said; others are not."""

import pytest
from commands import run_command as run
from transformers import AutoModel, AutoTokenizer

from afm_hf import bundled_audio, bundled_model
from afm_hf.adaptation.label_check import check_labels


@pytest.fixture(scope="module")
def parts():
    folder = bundled_model("clap-small")
    return AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def test_pairs_that_are_alike_are_named_and_others_are_not(parts):
    found = check_labels(*parts, ["steam train", "train", "violin", "rain", "dog barking"])
    assert [(pair.first, pair.second, pair.reason) for pair in found] == [("steam train", "train", "hardly told apart")]
    assert found[0].bar < found[0].similarity < 1
    assert str(found[0]).startswith("'steam train' and 'train': hardly told apart (similarity 0.8")


@pytest.mark.parametrize("other", ["Car horn", "car horns", "a car horn", "car-horn", "the Car Horns"])
def test_what_differs_in_case_article_hyphen_or_plural_is_the_same(parts, other):
    (pair,) = check_labels(*parts, ["car horn", "violin", other])
    assert pair.reason == "the same words" and {pair.first, pair.second} == {"car horn", other}


def test_words_that_end_in_s_are_no_plurals_where_they_are_other_words(parts):
    assert not [pair for pair in check_labels(*parts, ["bus", "glass"]) if pair.reason == "the same words"]


def test_the_command_says_it_and_goes_on():
    given = ["classify", bundled_audio()[0], "--labels", "dog,dogs,violin", "--device", "cpu", "--format", "json"]
    checked = run(*given, "--check-labels")
    assert "'dog' and 'dogs': the same words" in checked.stderr
    assert checked.stdout == run(*given).stdout
    assert "--check-labels: all" in run(*given[:2], "--labels", "dog,violin", "--check-labels").stderr
