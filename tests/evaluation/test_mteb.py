"""CLAP as an encoder of MTEB: the same embeddings as everywhere else, and the same figures where MTEB is installed."""

import builtins

import numpy as np
import pytest
from transformers import pipeline

import afm_hf
from afm_hf.evaluation.mteb_adapter import MtebEncoder
from afm_hf.evaluation.runner import run
from afm_hf.evaluation.task import Item
from afm_hf.evaluation.tasks.retrieval import RetrievalTask
from afm_hf.evaluation.tasks.zero_shot import ZeroShotTask
from afm_hf.retrieval.embedding import ClapEmbedder

CLIPS = [str(clip) for clip in afm_hf.bundled_audio()[:8]]
LABELS = [clip.rpartition("/")[2].rsplit("_", 2)[0].replace("_", " ") for clip in CLIPS]
SENTENCES = [f"this is a sound of {label}" for label in LABELS]


@pytest.fixture(scope="module")
def encoder():
    return MtebEncoder("clap-small", device="cpu")


def clip_as_array(path, rate=None):
    import soundfile

    array, own = soundfile.read(path, dtype="float32")
    if rate is None:
        return {"array": array, "sampling_rate": own}
    return {"array": afm_hf.load_audio(path, rate), "sampling_rate": rate}


def test_arrays_give_the_embeddings_of_their_files(encoder):
    batches = [{"audio": [clip_as_array(clip) for clip in CLIPS[:3]]}, {"audio": [clip_as_array(CLIPS[3])]}]
    files = ClapEmbedder("clap-small", "cpu").embed_audio(CLIPS[:4])
    np.testing.assert_allclose(encoder.encode(batches, task_metadata=None, batch_size=3), files, atol=1e-5)


def test_the_rate_of_the_array_counts(encoder):
    own, other = (encoder.encode([{"audio": [clip_as_array(CLIPS[0], rate)]}]) for rate in (None, 22050))
    wrong = {**clip_as_array(CLIPS[0], 22050), "sampling_rate": 8000}
    assert encoder.similarity(own, other)[0, 0] > 0.95 > encoder.similarity(own, encoder.encode([{"audio": [wrong]}]))


def test_texts_and_pairs(encoder):
    texts = encoder.encode([{"text": SENTENCES[:2]}, {"text": SENTENCES[2:3]}])
    np.testing.assert_allclose(texts, ClapEmbedder("clap-small", "cpu").embed_text(SENTENCES[:3]), atol=1e-6)
    clips = [clip_as_array(clip) for clip in CLIPS[:2]]
    both = encoder.encode([{"audio": clips, "text": SENTENCES[:2]}])
    np.testing.assert_allclose(np.linalg.norm(both, axis=1), 1, atol=1e-6)
    audio = encoder.encode([{"audio": clips}])
    np.testing.assert_allclose(
        encoder.similarity_pairwise(both, audio), encoder.similarity_pairwise(both, texts[:2]), atol=1e-5
    )
    assert encoder.similarity(texts, 3 * texts) == pytest.approx(texts @ texts.T, abs=1e-6)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "no batches"),
        ([{"image": [1]}], r"\['image'\]"),
        ([{"audio": [np.zeros(9)]}], "`array` and `sampling_rate`"),
    ],
)
def test_what_cannot_be_encoded_is_named(encoder, batches, message):
    with pytest.raises(ValueError, match=message):
        encoder.encode(batches)


def test_without_mteb_only_its_metadata_is_missing(encoder, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("mteb"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="pip install 'mteb>=2'"):
        _ = encoder.mteb_model_meta


def metadata(kind, category, score):
    from mteb.abstasks.task_metadata import TaskMetadata

    return TaskMetadata(
        name=f"Local{kind}",
        description="Bundled clips.",
        dataset={"path": "local/clips", "revision": "1"},
        type=kind,
        category=category,
        modalities=["audio", "text"],
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score=score,
    )


def zero_shot_task():
    import datasets
    from mteb.abstasks import AbsTaskZeroShotClassification

    class LocalZeroShot(AbsTaskZeroShotClassification):
        metadata = metadata("AudioZeroshotClassification", "a2t", "accuracy")
        input_column_name, label_column_name = "audio", "labels"

        def load_data(self, **_):
            clips = [{**clip, "array": clip["array"].tolist()} for clip in map(clip_as_array, CLIPS)]
            rows = datasets.Dataset.from_dict({"audio": clips, "labels": list(range(len(CLIPS)))})
            self.dataset, self.data_loaded = datasets.DatasetDict(test=rows), True

        def get_candidate_labels(self):
            return SENTENCES

    return LocalZeroShot()


def retrieval_task():
    import datasets
    from mteb.abstasks import AbsTaskRetrieval
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData

    class LocalRetrieval(AbsTaskRetrieval):
        metadata = metadata("Any2AnyRetrieval", "a2t", "recall_at_1")

        def load_data(self, **_):
            clips = [{**clip, "array": clip["array"].tolist()} for clip in map(clip_as_array, CLIPS)]
            names = [str(i) for i in range(len(CLIPS))]
            rows = RetrievalSplitData(
                queries=datasets.Dataset.from_dict({"id": names, "audio": clips}),
                corpus=datasets.Dataset.from_dict({"id": names, "text": SENTENCES}),
                relevant_docs={name: {name: 1} for name in names},
                top_ranked=None,
            )
            self.dataset, self.data_loaded = {"default": {"test": rows}}, True

    return LocalRetrieval()


def test_figures_are_those_of_our_own_tasks(encoder, tmp_path, monkeypatch):
    mteb = pytest.importorskip("mteb", minversion="2")
    monkeypatch.setenv("MTEB_CACHE", str(tmp_path / "mteb"))
    clap = pipeline("zero-shot-audio-classification", model=str(afm_hf.bundled_model("clap-small")))
    items = [Item(str(i), clip, {"label": LABELS[i], "captions": [SENTENCES[i]]}) for i, clip in enumerate(CLIPS)]
    ours = [
        run(ZeroShotTask(clap, LABELS, ["this is a sound of {}"]), items, tmp_path / "zs", progress=False, draws=0),
        run(RetrievalTask(clap), items, tmp_path / "re", progress=False, draws=0),
    ]
    tasks = [zero_shot_task(), retrieval_task()]
    found = mteb.evaluate(encoder, tasks, cache=None, encode_kwargs={"batch_size": 3}).task_results
    scores = [result.scores["test"][0] for result in found]
    assert scores[0]["accuracy"] == pytest.approx(ours[0].metrics["accuracy"])
    for k in (1, 5):
        assert scores[1][f"recall_at_{k}"] == pytest.approx(ours[1].metrics[f"audio to text recall@{k}"], abs=1e-4)
    assert encoder.mteb_model_meta.name == "afm-hf/clap-small"
