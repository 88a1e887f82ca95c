"""
Domain vectors: a few learned numbers that turn a CLAP's text side towards the sounds of one domain.

Deshmukh et al., "Domain Adaptation for Contrastive Audio-Language Models" (Interspeech 2024, arXiv 2402.09585). No
official code is known; where the vector stands and how it starts are our choices, and fields here. The vector is kept
apart from the model: it is saved in a file of its own, with the fingerprint of the text side that it belongs to.
"""

import dataclasses
import hashlib
import json
import os
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ...models.common.results_afm import AfmResult
from ...models.common.text_side_afm import adapter_switches, text_side_tensors
from ...models.common.writing_afm import replaced

KINDS = ("tokens", "embedding")
POSITIONS = ("before", "after")
TENSOR, METADATA, VERSION = "domain_vector", "afm_hf", 1
TEXT_SIDE = ("text_model.", "text_projection.")


@dataclasses.dataclass(kw_only=True, eq=False)
class DomainVector(AfmResult):
    """
    What test-time adaptation learns; pass it as `domain_vector` to a `zero-shot-audio-classification` pipeline.

    Args:
        tensor (`torch.Tensor`):
            float32. For `kind="tokens"` the embeddings of `(tokens, hidden)` that stand in the place of `prompt`; for
            `kind="embedding"` what is added to the L2-normalised embedding of every text, `(1, projection_dim)`.
        kind (`str`): `"tokens"` or `"embedding"`.
        position (`str`): Whether the prompt stands `"before"` or `"after"` the label.
        prompt (`str`): The words that the vector stands for.
        template (`str`): The sentence around prompt and label, `{}`.
        fingerprint (`str`): SHA-256 of the text side of its model, in hexadecimal; see [`text_fingerprint`].
        settings (`dict[str, Any]`): What made it.

    Example:
    ```python
    >>> import torch
    >>> vector = DomainVector(
    ...     tensor=torch.zeros(5, 8), kind="tokens", position="before", prompt="This is a sound of", template="{}.",
    ...     fingerprint="0" * 64,
    ... )
    >>> vector["kind"], vector.key() == vector.key()
    ('tokens', True)

    ```
    """

    tensor: torch.Tensor
    kind: str
    position: str
    prompt: str
    template: str
    fingerprint: str

    def __post_init__(self) -> None:
        one_of("kind", self.kind, KINDS)
        one_of("position", self.position, POSITIONS)
        if self.tensor.ndim != 2 or not self.tensor.numel() or not bool(self.tensor.isfinite().all()):
            raise ValueError(
                f"A domain vector is a finite tensor of two dimensions, (tokens, hidden), but this one has shape "
                f"{tuple(self.tensor.shape)}" + ("." if self.tensor.ndim != 2 else " or values that are not finite.")
            )
        self.tensor = self.tensor.detach().to("cpu", torch.float32)

    def key(self) -> str:
        """SHA-256 of all that its effect depends on."""
        about = json.dumps([self.kind, self.position, self.prompt, self.template, list(self.tensor.shape)])
        return hashlib.sha256(about.encode() + _bytes(self.tensor)).hexdigest()

    def check(self, model: Any, fingerprint: str | None = None) -> None:
        """
        Raises a `ValueError` if the vector was learned with another text side than this model's.

        Args:
            model (`PreTrainedModel`): The model that it is to be used with.
            fingerprint (`str`, *optional*): That model's [`text_fingerprint`], if it is known already.
        """
        found = fingerprint or text_fingerprint(model)
        if found != self.fingerprint:
            made_by = f" (it was learned with {self.settings['model']})" if "model" in self.settings else ""
            raise ValueError(
                f"This domain vector belongs to another model{made_by}: its fingerprint is {self.fingerprint[:12]}..., "
                f"and that of this model's text side, in {model.dtype}, is {found[:12]}... Use the model and number "
                "format that it was learned with, or adapt anew."
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """
        Writes a safetensors file: the tensor, and everything else as JSON in its metadata.

        Args:
            path (`str` or `os.PathLike`): The file; an existing one is replaced.

        Raises:
            WriteError: (an `OSError`) it cannot be written.
        """
        about = {name: value for name, value in self.to_dict().items() if name != "tensor"}
        metadata = {METADATA: json.dumps({"version": VERSION, **about}, sort_keys=True, default=str)}
        with replaced(path, "the domain vector") as unfinished:
            save_file({TENSOR: self.tensor.contiguous()}, unfinished, metadata)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "DomainVector":
        """
        Reads what `save` wrote. Which model it fits is checked when it is used.

        Args:
            path (`str` or `os.PathLike`): The file.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file holds no domain vector.
        """
        if not os.path.isfile(path):
            raise FileNotFoundError(f"There is no file {os.fspath(path)!r} with a domain vector.")
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {}).get(METADATA, "null"))
                tensor = file.get_tensor(TENSOR)
            version = about.pop("version")
            if version == VERSION:
                return cls(tensor=tensor, **about)
        except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{os.fspath(path)!r} is no domain vector ({error}). Expected a file written by `DomainVector.save` or "
                "by `afm-hf adapt --save`."
            ) from error
        raise ValueError(f"{os.fspath(path)!r} is a domain vector of version {version}; this release reads {VERSION}.")


