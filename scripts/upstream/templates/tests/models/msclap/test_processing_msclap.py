import unittest

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from transformers import MSClapFeatureExtractor, MSClapProcessor, PreTrainedTokenizerFast
from transformers.testing_utils import require_torch

from ...test_processing_common import ProcessorTesterMixin


@require_torch
class MSClapProcessorTest(ProcessorTesterMixin, unittest.TestCase):
    processor_class = MSClapProcessor
    audio_input_name = "input_features"

    @classmethod
    def _setup_from_components(cls):
        """One token a byte, so that no checkpoint is needed."""
        vocabulary = {letter: index for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
        tokenizer = Tokenizer(models.BPE({**vocabulary, "<pad>": len(vocabulary)}, []))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
        extractor = MSClapFeatureExtractor(
            feature_size=16, sampling_rate=8000, mel_sampling_rate=8000, fmax=4000.0, hop_length=80, max_length_s=0.5
        )
        return MSClapProcessor(extractor, PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>"))

    @classmethod
    def prepare_processor_dict(cls):
        return {}

    def prepare_audio_inputs(self, batch_size=None):
        clips = [np.random.default_rng(row).normal(scale=0.1, size=2000) for row in range(batch_size or 1)]
        return clips if batch_size else clips[0]

    @unittest.skip(reason="The texts hold no placeholders of audio")
    def test_replacement_offsets(self):
        pass

    def test_audio_and_texts(self):
        processor = self._setup_from_components()
        inputs = processor(
            audio=self.prepare_audio_inputs(2),
            text=["rain", "a dog"],
            padding=True,
            sampling_rate=8000,
            return_tensors="pt",
        )
        self.assertEqual(inputs["input_features"].shape, (2, 1, 51, 16))
        self.assertEqual(inputs["input_ids"].shape, (2, 5))
