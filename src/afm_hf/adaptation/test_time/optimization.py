"""
Test-time adaptation: a domain vector that makes a CLAP surer of what it hears in unlabelled clips.

Deshmukh et al., "Domain Adaptation for Contrastive Audio-Language Models" (Interspeech 2024, arXiv 2402.09585): augment
each clip, combine the predictions for its views, optimise the vector so that the combined prediction has little
entropy. Of the paper's settings only this much is known; those here (which views are kept, optimiser, steps, guards)
are ours, the first of them after Shu et al., "Test-Time Prompt Tuning" (NeurIPS 2022, arXiv 2209.07511).
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional as F

from ...models.clap_afm.embedding_clap_afm import as_templates
from ...models.common.results_afm import AfmResult, settings_of
from .augmentation import AfmAugmentation
from .domain_vector import KINDS, POSITIONS, DomainVector, one_of, text_fingerprint
from .prompted_labels import PromptedLabels, add_to_embeddings

STARTS = ("prompt", "zero")
MIN_AGREEMENT = 0.9  # of labels that are still told apart, before the guard stops


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdaptationSettings:
    """
    How a domain vector is learned.

    Args:
        kind (`str`, *optional*, defaults to `"tokens"`):
            `"tokens"`: learned tokens in the place of `prompt`; `"embedding"`: a vector added to all texts' embeddings.
        prompt (`str`, *optional*, defaults to `"This is a sound of"`): What the tokens stand for, and start as.
        template (`str`, *optional*, defaults to `"{}."`):
            The sentence around prompt and label. With these two, zero steps are the zero-shot pipeline's own template.
        position (`str`, *optional*, defaults to `"before"`): Whether the prompt is `"before"` or `"after"` the label.
        start (`str`, *optional*, defaults to `"prompt"`): Tokens start as the `"prompt"`'s, or at `"zero"`.
        tokens (`int`, *optional*):
            How many tokens are learned; as many as the prompt has if not given. Fewer are its last ones; more begin
            with zeros.
        views (`int`, *optional*, defaults to 64): Views of every clip, the clip itself being the first.
        keep (`float`, *optional*, defaults to 0.1): Share of the views, those of lowest entropy, that count.
        augmentation ([`AfmAugmentation`] or `dict`, *optional*): How the views are made.
        steps (`int`, *optional*, defaults to 10): Steps of AdamW, without weight decay.
        learning_rate (`float`, *optional*, defaults to 5e-3): Its learning rate.
        temperature (`float`, *optional*, defaults to 1.0):
            Logits are divided by this while the vector is learned; above 1 for models that are too sure of themselves.
        diversity (`float`, *optional*, defaults to 0.0):
            How much the entropy of the mean prediction over all clips is raised meanwhile, so that several clips do not
            all become one label.
        guard (`bool`, *optional*, defaults to `True`):
            Stop, and take the vector before, when all clips turn to one label, or labels become like one another.
        min_entropy (`float`, *optional*, defaults to 0.01):
            Stop when the entropy is below this share of that of a guess among the labels; nothing is left to gain.
        seed (`int`, *optional*, defaults to 0): Seed of the views.

    Raises:
        ValueError: a setting makes no sense.
    """

    kind: str = "tokens"
    prompt: str = "This is a sound of"
    template: str = "{}."
    position: str = "before"
    start: str = "prompt"
    tokens: int | None = None
    views: int = 64
    keep: float = 0.1
    augmentation: AfmAugmentation = AfmAugmentation()  # noqa: RUF009 - it is frozen
    steps: int = 10
    learning_rate: float = 5e-3
    temperature: float = 1.0
    diversity: float = 0.0
    guard: bool = True
    min_entropy: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("kind", self.kind, KINDS)
        one_of("position", self.position, POSITIONS)
        one_of("start", self.start, STARTS)
        if not isinstance(self.prompt, str) or not self.prompt.strip() or self.prompt != self.prompt.strip():
            raise ValueError(f"`prompt` is {self.prompt!r}; expected words without spaces around them.")
        for name, least in (("views", 1), ("steps", 0), ("tokens", 1), ("seed", 0)):
            value = getattr(self, name)
            if (name, value) != ("tokens", None) and (type(value) is not int or value < least):
                raise ValueError(f"`{name}` is {value!r}; expected a whole number, {least} or more.")
        for name, least, most in (("keep", 0, 1), ("learning_rate", 0, math.inf), ("temperature", 0, math.inf)):
            _check_number(name, getattr(self, name), least, most, zero=False)
        _check_number("diversity", self.diversity, 0, math.inf)
        _check_number("min_entropy", self.min_entropy, 0, 1)
        as_templates(self.template)
        if isinstance(self.augmentation, dict):
            object.__setattr__(self, "augmentation", AfmAugmentation(**self.augmentation))
        if not isinstance(self.augmentation, AfmAugmentation):
            raise ValueError(f"`augmentation` is {self.augmentation!r}; expected an AfmAugmentation or a dictionary.")


@dataclasses.dataclass(kw_only=True)
class AdaptationResult(AfmResult):
    """
    What an adaptation gave.

    Args:
        before, after (`list[list[dict]]`):
            For each clip its labels with scores, best first, without the vector and with it.
        entropies (`list[float]`):
            In nats, of the combined prediction, mean over the clips: before each step and after the last.
        stopped (`str`): Why it ended: `"steps"`, `"entropy"` (see `min_entropy`) or `"guard"`.
        agreement (`float`): Share of the labels that are, with the vector, still closest to themselves without it.
        vector ([`DomainVector`]): What was learned.
    """

    before: list[list[dict[str, Any]]]
    after: list[list[dict[str, Any]]]
    entropies: list[float]
    stopped: str
    agreement: float
    vector: DomainVector

    def __str__(self) -> str:
        lines = [f"{type(self).__name__}: {len(self.before)} clip(s), {len(self.entropies) - 1} step(s)"]
        lines.append(
            f"  entropy    {self.entropies[0]:.3f} -> {self.entropies[-1]:.3f} nats, stopped by {self.stopped!r}"
        )
        for index, (old, new) in enumerate(zip(self.before, self.after, strict=True)):
            (was, now) = (f"{best[0]['label']} ({best[0]['score']:.2f})" for best in (old, new))
            lines.append(f"  clip {index:<5} {was} -> {now}")
        shape = " x ".join(map(str, self.vector.tensor.shape))
        return "\n".join([*lines, f"  vector     {self.vector.kind}, {shape}, of {self.settings.get('model', '?')}"])


def adapt(
    model: Any,
    tokenizer: Any,
    views: Sequence[torch.Tensor] | torch.Tensor,
    labels: Sequence[str],
    settings: AdaptationSettings | None = None,
    vector: DomainVector | None = None,
    fingerprint: str | None = None,
    share: bool = True,
) -> AdaptationResult:
    """
    Learns one vector for all of these clips.

    Args:
        model ([`ClapAfmModel`]), tokenizer: The model, which stays as it is, and its tokenizer.
        views (`Sequence[torch.Tensor]` of shape `(views, dim)` each):
            Embeddings of the clips' views, L2-normalised, each clip as it is first. All clips have the same number.
        labels (`Sequence[str]`): The candidate labels, two or more.
        settings ([`AdaptationSettings`], *optional*): How; the defaults if not given.
        vector ([`DomainVector`], *optional*): Where to go on from; its kind, prompt, template and position are kept.
        fingerprint (`str`, *optional*): The model's [`text_fingerprint`], if it is known already.
        share (`bool`, *optional*, defaults to `True`): Whether a causal text tower runs what labels share only once.

    Returns:
        [`AdaptationResult`].

    Raises:
        ValueError: there are no views or too few labels, or the vector is of another model.
    """
    settings = settings or AdaptationSettings()
    if len(labels) < 2:
        raise ValueError(f"Adaptation needs two labels or more to be unsure between, but there is {len(labels)}.")
    clips = _stack(views)
    fingerprint = fingerprint or text_fingerprint(model)
    if vector is not None:
        vector.check(model, fingerprint)
        same = {name: getattr(vector, name) for name in ("kind", "prompt", "template", "position")}
        settings = dataclasses.replace(settings, **same)
    # Not in inference mode, whose tensors have no gradients; and clips from there are copied.
    with torch.inference_mode(False), torch.enable_grad(), _evaluating(model):
        clips = clips.detach().to(model.device, torch.float32, copy=True)
        embed, tensor = _texts(model, tokenizer, labels, settings, vector, share)
        scale = float(model.logit_scale.detach().float().exp())
        run = _Run(settings, embed, clips, scale)
        tensor = run.optimise(tensor)
    made = settings_of(model, clips=len(clips), labels=len(labels), **_plain(settings))
    return AdaptationResult(
        before=_ranked(scale * clips[:, 0] @ run.first.t(), labels),
        after=_ranked(scale * clips[:, 0] @ run.last.t(), labels),
        entropies=run.entropies,
        stopped=run.stopped,
        agreement=_agreement(run.first, run.last),
        vector=DomainVector(
            tensor=tensor,
            kind=settings.kind,
            position=settings.position,
            prompt=settings.prompt,
            template=settings.template,
            fingerprint=fingerprint,
            settings=made,
        ),
        settings=made,
    )


class _Run:
    """One optimisation. `first` and `last` are the texts' embeddings, `(labels, dim)`, before and after."""

    def __init__(
        self,
        settings: AdaptationSettings,
        embed: Callable[[torch.Tensor], torch.Tensor],
        clips: torch.Tensor,
        scale: float,
    ) -> None:
        self.settings, self.embed, self.clips = settings, embed, clips
        self.scale = scale / settings.temperature
        self.entropies: list[float] = []
        self.stopped = "steps"

    def optimise(self, tensor: torch.Tensor) -> torch.Tensor:
        """`(tokens, width)` -> the learned one. Gradients flow to this tensor alone; no weight ever has any."""
        settings = self.settings
        tensor = tensor.clone().requires_grad_()
        optimizer = torch.optim.AdamW([tensor], lr=settings.learning_rate, weight_decay=0.0)
        good = tensor.detach().clone()
        for step in range(settings.steps + 1):
            texts = self.embed(tensor)
            if not step:
                self.first = self.last = texts.detach()
                self.kept = _surest(self.clips, self.scale * self.clips @ self.first.t(), settings.keep)
            entropy, loss = self._loss(texts)
            if step and not self._is_sound(texts.detach(), loss):
                self.stopped = "guard"
                return good
            good, self.last = tensor.detach().clone(), texts.detach()
            self.entropies.append(float(entropy.detach()))
            if step == settings.steps:
                break
            if self.entropies[-1] < settings.min_entropy * math.log(len(texts)):
                self.stopped = "entropy"
                break
            (tensor.grad,) = torch.autograd.grad(loss, [tensor])
            optimizer.step()
        return good

    def _loss(self, texts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean entropy of the clips' combined predictions, and what is minimised."""
        log_each = F.log_softmax(self.scale * self.kept @ texts.t(), dim=-1)  # (clips, kept, labels)
        log_mean = log_each.logsumexp(dim=1) - math.log(log_each.shape[1])  # (clips, labels)
        entropy = _entropy(log_mean).mean()
        if not self.settings.diversity:
            return entropy, entropy
        log_all = log_mean.logsumexp(dim=0) - math.log(len(log_mean))  # (labels,)
        return entropy, entropy - self.settings.diversity * _entropy(log_all)

    @torch.no_grad()
    def _is_sound(self, texts: torch.Tensor, loss: torch.Tensor) -> bool:
        """Whether the prediction still says something about the clips."""
        if not bool(loss.isfinite()):
            return False
        if not self.settings.guard:
            return True
        was, now = (len((self.clips[:, 0] @ t.t()).argmax(dim=-1).unique()) for t in (self.first, texts))
        return (now > 1 or was == 1) and _agreement(self.first, texts) >= MIN_AGREEMENT


# ---------------------------------------------------------------------------------------------------------------------
# Parts
# ---------------------------------------------------------------------------------------------------------------------


def _texts(
    model: Any,
    tokenizer: Any,
    labels: Sequence[str],
    settings: AdaptationSettings,
    vector: DomainVector | None,
    share: bool,
) -> tuple[Callable[[torch.Tensor], torch.Tensor], torch.Tensor]:
    """How a tensor becomes the labels' embeddings, and the tensor to start from."""
    prompted = PromptedLabels(
        model, tokenizer, labels, settings.prompt, settings.template, settings.position, share=share
    )
    words = prompted.prompt_embeddings()
    if settings.kind == "tokens":
        start = _start_tokens(words, settings) if vector is None else vector.tensor
        return prompted.embed, start.to(words.device)
    with torch.no_grad():
        texts = prompted.embed(words)  # they stay: a step costs next to nothing
    start = texts.new_zeros(1, texts.shape[-1]) if vector is None else vector.tensor.to(texts.device)
    return lambda tensor: add_to_embeddings(texts, tensor), start


def _start_tokens(words: torch.Tensor, settings: AdaptationSettings) -> torch.Tensor:
    """`(prompt tokens, hidden)` -> `(tokens, hidden)`."""
    count = settings.tokens or len(words)
    if settings.start == "zero":
        return words.new_zeros(count, words.shape[1])
    return torch.cat([words.new_zeros(max(0, count - len(words)), words.shape[1]), words[-count:]])


@torch.no_grad()
def _surest(clips: torch.Tensor, logits: torch.Tensor, keep: float) -> torch.Tensor:
    """`(clips, views, dim)` -> `(clips, kept, dim)`: the views of lowest entropy, chosen once, as in TPT."""
    count = max(1, round(keep * clips.shape[1]))
    if count == clips.shape[1]:
        return clips
    entropies = _entropy(F.log_softmax(logits, dim=-1))  # (clips, views)
    best = entropies.argsort(dim=1, stable=True)[:, :count]
    return clips.gather(1, best[:, :, None].expand(-1, -1, clips.shape[2]))


def _entropy(log_probabilities: torch.Tensor) -> torch.Tensor:
    """`(..., labels)` -> `(...)`, in nats."""
    return -(log_probabilities.exp() * log_probabilities).sum(dim=-1)


def _agreement(first: torch.Tensor, texts: torch.Tensor) -> float:
    """Share of the labels that are closest to their own embedding before."""
    own = torch.arange(len(texts), device=texts.device)
    return float(((texts @ first.t()).argmax(dim=-1) == own).float().mean())


def _ranked(logits: torch.Tensor, labels: Sequence[str]) -> list[list[dict[str, Any]]]:
    """`(clips, labels)` -> for each clip its labels with scores, best first."""
    return [
        [
            {"score": score, "label": label}
            for score, label in sorted(zip(row, labels, strict=True), key=lambda x: -x[0])
        ]
        for row in logits.softmax(dim=-1).tolist()
    ]


def _stack(views: Sequence[torch.Tensor] | torch.Tensor) -> torch.Tensor:
    """`(clips, views, dim)`, checked."""
    parts = list(views)
    shapes = {tuple(part.shape) for part in parts}
    if len(shapes) != 1 or any(len(shape) != 2 or not shape[0] for shape in shapes):
        raise ValueError(
            f"`views` must be embeddings of one shape, (views, dim), for every clip, but they have {sorted(shapes)}."
        )
    return torch.stack(parts)


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Evaluation mode meanwhile; afterwards every module is in the mode in which it was."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _plain(settings: AdaptationSettings) -> dict[str, Any]:
    """Settings as plain Python."""
    return dataclasses.asdict(settings)


def _check_number(name: str, value: Any, least: float, most: float, zero: bool = True) -> None:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
    if not fits or (not zero and not value) or value == math.inf:
        bracket = "[" if zero else "("
        raise ValueError(f"`{name}` is {value!r}; expected a number in {bracket}{least}, {most}].")


__all__ = ["AdaptationResult", "AdaptationSettings", "adapt"]
