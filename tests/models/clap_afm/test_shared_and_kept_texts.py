"""Texts that begin alike give what each gives by itself, and what was embedded before is not embedded again."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from tiny_models import byte_tokenizer, clap_2022_config, clap_parts

from afm_hf import ClapAfmModel, ZeroShotAudioClassificationPipeline
from afm_hf.models.clap_afm import embedding_clap_afm, text_trees_clap_afm
from afm_hf.models.clap_afm.embedding_clap_afm import embed_texts
from afm_hf.models.clap_afm.kept_texts_clap_afm import KeptTexts, text_key
from afm_hf.models.clap_afm.text_trees_clap_afm import takes_trees, text_trees

TEXTS = [f"This is a sound of {label}." for label in ("rain", "a dog", "an engine that idles", "!", "rain", "a")]


@pytest.mark.parametrize("pooling", ["last_token", "last_nonzero_token"])
@pytest.mark.parametrize("side", ["right", "left"])
@torch.no_grad()
def test_texts_that_begin_alike_give_what_they_give_whole(pooling, side, monkeypatch):
    model, tokenizer = clap_parts()[0], byte_tokenizer(padding_side=side)
    model.config.text_config.pooling = model.text_model.config.pooling = pooling
    together = embed_texts(model, tokenizer, TEXTS)
    monkeypatch.setattr(embedding_clap_afm, "takes_trees", lambda model: False)
    torch.testing.assert_close(together, embed_texts(model, tokenizer, TEXTS), atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_token_runs_once_for_all_texts_that_have_it_after_the_same_beginning(monkeypatch):
    model, tokenizer = clap_parts()[0], byte_tokenizer()
    seen, forward = [], model.text_model.encoder.forward

    def watch(**given):
        seen.append(given["inputs_embeds"].shape)
        return forward(**given)

    monkeypatch.setattr(model.text_model.encoder, "forward", watch)
    embed_texts(model, tokenizer, TEXTS)
    texts = [tokenizer(text)["input_ids"] for text in TEXTS]
    assert [shape[:2] for shape in seen] == [(1, len({tuple(t[:n]) for t in texts for n in range(1, len(t) + 1)}))]


@torch.no_grad()
def test_texts_of_several_trees_keep_their_places(monkeypatch):
    model, tokenizer = clap_parts()[0], byte_tokenizer()
    texts = [f"{first} {second}" for first in ("wind", "a dog", "rain") for second in ("and rain", "far away", "")]
    expected = torch.cat([embed_texts(model, tokenizer, [text]) for text in texts])
    monkeypatch.setitem(text_trees_clap_afm.TOKENS_OF_A_TREE, "cpu", 12)
    torch.testing.assert_close(embed_texts(model, tokenizer, texts), expected, atol=1e-5, rtol=0)


def test_a_tree_holds_each_beginning_once():
    first, second = text_trees([[5, 6, 7], [5, 6], [5, 8], [5, 6, 7], [9]], most=4)
    assert first.tokens == [5, 6, 7, 8] and first.places == [0, 1, 2, 1] and first.ends == [2, 1, 3]
    assert first.sees.int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 1]]
    assert second.tokens == [5, 6, 7, 9] and second.places == [0, 1, 2, 0] and second.ends == [2, 3]


def test_what_looks_both_ways_or_is_watched_takes_no_trees():
    model = clap_parts()[0]
    assert takes_trees(model)
    assert not takes_trees(ClapAfmModel(clap_2022_config()))
    assert not takes_trees(clap_parts()[0].to(torch.bfloat16))
    official_rule = clap_parts()[0]
    official_rule.config.text_config.pooling = official_rule.text_model.config.pooling = "last_nonzero_token"
    assert not takes_trees(official_rule)
    model.text_model.register_forward_hook(lambda *_: None)
    assert not takes_trees(model)


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """The pipeline, with texts kept from the first on; counts what is embedded."""
    store = KeptTexts(tmp_path / "afm_hf" / "texts.sqlite")
    monkeypatch.setattr(KeptTexts, "usual", classmethod(lambda cls: store))
    monkeypatch.setattr(embedding_clap_afm, "FEWEST_TEXTS", 1)
    counted = []
    embed = embedding_clap_afm._embed_batches

    def count(model, batches):
        counted.append(sum(len(batch.places) for batch in batches))
        return embed(model, batches)

    monkeypatch.setattr(embedding_clap_afm, "_embed_batches", count)
    return store, counted


def pipeline_of(model):
    return ZeroShotAudioClassificationPipeline(
        model=model, feature_extractor=clap_parts()[2], tokenizer=byte_tokenizer(), device="cpu"
    )


@torch.no_grad()
def test_labels_are_embedded_once_and_read_then(kept):
    _, counted = kept
    labels, template = ("rain", "a dog", "wind"), ("This is {}.",)
    first = pipeline_of(clap_parts()[0]).label_embeddings(labels, template)
    again = pipeline_of(clap_parts()[0]).label_embeddings(labels[::-1], template)
    torch.testing.assert_close(again, first.flip(0), atol=0, rtol=0)
    more = pipeline_of(clap_parts()[0]).label_embeddings((*labels, "thunder"), template)
    torch.testing.assert_close(more[:3], first, atol=0, rtol=0)
    assert counted == [3, 1]


@torch.no_grad()
def test_other_weights_settings_and_number_formats_find_nothing(kept):
    _, counted = kept
    labels, template = ("rain", "a dog"), ("This is {}.",)
    model = clap_parts()[0]
    first = pipeline_of(model).label_embeddings(labels, template)
    model.text_projection.linear1.weight.data *= 2  # also what autograd does not see
    other = pipeline_of(model).label_embeddings(labels, template)
    model.text_model.config.pooling = "last_nonzero_token"
    pipeline_of(model).label_embeddings(labels, template)
    pipeline_of(model.to(torch.bfloat16)).label_embeddings(labels, template)
    assert counted == [2, 2, 2, 2]
    assert not torch.allclose(first, other)


@torch.no_grad()
def test_a_damaged_file_is_done_without(kept, tmp_path):
    store, counted = kept
    store.path.parent.mkdir()
    store.path.write_bytes(b"no database at all" * 100)
    labels, template = ("rain", "a dog"), ("This is {}.",)
    found = pipeline_of(clap_parts()[0]).label_embeddings(labels, template)
    assert counted == [2] and found.shape[0] == 2


def test_the_file_is_bounded_and_drops_what_was_used_longest_ago(tmp_path):
    store = KeptTexts(tmp_path / "texts.sqlite", size_mb=0.004)
    row = np.ones(100, np.float32)  # 400 bytes
    for number in range(10):
        store.keep("model", {text_key([number]): row * number})
    assert set(store.find("model", [text_key([0])], 100)) == {text_key([0])}  # used now
    store.keep("model", {text_key([number]): row for number in (10, 11)})
    there = store.find("model", [text_key([number]) for number in range(12)], 100)
    assert len(there) <= 10 and {text_key([number]) for number in (0, 10, 11)} <= set(there)
    assert text_key([1]) not in there
    np.testing.assert_array_equal(there[text_key([9])], row * 9)
    assert store.find("another", [text_key([9])], 100) == {} == store.find("model", [text_key([9])], 50)


KEEP_SOME = """
import sys
import numpy as np
from afm_hf.models.clap_afm.kept_texts_clap_afm import KeptTexts, text_key

number = int(sys.argv[2])
for row in range(20):
    KeptTexts(sys.argv[1]).keep("model", {text_key([number, row]): np.full(8, number, np.float32)})
"""


def test_two_processes_keep_texts_at_a_time(tmp_path):
    path = tmp_path / "texts.sqlite"
    command = [sys.executable, "-c", KEEP_SOME, str(path)]
    workers = [subprocess.Popen([*command, str(number)]) for number in (1, 2)]
    assert [worker.wait() for worker in workers] == [0, 0]
    keys = [text_key([number, row]) for number in (1, 2) for row in range(20)]
    assert len(KeptTexts(path).find("model", keys, 8)) == 40


def test_the_size_is_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("AFM_HF_TEXT_CACHE_MB", "0")
    assert KeptTexts.usual() is None
    monkeypatch.setenv("AFM_HF_TEXT_CACHE_MB", "1.5")
    assert KeptTexts.usual().limit == 1_500_000
    monkeypatch.setenv("AFM_HF_TEXT_CACHE_MB", "much")
    with pytest.raises(ValueError, match="AFM_HF_TEXT_CACHE_MB is 'much'; expected megabytes"):
        KeptTexts.usual()
