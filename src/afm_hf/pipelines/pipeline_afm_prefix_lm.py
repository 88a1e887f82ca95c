"""
What the pipelines of the models that answer in words have in common: inputs, batches, generation.

An input is a clip, a pair of clips, or a row that holds one of these under `"audio"`, with a prompt of its own if it
likes. A list is always a batch; a pair is a tuple, or a list inside a list or row. The pipeline of a task says how it
makes a prompt of the row, and what it makes of the generated texts.
"""

import os
import re
from collections.abc import Mapping, Sequence, Sized
from functools import partial
from typing import Any

import torch
from transformers import GenerationConfig
from transformers.pipelines.base import Pipeline

from ..audio.audio_loading import AudioDecodeError, describe_source
from ..audio.audio_samples import is_many, is_samples, rate_of, with_rate
from ..models.common.feature_extraction_afm import IN_WINDOWS
from ..models.common.few_rows_afm import prepare_for_few_rows
from ..models.common.processing_afm import pad
from ..models.prefix_lm.modeling_afm_prefix_lm import AfmPrefixLMModel
from ..models.prefix_lm.questions_afm import heard_once
from .pipeline_audio_inputs import (
    AnswerStream,
    BadInputError,
    as_inputs,
    collate_features,
    is_row,
    load_batches,
)

DEFAULT_MAX_NEW_TOKENS = 256  # as in transformers' own pipelines, where neither checkpoint nor user says
GENERATE_ARGUMENTS = frozenset(name for name in vars(GenerationConfig()) if not name.startswith("_")) | {
    *("generation_config", "streamer", "custom_generate", "assistant_model", "assistant_tokenizer", "tokenizer"),
    *("logits_processor", "stopping_criteria", "prefix_allowed_tokens_fn", "trust_remote_code"),
}
PLACES = ("first", "second")


