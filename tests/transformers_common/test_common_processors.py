"""transformers' common tests of processors, run on those of CLAP, CLAPCAP, Pengi, ADIFF and Mellow."""

import unittest

import numpy as np
from common_testers import leave_out
from mixins import mixin
from pair_models import tiny_pair_model
from prefix_models import RATE, tiny_processor
from tiny_models import clap_parts

from afm_hf import (
    AdiffProcessor,
    ClapAfmCaptioningProcessor,
    ClapAfmProcessor,
    MellowProcessor,
    PengiProcessor,
)

ProcessorTesterMixin = mixin("test_processing_common", "ProcessorTesterMixin")
SINGLE_QUESTIONS = "Mellow was trained on single questions: other conversations than one question are refused"
# What a processor keeps beside its parts.
SETTINGS = ("prefix_length", "answer_suffix", "prompt_length", "prompt_suffix", "pad_prompt", "chat_template")


def made(kind):
    if kind == "clap":
        _, tokenizer, extractor = clap_parts()
        return ClapAfmProcessor(extractor, tokenizer)
    return tiny_pair_model(kind)[1] if kind in ("adiff", "mellow") else tiny_processor(kind)


class ProcessorTest(ProcessorTesterMixin):
    """Subclasses name the `kind` of the tiny processor."""

    kind = ""

    @classmethod
    def _setup_from_components(cls):
        return made(cls.kind)

    @classmethod
    def prepare_processor_dict(cls):
        processor = made(cls.kind)
        return {name: value for name in SETTINGS if (value := getattr(processor, name, None)) is not None}

    def prepare_audio_inputs(self, batch_size=None):
        """A clip, or a list of them."""
        clips = [np.random.default_rng(row).normal(scale=0.1, size=RATE // 4) for row in range(batch_size or 1)]
        return clips

    def prepare_text_inputs(self, batch_size=None, modalities=None):
        """Without placeholders, which the processors write themselves."""
        return super().prepare_text_inputs(batch_size)


class PairProcessorTest(ProcessorTest):
    def prepare_audio_inputs(self, batch_size=None):
        return [[clip, clip[::-1]] for clip in super().prepare_audio_inputs(batch_size)]


@leave_out(replacement_offsets="CLAP's texts hold no placeholders of audio")
class ClapProcessorCommonTest(ProcessorTest, unittest.TestCase):
    kind, processor_class = "clap", ClapAfmProcessor


class CaptioningProcessorCommonTest(ProcessorTest, unittest.TestCase):
    kind, processor_class = "clapcap", ClapAfmCaptioningProcessor


class PengiProcessorCommonTest(ProcessorTest, unittest.TestCase):
    kind, processor_class = "pengi", PengiProcessor


class AdiffProcessorCommonTest(PairProcessorTest, unittest.TestCase):
    kind, processor_class = "adiff", AdiffProcessor


@leave_out(
    **{f"apply_chat_template_audio_{number}": SINGLE_QUESTIONS for number in range(4)},
    apply_chat_template_assistant_mask=SINGLE_QUESTIONS,
    chat_template_jinja_kwargs=SINGLE_QUESTIONS,
)
class MellowProcessorCommonTest(PairProcessorTest, unittest.TestCase):
    kind, processor_class = "mellow", MellowProcessor
