"""Readers of the official files, and the prompts of the papers, as data that `Trainer` takes."""

from .audiocaps import read_audiocaps
from .clotho import read_clotho
from .entailment import read_entailment
from .folders import read_audio_folder, read_label_folders, read_table
from .label_sets import fsd50k_labels, read_esc50, read_fsd50k, read_urbansound8k
from .questions import read_differences, read_reasonaqa
from .report import BadAudio, ReadReport
from .templates import PromptSampler, load_templates, template_names
from .wavtext5k import read_wavtext5k

__all__ = [
    "BadAudio",
    "PromptSampler",
    "ReadReport",
    "fsd50k_labels",
    "load_templates",
    "read_audio_folder",
    "read_audiocaps",
    "read_clotho",
    "read_differences",
    "read_entailment",
    "read_esc50",
    "read_fsd50k",
    "read_label_folders",
    "read_reasonaqa",
    "read_table",
    "read_urbansound8k",
    "read_wavtext5k",
    "template_names",
]
