"""
Repos that carry the models' code, for those who have transformers and not this package.

`AutoModel.from_pretrained(repo, trust_remote_code=True)` and `pipeline(task, model=repo, trust_remote_code=True)` then
work with transformers, soundfile and soxr alone. Where this package is installed its own classes are taken, and
`trust_remote_code` is not needed. transformers copies only files that lie beside each other, so they are flattened:
each is a copy under its own base name, in which `from ...audio.log_mel import X` has become `from .log_mel import X`.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..models.common.writing_afm import check_folder, explained, write_text
from .cards import CARD, write_card

SOURCE = Path(__file__).parents[1]
ROOMS = ("audio", "models", "pipelines", "entailment", "adaptation/test_time")  # base names in these are unique
_RELATIVE = re.compile(r"^(\s*from )\.+(?:\w+\.)*(\w+)(?= import\b)", re.MULTILINE)

# model type -> tasks of its pipelines
_CLAP_TASKS = (
    "zero-shot-audio-classification",
    "audio-classification",
    "audio-quality-assessment",
    "test-time-adaptation",
    "audio-entailment",
)
_ONE_CLIP = ("audio-text-generation", "audio-captioning", "audio-question-answering", "audio-entailment")
_TASKS: dict[str, tuple[str, ...]] = {
    "clap_afm": _CLAP_TASKS,
    "clap_afm_captioning": ("audio-captioning", "audio-text-generation"),
    "afm_pengi": _ONE_CLIP,
    "afm_mellow": (*_ONE_CLIP, "audio-difference"),
    "afm_adiff": ("audio-difference", "audio-text-generation", "audio-captioning"),
}
# model type -> Auto class -> our class; the first is that of the checkpoint itself
_AUTO_CLASSES: dict[str, dict[str, str]] = {
    "clap_afm": {"AutoModel": "ClapAfmModel", "AutoModelForAudioClassification": "ClapAfmForAudioClassification"},
    "clap_afm_captioning": {
        "AutoModelForMultimodalLM": "ClapAfmForConditionalGeneration",
        "AutoModel": "ClapAfmCaptioningModel",
    },
    "afm_pengi": {"AutoModelForMultimodalLM": "PengiForConditionalGeneration", "AutoModel": "PengiModel"},
    "afm_mellow": {
        "AutoModelForMultimodalLM": "MellowForCausalLM",
        "AutoModelForCausalLM": "MellowForCausalLM",
        "AutoModel": "MellowModel",
    },
    "afm_adiff": {"AutoModelForMultimodalLM": "AdiffForConditionalGeneration", "AutoModel": "AdiffModel"},
}

_AUTO_OF_TASK = {"audio-classification": "AutoModelForAudioClassification"}  # of all others the first of the above


def save_with_code(
    model: Any, processor: Any, folder: str | os.PathLike[str], card: bool = True, repo_id: str | None = None
) -> list[str]:
    """
    Saves a model and its processor with the code that they need.

    Args:
        model (`PreTrainedModel`): A [`ClapAfmModel`], captioner, Pengi, Mellow or ADIFF.
        processor (`ProcessorMixin`): Its processor.
        folder (`str` or `PathLike`): Where to.
        card (`bool`): Also write a model card, if there is none.
        repo_id (`str`, *optional*): Where it will be, for the card; by default the folder.

    Returns:
        Names of the files of code.

    Raises:
        ValueError: if the model is none of these, or there is no processor.
        WriteError: (an `OSError`) if the folder cannot be written.
    """
    model_type = getattr(getattr(model, "config", None), "model_type", None)
    if model_type not in _AUTO_CLASSES:
        known = ", ".join(_AUTO_CLASSES)
        raise ValueError(
            f"{type(model).__name__} (model type {model_type!r}) is no model that is shared with code; expected one of "
            f"{known}."
        )
    if processor is None or not hasattr(processor, "feature_extractor"):
        raise ValueError(f"A model with code needs its processor, but was given a {type(processor).__name__}.")
    target = check_folder(folder, "the model", sum(weight.nbytes for weight in model.state_dict().values()))
    target.mkdir(parents=True, exist_ok=True)
    with explained(target, "the model"):
        model.save_pretrained(target)
        processor.save_pretrained(target)
    classes = {**_AUTO_CLASSES[model_type], "AutoConfig": type(model.config).__name__}
    pipelines = _pipelines(model_type)
    _add(target / "config.json", [], auto_map=_references(classes), custom_pipelines=pipelines)
    reading = {"AutoProcessor": type(processor).__name__}
    hearing = {"AutoFeatureExtractor": type(processor.feature_extractor).__name__}
    _add(target / "processor_config.json", [], auto_map=_references(reading))
    _add(target / "processor_config.json", ["feature_extractor"], auto_map=_references({**hearing, **reading}))
    named = [*_references({**classes, **reading, **hearing}).values(), *(each["impl"] for each in pipelines.values())]
    files = code_of(reference.split(".")[0] for reference in named)
    for name in files:
        write_text(target / name, flattened(name), "the model's code")
    if card and not (target / CARD).exists():
        write_card(model, target, with_code=True, repo_id=repo_id or str(folder))
    return files


def push_with_code(
    model: Any,
    processor: Any,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    commit_message: str = "Model with code",
) -> str:
    """
    Pushes a model, its processor and their code to a Hub repo, in one commit, with a card if the repo has none.

    `model.push_to_hub` and `processor.push_to_hub` push the same without code.

    Args:
        model, processor: As of [`save_with_code`].
        repo_id (`str`): As `"me/my-clap"`; it is created if it is not there.
        private (`bool`, *optional*), token, revision, commit_message: As of transformers' `push_to_hub`.

    Returns:
        The commit's URL.

    Raises:
        ValueError: as [`save_with_code`].
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    repo = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
    if revision is not None and revision != "main":
        api.create_branch(repo, branch=revision, exist_ok=True)
    with TemporaryDirectory() as folder:
        save_with_code(model, processor, folder, card=not api.file_exists(repo, CARD, revision=revision), repo_id=repo)
        done = api.upload_folder(repo_id=repo, folder_path=folder, commit_message=commit_message, revision=revision)
    return str(done.commit_url)


