"""Code that a Hub repo carries: where this package is installed, its own is meant."""

import os
from typing import Any


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
        """As everywhere in transformers, but without running code of the repo."""
        if not is_code_of_a_repo(cls):
            kwargs.pop("trust_remote_code", None)
        return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)  # type: ignore[misc]


__all__ = ["OwnCode", "is_code_of_a_repo"]
