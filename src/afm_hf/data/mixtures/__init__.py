"""Data sets by the name of their layout."""

from .layouts import LAYOUTS, Layout, layout_of, read_layout

__all__ = ["LAYOUTS", "Layout", "layout_of", "read_layout"]
