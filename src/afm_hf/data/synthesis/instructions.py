"""
What a language model is told to write, as data: our own prompts, examples and JSON schemas in `instructions/*.json`.

The papers made their data with large language models and did not publish the prompts (Mellow, arXiv 2503.08540; ADIFF,
2502.04476; Audio Entailment, 2407.18062); these follow what the papers say about the results.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "instructions"
GROUPS = ("questions", "choices", "differences", "entailment")


@dataclass(frozen=True)
class Instruction:
    """
    What is to be written of one kind.

    Attributes:
        kind: `"questions"`, `"choices"`, a tier of differences, or a relation of entailment.
        group: Its file: one of [`GROUPS`].
        system: What holds for every request.
        task: The request, with `{caption}`, or `{caption1}` and `{caption2}`, and maybe `{aspect}`.
        labels: What each part of an item is called where it is written in lines.
        words: How many words each part may have, at least and at most.
        schema: JSON schema of an item.
        examples: Captions with the items that fit them, as the model is shown them.
        aspects: What a request may be about, by name.
    """

    kind: str
    group: str
    system: str
    task: str
    labels: Mapping[str, str]
    words: Mapping[str, Sequence[int]]
    schema: Mapping[str, Any]
    examples: Sequence[Mapping[str, Any]]
    aspects: Mapping[str, str] = field(default_factory=dict)

    @property
    def clips(self) -> int:
        """How many clips an item is about."""
        return 2 if "{caption2}" in self.task else 1


def load_instructions(groups: Sequence[str] = GROUPS, borrow_choices: bool = False) -> list[Instruction]:
    """
    The instructions of some groups, in their order.

    Args:
        groups: Some of [`GROUPS`].
        borrow_choices: Whether of a multiple choice the model writes question and answer alone.

    Raises:
        ValueError: for another group, or none.
    """
    unknown = [group for group in groups if group not in GROUPS]
    if unknown or not groups:
        raise ValueError(f"The kinds of data are {list(groups)}; expected some of {', '.join(map(repr, GROUPS))}.")
    found = []
    for group in dict.fromkeys(groups):
        name = "borrowed_choices" if borrow_choices and group == "choices" else group
        file = json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        found += [Instruction(kind=kind, group=group, **fields) for kind, fields in file["kinds"].items()]
    return found


__all__ = ["GROUPS", "Instruction", "load_instructions"]
