"""Data sets by the name of their layout, mixed, put together as the papers did, and written as shards that stream."""

from .compositions import compose, composition_names
from .layouts import LAYOUTS, Layout, layout_of, read_layout
from .mixing import mix, mix_streams, mixed_order, parse_weights
from .shards import read_shards, write_shards

__all__ = [
    "LAYOUTS",
    "Layout",
    "compose",
    "composition_names",
    "layout_of",
    "mix",
    "mix_streams",
    "mixed_order",
    "parse_weights",
    "read_layout",
    "read_shards",
    "write_shards",
]
