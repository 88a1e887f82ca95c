"""Audio Entailment: figures of the official tables with text in place of audio, and on real clips.

    python examples/entailment.py --data DIR [--quick]       # clotho_entailment_*.csv, audiocaps_entailment_test.csv
    python examples/entailment.py --sounds examples/sounds   # clips with labels

`--save DIR` writes the thresholds, as they lie beside the bundled model.

With text, the captions of a clip stand for it: an upper bound of what the text tower alone allows. Thresholds and
probes are fitted on Clotho Entailment (thresholds and the probes' decay on validation, probes on development) and
tested on its evaluation part and on AudioCaps Entailment. Rows without a premise have seen the hypothesis alone.

With clips, three hypotheses are made of each clip's label: the label, another clip's label, and the label with a detail
that cannot be heard. Thresholds are fitted on the clips of one half of the labels and tested on the other half.
"""

import argparse
import csv
import random
from pathlib import Path
from typing import Any

import torch
from transformers import Pipeline, pipeline

from afm_hf import bundled_model
from afm_hf.adaptation.entailment import (
    LABELS,
    EntailmentMetrics,
    EntailmentThresholds,
    entailment_metrics,
    fit_entailment_probe,
    fit_thresholds,
)
from afm_hf.data import read_entailment

TEMPLATE = "This is a sound of {}."
QUESTION = "question: can you hear {hypothesis}?"  # what the tiny Pengi was trained with
DETAILS = ("on a Tuesday", "in a foreign country", "many years ago", "recorded by a student", "owned by a neighbour")
DECAYS = (0.001, 0.01, 0.1, 1.0)


def show(name: str, metrics: EntailmentMetrics) -> None:
    """One line of a table, and the confusion matrix."""
    figures = (metrics.accuracy, metrics.precision, metrics.recall, metrics.f1)
    cells = "  ".join(f"{100 * value:5.1f}" for value in figures)
    rows = " / ".join(" ".join(f"{count:4d}" for count in row) for row in metrics.confusion)
    print(f"{name:44} {cells}   {rows}", flush=True)


def header(title: str) -> None:
    """What the columns are."""
    print(f"\n{title}\n{'in per cent':44}   acc  prec   rec    F1   true E / N / C as E N C and none")


def embedded(pipe: Pipeline, table: Path) -> tuple[dict[str, torch.Tensor], list[str], list[str]]:
    """Embeddings of captions and hypotheses, labels, hypotheses."""
    rows, _ = read_entailment(table, check="none")
    pairs = [{"caption": row["captions"], "hypothesis": row["hypothesis"]} for row in rows]
    embeddings = pipe.embed(pairs, premise="caption", batch_size=96)
    return embeddings, list(rows["label"]), list(rows["hypothesis"])


def similarity(embeddings: dict[str, torch.Tensor]) -> torch.Tensor:
    """Cosines of captions and hypotheses."""
    return (embeddings["caption"] * embeddings["hypothesis"]).sum(dim=-1)


def on_text(data: Path, model: str, save: Path | None, is_quick: bool) -> None:
    """The official tables, with captions in place of clips."""
    pipe = pipeline("audio-entailment", model=model)
    parts = {name: f"clotho_entailment_{name}.csv" for name in ("validation", "evaluation", "development")}
    parts["AudioCaps"] = "audiocaps_entailment_test.csv"
    sets = {name: embedded(pipe, data / file) for name, file in list(parts.items())[: 2 if is_quick else None]}
    validation = sets["validation"]
    train, decays = (validation, [0.01]) if is_quick else (sets["development"], DECAYS)
    about = {"model": Path(model).name, "premise": "caption", "data": parts["validation"]}
    thresholds = fit_thresholds(similarity(validation[0]), validation[1], **about)
    keep(thresholds, save)
    probes = {}
    for name, inputs, product in (
        ("no premise: probe on the hypothesis", ["hypothesis"], False),
        ("probe, concat", ["caption", "hypothesis"], False),
        ("probe, concat and product", ["caption", "hypothesis"], True),
    ):
        fits = [fit_entailment_probe(train[0], train[1], inputs, product, decay) for decay in decays]
        scores = [entailment_metrics(validation[1], fit.predict(validation[0])).f1 for fit in fits]
        probes[name] = fits[scores.index(max(scores))]
        print(f"{name}: decay {probes[name].settings['l2']}, fitted on {len(train[1])} pairs", flush=True)
    words = words_baseline(train)
    for title, part in (("Clotho Entailment, evaluation", "evaluation"), ("AudioCaps Entailment, test", "AudioCaps")):
        if part not in sets:
            continue
        embeddings, labels, hypotheses = sets[part]
        header(f"{title}: {len(labels)} pairs")
        show("always the same label", entailment_metrics(labels, [LABELS[0]] * len(labels)))
        found = [thresholds.label(value) for value in similarity(embeddings).tolist()]
        show("two thresholds", entailment_metrics(labels, found))
        if words is not None:
            show("no premise: words of the hypothesis", entailment_metrics(labels, words.predict(hypotheses).tolist()))
        for name, probe in probes.items():
            show(name, entailment_metrics(labels, probe.predict(embeddings)))


