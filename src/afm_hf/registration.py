"""Makes transformers know this package: the only file that touches its registries.

transformers takes seconds to import its model code, and `import afm_hf` must not force that. So nothing is imported
here. A hook on Python's import system registers our classes, by name, right after transformers executes the module of a
registry; whoever uses a name then imports the class. The order of the imports does not matter.
"""

import functools
import importlib
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

# What is relied on of transformers that it does not promise. A test looks at each, and says what a new version broke.
PRIVATE_NAMES = {
    "transformers.models.auto.configuration_auto:CONFIG_MAPPING._extra_content": "configs by model type, a dict",
    "transformers.models.auto.modeling_auto:MODEL_MAPPING._extra_content": "registered classes by config, a dict",
    "transformers.models.auto.modeling_auto:MODEL_MAPPING.register": "adds a class to an Auto mapping",
    "transformers.models.auto.modeling_auto:MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES": "class names by model type, a dict",
    "transformers.cli.serve:Serve": "the server of `transformers serve`, which `afm-hf serve` starts",
    "transformers.cli.serving.server:build_server": "makes the FastAPI app of that server",
    "transformers.models.auto.auto_factory:_BaseAutoModelClass._model_mapping": "the mapping of an Auto class",
    "transformers.pipelines:PIPELINE_REGISTRY.supported_tasks": "tasks by name, a dict",
    "transformers.utils.import_utils:is_torchaudio_available": "whether torchaudio is installed",
    "transformers.utils.import_utils:is_torchcodec_available": "whether torchcodec is installed",
    "transformers.utils.import_utils:is_torchvision_available": "whether torchvision is installed",
}


def register() -> None:
    """Registers with what is loaded of transformers, and with the rest as soon as it is loaded. Again is harmless."""
    if not any(type(finder).__name__ == "_RegisterAfterImport" for finder in sys.meta_path):
        sys.meta_path.insert(0, _RegisterAfterImport())
    for module, registration in _REGISTRATIONS.items():
        if module in sys.modules:
            registration()


def _public(name: str) -> Any:
    return getattr(sys.modules[__package__], name)


class _LazyClasses(dict[Any, Any]):
    """Classes registered by name: imported when they are asked for, not while transformers or we are half loaded."""

    def __getitem__(self, key: Any) -> Any:
        value = super().__getitem__(key)
        return _public(value) if isinstance(value, str) else value

    def values(self) -> Any:
        return [self[key] for key in self]

    def items(self) -> Any:
        return [(key, self[key]) for key in self]


def _register_configs() -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    names = {
        "afm_htsat": "AfmHtsatConfig",
        "afm_cnn14": "AfmCnn14Config",
        "afm_speech_encoder": "AfmSpeechEncoderConfig",
        "afm_yamnet": "AfmYamnetConfig",
        "afm_effects_cnn": "AfmEffectsCnnConfig",
        "afm_ears": "AfmEarsConfig",
        "clap_afm_audio_model": "ClapAfmAudioConfig",
        "clap_afm_text_model": "ClapAfmTextConfig",
        "clap_afm": "ClapAfmConfig",
        "clap_afm_captioning": "ClapAfmCaptioningConfig",
        "afm_pengi": "PengiConfig",
        "afm_adiff": "AdiffConfig",
        "afm_mellow": "MellowConfig",
    }
    # By name: this may run while the very file of a config is being imported.
    CONFIG_MAPPING._extra_content = _LazyClasses({**CONFIG_MAPPING._extra_content, **names})


def _register_by_name(mapping: Any, names: dict[str, str]) -> None:
    """Adds `{config name: class name}` to one of transformers' Auto mappings."""
    mapping._extra_content = _LazyClasses(dict(mapping._extra_content))
    for config, name in names.items():
        mapping.register(_public(config), name, exist_ok=True)


def _register_models() -> None:
    from transformers.models.auto import modeling_auto

    _register_by_name(
        modeling_auto.MODEL_MAPPING,
        {
            "AfmHtsatConfig": "AfmHtsatModel",
            "AfmCnn14Config": "AfmCnn14Model",
            "AfmSpeechEncoderConfig": "AfmSpeechEncoderModel",
            "AfmYamnetConfig": "AfmYamnetModel",
            "AfmEffectsCnnConfig": "AfmEffectsCnnModel",
            "AfmEarsConfig": "AfmEarsModel",
            "ClapAfmAudioConfig": "ClapAfmAudioModel",
            "ClapAfmTextConfig": "ClapAfmTextModel",
            "ClapAfmConfig": "ClapAfmModel",
            "ClapAfmCaptioningConfig": "ClapAfmCaptioningModel",
            "PengiConfig": "PengiModel",
            "AdiffConfig": "AdiffModel",
            "MellowConfig": "MellowModel",
        },
    )
    _register_by_name(
        modeling_auto.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING,
        {
            "ClapAfmConfig": "ClapAfmForAudioClassification",
            "AfmYamnetConfig": "AfmYamnetForAudioClassification",
        },
    )
    _register_by_name(
        modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING,
        {
            "ClapAfmCaptioningConfig": "ClapAfmForConditionalGeneration",
            "PengiConfig": "PengiForConditionalGeneration",
            "AdiffConfig": "AdiffForConditionalGeneration",
            "MellowConfig": "MellowForCausalLM",
        },
    )
    _register_by_name(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING, {"MellowConfig": "MellowForCausalLM"})
    # Where `transformers serve` and the "any-to-any" pipeline look whether a model hears; of ours it alone has a chat.
    modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES["afm_mellow"] = "MellowForCausalLM"


