"""
MACE: how good a caption is, by CLAP: against the audio itself and against reference captions.

Dixit, Deshmukh, Raj: "MACE: Leveraging Audio for Evaluating Audio Captioning Systems" (ICASSP 2025 workshop, arXiv
2411.00321), as released in satvik-dixit/mace, for the weights of CLAP 2023:

    text      mean over the references of cos(text(candidate), text(reference))
    audio     cos(text(candidate), audio)
    combined  (text + audio) / 2
    score     similarity * (1 - 0.3 * [probability of a fluency error > 0.97])

and the score of a corpus is the mean. Differences to the released code: each sentence gets its own score (there each
gets that of the corpus); of long audio all windows are heard, always the same way (there a random part); no detector is
bundled, so without one there is no penalty; clips that cannot be heard are left out and named.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...models.common.results_afm import AfmResult, settings_of
from ...retrieval.embedder import ClapEmbedder, Embeddings
from .by_clip import by_clip, one_text, several_texts
from .fluency import ErrorDetector, error_probabilities
from .heard_clips import embed_clips, embed_each_once

MODES = ("combined", "text", "audio")


@dataclass(kw_only=True)
class MaceResult(AfmResult):
    """
    Scores of captions. Where a clip could not be heard, its entries of `scores` and `audio_similarities` are `None`.

    Args:
        score (`float`): Of the corpus: the mean of the scores that there are.
        scores (`list[float | None]`): Of each caption.
        similarities (`list[float | None]`): The same before the penalty.
        text_similarities, audio_similarities (`list[float | None]`): The two parts; `None` for a part that is not used.
        error_probabilities (`list[float]`): Of each caption; `None` without a detector.
        errors (`int`): Captions above the threshold.
        skipped (`dict[int, str]`): Place and reason of clips that could not be heard.
    """

    score: float
    scores: list[float | None]
    similarities: list[float | None]
    text_similarities: list[float | None] | None
    audio_similarities: list[float | None] | None
    error_probabilities: list[float] | None
    errors: int
    skipped: dict[int, str]


@dataclass
class MaceTargets:
    """
    What captions are compared with, embedded once for any number of captioning systems.

    Attributes:
        count: Clips.
        references: Embeddings of all reference captions, float32 `(references, dim)`, or None.
        counts: How many of them belong to each clip.
        audio: Embeddings of the clips, `(clips, dim)`, NaN where `skipped`; or None.
        skipped: Place and reason of clips that could not be heard.
        fingerprint: Of the model that embedded them.
    """

    count: int
    references: Embeddings | None
    counts: list[int]
    audio: Embeddings | None
    skipped: dict[int, str]
    fingerprint: str


class Mace:
    """
    The metric, with a CLAP of choice; the paper's figures are of CLAP 2023.

    Args:
        model: Name of a bundled checkpoint, folder or Hub id of a CLAP, or a [`ClapEmbedder`].
        mode (`str`): `"combined"`, `"text"` or `"audio"`.
        error_detector (*optional*):
            `list[str] -> probabilities` of an error, called once with all cleaned captions; no penalty without one.
        error_threshold, penalty (`float`): Above which probability what part of the similarity is lost.
        truncation (`str`): What of a long clip is heard: `"windows"` (all of it), `"first"`, `"center"`.
        batch_size (`int`): Clips per forward pass.
        progress (`bool`): Show a progress bar on stderr while audio is embedded.

    Example:
    ```python
    >>> import afm_hf

    >>> cow = afm_hf.bundled_audio()[4]
    >>> metric = Mace("clap-small")
    >>> result = metric(["A cow is mooing.", "Rain falls."], [["A cow moos."], ["A cow moos."]], [cow, cow])
    >>> result.scores[0] > result.scores[1]
    True
    >>> result.score == (result.scores[0] + result.scores[1]) / 2
    True

    ```
    """

    def __init__(
        self,
        model: Any = "clap-small",
        *,
        mode: str = "combined",
        error_detector: ErrorDetector | None = None,
        error_threshold: float = 0.97,
        penalty: float = 0.3,
        truncation: str = "windows",
        batch_size: int = 16,
        progress: bool = False,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"`mode` is {mode!r}; expected one of {', '.join(map(repr, MODES))}.")
        if truncation == "random":
            raise ValueError("`truncation='random'` would give other scores at every run; take 'windows'.")
        if not (0 <= penalty <= 1 and 0 <= error_threshold <= 1) or batch_size < 1:
            raise ValueError(
                f"`penalty` is {penalty}, `error_threshold` {error_threshold}, `batch_size` {batch_size}; expected two "
                "numbers from 0 to 1 and a batch of 1 or more."
            )
        self.embedder = model if isinstance(model, ClapEmbedder) else ClapEmbedder(model)
        self.mode, self.error_detector = mode, error_detector
        self.error_threshold, self.penalty = error_threshold, penalty
        self.truncation, self.batch_size, self.progress = truncation, batch_size, progress

    def __call__(
        self,
        candidates: Iterable[str] | Mapping[Any, Any],
        references: Iterable[Sequence[str]] | Mapping[Any, Any] | None = None,
        audio: Iterable[Any] | Mapping[Any, Any] | None = None,
    ) -> MaceResult:
        """
        Scores one caption of each clip.

        Args:
            candidates: The captions.
            references: Reference captions of each clip, any number; for the modes `"text"` and `"combined"`.
            audio: The clips: whatever [`load_audio`] takes; for the modes `"audio"` and `"combined"`. All may be
                dictionaries by clip, as pycocoevalcap takes them; scores are then in the order of the candidates.

        Raises:
            ValueError: what the mode needs is missing, lists differ in length, a text is blank, or no clip can be
                heard.
        """
        others = {"references": references, "audio": audio}
        is_dictionary = isinstance(candidates, Mapping)
        given = by_clip(candidates=candidates, **{name: each for name, each in others.items() if each is not None})
        said, true, clips = given["candidates"], given.get("references"), given.get("audio")
        if is_dictionary:
            said = [one_text(text, f"candidates[{index}]") for index, text in enumerate(said)]
            true = true and [several_texts(each, f"references[{index}]") for index, each in enumerate(true)]
        _check_texts("candidates", said)
        for name, entries in (("references", true), ("audio", clips)):
            if entries is not None and len(entries) != len(said):
                raise ValueError(f"There are {len(said)} candidates but {len(entries)} {name}; expected one each.")
        return self.score(said, self.embed_targets(true, clips))

    def embed_targets(
        self, references: Sequence[Sequence[str]] | None = None, audio: Sequence[Any] | None = None
    ) -> MaceTargets:
        """
        Embeds what captions are compared with, to score several systems on the same clips by [`score`].

        Args:
            references, audio: As of a call. What the mode does not use is not looked at.

        Raises:
            ValueError: as for a call.
        """
        uses_text, uses_audio = self.mode != "audio", self.mode != "text"
        for name, given, used in (("references", references, uses_text), ("audio", audio, uses_audio)):
            if used and given is None:
                raise ValueError(f"The mode {self.mode!r} needs `{name}`.")
        if uses_text and uses_audio and len(references or ()) != len(audio or ()):
            raise ValueError(f"There are {len(references or ())} references but {len(audio or ())} audio clips.")
        flat: list[str] = []
        counts: list[int] = []
        embedded: Embeddings | None = None
        heard: Embeddings | None = None
        skipped: dict[int, str] = {}
        if uses_text and references is not None:
            flat, counts = _flatten(references)
            embedded = embed_each_once(self.embedder, flat)
        if uses_audio and audio is not None:
            heard, skipped = embed_clips(self.embedder, audio, self.truncation, self.batch_size, self.progress)
        count = len(counts) if uses_text else len(audio or ())
        return MaceTargets(count, embedded, counts, heard, skipped, self.embedder.fingerprint)

    def score(self, candidates: Sequence[str], targets: MaceTargets) -> MaceResult:
        """
        Scores one caption of each clip against targets that are embedded already.

        Raises:
            ValueError: there are more or fewer captions than clips, or another model embedded the targets.
        """
        _check_texts("candidates", candidates)
        if len(candidates) != targets.count:
            raise ValueError(f"There are {len(candidates)} candidates for {targets.count} clips; expected one each.")
        if targets.fingerprint != self.embedder.fingerprint:
            raise ValueError("Another model embedded the targets; embed them with this metric's `embed_targets`.")
        texts = embed_each_once(self.embedder, candidates)  # (clips, dim)
        parts: dict[str, npt.NDArray[np.float64]] = {}
        if self.mode != "audio":
            parts["text"] = _mean_similarity(texts, targets)
        if self.mode != "text":
            parts["audio"] = _cosines(texts, targets.audio)  # NaN where skipped
        return self._result(candidates, parts, targets.skipped)

    def _result(
        self, candidates: Sequence[str], parts: dict[str, npt.NDArray[np.float64]], skipped: dict[int, str]
    ) -> MaceResult:
        similarities = np.mean(list(parts.values()), axis=0)  # (clips,)
        probabilities = None
        wrong = np.zeros(len(candidates), dtype=bool)
        if self.error_detector is not None:
            probabilities = error_probabilities(self.error_detector, candidates)
            wrong = probabilities > self.error_threshold
        scores = similarities * (1 - self.penalty * wrong)
        settings = settings_of(
            self.embedder.model,
            mode=self.mode,
            error_detector=_name(self.error_detector),
            error_threshold=self.error_threshold,
            penalty=self.penalty,
            truncation=None if self.mode == "text" else self.truncation,
        )
        return MaceResult(
            score=float(np.nanmean(scores)),
            scores=_numbers(scores),
            similarities=_numbers(similarities),
            text_similarities=_numbers(parts["text"]) if "text" in parts else None,
            audio_similarities=_numbers(parts["audio"]) if "audio" in parts else None,
            error_probabilities=None if probabilities is None else probabilities.tolist(),
            errors=int(wrong.sum()),
            skipped=dict(skipped),
            settings=settings,
        )


def mace(
    candidates: Iterable[str] | Mapping[Any, Any],
    references: Iterable[Sequence[str]] | Mapping[Any, Any] | None = None,
    audio: Iterable[Any] | Mapping[Any, Any] | None = None,
    model: Any = "clap-small",
    **kwargs: Any,
) -> MaceResult:
    """
    Scores captions once; see [`Mace`] for the arguments, and for scoring several systems.

    Args:
        candidates, references, audio: Captions, reference captions of each, and clips.
        model: A CLAP.
        kwargs (*optional*): Those of [`Mace`].
    """
    return Mace(model, **kwargs)(candidates, references, audio)


def _mean_similarity(texts: Embeddings, targets: MaceTargets) -> npt.NDArray[np.float64]:
    """Mean cosine with the references of each clip, float64 `(clips,)`."""
    owners = np.repeat(np.arange(len(texts)), targets.counts)
    cosines = _cosines(texts[owners], targets.references)  # (references,)
    return np.bincount(owners, cosines, minlength=len(texts)) / np.asarray(targets.counts)


def _cosines(rows: Embeddings, others: Embeddings | None) -> npt.NDArray[np.float64]:
    """Of rows of length 1, pair by pair, float64 `(rows,)`."""
    if others is None:
        raise ValueError("The targets lack what this metric's mode needs; embed them with its own `embed_targets`.")
    return (rows.astype(np.float64) * others).sum(axis=1)


def _flatten(references: Sequence[Sequence[str]]) -> tuple[list[str], list[int]]:
    for place, group in enumerate(references):
        if isinstance(group, str):
            raise ValueError(f"references[{place}] is the text {group!r}; expected a list of texts.")
        _check_texts(f"references[{place}]", group)
    flat = [text for group in references for text in group]
    if not flat:
        raise ValueError("`references` is empty.")
    return flat, [len(group) for group in references]


def _check_texts(name: str, texts: Any) -> None:
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise ValueError(f"`{name}` is {texts!r}; expected a list of texts.")
    if not texts:
        raise ValueError(f"`{name}` is empty; expected one text or more.")
    for place, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{name}[{place}] is {text!r}; expected a text that is not blank.")


def _numbers(values: npt.NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


def _name(detector: ErrorDetector | None) -> str | None:
    return None if detector is None else getattr(detector, "__name__", type(detector).__name__)
