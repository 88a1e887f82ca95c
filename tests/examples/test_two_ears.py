"""WavText5K's model, a CLAP with two audio encoders, from its file: built, trained a step, loaded again."""

import sys
from pathlib import Path

import pytest
import torch
import yaml

import afm_hf

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "examples"))

from fresh_clap import build  # noqa: E402

from afm_hf.training.collators import ClapCollator  # noqa: E402

CONFIGS = ROOT / "examples" / "configs"


@pytest.fixture(scope="module")
def made():
    torch.manual_seed(0)
    settings = yaml.safe_load((CONFIGS / "wavtext5k_model.yaml").read_text())
    return build(settings, ["a bell is ringing", "rain is falling", "a cow is mooing"])


def batch_of(processor, count=4):
    clips = afm_hf.bundled_audio()[:count]
    return ClapCollator(processor)([{"audio": str(clip), "caption": clip.stem.replace("_", " ")} for clip in clips])


def test_both_ears_hear_and_learn(made):
    model, processor = made
    ears = model.config.audio_config.encoder_config
    assert [ear["model_type"] for ear in ears.ears] == ["afm_cnn14", "afm_htsat"]
    assert model.config.text_config.encoder_config.model_type == "roberta"
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    batch = batch_of(processor)
    losses = []
    for _ in range(3):
        torch.manual_seed(0)
        loss = model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        for number in range(2):
            ear = model.audio_model.encoder.ears[number]
            assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in ear.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_it_is_loaded_as_any_other_clap(made, tmp_path):
    model, processor = made
    model.save_pretrained(tmp_path), processor.save_pretrained(tmp_path)
    again, heard = afm_hf.ClapAfmModel.from_pretrained(tmp_path), afm_hf.ClapAfmProcessor.from_pretrained(tmp_path)
    inputs = heard(audio=[str(afm_hf.bundled_audio()[0])], text=["a bell"], return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(**inputs).logits_per_audio, model.eval()(**inputs).logits_per_audio)


def test_the_recipes_file_names_the_model_that_is_made():
    settings = yaml.safe_load((CONFIGS / "wavtext5k.yaml").read_text())
    assert f"--output {settings['model']}" in (CONFIGS / "wavtext5k_model.yaml").read_text()
