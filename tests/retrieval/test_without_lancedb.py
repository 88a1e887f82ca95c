"""Without LanceDB the rest works, and what needs it says what to install, before any work."""

import sys

import pytest
from tiny_models import tiny_clap, write_tones

from afm_hf.retrieval import ClapEmbedder, embed_files, embed_into_store, open_index


def test_a_table_without_lancedb_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lancedb", None)
    embedder = ClapEmbedder(tiny_clap(tmp_path / "model"), device="cpu")
    clips = write_tones(tmp_path / "clips", 1)
    monkeypatch.setattr(ClapEmbedder, "embed_features", lambda *_: pytest.fail("no work before the error"))
    for call in (lambda: embed_into_store(clips, tmp_path / "emb.lance", embedder), lambda: open_index("emb.lance")):
        with pytest.raises(ImportError, match=r'pip install "afm-hf\[retrieval\]"'):
            call()
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "lancedb", None)
    assert len(embed_files(clips, tmp_path / "emb.safetensors", embedder)) == 1
