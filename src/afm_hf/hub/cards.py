"""Model cards: what a checkpoint is, its paper, parity with the official code, figures, limits, and how it is used."""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..models.common.writing_afm import write_text

CARD = "README.md"
PARITY = (
    "The architecture and the conversion are checked against the authors' code by recorded outputs of full-size models "
    "with weights filled by a rule (`make test-parity` in afm-hf): {parity}. This says nothing about how well *these* "
    "weights were trained."
)


@dataclasses.dataclass(frozen=True)
class _Kind:
    """What the card of a model type says."""

    name: str
    what: str
    paper: str
    arxiv: str
    official: str
    tag: str
    pipeline: str
    call: str
    parity: str
    tags: tuple[str, ...] = ()


_CITE_2023 = "Elizalde, Deshmukh, Wang: Natural Language Supervision for General-Purpose Audio Representations (2024)"
_KINDS = {
    "clap_afm": _Kind(
        "CLAP",
        "maps audio and text into one space: zero-shot classification, retrieval, audio quality, entailment",
        f"{_CITE_2023}; Elizalde and others: CLAP: Learning Audio Concepts from Natural Language Supervision (2023)",
        "2309.05767",
        "microsoft/CLAP",
        "zero-shot-audio-classification",
        "zero-shot-audio-classification",
        'pipe("clip.wav", candidate_labels=["applause", "rain"])',
        "embeddings within 3e-4 from audio and 8e-5 from log-mels, at values up to 4; the same best label everywhere",
        ("clap", "contrastive"),
    ),
    "clap_afm_captioning": _Kind(
        "CLAPCAP",
        "captions audio: CLAP's audio embedding as a prefix of a language model",
        _CITE_2023,
        "2309.05767",
        "microsoft/CLAP",
        "audio-text-to-text",
        "audio-captioning",
        'pipe("clip.wav")',
        "prefix, logits, loss (1e-4), gradients and beams, token for token",
        ("audio-captioning",),
    ),
    "afm_pengi": _Kind(
        "Pengi",
        "answers in words: captions, questions, labels, from one clip and a prompt",
        "Deshmukh, Elizalde, Singh, Wang: Pengi: An Audio Language Model for Audio Tasks (NeurIPS 2023)",
        "2305.11834",
        "microsoft/Pengi",
        "audio-text-to-text",
        "audio-text-generation",
        'pipe("clip.wav", prompt="generate audio caption")',
        "prefix, logits, loss (1e-4), gradients and beams, token for token",
        ("audio-captioning", "audio-question-answering"),
    ),
    "afm_mellow": _Kind(
        "Mellow",
        "reasons about one clip or two with a small language model",
        "Deshmukh, Dixit, Singh, Raj: Mellow: a small audio language model for reasoning (NeurIPS 2025)",
        "2503.08540",
        "soham97/mellow",
        "audio-text-to-text",
        "audio-question-answering",
        'pipe("clip.wav", question="what is the sound?")',
        "prefix, logits, loss (1e-4), gradients and greedy answers, token for token",
        ("audio-question-answering", "reasoning"),
    ),
    "afm_adiff": _Kind(
        "ADIFF",
        "explains the difference between two clips, in three tiers",
        "Deshmukh and others: ADIFF: Explaining audio difference using natural language (ICLR 2025)",
        "2502.04476",
        "soham97/ADIFF",
        "audio-text-to-text",
        "audio-difference",
        'pipe(("clip.wav", "other.wav"), tier="brief")',
        "prefix, logits, loss (1e-4), gradients and greedy answers, token for token",
        ("audio-difference",),
    ),
}


