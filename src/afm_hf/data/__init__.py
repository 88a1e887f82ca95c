"""Readers of the official files, and the prompts of the papers, as data that `Trainer` takes."""

from .folders import read_audio_folder, read_label_folders, read_table
from .report import BadAudio, ReadReport

__all__ = [
    "BadAudio",
    "ReadReport",
    "read_audio_folder",
    "read_label_folders",
    "read_table",
]
