"""Captions of clips, with CLAPCAP, Pengi, Mellow or ADIFF, each asked as it was trained."""

from typing import Any

from ..models.prefix_lm.prompts_afm import CAPTION_BEGINNING, CAPTION_PROMPTS
from .pipeline_afm_prefix_lm import AfmPrefixLMPipeline, checked_prompt
from .pipeline_audio_inputs import BadInputError


class AudioCaptioningPipeline(AfmPrefixLMPipeline):
    """
    Captions of clips. The prompt is each model's own: none for CLAPCAP, `generate audio caption` for Pengi, ...

    ```python
    pipe = pipeline("audio-captioning", model="clapcap")
    pipe("dog.wav")                                 # [{"generated_text": "a dog is barking"}]
    pipe(["dog.wav", "cat.wav"], batch_size=2)      # a list of such lists
    pipe("hour.wav", truncation="windows")          # all of a long clip (CLAPCAP and Pengi)
    ```

    Arguments of a call:
        audios: One clip or many, as for [`AudioTextGenerationPipeline`]. A clip is captioned by itself.
        prompt (`str`, *optional*): Other words for the question.
        truncation, sampling_rate, batch_size, num_workers, on_error, max_new_tokens, ...: See
            [`AudioTextGenerationPipeline`].

    Returns of a call:
        As transformers' image-to-text does, for one clip `[{"generated_text": str}, ...]`, one entry a returned
        sequence; for a list a list of these. ADIFF and Mellow say "the audio 1 is ..."; these words are taken away.
    """

    def clip_counts(self) -> tuple[int, ...]:
        """A caption is of one clip."""
        return (1,)

    def make_prompt(self, options: dict[str, Any]) -> str | None:
        """The given prompt, or that of the model."""
        if options.get("prompt") is not None:
            return checked_prompt(options["prompt"])
        if self.model_type not in CAPTION_PROMPTS:
            raise BadInputError(f"How to ask a {self.model_type!r} for a caption is not known; pass `prompt`.")
        return CAPTION_PROMPTS[self.model_type]

    def postprocess(self, model_outputs: dict[str, Any], **postprocess_params: Any) -> list[Any]:
        """Results of a batch: for each clip `[{"generated_text": ...}, ...]`."""
        return [
            [{"generated_text": CAPTION_BEGINNING.sub("", text)} for text in texts] for texts in model_outputs["texts"]
        ]


__all__ = ["AudioCaptioningPipeline"]
