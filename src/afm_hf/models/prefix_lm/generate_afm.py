"""
`generate()` of CLAPCAP, Pengi, ADIFF and Mellow: transformers' own, but what it takes in silence is right or refused.

* Labels never reach the prompt: of rows that hold their answers, as `Seq2SeqTrainer` hands them over, only what stands
  before the answer is read.
* A `max_length` of the call counts, whatever `max_new_tokens` the checkpoint has.
* An answer that may become longer than the language model has places for is refused before the work.
* Encoder and prompt run once for each example, not for each of its beams or samples.
"""

from typing import Any

import torch
from torch.nn import functional as F
from transformers import GenerationConfig, GenerationMixin
from transformers.utils import ModelOutput

from ..common.cache_names_afm import CACHE
from .generation_afm import run_once_per_example
from .inputs_afm import cached_tokens, prompt_tokens, without_answers

# Each of the first counts new tokens, each of the second the prompt's, too; the first goes before the second.
LENGTHS = (("max_new_tokens", "max_length"), ("min_new_tokens", "min_length"))


class AfmGenerationMixin(GenerationMixin):
    """
    Beside a `PreTrainedModel` with `input_ids` that hold placeholders; see the module.

    Subclasses set `prefix_input_names` if their prefix needs more than `input_features`.
    """

    prefix_input_names: tuple[str, ...] = ()

    def generate(
        self,
        inputs: torch.Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """
        As the stock one, but `labels` may be there: then `input_ids` hold the answers, which are left out.

        Args:
            inputs, generation_config, args, kwargs: See transformers.

        Returns:
            What the stock one returns. In any case the answers begin at column `input_ids.shape[1]`, where `input_ids`
            are those that were given.

        Raises:
            ValueError: if there are placeholders but no audio, or audio but no placeholders; or the prompt with as many
                new tokens as are asked for is longer than the language model has places for.
        """
        labels = kwargs.pop("labels", None)
        if labels is None:
            return super().generate(inputs, generation_config, *args, **kwargs)
        given = kwargs.pop("input_ids", None) if inputs is None else inputs
        if given is None:
            raise ValueError(
                "`labels` were given to `generate` without `input_ids`; it needs no labels: leave them out."
            )
        kwargs.pop("position_ids", None)  # of the rows as they were
        pad_id = self.config.pad_token_id or 0
        front, mask = without_answers(given, labels, kwargs.pop("attention_mask", None), pad_id)
        made = super().generate(None, generation_config, *args, input_ids=front, attention_mask=mask, **kwargs)
        return _moved_right(made, given.shape[1] - front.shape[1], pad_id)

    def prepare_inputs_for_generation(
        self,
        input_ids: torch.Tensor,
        inputs_embeds: torch.Tensor | None = None,
        is_first_iteration: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """
        As the stock one, which knows of `input_features` only: the prefix is made once, at the first step.

        `generate` takes `inputs_embeds` from models that name them here.
        """
        inputs = super().prepare_inputs_for_generation(
            input_ids, inputs_embeds=inputs_embeds, is_first_iteration=is_first_iteration, **kwargs
        )
        if not is_first_iteration and kwargs.get("use_cache", True):
            for name in (*self.prefix_input_names, "audio_vectors"):
                inputs.pop(name, None)
        return inputs

    def _prepare_generation_config(
        self, generation_config: GenerationConfig | None, **kwargs: Any
    ) -> tuple[GenerationConfig, dict[str, Any]]:
        """As the stock one, but what the call says of lengths goes before what the checkpoint says."""
        prepared, model_kwargs = super()._prepare_generation_config(generation_config, **kwargs)
        for new, whole in LENGTHS:
            if _says_whole_only(new, whole, kwargs, vars(generation_config) if generation_config else {}):
                setattr(prepared, new, None)
        prepared._prompt_tokens = prompt_tokens(
            model_kwargs.get("input_ids"), model_kwargs.get("inputs_embeds"), model_kwargs.get("attention_mask")
        )
        return prepared, model_kwargs

    def _validate_generated_length(
        self, generation_config: GenerationConfig, input_ids_length: int, has_default_max_length: bool
    ) -> None:
        """As the stock one, and whether the language model has places for prompt and answer."""
        super()._validate_generated_length(generation_config, input_ids_length, has_default_max_length)
        places, new = self.config.max_position_embeddings, generation_config.max_length - input_ids_length
        prompt = getattr(generation_config, "_prompt_tokens", None) or input_ids_length
        # The last token is written, but not read again.
        if places is not None and prompt + new - 1 > places:
            raise ValueError(
                f"The prompt has {prompt} tokens and {new} new ones are asked for, but the language model has places "
                f"for {places} (`text_config.max_position_embeddings`). Ask for at most {max(0, places - prompt + 1)}, "
                "with `max_new_tokens`, or shorten the prompt."
            )

    def _prefill(
        self,
        input_ids: torch.Tensor,
        generation_config: GenerationConfig,
        model_kwargs: dict[str, Any],
        is_first_iteration: bool = True,
        **kwargs: Any,
    ) -> ModelOutput:
        """
        As the stock one, but encoder and prompt run once for each example, not for each of its beams or samples.

        A draft that assists is told from the beginning that it goes on; with an empty cache it has yet to hear.
        """
        is_first_iteration = is_first_iteration or not cached_tokens(model_kwargs.get(CACHE))
        repeats = max(generation_config.num_beams or 1, generation_config.num_return_sequences or 1)
        stock = super()._prefill
        return run_once_per_example(
            lambda ids, arguments: stock(ids, generation_config, arguments, is_first_iteration, **kwargs),
            input_ids,
            model_kwargs,
            repeats,
        )


def _says_whole_only(new: str, whole: str, *sources: dict[str, Any]) -> bool:
    """Whether the first source that says anything of a length says the whole one alone."""
    for source in sources:
        if source.get(new) is not None:
            return False
        if source.get(whole) is not None:
            return True
    return False


def _moved_right(made: Any, columns: int, pad_id: int) -> Any:
    """What `generate` returned, with so many more columns in front of the prompts."""
    if isinstance(made, torch.Tensor):
        return F.pad(made, (columns, 0), value=pad_id)
    made["sequences"] = F.pad(made["sequences"], (columns, 0), value=pad_id)
    return made


__all__ = ["AfmGenerationMixin"]
