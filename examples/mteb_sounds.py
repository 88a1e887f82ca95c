"""A CLAP model in MTEB (2.x), on tasks made of a folder of your own: zero-shot classification and retrieval.

    python examples/mteb_sounds.py --sounds examples/sounds
    python examples/mteb_sounds.py --sounds examples/sounds --sentence-transformers

The folder holds `metadata.csv` (`file_name`, `label`, `caption`). Beside MTEB's figures stand those of our own tasks on
the same clips, which should be the same. Retrieval takes the first clip of every caption. Tasks that MTEB has itself
run in the same way: `mteb.evaluate(MtebEncoder("clap-small"), mteb.get_tasks(tasks=["RavdessZeroshot"]))`.

With `--sentence-transformers` MTEB's own wrapper of a `SentenceTransformer` embeds the same clips again. It resamples
with torchaudio, and to 16 kHz unless it is told: it is told the model's rate, at which the clips already are.
"""

import argparse
import csv
import tempfile
from pathlib import Path
from typing import Any

import datasets
import mteb
from mteb.abstasks import AbsTaskRetrieval, AbsTaskZeroShotClassification
from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
from mteb.abstasks.task_metadata import TaskMetadata
from transformers import pipeline

from afm_hf import load_audio
from afm_hf.evaluation.mteb_adapter import MtebEncoder
from afm_hf.evaluation.runner import run
from afm_hf.evaluation.task import Item
from afm_hf.evaluation.tasks.retrieval import RetrievalTask
from afm_hf.evaluation.tasks.zero_shot import ZeroShotTask
from afm_hf.hub.loading import resolve_model

TEMPLATE = "this is a sound of {}"


def describe(kind: Any, score: str) -> TaskMetadata:
    """What MTEB wants to know of a task."""
    return TaskMetadata(
        name=f"Local{kind}",
        description="Clips of a folder.",
        dataset={"path": "local/sounds", "revision": "1"},
        type=kind,
        category="a2t",
        modalities=["audio", "text"],
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score=score,
    )


def clip(file: Path, rate: int) -> dict[str, Any]:
    """An array at a rate in Hz, as `datasets.Audio` gives it."""
    return {"array": load_audio(file, rate).tolist(), "sampling_rate": rate}


class ZeroShot(AbsTaskZeroShotClassification):
    metadata = describe("AudioZeroshotClassification", "accuracy")
    input_column_name, label_column_name = "audio", "labels"

    def __init__(self, files: list[Path], labels: list[str], rate: int) -> None:
        super().__init__()
        self.names = sorted(set(labels))
        columns = {
            "audio": [clip(file, rate) for file in files],
            "labels": [self.names.index(label) for label in labels],
        }
        self.dataset, self.data_loaded = datasets.DatasetDict(test=datasets.Dataset.from_dict(columns)), True

    def get_candidate_labels(self) -> list[str]:
        return [TEMPLATE.format(name) for name in self.names]


class Retrieval(AbsTaskRetrieval):
    metadata = describe("Any2AnyRetrieval", "recall_at_1")

    def __init__(self, files: list[Path], captions: list[str], rate: int) -> None:
        super().__init__()
        names = [file.name for file in files]
        rows = RetrievalSplitData(
            queries=datasets.Dataset.from_dict({"id": names, "audio": [clip(file, rate) for file in files]}),
            corpus=datasets.Dataset.from_dict({"id": names, "text": captions}),
            relevant_docs={name: {name: 1} for name in names},
            top_ranked=None,
        )
        self.dataset, self.data_loaded = {"default": {"test": rows}}, True


def sentence_transformer(model: str, rate: int) -> Any:
    """The model in sentence-transformers, in MTEB's wrapper."""
    from mteb.models import SentenceTransformerEncoderWrapper
    from sentence_transformers import SentenceTransformer

    loaded = SentenceTransformer(resolve_model(model))
    encoder = SentenceTransformerEncoderWrapper(loaded, target_sampling_rate=rate)
    # MTEB takes every SentenceTransformer that it does not know for one of texts alone.
    encoder.mteb_model_meta = encoder.mteb_model_meta.model_copy(update={"modalities": loaded.modalities})
    return encoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sounds", type=Path, required=True, help="folder with metadata.csv")
    parser.add_argument("--model", default="clap-small", help="a bundled model, a folder, or a Hub id")
    parser.add_argument("--sentence-transformers", action="store_true", help="also through sentence-transformers")
    args = parser.parse_args()
    with (args.sounds / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    firsts = list({row["caption"]: row for row in reversed(rows)}.values())[::-1]
    encoders = {"MTEB": MtebEncoder(args.model)}
    rate = encoders["MTEB"].embedder.feature_extractor.sampling_rate
    if args.sentence_transformers:
        encoders["MTEB, sentence-transformers"] = sentence_transformer(args.model, rate)
    scores = {}
    for name, encoder in encoders.items():
        tasks = [
            ZeroShot([args.sounds / row["file_name"] for row in rows], [row["label"] for row in rows], rate),
            Retrieval([args.sounds / row["file_name"] for row in firsts], [row["caption"] for row in firsts], rate),
        ]
        found = mteb.evaluate(encoder, tasks, cache=None, encode_kwargs={"batch_size": 16}).task_results
        scores[name] = [result.scores["test"][0] for result in found]

    pipe = pipeline("zero-shot-audio-classification", model=resolve_model(args.model))
    with tempfile.TemporaryDirectory() as folder:
        items = [Item(r["file_name"], str(args.sounds / r["file_name"]), {"label": r["label"]}) for r in rows]
        pairs = [Item(r["file_name"], str(args.sounds / r["file_name"]), {"captions": [r["caption"]]}) for r in firsts]
        labels = sorted({row["label"] for row in rows})
        zero_shot = run(ZeroShotTask(pipe, labels, [TEMPLATE]), items, f"{folder}/zero-shot", draws=0)
        retrieval = run(RetrievalTask(pipe), pairs, f"{folder}/retrieval", draws=0)
    print(f"{len(rows)} clips, {len(labels)} labels; {len(firsts)} clips with captions of their own")
    table = [("zero-shot accuracy", 0, "accuracy", zero_shot.metrics["accuracy"])]
    table += [("zero-shot macro F1", 0, "f1", zero_shot.metrics["macro F1"])]
    for k in (1, 5, 10):
        table += [(f"retrieval recall@{k}", 1, f"recall_at_{k}", retrieval.metrics[f"audio to text recall@{k}"])]
    for title, task, key, ours in table:
        theirs = "   ".join(f"{name} {each[task][key]:.4f}" for name, each in scores.items())
        print(f"{title:20s} {theirs}   afm-hf {ours:.4f}")


if __name__ == "__main__":
    main()
