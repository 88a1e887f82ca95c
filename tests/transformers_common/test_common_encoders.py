"""transformers' common tests of models, run on the encoders of audio."""

import unittest

from common_encoder_tests import AudioTest
from common_testers import leave_out
from transformers.utils import output_capturing

from afm_hf import (
    AfmCnn14Model,
    AfmEarsModel,
    AfmEffectsCnnModel,
    AfmHtsatModel,
    AfmSpeechEncoderModel,
    AfmYamnetForAudioClassification,
    AfmYamnetModel,
)

FIRST_IS_INPUT = "the first of its hidden states is the log-mel itself, which takes no gradient"


class HtsatCommonTest(AudioTest, unittest.TestCase):
    kind = "htsat"
    all_model_classes = (AfmHtsatModel,)
    has_attentions = True
    windows = 16
    sizes = {"num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 1, "seq_length": 256}


class Cnn14CommonTest(AudioTest, unittest.TestCase):
    kind = "cnn14"
    all_model_classes = (AfmCnn14Model,)
    sizes = {"num_hidden_layers": 2, "seq_length": 200, "hidden_size": 16}


@leave_out(model_get_set_embeddings="the encoders of transformers for waveforms have no input embeddings")
class SpeechCommonTest(AudioTest, unittest.TestCase):
    kind = "speech"
    all_model_classes = (AfmSpeechEncoderModel,)
    has_attentions = True
    sizes = {"num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2, "seq_length": 99}


@leave_out(retain_grad_hidden_states_attentions=FIRST_IS_INPUT)
class YamnetCommonTest(AudioTest, unittest.TestCase):
    kind = "yamnet"
    all_model_classes = (AfmYamnetModel,)
    sizes = {"num_hidden_layers": 2, "seq_length": 48, "hidden_size": 8}


class YamnetClassificationCommonTest(YamnetCommonTest):
    kind = "yamnet_classification"
    is_training = True
    all_model_classes = (AfmYamnetForAudioClassification,)


@leave_out(retain_grad_hidden_states_attentions=FIRST_IS_INPUT)
class EffectsCnnCommonTest(AudioTest, unittest.TestCase):
    kind = "effects_cnn"
    all_model_classes = (AfmEffectsCnnModel,)
    sizes = {"num_hidden_layers": 2, "expected_num_hidden_layers": 4, "seq_length": 100, "hidden_size": 16}


@leave_out(retain_grad_hidden_states_attentions=FIRST_IS_INPUT)
class EarsCommonTest(AudioTest, unittest.TestCase):
    kind = "ears"
    all_model_classes = (AfmEarsModel,)
    sizes = {"num_hidden_layers": 2, "expected_num_hidden_layers": 7, "seq_length": 48, "hidden_size": 8}

    def test_can_capture_specific_layers_hidden_states(self):
        if not hasattr(output_capturing, "selected_hidden_states"):
            self.skipTest("transformers 5.20 counts chosen states without the first one; the ears count as 5.23 does")
        super().test_can_capture_specific_layers_hidden_states()
