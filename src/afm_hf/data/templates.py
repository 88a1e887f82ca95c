"""
Prompts as data: those of the papers, and paraphrases of our own for the tasks that are trained with many wordings.

The files in `templates/` name their sources. What is drawn depends on the seed and the row alone: it is the same
however many workers load the data, and when a run is resumed.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "templates"


def template_names() -> list[str]:
    """The names that [`load_templates`] knows."""
    return sorted(path.stem for path in _FOLDER.glob("*.json"))


def load_templates(name: str) -> dict[str, dict[str, Any]]:
    """
    A set of prompts: by task, `prompt`, and where there are such `answer`, `paraphrases` (of our own), `source`.

    Args:
        name: `"zero_shot"` (CLAP), `"domains"` (CLAP, by what the labels are), `"pengi"`, `"mellow"`, `"differences"`
            (ADIFF's tiers) or `"position_captioning"`.

    Raises:
        ValueError: for another name.
    """
    if name not in template_names():
        raise ValueError(f"There are no templates {name!r}; expected one of {', '.join(template_names())}.")
    file = json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return {task: {"source": file["source"], **template} for task, template in file["templates"].items()}


def domains() -> list[str]:
    """The names that [`domain_templates`] knows."""
    return list(_cached("domains"))


def domain_templates(name: str) -> list[str]:
    """
    Sentences with a place for labels of one domain, for `hypothesis_template` of zero-shot classification.

    Args:
        name (`str`): One of [`domains`], as `"esc50"`, `"music"` or `"speech-emotion"`.

    Raises:
        ValueError: for another name.

    >>> domain_templates("speech-emotion")
    ['this person is feeling {}']
    """
    known = _cached("domains")
    if name not in known:
        raise ValueError(f"There is no stored template {name!r}; expected one of {', '.join(known)}.")
    return [known[name]["prompt"], *known[name].get("more", [])]


class PromptSampler:
    """
    Another wording of a prompt, drawn by seed and row.

    Args:
        seed: Another seed, other draws; for example `seed + epoch`.
        canonical_share: How often the paper's own wording stays, 0 to 1. Models are asked with it later.

    Raises:
        ValueError: if the share is not between 0 and 1.

    >>> sampler = PromptSampler(seed=0)
    >>> sampler("caption the audio.", "train.json:7")
    'say in your own words what the clip sounds like'
    >>> sampler("question: how many dogs?", "train.json:7")  # without paraphrases
    'question: how many dogs?'
    """

    def __init__(self, seed: int = 0, canonical_share: float = 0.25) -> None:
        if not 0 <= canonical_share <= 1:
            raise ValueError(f"`canonical_share` is {canonical_share}; expected 0 to 1.")
        self.seed = seed
        self.canonical_share = canonical_share

    def __call__(self, prompt: str, row: str) -> str:
        """
        The prompt in some wording, in lower case; one that has no paraphrases comes back as it is.

        Args:
            prompt: One of the canonical prompts of `"differences"`, `"position_captioning"` or `"mellow"`, or another
                text.
            row: What tells the row apart, for example its `source`.
        """
        paraphrases = _paraphrases().get(_plain(prompt))
        if not paraphrases:
            return prompt
        share, index = self._draws(row)
        return prompt if share < self.canonical_share else paraphrases[int(index * len(paraphrases))]

    def position(self, row: Mapping[str, Any], which: str | None = None) -> dict[str, str]:
        """
        `prompt` and `answer` of position captioning for a row with two clips, `caption1` and `caption2`.

        Args:
            row: The row; its `source` decides what is drawn.
            which: `"first"`, `"second"` or `"both"`; None draws one.

        Raises:
            ValueError: for another position, or if the row lacks a caption that is needed.
        """
        templates = _cached("position_captioning")
        if which is None:
            which = sorted(templates)[int(self._draws(f"position {row['source']}")[0] * len(templates))]
        if which not in templates:
            raise ValueError(f"`which` is {which!r}; expected one of {', '.join(map(repr, templates))}.")
        captions = {name: (row.get(name) or "").strip().rstrip(".") for name in ("caption1", "caption2")}
        lacking = [name for name, text in captions.items() if not text and f"{{{name}}}" in templates[which]["answer"]]
        if lacking:
            raise ValueError(f"{row['source']}: {' and '.join(lacking)} is empty, but {which!r} asks for it.")
        answer = templates[which]["answer"].format(**captions)
        return {"prompt": self(templates[which]["prompt"], row["source"]), "answer": answer}

    def _draws(self, row: str) -> tuple[float, float]:
        """Two numbers from 0 to below 1."""
        digest = hashlib.sha256(repr((self.seed, row)).encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48, int.from_bytes(digest[6:12], "big") / 2**48


@cache
def _cached(name: str) -> dict[str, dict[str, Any]]:
    """[`load_templates`], read once; not to be changed."""
    return load_templates(name)


@cache
def _paraphrases() -> dict[str, list[str]]:
    """All paraphrases by the plain canonical prompt."""
    tiers = _cached("differences")
    found = {}
    for name in ("differences", "position_captioning", "mellow"):
        for template in _cached(name).values():
            same = tiers[template["paraphrased_as"]] if "paraphrased_as" in template else template
            if "paraphrases" in same:
                found[_plain(template["prompt"])] = same["paraphrases"]
    return found


def _plain(prompt: str) -> str:
    """For comparison: the data files write `caption first audio` and `caption the first audio`."""
    return " ".join(word for word in prompt.lower().rstrip(" .").split() if word != "the")