def as_domain_vector(value: Any) -> DomainVector | None:
    """
    A [`DomainVector`] from itself, from a file, or from a result that has one; None stays None.

    Raises:
        ValueError: it is none of these, or the file holds no vector.
    """
    if value is None or isinstance(value, DomainVector):
        return value
    if isinstance(value, str | os.PathLike):
        return DomainVector.load(value)
    if isinstance(getattr(value, "vector", None), DomainVector):
        return value.vector
    raise ValueError(f"`domain_vector` is a {type(value).__name__}; expected a DomainVector or the path of its file.")


def text_fingerprint(model: Any) -> str:
    """
    SHA-256, in hexadecimal, of the weights that a domain vector works on: text tower and text projection.

    Names, number formats, shapes and bytes go in, and of adapters which ones are on. A model whose audio side alone has
    changed keeps its fingerprint; one that was loaded in another number format does not.

    Raises:
        ValueError: the model has no such weights.
    """
    digest, found = hashlib.sha256(adapter_switches(model).encode()), False
    for name, weight in sorted(text_side_tensors(model).items()):
        if name.startswith(TEXT_SIDE):
            found = True
            digest.update(f"{name} {weight.dtype} {tuple(weight.shape)};".encode() + _bytes(weight))
    if not found:
        raise ValueError(f"{type(model).__name__} has no text tower and projection; a ClapAfmModel is needed.")
    return digest.hexdigest()


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Raises a `ValueError` unless `value` is one of `allowed`."""
    if value not in allowed:
        raise ValueError(f"`{name}` is {value!r}; expected one of {', '.join(map(repr, allowed))}.")


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def starting_prompt(template: str) -> dict[str, Any]:
    """
    The fields of [`AdaptationSettings`] whose zero steps are this sentence.

    Args:
        template (`str`): Words before or behind the label; the vector takes their place.

    Raises:
        ValueError: there are none, or on both sides, or a full stop alone.

    Example:
    ```python
    >>> starting_prompt("this emotion is {}")
    {'prompt': 'this emotion is', 'template': '{}', 'position': 'before'}
    >>> starting_prompt("{} persons speaking")["position"]
    'after'

    ```
    """
    before, place, behind = template.partition("{}")
    end = behind if behind in (".", "") else ""
    words = {"before": before.strip(), "after": behind.removesuffix(end).strip()}
    given = [position for position, text in words.items() if text]
    if not place or len(given) != 1:
        raise ValueError(
            f"A vector takes the place of the words before or behind the label; the template {template!r} has to have "
            "some on one side, as 'this emotion is {}'."
        )
    return {"prompt": words[given[0]], "template": f"{{}}{end}", "position": given[0]}


__all__ = ["DomainVector", "as_domain_vector", "starting_prompt", "text_fingerprint"]
