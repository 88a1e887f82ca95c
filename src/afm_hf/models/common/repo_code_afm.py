"""Code that a Hub repo carries: where this package is installed, its own is meant."""

import os
from typing import Any

import torch

from .int8_afm import check_is_cpu


def is_code_of_a_repo(cls: type) -> bool:
    """Whether a class itself came with a Hub repo, and not with the installed package."""
    return cls.__module__.startswith("transformers_modules")


class OwnCode:
    """
    Mixin of models and processors, before transformers' base: `trust_remote_code=True` is not passed on.

    It would let `custom_generate/generate.py` of a repo take the place of `generate`, and a tokenizer of the repo that
    of the one that is named. A class that came with a repo itself passes it on: its parts come from there, too.
    """

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], *args: Any, **kwargs: Any) -> Any:
        """As everywhere in transformers, but without running code of the repo; for models there is `dtype="int8"`, too.

        Raises:
            ValueError: (besides what transformers raises) the model cannot be in eight bits.
        """
        if not is_code_of_a_repo(cls):
            kwargs.pop("trust_remote_code", None)
        load = super().from_pretrained  # type: ignore[misc]
        put_in_int8 = getattr(cls, "put_in_int8", None)  # processors are given the dtype, too
        if put_in_int8 is None or kwargs.get("dtype") not in ("int8", torch.int8):
            return load(pretrained_model_name_or_path, *args, **kwargs)
        loaded = load(pretrained_model_name_or_path, *args, **{**kwargs, "dtype": torch.float32})
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        for parameter in model.parameters():
            check_is_cpu(parameter.device)
        put_in_int8(model)
        return loaded


__all__ = ["OwnCode", "is_code_of_a_repo"]
