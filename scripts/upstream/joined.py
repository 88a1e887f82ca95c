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
    for file in recipe.FILES:
        module = importlib.import_module(f"{recipe.PACKAGE}.{file.name}")
        for name in module.__all__:
            setattr(transformers, name, getattr(module, name))
    for kind, config in recipe.MODEL_TYPES.items():
        AutoConfig.register(kind, getattr(transformers, config))
        AutoModel.register(getattr(transformers, config), getattr(transformers, recipe.MODELS[kind]))
    config = getattr(transformers, recipe.MODEL_TYPES[recipe.NAME])
    AutoFeatureExtractor.register(config, transformers.MSClapFeatureExtractor)
    AutoProcessor.register(config, transformers.MSClapProcessor)
    return package


def join_tests(folder: Path, common: Path) -> None:
    """
    Has the package `tests` of the folder go on in transformers' common tests.

    Args:
        folder: What was laid out.
        common: The folder that holds `test_modeling_common.py` and the others.
    """
    sys.path.insert(0, str(folder))
    tests = importlib.import_module("tests")
    tests.__path__.append(str(common))
