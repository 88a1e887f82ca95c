"""Thresholds against all there could be, figures against scikit-learn, probes on cases with a known answer."""

import itertools
import json

import numpy as np
import pytest
import torch

from afm_hf.adaptation.entailment import (
    LABELS,
    EntailmentMetrics,
    entailment_metrics,
    fit_entailment_probe,
    fit_thresholds,
)
from afm_hf.entailment.entailment_labels import AudioEntailmentResult, EntailmentProbe, EntailmentThresholds


def draw(seed, pairs=16, steps=9):
    """Similarities with many ties, which rise with the label, and labels of unequal number."""
    generator = np.random.default_rng(seed)
    targets = generator.choice(3, size=pairs, p=[0.5, 0.3, 0.2])
    values = np.round((generator.normal(size=pairs) - targets) * steps / 6) / steps
    return values.tolist(), [LABELS[target] for target in targets]


def best_of_all(values, labels, metric):
    """The best figure that any two thresholds reach."""
    cuts = [-100.0, *sorted(set(values)), 100.0]
    figures = []
    for low, high in itertools.combinations_with_replacement(cuts, 2):
        found = [EntailmentThresholds(low=low, high=high).label(value) for value in values]
        metrics = entailment_metrics(labels, found)
        figures.append(metrics.f1 if metric == "macro_f1" else metrics.accuracy)
    return max(figures)


@pytest.mark.parametrize("metric", ["macro_f1", "accuracy"])
@pytest.mark.parametrize("seed", range(6))
def test_no_other_thresholds_are_better(seed, metric):
    values, labels = draw(seed)
    thresholds = fit_thresholds(values, labels, metric)
    assert thresholds.settings[metric] == pytest.approx(best_of_all(values, labels, metric), abs=1e-12)
    metrics = entailment_metrics(labels, [thresholds.label(value) for value in values])
    assert (metrics.f1, metrics.accuracy) == (thresholds.settings["macro_f1"], thresholds.settings["accuracy"])


@pytest.mark.parametrize(
    ("values", "labels", "accuracy"),
    [
        ([0.3, 0.3, 0.3], ["entailment", "neutral", "entailment"], 2 / 3),  # one value cannot be parted
        ([0.1, 0.2], ["entailment", "contradiction"], 0.5),  # the wrong way round
        ([-0.5], ["entailment"], 1.0),
        ([1.0000002], ["contradiction"], 1.0),  # cosines of equal texts are a little above 1
        ([0.1, float(np.nextafter(0.1, 1))], ["contradiction", "entailment"], 1.0),  # nothing lies between them
    ],
)
def test_thresholds_of_odd_cases(values, labels, accuracy):
    thresholds = fit_thresholds(torch.tensor(values, dtype=torch.float64), labels, "accuracy")
    found = [thresholds.label(value) for value in values]
    assert entailment_metrics(labels, found).accuracy == pytest.approx(accuracy)


def test_thresholds_keep_what_made_the_similarities(tmp_path):
    made = {"model": "clap", "premise": "both", "scoring": "similarity"}
    results = [
        AudioEntailmentResult(label=None, hypothesis="a", similarity=value, settings=made) for value in (0.1, 0.4, 0.9)
    ]
    thresholds = fit_thresholds(results, LABELS[::-1], data="mine")
    assert thresholds.premise == "both" and thresholds.settings["model"] == "clap"
    assert thresholds.settings["data"] == "mine" and "scoring" not in thresholds.settings
    thresholds.save(tmp_path / "t.json")
    assert EntailmentThresholds.load(tmp_path / "t.json") == thresholds
    (tmp_path / "bad.json").write_text('{"low": 0.1}')
    with pytest.raises(ValueError, match=r"bad\.json holds no thresholds.*high"):
        EntailmentThresholds.load(tmp_path / "bad.json")
    with pytest.raises(ValueError, match=r"no file .*gone\.json"):
        EntailmentThresholds.load(tmp_path / "gone.json")


def test_thresholds_that_make_no_sense():
    with pytest.raises(ValueError, match=r"`low` is 0\.5, above `high`, 0\.2"):
        EntailmentThresholds(low=0.5, high=0.2)
    with pytest.raises(ValueError, match="nan and 1; expected two finite numbers"):
        EntailmentThresholds(low=float("nan"), high=1)


@pytest.mark.parametrize(
    ("values", "labels", "metric", "message"),
    [
        ([0.1], ["neutral", "neutral"], "accuracy", "2 labels, but 1 similarities"),
        ([], [], "accuracy", "no pairs"),
        ([0.1], ["true"], "accuracy", r"labels\[0\] is 'true'"),
        ([0.1, float("nan")], ["neutral"] * 2, "accuracy", r"similarities\[1\] is nan"),
        ([0.1, None], ["neutral"] * 2, "accuracy", r"similarities\[1\] is None"),
        ([0.1], ["neutral"], "f1", "`metric` is 'f1'"),
    ],
)
def test_what_cannot_be_fitted(values, labels, metric, message):
    with pytest.raises(ValueError, match=message):
        fit_thresholds(values, labels, metric)


# -- figures ----------------------------------------------------------------------------------------------------------


