"""transformers' common tests of models, run on CLAP, its towers and its classifier."""

import unittest

from common_encoder_tests import AudioTest
from common_testers import CommonModelTest, ModelTester, leave_out

from afm_hf import (
    ClapAfmAudioModel,
    ClapAfmAudioModelWithProjection,
    ClapAfmForAudioClassification,
    ClapAfmModel,
    ClapAfmTextModel,
    ClapAfmTextModelWithProjection,
)

IN_TOWERS = "those of the towers stand in `text_model_output` and `audio_model_output`; the towers are tested apart"


@leave_out(
    attention_outputs=IN_TOWERS,
    hidden_states_output=IN_TOWERS,
    retain_grad_hidden_states_attentions=IN_TOWERS,
)
class Clap2023CommonTest(CommonModelTest, unittest.TestCase):
    kind = "clap"
    all_model_classes = (ClapAfmModel,)
    _is_composite = True
    additional_model_inputs = ["input_features"]
    skip_test_audio_features_output_shape = True  # as wide as the encoder, and not as the space of both towers

    def setUp(self):
        super().setUp()
        self.model_tester.text_model_tester = ModelTester("clap text", num_hidden_layers=1)
        self.model_tester.audio_model_tester = ModelTester("clap audio", num_hidden_layers=2)


@leave_out(get_audio_features_attentions="Cnn14 attends to nothing")
class Clap2022CommonTest(Clap2023CommonTest):
    kind = "clap_2022"


class ClapTextCommonTest(CommonModelTest, unittest.TestCase):
    kind = "clap text"
    is_training = False
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "seq_length": 4}
    all_model_classes = (ClapAfmTextModel, ClapAfmTextModelWithProjection)


class ClapAudioCommonTest(AudioTest, unittest.TestCase):
    kind = "clap audio"
    has_attentions = True
    windows = 16
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 1, "hidden_size": 8, "seq_length": 256}
    all_model_classes = (ClapAfmAudioModel, ClapAfmAudioModelWithProjection)


class ClapClassificationCommonTest(ClapAudioCommonTest):
    kind = "clap_classification"
    is_training = True
    all_model_classes = (ClapAfmForAudioClassification,)