def _register_feature_extractors() -> None:
    from transformers.models.auto import feature_extraction_auto

    _register_by_name(
        feature_extraction_auto.FEATURE_EXTRACTOR_MAPPING,
        {
            "AfmSpeechEncoderConfig": "AfmSpeechFeatureExtractor",
            "AfmYamnetConfig": "AfmYamnetFeatureExtractor",
            "AfmEffectsCnnConfig": "AfmEffectsCnnFeatureExtractor",
            "AfmEarsConfig": "AfmEarsFeatureExtractor",
            "ClapAfmConfig": "ClapAfmFeatureExtractor",
            "ClapAfmAudioConfig": "ClapAfmFeatureExtractor",
            "ClapAfmCaptioningConfig": "ClapAfmFeatureExtractor",
            "PengiConfig": "PengiFeatureExtractor",
            "AdiffConfig": "AdiffFeatureExtractor",
            "MellowConfig": "MellowFeatureExtractor",
        },
    )


def _register_processors() -> None:
    from transformers.models.auto import processing_auto

    _register_by_name(
        processing_auto.PROCESSOR_MAPPING,
        {
            "ClapAfmConfig": "ClapAfmProcessor",
            "ClapAfmCaptioningConfig": "ClapAfmCaptioningProcessor",
            "PengiConfig": "PengiProcessor",
            "AdiffConfig": "AdiffProcessor",
            "MellowConfig": "MellowProcessor",
        },
    )


class _LazyTask(dict[str, Any]):
    """A pipeline's task whose class, registered by name, is imported when it is asked for.

    The class's own module imports transformers' pipelines, and must be whole by then. Who asks for the default model is
    told what it is, and given a complete folder, which is put together if it is bundled in parts.
    """

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        if key == "default":
            from .hub.bundled import introduce
            from .hub.parts import complete, is_in_parts

            folder, revision = value["model"]
            introduce(folder)
            if is_in_parts(folder):
                value = {"model": (str(complete(folder)), revision)}
        return _public(value) if key == "impl" else value


def _register_pipelines() -> None:
    from transformers import AutoModel, AutoModelForMultimodalLM
    from transformers.pipelines import PIPELINE_REGISTRY

    from .hub.bundled import (
        ASSETS,  # not `bundled_model`: transformers must import even where the checkpoint is missing
    )

    def register(task: str, implementation: str, auto_class: type | tuple[type, ...], model: str) -> None:
        PIPELINE_REGISTRY.supported_tasks[task] = _LazyTask(
            impl=implementation,
            pt=auto_class if isinstance(auto_class, tuple) else (auto_class,),
            default={"model": (str(ASSETS / model), "main")},
            type="multimodal",
        )

    def improve(task: str, implementation: str) -> None:
        known = PIPELINE_REGISTRY.supported_tasks[task]
        PIPELINE_REGISTRY.supported_tasks[task] = _LazyTask({**known, "impl": implementation})

    # Subclasses of the stock ones, which do the same for other models, with the same models by default.
    improve("audio-classification", "AudioClassificationPipeline")
    improve("feature-extraction", "FeatureExtractionPipeline")
    # Takes the place of the stock one under the same task name: same arguments, same results, for any model.
    register("zero-shot-audio-classification", "ZeroShotAudioClassificationPipeline", AutoModel, "clap-small")
    register("audio-quality-assessment", "AudioQualityAssessmentPipeline", AutoModel, "clap-small")
    register("test-time-adaptation", "TestTimeAdaptationPipeline", AutoModel, "clap-small")
    language = AutoModelForMultimodalLM
    register("audio-text-generation", "AudioTextGenerationPipeline", language, "pengi-small")
    register("audio-captioning", "AudioCaptioningPipeline", language, "pengi-small")
    register("audio-question-answering", "AudioQuestionAnsweringPipeline", language, "mellow-small")
    register("audio-difference", "AudioDifferencePipeline", language, "adiff-small")
    # The first class that knows the checkpoint's config: of models that answer in words, the one with the head.
    register("audio-entailment", "AudioEntailmentPipeline", (language, AutoModel), "clap-small")


def _mistrust_broken_packages() -> None:
    """Makes transformers do without torchaudio, torchcodec or torchvision where they cannot be imported.

    Their wheels are built for one torch; beside another one the import fails, and by being installed they would break
    `import transformers`.
    """
    from transformers.utils import import_utils

    for name in ("torchaudio", "torchcodec", "torchvision"):
        function = f"is_{name}_available"
        for module in (import_utils, sys.modules.get("transformers.utils")):
            if hasattr(module, function):
                setattr(
                    module, function, functools.cache(functools.partial(_is_usable, name, getattr(module, function)))
                )


def _is_usable(name: str, is_installed: Callable[[], bool]) -> bool:
    if not is_installed():
        return False
    try:
        importlib.import_module(name)
    except Exception:  # OSError for missing libraries, RuntimeError for operators that do not exist, ...
        return False
    return True


_REGISTRATIONS: dict[str, Callable[[], None]] = {
    "transformers.utils.import_utils": _mistrust_broken_packages,
    "transformers.models.auto.configuration_auto": _register_configs,
    "transformers.models.auto.modeling_auto": _register_models,
    "transformers.models.auto.feature_extraction_auto": _register_feature_extractors,
    "transformers.models.auto.processing_auto": _register_processors,
    "transformers.pipelines": _register_pipelines,
}


class _RegisterAfterImport:
    """Registers our classes as soon as the registry's own module has been executed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in _REGISTRATIONS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_then_register(module: ModuleType) -> None:
            execute(module)
            _REGISTRATIONS[fullname]()

        setattr(spec.loader, "exec_module", execute_then_register)  # noqa: B010 - the loader is this spec's own
        return spec


__all__ = ["PRIVATE_NAMES", "register"]