class AfmPrefixLMPipeline(Pipeline):
    """
    Base of the pipelines of CLAPCAP, Pengi, ADIFF and Mellow.

    Subclasses set the class attributes, and override `make_prompt` and perhaps `_forward` and `postprocess`.
    """

    _load_processor = True
    _load_tokenizer = False
    _load_feature_extractor = False
    _load_image_processor = False
    _load_video_processor = False
    # Generation settings are kept here: what the base class does with them differs between transformers' versions.
    _pipeline_calls_generate = False

    #: Settings of a call that may also stand in a row, where they count for that row.
    row_options: tuple[str, ...] = ("prompt",)
    #: Further settings of `_forward`.
    forward_options: tuple[str, ...] = ()

    def __init__(self, model: Any, processor: Any = None, **kwargs: Any) -> None:
        if not hasattr(processor, "clips_per_example") or not hasattr(model, "generate"):
            raise ValueError(
                f"{type(self).__name__} needs CLAPCAP, Pengi, ADIFF or Mellow with its processor, but was given a "
                f"{type(model).__name__} and a {type(processor).__name__}. Pass `processor=AutoProcessor."
                "from_pretrained(...)` beside a loaded model; other models may work in the pipeline 'any-to-any'."
            )
        super().__init__(model=model, processor=processor, **kwargs)
        for part in self.model.modules():
            if isinstance(part, AfmPrefixLMModel):
                prepare_for_few_rows(part.language_model)
        self.model.eval()  # a model made by hand, or just trained, would drop and mask parts of the audio

    def __call__(self, audios: Any, **kwargs: Any) -> Any:
        """
        Answers for one input or many; the arguments are those of the pipeline's class.

        Raises:
            AudioDecodeError: (a `ValueError`) a clip cannot be used; the message names it.
            ValueError: a setting is unknown or makes no sense, or an input has too few or too many clips.
        """
        if isinstance(audios, tuple) and not is_samples(audios):
            audios = {"audio": audios}
        audios, kwargs = self._give_each_its_own(audios, kwargs)
        inputs, eager = as_inputs(audios)
        outputs = super().__call__(inputs, **kwargs)
        return list(outputs) if eager else outputs

    @property
    def model_type(self) -> str:
        """Which of the models this is, as its config calls itself."""
        return str(self.model.config.model_type)

    @property
    def clips_per_example(self) -> int:
        """Clips that the model hears at once, 1 or 2."""
        return int(self.processor.clips_per_example)

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Saves model and processor, without code: any pipeline for this model can load them.

        Args:
            save_directory (`str` or `os.PathLike`): The folder; made if need be.
            kwargs (*optional*): Passed on to both `save_pretrained`.
        """
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory, **kwargs)

    # -- settings -----------------------------------------------------------------------------------------------------

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        kwargs.pop("local_files_only", None)  # of `pipeline()`, which has used it
        generate = dict(kwargs.pop("generate_kwargs", None) or {})
        for name in sorted(GENERATE_ARGUMENTS & kwargs.keys()):
            if name in generate:
                raise ValueError(f"`{name}` is given twice, once of its own and once in `generate_kwargs`.")
            generate[name] = kwargs.pop(name)
        names = ("sampling_rate", "truncation", "on_error", *self.row_options)
        known = {*names, *self.forward_options}
        if unknown := sorted(kwargs.keys() - known):
            raise ValueError(f"Unknown arguments: {unknown}. Known are {sorted(known)} and those of `generate`.")
        if kwargs.get("on_error", "raise") not in ("raise", "return"):
            raise ValueError(f"`on_error` is {kwargs['on_error']!r}; expected 'raise' or 'return'.")
        preprocess = {name: kwargs[name] for name in names if name in kwargs}
        forward = {name: kwargs[name] for name in self.forward_options if name in kwargs}
        if generate:  # on top of the pipeline's own settings
            earlier = getattr(self, "_forward_params", {}).get("generate_kwargs", {})
            forward["generate_kwargs"] = {**earlier, **generate}
        return preprocess, forward, {}

    def _give_each_its_own(self, audios: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Lists of prompts, one for each input of a list, become rows."""
        own = {name: kwargs[name] for name in self.row_options if self._is_one_each(name, kwargs.get(name))}
        if not own:
            return audios, kwargs
        count = len(audios) if is_many(audios) else None
        for name, values in own.items():
            if count != len(values):
                there = "no list of inputs" if count is None else f"a list of {count} inputs"
                raise ValueError(
                    f"`{name}` is a list of {len(values)}, but there is {there}. Give one each with a list of inputs, "
                    f'one for all, or rows {{"audio": ..., "{name}": ...}}.'
                )
        rows = [
            {**(dict(audio) if is_row(audio) else {"audio": audio}), **{name: own[name][i] for name in own}}
            for i, audio in enumerate(audios)
        ]
        return rows, {name: value for name, value in kwargs.items() if name not in own}

    def _is_one_each(self, name: str, value: Any) -> bool:
        """Whether a setting is a list with one value for each input."""
        return isinstance(value, list | tuple)

    # -- one input ----------------------------------------------------------------------------------------------------

    def make_prompt(self, options: dict[str, Any]) -> str | list[str] | None:
        """
        The prompt for one input, or a list of several questions about it.

        Args:
            options (`dict`): The settings in `row_options` as they are for this input; may be changed and added to.

        Raises:
            BadInputError: if there is none.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how it makes its prompts.")

    def clip_counts(self) -> tuple[int, ...]:
        """How many clips an input may have."""
        return tuple(range(1, self.clips_per_example + 1))

    def preprocess(
        self,
        audio: Any,
        sampling_rate: int | None = None,
        truncation: str | None = None,
        on_error: str = "raise",
        **options: Any,
    ) -> dict[str, Any]:
        """The model's inputs of one example, `(1, ...)` each, and the settings for it."""
        clips = self._clips_of(audio)
        if is_row(audio):
            options.update({name: audio[name] for name in self.row_options if audio.get(name) is not None})
        prompt = self.make_prompt(options)
        example = clips[0] if self.clips_per_example == 1 else clips
        settings: dict[str, Any] = {"sampling_rate": sampling_rate, "truncation": truncation}
        if (truncation or self.processor.feature_extractor.truncation) in IN_WINDOWS:
            settings["stream_windows"] = True
        if isinstance(prompt, list):  # several questions about it
            settings["many_texts"] = True
        try:
            inputs = self.processor(audio=[example], text=prompt, return_tensors="pt", **settings)
        except AudioDecodeError as error:  # the processor counts examples, of which there is one, and clips of a pair
            place = re.match(r"audio\[0\]\[(\d+)\]", error.source)
            clip = int(place[1]) if place else 0
            name = describe_source(clips[min(clip, len(clips) - 1)])
            source = name if len(clips) == 1 else f"the {PLACES[clip]} clip, {name}"
            raise AudioDecodeError(source, error.reason, error.hint) from error
        except ValueError as error:
            raise BadInputError(str(error)) from error
        return {"inputs": dict(inputs), "options": options}  # in fp32, as the batch norm over log-mels wants them

    def _clips_of(self, audio: Any) -> list[Any]:
        """The clips of one input."""
        rate = rate_of(audio, "its row", is_row=True) if is_row(audio) else None
        audio = audio["audio"] if is_row(audio) else audio
        several = isinstance(audio, list | tuple) and not is_samples(audio)
        clips = [with_rate(clip, rate) for clip in (audio if several else [audio])]
        allowed = self.clip_counts()
        if len(clips) not in allowed:
            wanted = " or ".join(map(str, allowed))
            hint = {1: "Give each clip by itself, or several in a list.", 2: "Give a pair as a tuple (first, second)."}
            raise BadInputError(
                f"{len(clips)} clips were given where {type(self.model).__name__} takes {wanted} for this task. "
                f"{hint[allowed[-1]]}"
            )
        return clips

    # -- many inputs --------------------------------------------------------------------------------------------------

    def collate(self, items: Sequence[Any]) -> dict[str, Any]:
        """Joins what `preprocess` made; `failures` says by position which could not be used, and is empty mostly."""
        failures = {place: item for place, item in enumerate(items) if isinstance(item, Exception)}
        good = [item for item in items if not isinstance(item, Exception)]
        inputs = _left_padded([item["inputs"] for item in good], self.processor.pad_id) if good else {}
        questions = [len(item["inputs"]["input_ids"]) for item in good]
        options = [item["options"] for item in good]
        return {"inputs": inputs, "options": options, "failures": failures, "questions": questions}

    def answer_batch(
        self, batch: dict[str, Any], forward_params: dict[str, Any], postprocess_params: dict[str, Any]
    ) -> list[Any]:
        """Results of a batch in the order of its inputs; a failure stands for itself."""
        failures, options = batch.pop("failures"), batch["options"]
        results: list[Any] = []
        if options:
            rows = iter(self.postprocess(self.forward(batch, **forward_params), **postprocess_params))
            for each in options:
                asked = each.get(self.row_options[0]) if "questions" in batch else None
                several = isinstance(asked, list | tuple)
                results.append([next(rows) for _ in asked] if several and asked else next(rows))
        for place in sorted(failures):
            results.insert(place, failures[place])
        return results

    def run_single(
        self,
        inputs: Any,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> Any:
        """As in the base class, whose `postprocess` sees one input, and ours a batch."""
        try:
            batch = self.collate([self.preprocess(inputs, **preprocess_params)])
        except (AudioDecodeError, BadInputError) as error:
            if preprocess_params.get("on_error") == "return":
                return error
            raise
        return self.answer_batch(batch, forward_params, postprocess_params)[0]

    def get_iterator(
        self,
        inputs: Any,
        num_workers: int,
        batch_size: int,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> AnswerStream:
        """As in the base class, but for the batching."""
        if num_workers:
            os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # or each forked worker would warn
        process = partial(self.preprocess, **preprocess_params)
        keep = preprocess_params.get("on_error") == "return"
        batches = load_batches(inputs, process, self.collate, batch_size, num_workers, keep)
        answer = partial(self.answer_batch, forward_params=forward_params, postprocess_params=postprocess_params)
        return AnswerStream(batches, answer, len(inputs) if isinstance(inputs, Sized) else None)

    def _forward(self, model_inputs: dict[str, Any], generate_kwargs: Mapping[str, Any] | None = None) -> Any:
        """Generated texts and the settings of each input."""
        texts = self.generate(model_inputs["inputs"], generate_kwargs, model_inputs["questions"])
        return {"texts": texts, "options": model_inputs["options"]}

    def generate(
        self,
        inputs: dict[str, torch.Tensor],
        generate_kwargs: Mapping[str, Any] | None = None,
        questions: Sequence[int] = (),
    ) -> list[list[str]]:
        """
        The texts that the model generates for a batch: for each row of tokens as many as `num_return_sequences` says.

        Args:
            inputs: Of the model.
            generate_kwargs: For `generate`.
            questions: How many rows ask about each clip; one each if not given.
        """
        settings = dict(generate_kwargs or {})
        config = self.model.generation_config
        lengths = {"max_new_tokens", "max_length", "generation_config"} & settings.keys()
        if not lengths and config.max_new_tokens is None and config.max_length in (None, 20):  # nobody says
            settings["max_new_tokens"] = self._default_length(inputs["attention_mask"])
        asked = inputs
        if max(questions, default=1) > 1:
            names = ("num_beams", "num_return_sequences")
            is_one = all((settings.get(name, getattr(config, name, 1)) or 1) == 1 for name in names)
            asked = heard_once(
                self.model, inputs, questions, share_cache=is_one and "generation_config" not in settings
            )
        made = self.model.generate(**asked, **settings)
        ends = None  # the processor then guesses which pad tokens are words
        if not {"stop_strings", "stopping_criteria"} & settings.keys():
            ends = settings.get("eos_token_id", (settings.get("generation_config") or config).eos_token_id)
        ends = [ends] if isinstance(ends, int) else ends
        texts = self.processor.decode_answers(getattr(made, "sequences", made), inputs["input_ids"], ends)
        each = len(texts) // len(inputs["input_ids"])
        return [texts[start : start + each] for start in range(0, len(texts), each)]

    def _default_length(self, attention_mask: torch.Tensor) -> int:
        """New tokens where nobody says how many: no more than the language model has places for."""
        places = self.model.config.max_position_embeddings
        room = DEFAULT_MAX_NEW_TOKENS if places is None else places - int(attention_mask.sum(dim=1).max()) + 1
        return max(1, min(DEFAULT_MAX_NEW_TOKENS, room))

    def postprocess(self, model_outputs: dict[str, Any], **postprocess_params: Any) -> list[Any]:
        """Results of a batch: for each input `[{"generated_text": ...}, ...]`."""
        return [[{"generated_text": text} for text in texts] for texts in model_outputs["texts"]]


def checked_prompt(prompt: Any) -> str:
    """The prompt; `BadInputError` if it is no text, or blank."""
    if not isinstance(prompt, str) or not prompt.strip():
        raise BadInputError(f"The prompt is {prompt!r}; expected a string that is not blank.")
    return prompt


def _left_padded(items: list[dict[str, torch.Tensor]], pad_id: int) -> dict[str, torch.Tensor]:
    """Joins the inputs of each clip; rows of tokens are filled up on the left, where `generate` wants it."""
    rows = {"input_ids": pad_id, "attention_mask": 0}
    joined = {
        name: pad([row.tolist() for item in items for row in item[name]], value, "left") for name, value in rows.items()
    }
    others = [{name: value for name, value in item.items() if name not in rows} for item in items]
    return {**joined, **collate_features(others)}


__all__ = ["AfmPrefixLMPipeline", "checked_prompt"]
