"""Training data made from captions by a language model: questions, choices, differences, hypotheses; filtered."""

from .endpoint import EndpointWriter
from .instructions import GROUPS, Instruction, load_instructions
from .making import Clip, clips_of, synthesize
from .requests import FORMS, Request, WriterError
from .transformers_writer import TransformersWriter
from .yields import KindYield, SynthesisReport

__all__ = [
    "FORMS",
    "GROUPS",
    "Clip",
    "EndpointWriter",
    "Instruction",
    "KindYield",
    "Request",
    "SynthesisReport",
    "TransformersWriter",
    "WriterError",
    "clips_of",
    "load_instructions",
    "synthesize",
]
