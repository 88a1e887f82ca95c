"""Whether a model is one for a task, told before it is loaded."""

from typing import Any


def check_model(pipeline: str, model: str) -> None:
    """
    Looks at the configuration of a model.

    Args:
        pipeline (`str`): Name of the pipeline, as `"audio-captioning"`.
        model (`str`): A bundled model, a folder, or a Hub id.

    Raises:
        ValueError: the pipeline does not take such models.
        OSError: there is no such model.

    Example:
    ```python
    >>> check_model("audio-captioning", "pengi-tiny")
    >>> check_model("audio-captioning", "clap-tiny")
    Traceback (most recent call last):
    ...
    ValueError: clap-tiny is a 'clap_afm' model; 'audio-captioning' takes afm_adiff, afm_mellow, ...

    ```
    """
    from transformers import AutoConfig
    from transformers.pipelines import PIPELINE_REGISTRY

    from ..hub.loading import resolve_model

    config: Any = AutoConfig.from_pretrained(resolve_model(model))
    classes = PIPELINE_REGISTRY.check_task(pipeline)[1]["pt"]
    fitting = {known.model_type: known for each in classes for known in each._model_mapping}
    if not any(isinstance(config, known) for known in fitting.values()):
        ours = sorted(name for name, known in fitting.items() if known.__module__.startswith("afm_hf."))
        raise ValueError(
            f"{model} is a {config.model_type!r} model; {pipeline!r} takes {', '.join(ours)}. Choose another model, or "
            "another task."
        )


__all__ = ["check_model"]
