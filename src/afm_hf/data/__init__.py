"""Readers of the official files, and the prompts of the papers, as data that `Trainer` takes."""

from .audiocaps import read_audiocaps
from .captions import read_fsd50k_captions, read_sounddescs, read_wavcaps
from .clotho import read_clotho
from .clotho_aqa import read_clotho_aqa
from .entailment import read_entailment
from .folders import read_audio_folder, read_table
from .label_folders import read_label_folders
from .label_sets import fsd50k_labels, read_esc50, read_fsd50k, read_urbansound8k
from .listed_clips import read_esc50_actions, read_nsynth, read_speech_commands, read_tut2017, read_vocalsound
from .macs import read_macs
from .mmau import read_mmau
from .named_clips import NAMED_CLIPS, named_labels, read_named_clips
from .questions import read_differences, read_reasonaqa
from .report import BadAudio, Note, ReadReport
from .tagged_clips import audioset_labels, read_audioset, read_dcase17
from .templates import PromptSampler, domain_templates, domains, load_templates, template_names
from .wavtext5k import read_wavtext5k

__all__ = [
    "NAMED_CLIPS",
    "BadAudio",
    "Note",
    "PromptSampler",
    "ReadReport",
    "audioset_labels",
    "domain_templates",
    "domains",
    "fsd50k_labels",
    "load_templates",
    "named_labels",
    "read_audio_folder",
    "read_audiocaps",
    "read_audioset",
    "read_clotho",
    "read_clotho_aqa",
    "read_dcase17",
    "read_differences",
    "read_entailment",
    "read_esc50",
    "read_esc50_actions",
    "read_fsd50k",
    "read_fsd50k_captions",
    "read_label_folders",
    "read_macs",
    "read_mmau",
    "read_named_clips",
    "read_nsynth",
    "read_reasonaqa",
    "read_sounddescs",
    "read_speech_commands",
    "read_table",
    "read_tut2017",
    "read_urbansound8k",
    "read_vocalsound",
    "read_wavcaps",
    "read_wavtext5k",
    "template_names",
]
