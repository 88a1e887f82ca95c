"""
Two findings of Audio Entailment, as experiments: do deductions hang on stop words, and can a model say "cannot tell"?

Deshmukh et al., AAAI 2025 (arXiv 2407.18062). "Changing stopwords like 'it' to 'the' in the prompts" makes large models
change their deductions; models that were trained to say that they cannot tell find the neutral relation better, "but
only if prompts align with training data". Which words the authors changed beyond that one is not known: those here are
ours.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...entailment.entailment_contrastive import find_thresholds
from ...entailment.entailment_labels import LABELS, NEUTRAL
from ...entailment.entailment_prompts import OPTIONS, PROMPTS
from ..bootstrap import Sums, bootstrap_interval
from ..controls import swapped
from ..report.figures import Point, dots, grouped_bars, per_cent
from ..task import Item, Record
from ..tasks.entailment import EntailmentTask
from .measuring import Data, Measured, Prepared, difference, make_task, measure, prepare
from .results import RUNS, ExperimentResult, Row, check_output, row_of, write_experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STOP_WORDS, CANNOT_TELL = "stop-words", "cannot-tell"
AS_IT_IS = "as it is"
# What is put for a word, by the word; the first is the slide's, the others are ours.
CHANGES: dict[str, dict[str, str]] = {
    "it -> the": {"it": "the"},
    "the -> a": {"the": "a"},
    "a, an -> the": {"a": "the", "an": "the"},
    "no articles": {"a": "", "an": "", "the": ""},
    "is, are -> was, were": {"is": "was", "are": "were"},
}
BANDS = (0.0, 0.5, 1.0, 1.5, 2.0)  # how wide the neutral band of a CLAP is, in widths of its own thresholds'


def changed(text: str, words: Mapping[str, str]) -> str:
    """
    A text with other stop words; letters in brackets and braces, as `a)` and `{options}`, are none.

    Example:
    ```python
    >>> changed("It is a dog. a) it is definitely true", {"it": "the", "a": "the"})
    'The is the dog. a) the is definitely true'

    ```
    """

    def other(found: "re.Match[str]") -> str:
        new = words[found[0].lower()]
        return new.capitalize() if found[0][:1].isupper() and new else new

    sought = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
    replaced = re.sub(rf"(?<![\w{{'-])(?:{sought})(?![\w}}')-])", other, text, flags=re.IGNORECASE)
    return re.sub(r"\s+", " ", replaced).strip() if "" in words.values() else replaced


def parse_changes(given: Sequence[str]) -> dict[str, dict[str, str]]:
    """
    Changes of the user: `OLD=NEW`, several with commas between them; `OLD=` drops a word.

    Raises:
        ValueError: one has another form.
    """
    found = {}
    for change in given:
        pairs = [part.partition("=") for part in change.split(",")]
        if not all(sign and re.fullmatch(r"[\w']+", old.strip()) for old, sign, _ in pairs):
            raise ValueError(f"`--change` is {change!r}; expected OLD=NEW, as it=the, or several with commas.")
        found[change] = {old.strip().lower(): new.strip() for old, _, new in pairs}
    return found


def stop_word_robustness(
    data: Data,
    folder: Path,
    model: str | None = None,
    changes: Mapping[str, Mapping[str, str]] | None = None,
    *,
    device: str | None = None,
    overwrite: bool = False,
    draws: int = 1000,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> ExperimentResult:
    """
    The same deductions with other stop words in hypothesis, prompt and answers.

    Args:
        data: Of entailment, as CLE.
        folder: Gets the runs, table and picture. A run that was stopped goes on.
        model (`str`, *optional*): A CLAP with thresholds, Pengi or Mellow.
        changes: What is put for a word, by the name of the change; [`CHANGES`] if not given.
        device, overwrite, draws, seed, progress: As of [`run`].
        options: `batch_size`, `num_workers`, `truncation`; `scoring`, how answers are read, see
            [`AudioEntailmentPipeline`].

    Returns:
        A row for each wording: accuracy; `texts_changed`, the share of questions in which a word changed;
        `deductions_changed`, the share of these whose deduction changed, with its interval; `change` of the accuracy.

    Raises:
        ValueError: as [`items_for`].
        ImportError: matplotlib is not installed.
    """
    check_output(folder)
    prepared = prepare("entailment", data)
    plain = make_task(prepared, model, device, **options)
    wanted: dict[str, Mapping[str, str]] = {AS_IT_IS: {}, **(CHANGES if changes is None else changes)}
    how: dict[str, Any] = {"overwrite": overwrite, "draws": draws, "seed": seed, "progress": progress}
    found, items = {}, {}
    for number, (name, words) in enumerate(wanted.items()):
        items[name], task = _reworded(prepared.items, plain, words) if words else (prepared.items, plain)
        found[name] = measure(task, prepared, folder / RUNS / f"{number}-{_slug(name)}", items=items[name], **how)
    result = ExperimentResult(experiment=STOP_WORDS, rows=[], settings={"draws": draws, "seed": seed})
    result.settings |= {"model": found[AS_IT_IS].result.settings["model"], "changes": dict(wanted)}
    base = found[AS_IT_IS]
    for name, each in found.items():
        row = row_of(each.result, "accuracy", wording=name)
        if name != AS_IT_IS:
            row |= _flips(base, each, _asked(plain, prepared.items), _asked(each.task, items[name]), draws, seed)
            shift = difference(each, base, "accuracy", draws=draws, seed=seed)
            row["change"] = 100 * (each.result.metrics["accuracy"] - base.result.metrics["accuracy"])
            row["change_low"] = None if shift is None else 100 * shift.low
            row["change_high"] = None if shift is None else 100 * shift.high
        result.rows.append(row)
    result.said = _stop_word_sentences(result.rows)
    write_experiment(result, folder, lambda: stop_word_picture(result))
    return result


def _reworded(items: Sequence[Item], plain: Any, words: Mapping[str, str]) -> tuple[list[Item], EntailmentTask]:
    """Hypotheses with other words; of models that answer also the question and the answers to choose from."""
    other = [Item(i.id, i.audio, {**i.truth, "hypothesis": changed(i.truth["hypothesis"], words)}) for i in items]
    options = dict(plain.options)
    kind = str(getattr(plain.pipe.model.config, "model_type", ""))
    if not plain.pipe.is_contrastive and kind in PROMPTS:
        options["prompt"] = changed(options.get("prompt") or PROMPTS[kind][0], words)
        answers = options.get("options") or OPTIONS[kind]
        options["options"] = {changed(text, words): label for text, label in answers.items()}
    how = {"batch_size": plain.batch_size, "num_workers": plain.num_workers}
    return other, EntailmentTask(plain.pipe, **how, **options)


def _asked(task: Any, items: Sequence[Item]) -> dict[str, tuple[str, ...]]:
    """All words that depend on the wording, item by item."""
    shared = (str(task.options.get("prompt", "")), *(task.options.get("options") or {}))
    kind = str(getattr(task.pipe.model.config, "model_type", ""))
    if not task.pipe.is_contrastive and not task.options.get("prompt") and kind in PROMPTS:
        shared = (PROMPTS[kind][0], *OPTIONS[kind])
    return {item.id: (item.truth["hypothesis"], *shared) for item in items}


def _flips(
    base: Measured, other: Measured, before: Mapping[str, Any], after: Mapping[str, Any], draws: int, seed: int
) -> Row:
    """How many questions and deductions changed."""
    said = {record.item.id: record.prediction["label"] for record in base.records}
    now = {record.item.id: record.prediction["label"] for record in other.records if record.item.id in said}
    touched = [name for name in now if before[name] != after[name]]
    flips = [said[name] != now[name] for name in touched]
    row: Row = {"texts_changed": len(touched) / len(now) if now else 0.0, "deductions_changed": None}
    row |= {"deductions_low": None, "deductions_high": None, "flips": ""}
    if touched:
        row["deductions_changed"] = float(np.mean(flips))
        kinds = Counter(f"{said[n]} -> {now[n]}" for n, flip in zip(touched, flips, strict=True) if flip)
        row["flips"] = "; ".join(f"{kind}: {count}" for kind, count in kinds.most_common())
        if len(touched) > 1 and draws:
            found = bootstrap_interval(flips, resamples=draws, seed=seed)
            row["deductions_low"], row["deductions_high"] = found.low, found.high
    return row


def _stop_word_sentences(rows: Sequence[Row]) -> list[str]:
    known = [row for row in rows if row.get("deductions_changed") is not None]
    if not known:
        return ["No question holds one of the words."]
    most = max(known, key=lambda row: row["deductions_changed"])
    accuracies = [100 * row["value"] for row in rows]
    return [
        f"most deductions change with {most['wording']!r}: {100 * most['deductions_changed']:.1f} % of those whose "
        f"words changed; accuracy from {min(accuracies):.1f} to {max(accuracies):.1f} %"
    ]


def stop_word_picture(result: ExperimentResult) -> "Figure":
    """Deductions that changed, change by change."""
    rows = []
    for row in result.rows:
        if row.get("deductions_changed") is not None:
            low, high = row["deductions_low"], row["deductions_high"]
            point = per_cent(row["deductions_changed"], None if low is None else (low, high))
            rows.append(("", row["wording"], point))
    first = result.rows[0]
    title = f"Deductions that change with stop words: {first['model']} on {first['dataset']}"
    return dots(rows or [("", AS_IT_IS, Point(0.0))], title, line=0.0, x_name="per cent of those whose words changed")


# ---------------------------------------------------------------------------------------------------------------------
# Cannot tell
# ---------------------------------------------------------------------------------------------------------------------


def cannot_tell(
    data: Data,
    folder: Path,
    model: str | None = None,
    prompts: Sequence[str] = (),
    *,
    device: str | None = None,
    overwrite: bool = False,
    draws: int = 1000,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> ExperimentResult:
    """
    How well a model says that a clip does not tell, by the true relation, and whether it follows from hearing.

    Args:
        data: Of entailment, as CLE.
        folder: Gets the runs, table and picture. A run that was stopped goes on.
        model (`str`, *optional*): A CLAP with thresholds, Pengi or Mellow.
        prompts: Of Pengi and Mellow further questions with `{hypothesis}`, as those that it was trained with.
        device, overwrite, draws, seed, progress: As of [`run`].
        options: `batch_size`, `num_workers`, `truncation`; `scoring`, how answers are read, see
            [`AudioEntailmentPipeline`].

    Returns:
        A row for each way of asking, for other clips in place of the right ones, and of a CLAP for narrower and wider
        bands between its thresholds: `said` of all three relations, then `recall`, `precision` and F1 (`value`) of
        "cannot tell" with its interval, and accuracy.

    Raises:
        ValueError: as [`items_for`]; prompts for a CLAP.
        ImportError: matplotlib is not installed.
    """
    check_output(folder)
    prepared = prepare("entailment", data)
    plain: Any = make_task(prepared, model, device, **options)
    if prompts and plain.pipe.is_contrastive:
        raise ValueError(
            f"{model or 'the model'} is a CLAP, which reads no prompt; `--prompt` is for Pengi and Mellow."
        )
    if without := [words for words in prompts if "{hypothesis}" not in words]:
        raise ValueError(f"The prompt {without[0]!r} has no place for the hypothesis; write it as {{hypothesis}}.")
    how: dict[str, Any] = {"overwrite": overwrite, "draws": draws, "seed": seed, "progress": progress}
    found = {"its own": measure(plain, prepared, folder / RUNS / "own", **how)}
    kept = {"batch_size": plain.batch_size, "num_workers": plain.num_workers}
    for number, words in enumerate(prompts, 1):
        task = EntailmentTask(plain.pipe, **kept, **{**plain.options, "prompt": words})
        found[words] = measure(task, prepared, folder / RUNS / f"prompt-{number}", **how)
    other = swapped(prepared.items, seed)
    heard = measure(plain, prepared, folder / RUNS / "swapped", items=other, control="swapped", **how)
    result = ExperimentResult(experiment=CANNOT_TELL, rows=[], settings={"draws": draws, "seed": seed})
    result.settings["model"] = found["its own"].result.settings["model"]
    for name, each in found.items():
        result.rows.append(_told(each, each.records, name, prepared, draws, seed))
    result.rows.append(_told(heard, heard.records, "other clips", prepared, draws, seed))
    if plain.pipe.is_contrastive:
        result.rows += _bands(found["its own"], prepared, draws, seed)
    result.said = _cannot_tell_sentences(result.rows)
    write_experiment(result, folder, lambda: cannot_tell_picture(result))
    return result


def _told(measured: Measured, records: Sequence[Record], asked: str, prepared: Prepared, draws: int, seed: int) -> Row:
    """How often "cannot tell" is said of each true relation, and how well it is found."""
    truth = np.array([record.item.truth["label"] for record in records])
    said = np.array([str(record.prediction["label"]) for record in records])
    counts = np.column_stack([(truth == NEUTRAL) & (said == NEUTRAL), said == NEUTRAL, truth == NEUTRAL]).astype(float)
    row = row_of(measured.result, "accuracy", way=asked)
    row |= {"metric": f"F1 of {NEUTRAL}", "accuracy": float((truth == said).mean())}
    row |= {"value": float(_f1(counts.sum(axis=0))), "low": None, "high": None}
    if len(records) > 1 and draws:
        interval = bootstrap_interval(Sums(counts, _f1), resamples=draws, seed=seed)
        row |= {"low": interval.low, "high": interval.high}
    right, told, true = counts.sum(axis=0)
    row |= {"recall": float(right / true) if true else None, "precision": float(right / told) if told else None}
    for label in LABELS:
        of_label = said[truth == label] == NEUTRAL
        row[f"said of {label}"] = float(of_label.mean()) if len(of_label) else None
    row["unparsed"] = float(np.mean([record.prediction["label"] is None for record in records]))
    return row


def _bands(own: Measured, prepared: Prepared, draws: int, seed: int) -> list[Row]:
    """What a CLAP would say with the neutral band between its thresholds narrower or wider, around the same middle."""
    task: Any = own.task
    thresholds = _thresholds(task)
    middle, half = sum(thresholds) / 2, (thresholds[1] - thresholds[0]) / 2
    rows = []
    for width in BANDS:
        low, high = middle - width * half, middle + width * half
        records = [Record(r.item, {"label": _label(r.prediction["similarity"], low, high)}) for r in own.records]
        rows.append(_told(own, records, f"band x {width:g} [{low:.3f}, {high:.3f}]", prepared, draws, seed))
    return rows


def _thresholds(task: Any) -> tuple[float, float]:
    given = task.options.get("thresholds") or find_thresholds(task.pipe.model, "audio")
    return float(given.low), float(given.high)


def _label(similarity: float, low: float, high: float) -> str:
    entailment, neutral, contradiction = LABELS
    return contradiction if similarity < low else entailment if similarity >= high else neutral


def _f1(sums: Any) -> Any:
    return 2 * sums[..., 0] / np.maximum(sums[..., 1] + sums[..., 2], 1)


def _cannot_tell_sentences(rows: Sequence[Row]) -> list[str]:
    own, other = rows[0], next(row for row in rows if row["way"] == "other clips")

    def of(row: Row) -> str:
        shares = [(label, row[f"said of {label}"]) for label in LABELS]
        return ", ".join(f"{100 * share:.1f} % of {label}" for label, share in shares if share is not None)

    said = [f'"cannot tell" is said of {of(own)}; with other clips {of(other)}']
    asked = [row for row in rows if row["way"] not in ("other clips",) and not row["way"].startswith("band")]
    if len(asked) > 1:
        best = max(asked, key=lambda row: row["value"])
        said.append(f"best asked by {best['way']!r}: F1 of {NEUTRAL} {best['value']:.3f}, recall {best['recall']:.3f}")
    return said


def cannot_tell_picture(result: ExperimentResult) -> "Figure":
    """How often "cannot tell" is said, by the true relation, way by way."""
    groups = []
    for row in result.rows:
        shares = {f"true: {label}": row[f"said of {label}"] for label in LABELS}
        groups.append(("", row["way"], {name: per_cent(share) for name, share in shares.items() if share is not None}))
    first = result.rows[0]
    title = f'How often "cannot tell" is said: {first["model"]} on {first["dataset"]}'
    return grouped_bars(groups, title, y_name="per cent of the pairs")


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "change"


__all__ = ["CHANGES", "cannot_tell", "changed", "parse_changes", "stop_word_robustness"]
