"""What the papers report, as data, and beside what of ours it may be put."""

from .figures import PaperDifference, PaperFigure, Source, common_doubts, difference, find, load, sources

__all__ = ["PaperDifference", "PaperFigure", "Source", "common_doubts", "difference", "find", "load", "sources"]
