"""transformers' common tests of feature extractors, run on those of every model."""

import unittest

import numpy as np
from common_testers import leave_out
from mixins import mixin

from afm_hf import (
    AdiffFeatureExtractor,
    AfmEarsFeatureExtractor,
    AfmEffectsCnnFeatureExtractor,
    AfmSpeechFeatureExtractor,
    AfmYamnetFeatureExtractor,
    ClapAfmFeatureExtractor,
    MellowFeatureExtractor,
    PengiFeatureExtractor,
)

SequenceFeatureExtractionTestMixin = mixin(
    "test_sequence_feature_extraction_common", "SequenceFeatureExtractionTestMixin"
)


class ExtractorTester:
    """What the mixin asks for under the name `feat_extract_tester`: settings, and sequences of rising lengths."""

    batch_size, min_seq_length, max_seq_length, seq_length_diff = 7, 40, 160, 20
    padding_value = 0.0

    def __init__(self, feature_size, settings):
        self.feature_size, self.settings = feature_size, settings

    def prepare_feat_extract_dict(self):
        return self.settings

    def prepare_inputs_for_common(self, equal_length=False, numpify=False):
        rows = range(self.batch_size)
        lengths = [self.min_seq_length + (0 if equal_length else row * self.seq_length_diff) for row in rows]
        width = [self.feature_size] if self.feature_size > 1 else []
        rows = [np.random.default_rng(length).normal(size=[length, *width]) for length in lengths]
        return rows if numpify else [row.tolist() for row in rows]


class ExtractorTest(SequenceFeatureExtractionTestMixin):
    feature_size = 16
    settings = {"feature_size": 16, "sampling_rate": 8000, "fmax": 4000.0}

    def setUp(self):
        self.feat_extract_tester = ExtractorTester(self.feature_size, self.settings)


class ClapExtractorCommonTest(ExtractorTest, unittest.TestCase):
    feature_extraction_class = ClapAfmFeatureExtractor


class PengiExtractorCommonTest(ExtractorTest, unittest.TestCase):
    feature_extraction_class = PengiFeatureExtractor


class MellowExtractorCommonTest(ExtractorTest, unittest.TestCase):
    feature_extraction_class = MellowFeatureExtractor


class AdiffExtractorCommonTest(ExtractorTest, unittest.TestCase):
    feature_extraction_class = AdiffFeatureExtractor


class SpeechExtractorCommonTest(ExtractorTest, unittest.TestCase):
    feature_extraction_class = AfmSpeechFeatureExtractor
    feature_size = 1
    settings = {"sampling_rate": 8000}


class YamnetExtractorCommonTest(ExtractorTest, unittest.TestCase):
    feature_extraction_class = AfmYamnetFeatureExtractor


class EffectsCnnExtractorCommonTest(ExtractorTest, unittest.TestCase):
    feature_extraction_class = AfmEffectsCnnFeatureExtractor


@leave_out(init_without_params="it must be told which ears there are")
class EarsExtractorCommonTest(ExtractorTest, unittest.TestCase):
    feature_extraction_class = AfmEarsFeatureExtractor
    feature_size = 16 + 8
    settings = {
        "ears": [
            AfmYamnetFeatureExtractor(feature_size=16).to_dict(),
            AfmEffectsCnnFeatureExtractor(feature_size=8).to_dict(),
        ]
    }
