"""`embed`, `evaluate` and `suite`, killed in the midst of their writes, go on and end as if undisturbed."""

import json
import random

import numpy as np
import pytest
from killed_jobs import attempt
from tiny_models import tiny_clap, write_tones

from afm_hf.evaluation.runner import read_predictions
from afm_hf.retrieval import AudioIndex, ClipStore


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_clap(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    names = [path.name for path in write_tones(folder, 24)]
    labels = ["rain", "a dog", "wind"]
    rows = [f"{name},{labels[index % 3]},{labels[index % 3]} {index}" for index, name in enumerate(names)]
    (folder / "metadata.csv").write_text("\n".join(["file_name,label,caption", *rows, ""]))
    return folder


def assert_same(job, folder, whole):
    """What a run left is what the undisturbed one did."""
    if job == "embed":
        found, expected = (AudioIndex.load(place / "emb.safetensors") for place in (folder, whole))
        assert found.files == expected.files
        np.testing.assert_allclose(found.embeddings, expected.embeddings, atol=1e-6)
        assert sorted(path.name for path in folder.iterdir() if not path.name.endswith(".tmp")) == ["emb.safetensors"]
        return
    results = sorted(path.relative_to(whole) for path in whole.rglob("result.json"))
    assert results and results == sorted(path.relative_to(folder) for path in folder.rglob("result.json"))
    for name in results:
        found, expected = (json.loads((place / name).read_text()) for place in (folder, whole))
        assert found["metrics"] == pytest.approx(expected["metrics"], abs=1e-6) and found["count"] == expected["count"]
        assert found["failures"] == expected["failures"] == {}
        predicted = [read_predictions((place / name).parent) for place in (folder, whole)]
        assert predicted[0].keys() == predicted[1].keys()


@pytest.mark.slow
@pytest.mark.parametrize("job", ["embed", "evaluate", "suite"])
def test_a_job_killed_twenty_times_ends_as_if_undisturbed(job, clips, model, tmp_path):
    generator = random.Random(3)
    assert attempt(job, tmp_path / "whole", clips, model)
    numbers = [generator.randrange(2, 9) for _ in range(20)]
    kills = sum(not attempt(job, tmp_path / "run", clips, model, number) for number in numbers)
    assert attempt(job, tmp_path / "run", clips, model)
    print(f"{job}: {kills} of 20 kills came before the end")
    assert kills > 5
    assert_same(job, tmp_path / "run", tmp_path / "whole")


@pytest.mark.slow
def test_a_table_whose_writer_is_killed_ten_times_has_every_row_once(clips, model, tmp_path):
    pytest.importorskip("lancedb", reason='needs `pip install "afm-hf[retrieval]"`')
    assert attempt("store", tmp_path / "whole", clips, model)
    kills = sum(
        not attempt("store", tmp_path / "run", clips, model, number) for number in [1, 2, 3, 2, 4, 5, 3, 2, 3, 2]
    )
    assert attempt("store", tmp_path / "run", clips, model)
    assert kills > 5
    found, expected = (ClipStore.load(place / "emb.lance") for place in (tmp_path / "run", tmp_path / "whole"))
    assert found.files == expected.files and len(found) == 24
    np.testing.assert_allclose(found.embeddings, expected.embeddings, atol=1e-6)


@pytest.mark.slow
def test_an_embedding_killed_in_its_writes_ends_as_if_undisturbed(clips, model, tmp_path):
    assert attempt("embed", tmp_path / "whole", clips, model)
    assert [attempt("embed", tmp_path / "run", clips, model, number) for number in (1, 4, 9)] == [False] * 3
    assert attempt("embed", tmp_path / "run", clips, model)
    assert_same("embed", tmp_path / "run", tmp_path / "whole")
