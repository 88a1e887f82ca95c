"""The keys and values of what was read: `past_key_values` in transformers up to 5.23, `cache` from 5.24 on."""

import functools
import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from transformers.modeling_outputs import ModelOutput

Forward = TypeVar("Forward", bound=Callable[..., Any])

OLD, NEW = "past_key_values", "cache"
# What the installed version calls it, as an argument and in outputs; the newer ones know the old name as a property.
CACHE = NEW if isinstance(getattr(ModelOutput, OLD, None), property) else OLD


def takes_cache(forward: Forward) -> Forward:
    """A forward pass with `past_key_values`, which is also taken as `cache`, whatever transformers calls it."""

    @functools.wraps(forward)
    def either(self: Any, *args: Any, **kwargs: Any) -> Any:
        if NEW in kwargs:
            cache = kwargs.pop(NEW)
            if cache is not None and kwargs.get(OLD) is not None:
                raise ValueError(f"`{OLD}` and `{NEW}` are two names of one argument; give one of them.")
            if cache is not None:
                kwargs[OLD] = cache
        elif CACHE == NEW and kwargs.get(OLD) is not None:
            warnings.warn(f"`{OLD}` is deprecated in transformers; use `{NEW}`.", FutureWarning, stacklevel=2)
        return forward(self, *args, **kwargs)

    if CACHE == NEW:  # `generate` reads in signatures what a model takes
        signature = inspect.signature(forward)
        *others, rest = signature.parameters.values()
        named = inspect.Parameter(NEW, inspect.Parameter.KEYWORD_ONLY, default=None)
        either.__signature__ = signature.replace(parameters=[*others, named, rest])  # type: ignore[attr-defined]
    return cast(Forward, either)


if TYPE_CHECKING:
    from dataclasses import dataclass as output_with_cache
else:

    def output_with_cache(output: type) -> type:
        """
        A dataclass of outputs with a `cache`, which is kept under the name that transformers has for it.

        Both names can be read.
        """
        if CACHE == NEW:
            return dataclass(output)
        output.__annotations__ = {OLD if name == NEW else name: kind for name, kind in output.__annotations__.items()}
        setattr(output, OLD, output.cache)
        del output.cache
        made = dataclass(output)
        made.cache = property(lambda self: self.past_key_values)
        return made


__all__ = ["CACHE", "output_with_cache", "takes_cache"]
