"""Audio Entailment with models that embed clips and texts: embeddings of pairs, and labels from them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F
from transformers.utils import cached_file, logging

from ..models.clap_afm.embedding_clap_afm import embed_audio, embed_texts
from .entailment_labels import LABELS, EntailmentProbe, EntailmentThresholds

logger = logging.get_logger(__name__)

THRESHOLDS_FILE = "entailment_thresholds_{}.json"  # beside the model, one for each premise


def embed_pairs(
    model: Any, tokenizer: Any, inputs: Mapping[str, Any], items: Sequence[Mapping[str, Any]], needs: Sequence[str]
) -> dict[str, torch.Tensor]:
    """
    Embeddings of pairs of a clip and a hypothesis, float32 `(pairs, dim)` each, L2-normalised.

    Args:
        model, tokenizer: Of a CLAP.
        inputs: The audio inputs of all items; empty if `needs` has no `"audio"`.
        items: For each clip its `"hypotheses"`, and its `"captions"` if they are needed.
        needs: Which of `"audio"`, `"caption"` and `"hypothesis"`.
    """
    owners = [place for place, item in enumerate(items) for _ in item["hypotheses"]]
    texts = [text for item in items for text in [*item["hypotheses"], *item.get("captions", [])]]
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}  # each is embedded once
    embedded = embed_texts(model, tokenizer, list(places))
    found: dict[str, torch.Tensor] = {}
    if "audio" in needs:
        found["audio"] = embed_audio(model, inputs)[owners]  # (clips, dim) -> (pairs, dim)
    if "caption" in needs:  # of several, their mean
        means = [embedded[[places[text] for text in item["captions"]]].mean(dim=0) for item in items]
        found["caption"] = F.normalize(torch.stack(means), dim=-1)[owners]
    found["hypothesis"] = embedded[[places[text] for item in items for text in item["hypotheses"]]]
    return found


def similarities_of(embeddings: Mapping[str, torch.Tensor]) -> list[float | None]:
    """Cosine of hypothesis and premise; of clip and caption the mean. None where the hypothesis is all there is."""
    premises = [value for name, value in embeddings.items() if name != "hypothesis"]
    if not premises:
        return [None] * len(embeddings["hypothesis"])
    cosines = [(premise * embeddings["hypothesis"]).sum(dim=-1) for premise in premises]  # (pairs,) each
    values: list[float | None] = torch.stack(cosines).mean(dim=0).tolist()
    return values


def probed(probe: EntailmentProbe, embeddings: Mapping[str, torch.Tensor]) -> tuple[list[str], list[dict[str, float]]]:
    """Labels by a probe, and the share of each label."""
    shares = probe.logits(embeddings).softmax(dim=-1).tolist()
    scores = [dict(zip(LABELS, row, strict=True)) for row in shares]
    return [max(row, key=lambda label: row[label]) for row in scores], scores


def find_thresholds(model: Any, premise: str) -> EntailmentThresholds:
    """
    The thresholds that lie beside a checkpoint.

    Raises:
        ValueError: there are none; it says how to fit some.
    """
    name, file = str(getattr(model.config, "_name_or_path", "")), THRESHOLDS_FILE.format(premise)
    path = str(Path(name) / file) if name and (Path(name) / file).is_file() else None
    if path is None and name and not Path(name).is_dir():
        try:
            path = cached_file(name, file, _raise_exceptions_for_missing_entries=False)
        except (OSError, ValueError):
            path = None
    if path is None:
        raise ValueError(
            f"No thresholds for the premise {premise!r} are known for {name or type(model).__name__}. Fit them on "
            "labelled pairs that you do not test on: `results = pipe(rows, scoring='similarity'); thresholds = "
            "afm_hf.adaptation.entailment.fit_thresholds(results, labels)`, and pass `thresholds=thresholds`."
        )
    return EntailmentThresholds.load(path)


def check_thresholds(thresholds: EntailmentThresholds, premise: str, model: str) -> None:
    """
    Refuses thresholds of another premise; warns if they were fitted on a model of another name.

    Raises:
        ValueError: they were fitted on other similarities.
    """
    if thresholds.premise != premise:
        raise ValueError(
            f"The thresholds were fitted with the premise {thresholds.premise!r}, but this is {premise!r}: "
            "similarities of texts and of audio differ in size. Fit others."
        )
    fitted = thresholds.settings.get("model")
    if fitted and Path(str(fitted)).name != Path(model).name:
        logger.warning_once(f"The thresholds were fitted on {fitted!r}, but the model is {model!r}.")


__all__ = ["check_thresholds", "embed_pairs", "find_thresholds"]
