"""Data sets of captions: what uploaders, archives and language models wrote about clips."""

from .fsd50k_captions import read_fsd50k_captions
from .sounddescs import read_sounddescs
from .wavcaps import read_wavcaps

__all__ = ["read_fsd50k_captions", "read_sounddescs", "read_wavcaps"]
