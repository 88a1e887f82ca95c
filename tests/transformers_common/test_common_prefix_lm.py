"""transformers' common tests of models, run on CLAPCAP, Pengi, ADIFF and Mellow."""

import unittest

from common_testers import CommonModelTest, made
from mixins import mixin

from afm_hf import (
    AdiffForConditionalGeneration,
    AdiffModel,
    ClapAfmCaptioningModel,
    ClapAfmForConditionalGeneration,
    MellowForCausalLM,
    MellowModel,
    PengiForConditionalGeneration,
    PengiModel,
)

# Of `generate()` the sdist holds no tests; tests/models/test_conformity_generation.py asks of all models what they do.
GenerationTesterMixin = mixin("generation.test_utils", "GenerationTesterMixin")


class PrefixTest(CommonModelTest):
    _is_composite = True
    additional_model_inputs = ["input_features", "prompt_input_ids", "prompt_attention_mask"]

    def setUp(self):
        length = made(self.kind)[1]["input_ids"].shape[1]
        self.sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "seq_length": length}
        super().setUp()


class ClapcapCommonTest(PrefixTest, GenerationTesterMixin, unittest.TestCase):
    kind = "clapcap"
    all_model_classes = (ClapAfmForConditionalGeneration,)


class PengiCommonTest(PrefixTest, GenerationTesterMixin, unittest.TestCase):
    kind = "pengi"
    all_model_classes = (PengiForConditionalGeneration,)


class PengiNoTextEncCommonTest(PrefixTest, GenerationTesterMixin, unittest.TestCase):
    kind = "pengi_no_text_enc"
    all_model_classes = (PengiForConditionalGeneration,)


class AdiffCommonTest(PrefixTest, GenerationTesterMixin, unittest.TestCase):
    kind = "adiff"
    all_model_classes = (AdiffForConditionalGeneration,)


class MellowCommonTest(PrefixTest, GenerationTesterMixin, unittest.TestCase):
    kind = "mellow"
    all_model_classes = (MellowForCausalLM,)


class HeadlessTest(PrefixTest):
    is_training = False


class ClapcapHeadlessCommonTest(HeadlessTest, unittest.TestCase):
    kind = "clapcap"
    all_model_classes = (ClapAfmCaptioningModel,)


class PengiHeadlessCommonTest(HeadlessTest, unittest.TestCase):
    kind = "pengi"
    all_model_classes = (PengiModel,)


class AdiffHeadlessCommonTest(HeadlessTest, unittest.TestCase):
    kind = "adiff"
    all_model_classes = (AdiffModel,)


class MellowHeadlessCommonTest(HeadlessTest, unittest.TestCase):
    kind = "mellow"
    all_model_classes = (MellowModel,)
