"""Makes a folder that was laid out part of the transformers that is installed, in this process alone."""

import importlib
import sys
import types
from pathlib import Path

import transformers
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoProcessor

from upstream import recipe


def join(folder: Path) -> types.ModuleType:
    """
    Has `transformers.models` look into the folder, too, and the Auto classes know what is there.

    Nothing of the installation is changed: what the patch of the tables would say is registered.

    Returns:
        The package of the model, `transformers.models.msclap`.
    """
    models = importlib.import_module("transformers.models")
    models.__path__.append(str(folder / "src" / "transformers" / "models"))
    package = importlib.import_module(recipe.PACKAGE)
    modules = [importlib.import_module(f"{recipe.PACKAGE}.{file.name}") for file in recipe.FILES]
    _offer({name: getattr(module, name) for module in modules for name in module.__all__})
    known = {"exist_ok": True}  # without it the Auto classes pass over classes of a module of transformers
    for kind, name in recipe.MODEL_TYPES.items():
        config = getattr(transformers, name)
        AutoConfig.register(kind, config, **known)
        AutoModel.register(config, getattr(transformers, recipe.MODELS[kind]), **known)
    config = getattr(transformers, recipe.MODEL_TYPES[recipe.NAME])
    AutoFeatureExtractor.register(config, transformers.MSClapFeatureExtractor, **known)
    AutoProcessor.register(config, transformers.MSClapProcessor, **known)
    return package


def _offer(classes: dict[str, type]) -> None:
    """
    Has `from transformers import Name` give these classes.

    The package's module object is exchanged while parts of it are imported: what is set on one of them would be lost.
    """
    lazy = type(sys.modules["transformers"])
    usual = lazy.__getattr__

    def look_up(self: types.ModuleType, name: str) -> object:
        return classes[name] if self.__name__ == "transformers" and name in classes else usual(self, name)

    lazy.__getattr__ = look_up


def join_tests(folder: Path, common: Path) -> None:
    """
    Has the package `tests` of the folder go on in transformers' common tests.

    Those of pipelines need a list of models and test modules that the sdist does not have: their mixin is empty here.

    Args:
        folder: What was laid out.
        common: The folder that holds `test_modeling_common.py` and the others.
    """
    sys.path.insert(0, str(folder))
    tests = importlib.import_module("tests")
    tests.__path__.append(str(common))
    pipelines = types.ModuleType("tests.test_pipeline_mixin")
    pipelines.PipelineTesterMixin = type("PipelineTesterMixin", (), {})
    sys.modules[pipelines.__name__] = pipelines
