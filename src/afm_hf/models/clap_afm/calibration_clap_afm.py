"""Probabilities that a label is heard, and that none of the labels is, from the cosines of a CLAP.

A cosine is high or low for the model's own reasons, and a softmax of cosines says which label fits best, and never that
none does. A calibration is fitted on clips whose labels are known, and which the model was not trained on. It weighs
two numbers, the cosine of label and clip, and by how much that is above the cosine of the best of many everyday sounds:

    log P(cosines | the label is heard) / P(cosines | it is not)  =  cosine * c + margin * (c - best everyday) + bias

Bayes' rule makes probabilities of these, once it is said how often clips hold none of the labels (`none_share`):

    one label or none   P(label i) ~ (1 - none_share) / labels * exp(log odds i),  P(none) ~ none_share
    each by itself      log odds of the share of clips that hold the label, plus its own log odds

Nothing in it belongs to certain labels, so it can be asked for labels that were not in the validation set.
"""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..common.results_afm import AfmResult
from ..common.writing_afm import write_text

CALIBRATION_FILE = "zero_shot_calibration.json"  # beside the model
NONE_LABEL = "none of these"
FALSE_ACCEPT_RATES = (0.05, 0.1, 0.2, 0.3)


@dataclasses.dataclass(kw_only=True)
class Calibration(AfmResult):
    """
    What [`fit_calibration`] learns; pass it as `calibration` to a `zero-shot-audio-classification` pipeline.

    Args:
        cosine, margin, bias (`float`): The weights; see above.
        bars (`dict[str, float]`):
            For a rate of false accepts, as `"0.1"`: the probability of "none" from which on a clip is rejected, so that
            of validation clips without any of the labels at most this share is not.
        templates (`list[str]`): The sentences that the labels were put into.
        truncation (`str`, *optional*): What of a long clip was heard; `None` is the feature extractor's own.
        fingerprint (`str`): Of the model, with number format, feature extractor and tokenizer; 64 hexadecimal digits.
        labels (`list[str]`): Those of the validation set.
        clips, none_clips (`int`): Clips of the validation set; those of them that hold none of the labels.
        none_share (`float`): How many clips hold none of the labels, where it is used.
        label_share (`float`, *optional*):
            How many clips hold a label, where labels are scored each by itself. `None`: as many as if the clips with a
            label had one each, `(1 - none_share) / labels`.

    Example:
    ```python
    >>> import torch
    >>> calibration = Calibration(
    ...     cosine=8.0, margin=8.0, bias=1.0, bars={"0.1": 0.3}, templates=["{}"], truncation=None,
    ...     fingerprint="0" * 64, labels=["rain"], clips=20, none_clips=0,
    ... )
    >>> odds = calibration.log_odds(torch.tensor([[0.3, 0.1]]), torch.tensor([[0.2, 0.3]]))
    >>> [f"{share:.2f}" for share in calibration.shares(odds)[0]]
    ['0.90', '0.04', '0.06']

    ```
    """

    cosine: float
    margin: float
    bias: float
    bars: dict[str, float]
    templates: list[str]
    truncation: str | None
    fingerprint: str
    labels: list[str]
    clips: int
    none_clips: int
    none_share: float = 0.5
    label_share: float | None = None

    def __post_init__(self) -> None:
        weights = (self.cosine, self.margin, self.bias)
        if not all(isinstance(value, int | float) and abs(value) < float("inf") for value in weights):
            raise ValueError(f"The weights of a calibration are {weights}; expected three finite numbers.")
        for name in ("none_share", "label_share"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise ValueError(f"`{name}` is {value}; expected a share between 0 and 1, without these.")

    def log_odds(self, cosines: torch.Tensor, everyday: torch.Tensor) -> torch.Tensor:
        """
        Log-likelihood ratios of "heard" and "not heard".

        Args:
            cosines (`torch.Tensor` of shape `(..., labels)`): Of the labels with clips.
            everyday (`torch.Tensor` of shape `(..., sounds)`): Of the everyday sounds with the same clips.
        """
        cosines = cosines.float()
        best = everyday.float().amax(dim=-1, keepdim=True)
        return self.cosine * cosines + self.margin * (cosines - best) + self.bias

    def shares(self, log_odds: torch.Tensor) -> torch.Tensor:
        """`(..., labels)` -> `(..., labels + 1)`: probabilities of each label, and at the end of none of them."""
        labels = log_odds.shape[-1]
        prior = torch.tensor((1 - self.none_share) / labels).log()
        none = torch.full_like(log_odds[..., :1], self.none_share).log()
        return torch.cat([log_odds + prior, none], dim=-1).softmax(dim=-1)

    def label_scores(self, log_odds: torch.Tensor) -> torch.Tensor:
        """`(..., labels)` -> `(..., labels)`: the probability that each is heard, by itself."""
        share = self.label_share or (1 - self.none_share) / log_odds.shape[-1]
        return (log_odds + torch.logit(torch.tensor(share))).sigmoid()

    def bar(self, false_accept: float) -> float:
        """
        The probability of "none" from which on a clip is rejected.

        Raises:
            ValueError: there is none for this rate of false accepts.
        """
        found = self.bars.get(f"{false_accept:g}")
        if found is None:
            raise ValueError(
                f"The calibration has no bar for a rate of false accepts of {false_accept:g}; it has "
                f"{', '.join(self.bars) or 'none'}."
            )
        return found

    def check(self, fingerprint: str, templates: Sequence[str], model: str = "the model") -> None:
        """
        Refuses a calibration of another model, number format or template.

        Args:
            fingerprint (`str`): Of the model that is used.
            templates (`list[str]`): The sentences that are used.
            model (`str`): What it is called.

        Raises:
            ValueError: the calibration was fitted for another.
        """
        if self.fingerprint != fingerprint:
            raise ValueError(
                f"The calibration was fitted for {self.settings.get('model', 'another model')} in "
                f"{self.settings.get('dtype', 'its number format')} (fingerprint {self.fingerprint[:12]}), but {model} "
                f"has the fingerprint {fingerprint[:12]}: it has other weights, another number format or other "
                "settings. Fit a calibration for it: `afm-hf calibrate`, or `fit_calibration`."
            )
        if list(templates) != list(self.templates):
            raise ValueError(
                f"The calibration was fitted with {self.templates}, but the labels are put into {list(templates)}. Use "
                "the same, or fit another calibration."
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """
        Writes it as JSON: to a file, or beside a model.

        Args:
            path (`str` or `os.PathLike`): A file, or the folder of a model, where it is `zero_shot_calibration.json`.

        Raises:
            WriteError: (an `OSError`) it cannot be written.
        """
        file = Path(path) / CALIBRATION_FILE if Path(path).is_dir() else Path(path)
        write_text(file, self.to_json(indent=2) + "\n", "the calibration")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Calibration":
        """
        Reads what [`save`] wrote, from a file or the folder of a model.

        Raises:
            ValueError: there is no such file, or it holds something else.
        """
        file = Path(path) / CALIBRATION_FILE if Path(path).is_dir() else Path(path)
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise ValueError(f"There is no calibration {file}. `afm-hf calibrate` writes one.") from None
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{file} holds no calibration: {error}.") from error


def as_calibration(value: Any, model: Any) -> Calibration | None:
    """
    A [`Calibration`] from itself, from a file or folder, or, of `True`, the one beside the model; None stays None.

    Raises:
        ValueError: it is none of these, or there is none.
    """
    if value is None or value is False or isinstance(value, Calibration):
        return value or None
    if value is True:
        place = str(getattr(model.config, "_name_or_path", ""))
        if not place or not (Path(place) / CALIBRATION_FILE).is_file():
            raise ValueError(
                f"No calibration lies beside {place or type(model).__name__}. Fit one on labelled clips that were not "
                "trained on: `afm-hf calibrate`, or `afm_hf.adaptation.calibration.fit_calibration`."
            )
        return Calibration.load(place)
    if isinstance(value, str | os.PathLike):
        return Calibration.load(value)
    if isinstance(value, Mapping):
        return Calibration(**value)
    raise ValueError(f"`calibration` is a {type(value).__name__}; expected a Calibration, a file of one, or True.")


__all__ = ["CALIBRATION_FILE", "NONE_LABEL", "Calibration", "as_calibration"]
