"""What the configs of this package share."""

from typing import Any


def installed_pipelines(config: Any, fields: dict[str, Any]) -> dict[str, Any]:
    """
    Fields of a config without `custom_pipelines`, except where its class itself came with a Hub repo.

    Where the package is installed its own pipelines are meant: `pipeline(task, model=repo)` then runs no code of the
    repo, and needs no `trust_remote_code`.
    """
    if type(config).__module__.startswith("transformers_modules"):
        return fields
    return {name: value for name, value in fields.items() if name != "custom_pipelines"}


__all__ = ["installed_pipelines"]