def test_figures_of_a_case_counted_by_hand():
    labels = ["entailment", "entailment", "neutral", "contradiction"]
    metrics = entailment_metrics(labels, ["entailment", "neutral", None, "contradiction"], model="mine")
    assert metrics.confusion == [[1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]
    assert (metrics.accuracy, metrics.unanswered, metrics.pairs) == (0.5, 1, 4)
    assert metrics.precision == pytest.approx((1 + 0 + 1) / 3)
    assert metrics.recall == pytest.approx((0.5 + 0 + 1) / 3)
    assert metrics.f1 == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert metrics.per_label["entailment"] == pytest.approx({"precision": 1.0, "recall": 0.5, "f1": 2 / 3})
    assert metrics.settings == {"model": "mine"} and json.loads(metrics.to_json())["confusion"][0] == [1, 1, 0, 0]
    assert isinstance(metrics, EntailmentMetrics) and "unanswered" in str(metrics)


def test_figures_are_those_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(0)
    labels, found = ([LABELS[i] for i in generator.integers(3, size=60)] for _ in range(2))
    found = [label if label != "neutral" else "entailment" for label in found]  # one is never found
    metrics = entailment_metrics(labels, found)
    wanted = sklearn.precision_recall_fscore_support(labels, found, labels=LABELS, average="macro", zero_division=0)
    assert (metrics.precision, metrics.recall, metrics.f1) == pytest.approx(wanted[:3])
    assert [row[:3] for row in metrics.confusion] == sklearn.confusion_matrix(labels, found, labels=LABELS).tolist()


def test_figures_of_mismatched_lists():
    with pytest.raises(ValueError, match="2 labels, but 1 predictions"):
        entailment_metrics(["neutral", "neutral"], ["neutral"])
    with pytest.raises(ValueError, match=r"predictions\[0\] is 'b'"):
        entailment_metrics(["neutral"], ["b"])


# -- probes -----------------------------------------------------------------------------------------------------------


def pairs(count=300, dim=6, leak=0.0, seed=0):
    """Unit vectors: the hypothesis is the premise, its negative, or at right angles; its last dimension may leak."""
    generator = torch.Generator().manual_seed(seed)
    premise = torch.nn.functional.normalize(torch.randn(count, dim, generator=generator), dim=-1)
    side = torch.nn.functional.normalize(torch.randn(count, dim, generator=generator), dim=-1)
    side = torch.nn.functional.normalize(side - (side * premise).sum(-1, keepdim=True) * premise, dim=-1)
    targets = torch.arange(count) % 3
    hypothesis = torch.where(targets[:, None] == 0, premise, torch.where(targets[:, None] == 1, side, -premise))
    hypothesis = torch.cat([hypothesis, leak * (targets[:, None] - 1.0)], dim=-1)
    premise = torch.cat([premise, torch.zeros(count, 1)], dim=-1)
    return {"audio": premise, "caption": premise, "hypothesis": hypothesis}, [LABELS[i] for i in targets.tolist()]


def accuracy(probe, given):
    return entailment_metrics(given[1], probe.predict(given[0])).accuracy


def test_only_products_compare_and_leakage_needs_no_premise():
    train, test = pairs(seed=0), pairs(seed=1)
    assert accuracy(fit_entailment_probe(*train), test) < 0.5  # a sum of both sides cannot tell whether they agree
    assert accuracy(fit_entailment_probe(*train, product=True), test) > 0.9
    assert accuracy(fit_entailment_probe(*train, inputs=("hypothesis",)), test) < 0.5
    leaky = [pairs(leak=1.0, seed=seed) for seed in (0, 1)]
    assert accuracy(fit_entailment_probe(*leaky[0], inputs=("hypothesis",)), leaky[1]) > 0.9


def test_probes_save_and_load(tmp_path):
    embeddings, labels = pairs()
    probe = fit_entailment_probe(embeddings, labels, ("audio", "hypothesis", "caption"), True, data="made")
    assert probe.weight.shape == (3, 5 * 7)
    probe.save(tmp_path / "probe.safetensors")
    again = EntailmentProbe.load(tmp_path / "probe.safetensors")
    torch.testing.assert_close(again.logits(embeddings), probe.logits(embeddings), atol=1e-5, rtol=1e-4)
    assert (again.inputs, again.product, again.settings) == (probe.inputs, True, probe.settings)
    with pytest.raises(ValueError, match="fitted on 35 features, but these embeddings make 30"):
        probe.logits({name: value[:, :6] for name, value in embeddings.items()})
    with pytest.raises(ValueError, match=r"none of \['caption'\]"):
        probe.logits({"audio": embeddings["audio"], "hypothesis": embeddings["hypothesis"]})
    (tmp_path / "bad.safetensors").write_bytes(b"no probe")
    with pytest.raises(ValueError, match=r"bad\.safetensors holds no probe"):
        EntailmentProbe.load(tmp_path / "bad.safetensors")


@pytest.mark.parametrize("inputs", [("audio",), ("hypothesis", "hypothesis"), ("hypothesis", "video")])
def test_probes_read_a_hypothesis_and_what_is_known(inputs):
    with pytest.raises(ValueError, match="expected 'hypothesis'"):
        fit_entailment_probe(*pairs(), inputs=inputs)
