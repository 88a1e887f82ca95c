"""What the configs of this package share: they name no code of a repo."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .repo_code_afm import is_code_of_a_repo

_OF_CODE = ("auto_map", "custom_pipelines")


@strict
class AfmConfig(PreTrainedConfig):
    """
    Base of all configs.

    Where the package is installed its own models and pipelines are meant: what a repo's config says about code of the
    repo is left out, so that transformers runs none of it, whatever is asked for and whoever is trusted.
    """

    def __post_init__(self, **kwargs: Any) -> None:
        if not is_code_of_a_repo(type(self)):
            kwargs = {name: value for name, value in kwargs.items() if name not in _OF_CODE}
        super().__post_init__(**kwargs)


__all__ = ["AfmConfig"]
