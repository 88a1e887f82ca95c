"""transformers' common tests of configurations, run on all of ours."""

import unittest

import pytest
from common_testers import ModelTester
from mixins import mixin

ConfigTester = mixin("test_configuration_common", "ConfigTester")
GENERATING = ["clapcap", "pengi", "pengi_no_text_enc", "adiff", "mellow"]
HEARING = ["htsat", "cnn14", "speech", "yamnet", "effects_cnn", "ears"]
NAMES = {
    **{kind: ["hidden_size", "vocab_size"] for kind in GENERATING},
    **{kind: ["hidden_size", "num_hidden_layers"] for kind in [*HEARING, "clap audio"]},
    "clap text": ["hidden_size", "num_hidden_layers", "vocab_size"],
    "clap": ["hidden_size"],
    "clap_2022": ["hidden_size"],
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_config_does_what_the_common_tests_ask(kind):
    case, tester = unittest.TestCase(), ModelTester(kind)
    # CLAP's text config keeps `vocab_size` in the config of its encoder, where the common test of it does not look.
    case.model_tester = None if kind.startswith("clap_") or kind == "clap" else tester
    ConfigTester(case, type(tester.get_config()), False, NAMES[kind]).run_common_tests()


@pytest.mark.parametrize("kind", ["clap", "clap_2022"])
def test_a_part_of_a_config_is_changed_while_it_loads(kind, tmp_path):
    config = ModelTester(kind).get_config()
    config.save_pretrained(tmp_path)
    other = type(config).from_pretrained(tmp_path, text_config={"vocab_size": 20})
    assert other.text_config.vocab_size == 20 == other.text_config.encoder_config.vocab_size
    config.text_config.vocab_size = 20
    assert other.text_config.encoder_config.to_dict() == config.text_config.encoder_config.to_dict()
