"""Answers to questions about audio, with Pengi or Mellow: open, yes or no, or one of several choices."""

from collections.abc import Mapping
from typing import Any

import torch

from ..models.prefix_lm.prompts_afm import LETTERS, letter_of, question_prompt, scored_answers
from ..models.prefix_lm.scoring_afm import score_answers
from .pipeline_afm_prefix_lm import AfmPrefixLMPipeline
from .pipeline_audio_inputs import BadInputError


class AudioQuestionAnsweringPipeline(AfmPrefixLMPipeline):
    """
    Answers to questions about audio.

    ```python
    pipe = pipeline("audio-question-answering", model="mellow")
    pipe("dog.wav", question="what animal is it?")                              # {"answer": "a dog", ...}
    pipe("dog.wav", question="is there a cat in the audio?", choices=["yes", "no"])
    pipe("dog.wav", question="what is it?", choices=["a dog", "rain"])          # {"answer", "letter", "score", ...}
    pipe([{"audio": "dog.wav", "question": "what is it?"}, ...], batch_size=8)  # rows, also of `datasets`
    ```

    Arguments of a call:
        audios: One input or many, as for [`AudioTextGenerationPipeline`]; rows may hold `"question"` and `"choices"`.
        question (`str` or `list[str]`): The question, for all inputs or for each of a list.
        choices (`list[str]` or `list[list[str]]`, *optional*):
            The answers to choose from, at least two; for all inputs or for each of a list. `["yes", "no"]` asks for
            yes or no. Question and choices are put into the words that the model was trained with.
        sampling_rate, truncation, batch_size, num_workers, on_error, max_new_tokens, ...: See
            [`AudioTextGenerationPipeline`].

    Returns of a call:
        A dictionary for each input. An open question: `"answer"` and `"generated_text"`, which are the same, and with
        `num_return_sequences` all `"generated_texts"`. With choices:

        - `"answer"`, `"letter"`, `"score"`: the choice that the model finds most likely, and its share of 1;
        - `"scores"`: for each choice `{"choice", "letter", "log_likelihood", "score"}`: the mean log-probability of its
          tokens as the answer, and a softmax over the choices;
        - `"generated_text"`, `"generated_letter"`: what the model says by itself, and the choice that this names, or
          None. The two ways may differ; the papers' figures are of generated letters.
    """

    row_options = ("question", "choices")

    def __init__(self, model: Any, processor: Any = None, **kwargs: Any) -> None:
        if getattr(getattr(model, "config", None), "model_type", None) == "clap_afm_captioning":
            raise ValueError("CLAPCAP reads no prompt, and so answers no questions. Take Pengi or Mellow.")
        super().__init__(model=model, processor=processor, **kwargs)

    def _is_one_each(self, name: str, value: Any) -> bool:
        if name == "choices":
            return isinstance(value, list | tuple) and bool(value) and isinstance(value[0], list | tuple)
        return super()._is_one_each(name, value)

    def make_prompt(self, options: dict[str, Any]) -> str | None:
        """Question and choices in the model's words."""
        question = options.get("question")
        if not isinstance(question, str) or not question.strip():
            raise BadInputError(f"The question is {question!r}; expected words, as `question='what is this sound?'`.")
        options["choices"] = as_choices(options.get("choices"))
        return question_prompt(self.model_type, question, options["choices"])

    def _forward(self, model_inputs: dict[str, Any], generate_kwargs: Mapping[str, Any] | None = None) -> Any:
        outputs = super()._forward(model_inputs, generate_kwargs)
        inputs, choices = model_inputs["inputs"], [options["choices"] for options in outputs["options"]]
        closed = [index for index, each in enumerate(choices) if each]
        outputs["log_likelihoods"] = [[]] * len(choices)
        if closed:
            rows = torch.tensor(closed, device=inputs["input_ids"].device)
            answers = [scored_answers(self.model_type, choices[index]) for index in closed]
            asked = {name: value[rows] for name, value in inputs.items()}
            scores = score_answers(self.model, self.processor, asked, answers).mean.tolist()
            for index, row in zip(closed, scores, strict=True):
                outputs["log_likelihoods"][index] = row[: len(choices[index])]
        return outputs

    def postprocess(self, model_outputs: dict[str, Any], **postprocess_params: Any) -> list[Any]:
        """Results of a batch; see the class."""
        rows = zip(model_outputs["texts"], model_outputs["options"], model_outputs["log_likelihoods"], strict=True)
        return [_result(texts, options["choices"], scores) for texts, options, scores in rows]


def as_choices(choices: Any) -> tuple[str, ...]:
    """
    Checked choices; none for an open question.

    Raises:
        BadInputError: there is but one, there are more than letters, one is no text or blank, or one comes twice.
    """
    if choices is None:
        return ()
    if not isinstance(choices, list | tuple) or not 2 <= len(choices) <= len(LETTERS):
        raise BadInputError(f"`choices` is {choices!r}; expected a list of 2 to {len(LETTERS)} answers.")
    for index, choice in enumerate(choices):
        if not isinstance(choice, str) or not choice.strip():
            raise BadInputError(f"choices[{index}] is {choice!r}; expected a string that is not blank.")
        if choice.strip().lower() in [earlier.strip().lower() for earlier in choices[:index]]:
            raise BadInputError(f"choices[{index}], {choice!r}, is there twice.")
    return tuple(choices)


def _result(texts: list[str], choices: tuple[str, ...], log_likelihoods: list[float]) -> dict[str, Any]:
    more = {"generated_texts": texts} if len(texts) > 1 else {}
    if not choices:
        return {"answer": texts[0], "generated_text": texts[0], **more}
    shares = torch.tensor(log_likelihoods).softmax(dim=0).tolist()
    scores = [
        {"choice": choice, "letter": letter, "log_likelihood": value, "score": share}
        for choice, letter, value, share in zip(choices, LETTERS, log_likelihoods, shares, strict=False)
    ]
    best = max(scores, key=lambda entry: entry["log_likelihood"])
    return {
        **{"answer": best["choice"], "letter": best["letter"], "score": best["score"], "scores": scores},
        **{"generated_text": texts[0], "generated_letter": letter_of(texts[0], choices), **more},
    }


__all__ = ["AudioQuestionAnsweringPipeline"]
