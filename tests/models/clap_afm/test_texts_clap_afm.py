"""Texts longer than the text tower are cut with one warning where texts come in, and refused where ids do."""

import pytest
import torch
from tiny_models import RATE, byte_tokenizer, clap_2022_config, clap_config, clap_parts, stock_clap_parts, tone

from afm_hf import ClapAfmModel, ClapAfmProcessor, DomainVector, ZeroShotAudioClassificationPipeline
from afm_hf.adaptation.few_shot import fit_lora
from afm_hf.adaptation.test_time.domain_vector import text_fingerprint
from afm_hf.adaptation.text_only import embed_captions
from afm_hf.models.clap_afm import texts_clap_afm
from afm_hf.models.clap_afm.embedding_clap_afm import embed_texts
from afm_hf.models.clap_afm.texts_clap_afm import longest_text, places_of
from afm_hf.training import collators
from afm_hf.training.collators import ClapCollator

LONG = "a dog barks while it rains and " * 20


@pytest.fixture
def said(monkeypatch):
    messages = []
    monkeypatch.setattr(texts_clap_afm.logger, "warning_once", messages.append)
    return messages


def model_2022():
    torch.manual_seed(0)
    return ClapAfmModel(clap_2022_config()).eval()


TOWERS = {"GPT-2": (lambda: clap_parts()[0], 96), "BERT": (model_2022, 96)}
TOWERS["RoBERTa"] = (lambda: stock_clap_parts()[0], 512 - 257)  # counts from behind the padding id, 256


@pytest.mark.parametrize("tower", TOWERS)
@torch.no_grad()
def test_a_long_text_is_embedded_as_its_beginning_with_one_warning(tower, said):
    make, places = TOWERS[tower]
    model, tokenizer = make(), byte_tokenizer()
    assert places_of(model) == longest_text(model, tokenizer) == places
    texts = ["rain", LONG, LONG[:places], LONG + "!"]
    found = embed_texts(model, tokenizer, texts)
    torch.testing.assert_close(found[1], found[2], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[3], found[2], atol=1e-5, rtol=1e-4)
    assert len(said) == 1 and f"2 of 4 texts are longer than the {places} tokens" in said[0]
    assert "'a dog barks" in said[0]


@torch.no_grad()
def test_the_tokenizers_own_limit_holds_as_in_training(said):
    model, tokenizer = clap_parts()[0], byte_tokenizer(model_max_length=20)
    found = embed_texts(model, tokenizer, [LONG, LONG[:20]])
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)
    assert "1 of 2 texts is longer than the 20 tokens" in said[0]
    processor = ClapAfmProcessor(clap_parts()[2], tokenizer)
    batch = ClapCollator(processor, sampling_rate=RATE)([{"audio": tone(200), "text": LONG}])
    torch.testing.assert_close(model.get_text_features(batch["input_ids"]).pooler_output, found[:1])


def test_a_caption_that_training_cuts_is_told(monkeypatch):
    messages = []
    monkeypatch.setattr(collators.logger, "warning_once", messages.append)
    processor = ClapAfmProcessor(clap_parts()[2], byte_tokenizer(model_max_length=20))
    collate = ClapCollator(processor, sampling_rate=RATE)
    collate([{"audio": tone(200), "text": LONG[:20]}])
    assert not messages
    collate([{"audio": tone(200), "text": LONG}])
    assert "more than 20 tokens" in messages[0]


class Whole(torch.nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner, self.config, self.device, self.dtype = inner, inner.config, inner.device, inner.dtype

    def can_generate(self):
        return False

    def forward(self, **inputs):
        return self.inner(**inputs)


@pytest.mark.parametrize("wrap", [lambda model: model, Whole], ids=["towers", "whole"])
def test_long_labels_in_the_pipeline(wrap, said):
    model, tokenizer, extractor = clap_parts()
    pipe = ZeroShotAudioClassificationPipeline(model=wrap(model), tokenizer=tokenizer, feature_extractor=extractor)

    def score_of_rain(other):
        made = pipe([tone(200)] * 3, candidate_labels=[other, "rain"], hypothesis_template="so {}", batch_size=3)
        return {entry["label"]: entry["score"] for entry in made[0]}["rain"]

    assert score_of_rain(LONG) == pytest.approx(score_of_rain(LONG[:93]), abs=1e-5)
    assert "1 of 2 texts is longer than the 96 tokens" in said[0]


def test_long_labels_in_recipes(said):
    model, tokenizer, extractor = clap_parts()
    processor = ClapAfmProcessor(extractor, tokenizer)
    assert embed_captions(model, processor, [LONG, "rain"]).shape == (2, 12)
    assert "1 of 2" in said.pop()
    pytest.importorskip("peft")
    fit_lora(model, processor, [tone(200), tone(400)], [LONG, "rain"], steps=1)
    assert "1 of 2" in said.pop()


def test_a_label_without_room_for_a_domain_vector_is_refused():
    model, tokenizer, extractor = clap_parts()
    pipe = ZeroShotAudioClassificationPipeline(model=model, tokenizer=tokenizer, feature_extractor=extractor)
    about = {"kind": "tokens", "prompt": "hm", "template": "{}", "fingerprint": text_fingerprint(model)}
    for position in ("before", "after"):
        vector = DomainVector(tensor=torch.zeros(2, 16), position=position, **about)
        with pytest.raises(ValueError, match="The longest label leaves room for"):
            pipe(tone(200), candidate_labels=[LONG, "rain"], domain_vector=vector)


@pytest.mark.parametrize("config", [clap_config, clap_2022_config], ids=["GPT-2", "BERT"])
@torch.no_grad()
def test_ids_beyond_the_tower_are_refused_with_the_remedy(config):
    model = ClapAfmModel(config()).eval()
    ids = torch.randint(0, 200, (2, 97))
    for call in (model.get_text_features, model.text_model):
        with pytest.raises(ValueError, match=r"has 97 tokens, but the text tower has places for 96.*max_length=96"):
            call(ids)
    with pytest.raises(ValueError, match="97 tokens"):
        model(input_ids=ids, input_features=torch.zeros(2, 1, 101, 16))
    assert model.get_text_features(ids[:, :96]).pooler_output.shape == (2, 12)


@torch.no_grad()
def test_padding_beyond_the_last_place_of_a_causal_tower_is_no_text():
    model = clap_parts()[0]
    ids, mask = torch.full((1, 120), 256), torch.zeros(1, 120, dtype=torch.long)
    ids[0, :5], mask[0, :5] = torch.arange(5), 1
    found = model.get_text_features(ids, mask).pooler_output
    torch.testing.assert_close(found, model.get_text_features(ids[:, :5]).pooler_output, atol=1e-5, rtol=1e-4)
    mask[0, :100] = 1
    with pytest.raises(ValueError, match="has 100 tokens"):
        model.get_text_features(ids, mask)