def words_baseline(train: tuple[dict[str, torch.Tensor], list[str], list[str]]) -> Any:
    """Logistic regression on words and pairs of words of the hypothesis; None without scikit-learn."""
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
    except ImportError:
        return None
    counts = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    return make_pipeline(counts, LogisticRegression(max_iter=1000)).fit(train[2], train[1])


def made_pairs(folder: Path, seed: int) -> tuple[list[dict[str, str]], list[str], list[str]]:
    """Rows (phrases as hypotheses), labels, and the sound label of each row."""
    rng = random.Random(seed)
    with (folder / "metadata.csv").open(newline="", encoding="utf-8") as file:
        clips = [(str(folder / row["file_name"]), row["label"]) for row in csv.DictReader(file)]
    names = sorted({name for _, name in clips})
    rows, labels, sounds = [], [], []
    for clip, name in clips:
        other = rng.choice([each for each in names if not set(each.split()) & set(name.split())])
        for label, phrase in zip(LABELS, (name, f"{name} {rng.choice(DETAILS)}", other), strict=True):
            rows.append({"audio": clip, "hypothesis": phrase})
            labels.append(label)
            sounds.append(name)
    return rows, labels, sounds


def two_halves(similarities: list[float], labels: list[str], sounds: list[str], seed: int) -> list[str]:
    """Predictions by thresholds that were fitted on the other half of the sound labels."""
    names = sorted(set(sounds))
    first = set(random.Random(seed).sample(names, len(names) // 2))
    found = [""] * len(labels)
    for half in (True, False):
        fit = [i for i, name in enumerate(sounds) if (name in first) == half]
        thresholds = fit_thresholds([similarities[i] for i in fit], [labels[i] for i in fit])
        for i in set(range(len(labels))) - set(fit):
            found[i] = thresholds.label(similarities[i])
    return found


def on_clips(folder: Path, clap: str, pengi: str, save: Path | None, seed: int) -> None:
    """Real clips, with a CLAP and a model that answers in words."""
    phrases, labels, sounds = made_pairs(folder, seed)
    rows = [{**row, "hypothesis": TEMPLATE.format(row["hypothesis"])} for row in phrases]
    judge, answerer = pipeline("audio-entailment", model=clap), pipeline("audio-entailment", model=pengi)
    captioner = pipeline("audio-captioning", model=pengi)
    clips = sorted({row["audio"] for row in rows})
    captions = {clip: said[0]["generated_text"] for clip, said in zip(clips, captioner(clips), strict=True)}
    captioned = [{**row, "caption": captions[row["audio"]]} for row in rows]
    header(f"{folder}: {len(clips)} clips, {len(rows)} pairs; chance 33.3")

    heard = judge(rows, scoring="similarity", batch_size=16)
    step = len(LABELS) * (len(clips) // 2)
    wrong = [{**row, "audio": rows[(i + step) % len(rows)]["audio"]} for i, row in enumerate(rows)]
    for name, results in (
        ("CLAP, two thresholds", heard),
        ("CLAP, and a caption", judge(captioned, scoring="similarity", premise="both", batch_size=16)),
        ("no premise: CLAP with the clip of another row", judge(wrong, scoring="similarity", batch_size=16)),
    ):
        found = two_halves([result.similarity for result in results], labels, sounds, seed)
        show(name, entailment_metrics(labels, found))
    for name, given, options in (
        ("Pengi, likelihood", rows, {"scoring": "likelihood"}),
        ("Pengi, what it says", rows, {"scoring": "text"}),
        ("Pengi, likelihood, and a caption", captioned, {"scoring": "likelihood", "premise": "both"}),
        ("Pengi, likelihood, asked as in training", phrases, {"scoring": "likelihood", "prompt": QUESTION}),
        ("Pengi, what it says, asked as in training", phrases, {"scoring": "text", "prompt": QUESTION}),
    ):
        show(name, entailment_metrics(labels, answerer(given, batch_size=16, **options)))
    thresholds = fit_thresholds(heard, labels, model=Path(clap).name, data=f"labels of {folder.name}, seed {seed}")
    keep(thresholds, save)


def keep(thresholds: EntailmentThresholds, save: Path | None) -> None:
    """Prints thresholds, and writes them where the pipeline looks for them."""
    print(f"\n{thresholds}", flush=True)
    if save is not None:
        thresholds.save(save / f"entailment_thresholds_{thresholds.premise}.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the official tables")
    parser.add_argument("--quick", action="store_true", help="Clotho alone, with probes fitted on its validation part")
    parser.add_argument("--sounds", type=Path, help="folder with clips and metadata.csv")
    parser.add_argument("--clap", default=str(bundled_model("clap-small")))
    parser.add_argument("--pengi", default=str(bundled_model("pengi-small")))
    parser.add_argument("--save", type=Path, help="folder to write the thresholds to")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.data is None and arguments.sounds is None:
        parser.error("give --data, --sounds or both")
    if arguments.data is not None:
        on_text(arguments.data, arguments.clap, arguments.save, arguments.quick)
    if arguments.sounds is not None:
        on_clips(arguments.sounds, arguments.clap, arguments.pengi, arguments.save, arguments.seed)


if __name__ == "__main__":
    main()
