import random
import unittest

import numpy as np

from transformers import MSClapFeatureExtractor
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function
from transformers.testing_utils import require_torch

from ...test_sequence_feature_extraction_common import SequenceFeatureExtractionTestMixin


class MSClapFeatureExtractionTester:
    def __init__(self, parent, batch_size=7, min_seq_length=40, max_seq_length=160):
        self.parent = parent
        self.batch_size = batch_size
        self.min_seq_length = min_seq_length
        self.max_seq_length = max_seq_length
        self.seq_length_diff = (max_seq_length - min_seq_length) // (batch_size - 1)
        self.feature_size = 16
        self.padding_value = 0.0

    def prepare_feat_extract_dict(self):
        return {"feature_size": self.feature_size, "sampling_rate": 8000, "mel_sampling_rate": 8000, "fmax": 4000.0}

    def prepare_inputs_for_common(self, equal_length=False, numpify=False):
        def floats_list(length):
            return [[random.gauss(0.0, 1.0) for _ in range(self.feature_size)] for _ in range(length)]

        lengths = range(self.min_seq_length, self.max_seq_length + 1, self.seq_length_diff)
        rows = [floats_list(self.max_seq_length if equal_length else length) for length in lengths]
        return [np.asarray(row) for row in rows] if numpify else rows


@require_torch
class MSClapFeatureExtractionTest(SequenceFeatureExtractionTestMixin, unittest.TestCase):
    feature_extraction_class = MSClapFeatureExtractor

    def setUp(self):
        self.feat_extract_tester = MSClapFeatureExtractionTester(self)

    def test_the_features_are_those_of_audio_utils(self):
        extractor = MSClapFeatureExtractor()
        clip = np.random.default_rng(0).normal(scale=0.1, size=round(7.0 * 44100)).astype(np.float32)
        features = extractor(clip, sampling_rate=44100, return_tensors="np").input_features
        bank = mel_filter_bank(513, 64, 50.0, 14000.0, 32000, norm="slaney", mel_scale="slaney")
        expected = spectrogram(
            clip, window_function(1024, "hann"), 1024, 320, power=2.0, mel_filters=bank, log_mel="dB"
        )
        self.assertEqual(features.shape, (1, 1, 965, 64))
        np.testing.assert_allclose(features[0, 0], expected.T, atol=1e-3)

    def test_padding_and_truncation(self):
        extractor = MSClapFeatureExtractor(max_length_s=0.1, hop_length=100)
        length = extractor.clip_samples(0.1)
        clip = np.random.default_rng(0).normal(scale=0.1, size=3 * length).astype(np.float32)

        def features(samples, **kwargs):
            return extractor(samples, sampling_rate=44100, return_tensors="np", **kwargs).input_features

        short = clip[: length // 3]
        np.testing.assert_array_equal(features(short), features(np.tile(short, 4)))
        np.testing.assert_array_equal(features(short, padding="zero"), features(np.pad(short, (0, length))))
        np.testing.assert_array_equal(features(clip), features(clip[:length]))
        np.testing.assert_array_equal(features(clip, truncation="center"), features(clip[length : 2 * length]))
        with self.assertRaisesRegex(ValueError, "truncation"):
            features(clip, truncation="fusion")

    def test_another_rate_is_refused(self):
        with self.assertRaisesRegex(ValueError, "44100"):
            MSClapFeatureExtractor()(np.zeros(50000, np.float32), sampling_rate=16000)