def code_of(modules: Iterable[str]) -> list[str]:
    """
    The files that these modules need, with themselves, sorted.

    Args:
        modules: Base names as `"modeling_pengi"`.
    """
    found: set[str] = set()
    left = list(modules)
    while left:
        module = left.pop()
        if module not in found:
            found.add(module)
            left += [match[2] for match in _RELATIVE.finditer(_source(module))]
    return sorted(f"{module}.py" for module in found)


def flattened(name: str) -> str:
    """The text of a file as it lies in a repo, for example of `"modeling_pengi.py"`: its imports are of siblings."""
    return _RELATIVE.sub(r"\1.\2", _source(name.removesuffix(".py")))


def travelling_files() -> dict[str, Path]:
    """All files that may travel to a repo, by their base names."""
    files = (file for room in ROOMS for file in (SOURCE / room).rglob("*.py"))
    return {file.stem: file for file in files if file.stem != "__init__"}


def _source(module: str) -> str:
    return travelling_files()[module].read_text(encoding="utf-8")


def _references(classes: Mapping[str, str]) -> dict[str, str]:
    """`{"AutoModel": "PengiModel"}` -> `{"AutoModel": "modeling_pengi.PengiModel"}`."""
    return {auto: _reference(name) for auto, name in classes.items()}


def _reference(name: str) -> str:
    import afm_hf

    return f"{getattr(afm_hf, name).__module__.rpartition('.')[2]}.{name}"


def _pipelines(model_type: str) -> dict[str, dict[str, Any]]:
    """Entries of `custom_pipelines`, as transformers writes them."""
    from transformers.pipelines import PIPELINE_REGISTRY

    entries = {}
    for task in _TASKS[model_type]:
        known = PIPELINE_REGISTRY.supported_tasks[task]
        auto = _AUTO_OF_TASK.get(task, next(iter(_AUTO_CLASSES[model_type])))
        entries[task] = {"impl": _reference(known["impl"].__name__), "pt": [auto], "type": "multimodal"}
    return entries


def _add(file: Path, within: list[str], **entries: Any) -> None:
    """Add entries to a JSON file, or to an object in it."""
    content = json.loads(file.read_text(encoding="utf-8"))
    place = content
    for key in within:
        place = place[key]
    place.update(entries)
    write_text(file, json.dumps(content, indent=2, sort_keys=True) + "\n", "the model's configuration")


__all__ = ["code_of", "flattened", "push_with_code", "save_with_code", "travelling_files"]
