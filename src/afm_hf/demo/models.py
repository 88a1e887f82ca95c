"""The models behind the page: named when it starts, loaded when they are first needed, and then kept."""

import dataclasses
import threading
from typing import Any

from ..hub.loading import load_clap, pick_device, resolve_model
from ..pipelines.pipeline_audio_quality_assessment import AudioQualityAssessmentPipeline
from ..pipelines.pipeline_test_time_adaptation import TestTimeAdaptationPipeline
from ..pipelines.pipeline_zero_shot_audio_classification import ZeroShotAudioClassificationPipeline

CLAP_PIPELINES: dict[str, Any] = {
    "zero-shot-audio-classification": ZeroShotAudioClassificationPipeline,
    "audio-quality-assessment": AudioQualityAssessmentPipeline,
    "test-time-adaptation": TestTimeAdaptationPipeline,
}


@dataclasses.dataclass
class DemoModels:
    """
    Pipelines by task.

    Args:
        clap (`str`, *optional*, defaults to `"clap-small"`): Classifies, judges quality, is adapted.
        caption (`str`, *optional*, defaults to `"pengi-small"`): Captions.
        ask (`str`, *optional*, defaults to `"mellow-small"`): Answers questions about one or two clips.
        difference (`str`, *optional*, defaults to `"adiff-small"`): Tells two clips apart.
        device (`str`, *optional*): Where they run; a GPU if there is one.
        max_duration_s (`float`, *optional*, defaults to 120): Clips longer than this many seconds are refused.

    Each model is the name of a bundled checkpoint, a folder or a Hub id. The three tasks of CLAP share one model.

    Example:
    ```python
    >>> from afm_hf.demo.models import DemoModels

    >>> models = DemoModels()
    >>> classify = models.pipeline("zero-shot-audio-classification")
    >>> models.pipeline("audio-quality-assessment").model is classify.model
    True

    ```
    """

    clap: str = "clap-small"
    caption: str = "pengi-small"
    ask: str = "mellow-small"
    difference: str = "adiff-small"
    device: str | None = None
    max_duration_s: float = 120.0

    def __post_init__(self) -> None:
        if not self.max_duration_s > 0:
            raise ValueError(f"`max_duration_s` is {self.max_duration_s}; expected more than 0 seconds.")
        for name in (self.clap, self.caption, self.ask, self.difference):
            resolve_model(name)  # a folder that is not there is told now, and not at the first click
        self._place = pick_device(self.device)
        self._pipelines: dict[str, Any] = {}
        self._lock = threading.Lock()

    def pipeline(self, task: str) -> Any:
        """
        The pipeline of a task.

        Args:
            task (`str`): Its name, as for `transformers.pipeline`.

        Raises:
            ValueError: the page has no such task, or the model does not do it.
            OSError: there is no such checkpoint.
        """
        with self._lock:  # two browsers may ask for the same model at once
            if task not in self._pipelines:
                self._load(task)
            return self._pipelines[task]

    def _load(self, task: str) -> None:
        if task in CLAP_PIPELINES:
            clap, extractor, tokenizer = load_clap(self.clap)
            parts = {"model": clap, "feature_extractor": extractor, "tokenizer": tokenizer, "device": self._place}
            self._pipelines.update({name: kind(**parts) for name, kind in CLAP_PIPELINES.items()})
            return
        from transformers import pipeline

        names = {
            "audio-captioning": self.caption,
            "audio-question-answering": self.ask,
            "audio-difference": self.difference,
        }
        if task not in names:
            raise ValueError(f"The page has no task {task!r}; it has {sorted({*names, *CLAP_PIPELINES})}.")
        self._pipelines[task] = pipeline(task, model=resolve_model(names[task]), device=self._place)


def extractor_of(pipe: Any) -> Any:
    """The feature extractor of a pipeline, also where it is a part of the processor."""
    return pipe.feature_extractor or pipe.processor.feature_extractor
