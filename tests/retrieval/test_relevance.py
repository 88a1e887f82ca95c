"""Relevance of hits: 0 to 1, above 0.5 better than nine of ten everyday sounds, in both kinds of index."""

import json

import numpy as np
import pytest
from commands import run_command as run
from tiny_models import tiny_clap, write_tones

from afm_hf.models.clap_afm.background_clap_afm import EVERYDAY_SOUNDS
from afm_hf.retrieval import AudioIndex, ClapEmbedder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(tiny_clap(tmp_path_factory.mktemp("model")))


@pytest.mark.parametrize("output", ["clips.safetensors", "clips.lance"])
def test_a_hit_is_relevant_where_words_fit_better_than_everyday_sounds(folder, tmp_path, output):
    if output.endswith("lance"):
        pytest.importorskip("lancedb", reason="Lance tables need lancedb")
    clips = [str(path) for path in write_tones(tmp_path / "clips", 3)]
    index = tmp_path / output
    run("embed", tmp_path / "clips", "--output", index, "--model", folder, "--device", "cpu")
    given = ["search", "a choir", "--audio", clips[0], "--index", index, "--device", "cpu", "--relevance"]
    words, sound = json.loads(run(*given, "--json").stdout)
    embedder = ClapEmbedder(folder, device="cpu")
    texts = embedder.embed_text(["a choir", *EVERYDAY_SOUNDS])
    for hit in words["results"]:
        cosines = texts @ embedder.embed_audio([hit["file"]])[0]
        above = cosines[0] - np.quantile(cosines[1:], 0.9)
        assert 0 <= hit["relevance"] <= 1
        # "a choir" is one of the everyday sounds: where it stands at the quantile itself, rounding decides
        assert (hit["relevance"] > 0.5) == (above > 0) or abs(above) < 1e-6
    assert all(hit["relevance"] is None for hit in sound["results"]), "a sound is not compared with words"
    assert "relevance" in run(*given).stdout
    assert "relevance" not in json.loads(run(*given[:-1], "--json").stdout)[0]["results"][0]


def test_the_smallest_score_holds_in_python_too(folder, tmp_path):
    clips = [str(path) for path in write_tones(tmp_path / "clips", 3)]
    run("embed", tmp_path / "clips", "--output", tmp_path / "i.safetensors", "--model", folder, "--device", "cpu")
    index, embedder = AudioIndex.load(tmp_path / "i.safetensors"), ClapEmbedder(folder, device="cpu")
    (every,) = index.search(embedder.embed_audio(clips[:1]))
    (some,) = index.search(embedder.embed_audio(clips[:1]), min_score=every[1].score)
    assert len(every) == 3 and [hit.path for hit in some] == [hit.path for hit in every[:2]]
    assert every[0].relevance is None
