"""The difference between two clips in words, with ADIFF or Mellow, at three lengths."""

from typing import Any

from ..models.prefix_lm.prompts_afm import DIFFERENCE_PROMPTS, TIERS
from .pipeline_afm_prefix_lm import AfmPrefixLMPipeline, checked_prompt
from .pipeline_audio_inputs import BadInputError


class AudioDifferencePipeline(AfmPrefixLMPipeline):
    """
    The difference between two clips in words. Both papers have three tiers of explanation, each with its prompt.

    ```python
    pipe = pipeline("audio-difference", model="adiff")
    pipe(("first.wav", "second.wav"))                                       # [{"generated_text": "..."}]
    pipe([("a.wav", "b.wav"), ("c.wav", "d.wav")], tier="detailed", batch_size=2)
    pipe({"audio": ["a.wav", "b.wav"], "tier": "brief"})
    ```

    Arguments of a call:
        audios:
            One pair or many. A pair is a tuple `(first, second)`, or a row `{"audio": [first, second]}`; a list, a
            `Dataset` or a generator holds many. What a clip may be: see [`AudioTextGenerationPipeline`].
        tier (`str` or `list[str]`, *optional*, defaults to `"concise"`):
            `"concise"` (a few words), `"brief"` (a sentence) or `"detailed"`; for all, or for each pair of a list.
        prompt (`str` or `list[str]`, *optional*): Words of your own in place of the tier's.
        sampling_rate, batch_size, num_workers, on_error, max_new_tokens, ...: See [`AudioTextGenerationPipeline`].

    Returns of a call:
        For one pair `[{"generated_text": str}, ...]`, one entry a returned sequence; for a list a list of these.
    """

    row_options = ("tier", "prompt")

    def __init__(self, model: Any, processor: Any = None, **kwargs: Any) -> None:
        if getattr(processor, "clips_per_example", 2) != 2:
            raise ValueError(
                f"Differences need a model that hears two clips, ADIFF or Mellow, but {type(model).__name__} hears "
                f"{processor.clips_per_example}."
            )
        super().__init__(model=model, processor=processor, **kwargs)

    def clip_counts(self) -> tuple[int, ...]:
        """A difference is between two clips."""
        return (2,)

    def make_prompt(self, options: dict[str, Any]) -> str | None:
        """The given prompt, or that of the tier in the words of the model's paper."""
        if options.get("prompt") is not None:
            return checked_prompt(options["prompt"])
        tier = options.get("tier") or TIERS[0]
        if tier not in TIERS:
            raise BadInputError(f"`tier` is {tier!r}; expected one of {', '.join(map(repr, TIERS))}.")
        if self.model_type not in DIFFERENCE_PROMPTS:
            raise BadInputError(f"How to ask a {self.model_type!r} for a difference is not known; pass `prompt`.")
        return DIFFERENCE_PROMPTS[self.model_type][TIERS.index(tier)]


__all__ = ["AudioDifferencePipeline"]