def model_card(
    model: Any,
    *,
    title: str = "",
    repo_id: str = "FOLDER_OR_REPO",
    licence: str = "",
    data: str = "",
    limits: str = "",
    figures: Any = (),
    with_code: bool = False,
) -> str:
    """
    The card of a model, in Markdown with the Hub's header.

    Args:
        model (`PreTrainedModel`): A [`ClapAfmModel`], captioner, Pengi, Mellow or ADIFF.
        title (`str`, *optional*): The model's name; that of its kind if not given.
        repo_id (`str`): Where it will be, for the snippets.
        licence (`str`, *optional*): Of the weights, as the Hub names it (`"mit"`); without, the card says that it is
            not known.
        data (`str`, *optional*): What it was trained on.
        limits (`str`, *optional*): Where it fails.
        figures (`list[EvaluationResult]` or their dictionaries):
            Held-out figures, of `afm-hf evaluate`; a command in their `details` is named.
        with_code (`bool`): Whether the repo holds the code.

    Raises:
        ValueError: for another kind of model.
    """
    model_type = getattr(getattr(model, "config", None), "model_type", None)
    if model_type not in _KINDS:
        raise ValueError(f"There is no card for the model type {model_type!r}; known are {', '.join(_KINDS)}.")
    kind = _KINDS[model_type]
    rows = [_row(figure) for figure in figures]
    size = f"{model.num_parameters() / 1e6:,.1f} M parameters"
    parts = [
        _header(kind, licence, rows),
        f"# {title or kind.name}\n\n{kind.name} {kind.what}. {size}, dtype {str(model.dtype).removeprefix('torch.')}.",
        f"Paper: {kind.paper}, [arXiv {kind.arxiv}](https://arxiv.org/abs/{kind.arxiv}). Code: {kind.official}.",
        f"## Use\n\n{_snippet(kind, repo_id)}",
    ]
    if with_code:
        parts.append(
            "Without afm-hf, with transformers, soundfile and soxr alone, add `trust_remote_code=True` and leave out "
            "`import afm_hf`: this repo holds the code, a copy of the package's `models/`. Read it before you run it."
        )
    parts += [
        f"## Training data\n\n{data or 'Not stated by whoever made these weights.'}",
        f"## Figures\n\n{_table(rows) if rows else 'None were measured for this card (`afm-hf evaluate`).'}",
        f"## Parity\n\n{PARITY.format(parity=kind.parity)}",
        f"## Limits\n\n{limits or 'Not stated. Test it on your own held-out clips before you rely on it.'}",
    ]
    return "\n\n".join(parts) + "\n"


def write_card(model: Any, folder: str | os.PathLike[str], **about: Any) -> Path:
    """
    Writes [`model_card`] into a folder.

    Args:
        model, about: As of [`model_card`].
        folder (`str` or `PathLike`): Of the checkpoint.

    Raises:
        ValueError: if there is a card already, which may say more.
    """
    path = Path(folder) / CARD
    if path.exists():
        raise ValueError(f"{path} is there already; a card is never overwritten. Take it away first.")
    write_text(path, model_card(model, **about), "the model card")
    return path


def _header(kind: _Kind, licence: str, rows: list[dict[str, Any]]) -> str:
    """The Hub's YAML; JSON strings are YAML, so that whatever a dataset is called stays one value."""
    lines = ["---"]
    lines += [f"license: {json.dumps(licence)}"] if licence else ["license: other", "license_name: not-stated"]
    lines += ["library_name: transformers", f"pipeline_tag: {kind.tag}", "tags:", "- audio", "- afm-hf"]
    lines += [f"- {tag}" for tag in kind.tags]
    if rows:
        lines += ["model-index:", f"- name: {json.dumps(kind.name)}", "  results:"]
        for row in rows:
            lines += [
                f"  - task: {{type: {json.dumps(kind.tag)}, name: {json.dumps(row['task'])}}}",
                f"    dataset: {{type: {json.dumps(row['dataset'])}, name: {json.dumps(row['dataset'])}}}",
                "    metrics:",
            ]
            lines += [
                f"    - {{type: {json.dumps(name)}, value: {round(value, 6)}}}"
                for name, value in row["metrics"].items()
            ]
    return "\n".join([*lines, "---"])


def _snippet(kind: _Kind, repo_id: str) -> str:
    return (
        "```python\nimport afm_hf\nfrom transformers import pipeline\n\n"
        f"pipe = pipeline({json.dumps(kind.pipeline)}, model={json.dumps(repo_id)})\nprint({kind.call})\n```"
    )


def _row(figure: Any) -> dict[str, Any]:
    given: Mapping[str, Any] = figure if isinstance(figure, Mapping) else figure.to_dict()
    metrics = {name: float(value) for name, value in given["metrics"].items() if value == value}  # no NaN
    command = (given.get("details") or {}).get("command", "")
    intervals = given.get("intervals") or {}
    shared = {"task": str(given["task"]), "dataset": str(given["dataset"]), "count": given.get("count", "")}
    return {**shared, "metrics": metrics, "intervals": intervals, "command": command}


def _table(rows: list[dict[str, Any]]) -> str:
    lines = ["| task | dataset | clips | metric | figure | 95 % interval |", "|---|---|---|---|---|---|"]
    for row in rows:
        for name, value in row["metrics"].items():
            interval = row["intervals"].get(name)
            spread = f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else ""
            cells = [row["task"], row["dataset"], str(row["count"]), name, f"{value:.4f}", spread]
            lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    commands = sorted({row["command"] for row in rows if row["command"]})
    if commands:
        lines += ["", *(f"`{command}`" for command in commands)]
    return "\n".join(lines)


__all__ = ["CARD", "model_card", "write_card"]
