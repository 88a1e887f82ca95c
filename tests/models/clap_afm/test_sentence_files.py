"""The files for sentence-transformers that lie beside a saved CLAP."""

import json

from tiny_models import clap_parts
from transformers import AutoConfig, AutoModel

import afm_hf
from afm_hf import ClapAfmForAudioClassification
from afm_hf.models.clap_afm.sentence_files_clap_afm import SENTENCE_FILES


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_a_saved_model_has_them_and_other_models_do_not(tmp_path):
    model, _, _ = clap_parts()
    model.save_pretrained(tmp_path / "clap")
    assert set(SENTENCE_FILES) < names(tmp_path / "clap")
    for name, content in SENTENCE_FILES.items():
        assert json.loads((tmp_path / "clap" / name).read_text()) == content
        assert json.loads((afm_hf.bundled_model("clap-small") / name).read_text()) == content
    for part in (model.audio_model, ClapAfmForAudioClassification(model.config)):
        part.save_pretrained(tmp_path / "part")
        assert not set(SENTENCE_FILES) & names(tmp_path / "part")


def test_what_is_there_stays(tmp_path):
    model, _, _ = clap_parts()
    model.save_pretrained(tmp_path)
    (tmp_path / "modules.json").write_text("[]")
    AutoModel.from_pretrained(tmp_path).save_pretrained(tmp_path)
    assert (tmp_path / "modules.json").read_text() == "[]"


def test_a_config_alone_has_none(tmp_path):
    model, _, _ = clap_parts()
    type(model.config)().save_pretrained(tmp_path)
    assert names(tmp_path) == {"config.json"}
    assert AutoConfig.from_pretrained(tmp_path).model_type == "clap_afm"
