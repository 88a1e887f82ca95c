"""Embedding files with a CLAP, an index of them on disk, and search in it."""

from ..pipelines.audio_files import FileState, find_audio
from .embedder import ClapEmbedder, Embeddings
from .embedding import embed_files
from .index import AudioIndex, Hit, IndexMismatchError

__all__ = [
    "AudioIndex",
    "ClapEmbedder",
    "Embeddings",
    "FileState",
    "Hit",
    "IndexMismatchError",
    "embed_files",
    "find_audio",
]
