"""Embedding files with a CLAP, an index of them on disk, and search in it."""

from ..pipelines.audio_files import FileState, find_audio
from .approximate import Approximation
from .embedder import ClapEmbedder, Embeddings
from .embedding import embed_files
from .formats import Index, convert_index, open_index
from .index import AudioIndex, Hit, IndexMismatchError
from .store import ClipStore
from .store_embedding import embed_into_store

__all__ = [
    "Approximation",
    "AudioIndex",
    "ClapEmbedder",
    "ClipStore",
    "Embeddings",
    "FileState",
    "Hit",
    "Index",
    "IndexMismatchError",
    "convert_index",
    "embed_files",
    "embed_into_store",
    "find_audio",
    "open_index",
]
