"""`import afm_hf` is cheap, and makes transformers know our classes in whatever order the two are imported."""

import importlib
import os
import subprocess
import sys

import pytest

import afm_hf
from afm_hf.registration import PRIVATE_NAMES

CHECK = """
from transformers import AutoConfig, AutoModel, AutoModelForAudioClassification, AutoFeatureExtractor, AutoProcessor
config = AutoConfig.for_model("clap_afm", audio_config={"projection_dim": 8}, text_config={"projection_dim": 8})
assert type(config).__module__.startswith("afm_hf."), type(config)
for name in ("afm_htsat", "afm_cnn14", "clap_afm_audio_model", "clap_afm_text_model"):
    assert type(AutoConfig.for_model(name)).__module__.startswith("afm_hf."), name
from transformers import MODEL_MAPPING, MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING, FEATURE_EXTRACTOR_MAPPING
from transformers import PROCESSOR_MAPPING
for mapping, want in (
    (MODEL_MAPPING, "ClapAfmModel"),
    (MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING, "ClapAfmForAudioClassification"),
    (FEATURE_EXTRACTOR_MAPPING, "ClapAfmFeatureExtractor"),
    (PROCESSOR_MAPPING, "ClapAfmProcessor"),
):
    assert mapping[type(config)].__name__ == want, mapping[type(config)]
from transformers.pipelines import PIPELINE_REGISTRY
task = PIPELINE_REGISTRY.check_task("zero-shot-audio-classification")[1]
assert task["impl"].__module__.startswith("afm_hf."), task["impl"]
small = AutoConfig.for_model("afm_cnn14", num_mel_bins=8, block_channels=[2], pool_sizes=[2], hidden_size=4)
assert type(AutoModel.from_config(small)).__name__ == "AfmCnn14Model"
"""


def run(code, **environment):
    """Runs code in a fresh interpreter, outside the repository."""
    outcome = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
        cwd=os.path.expanduser("~"),
    )
    assert outcome.returncode == 0, outcome.stderr[-3000:]
    return outcome.stdout


@pytest.mark.parametrize(
    "order",
    [
        "import afm_hf",
        "from transformers import AutoModel\nimport afm_hf",
        "import afm_hf\nfrom transformers import pipeline",
        "from transformers import pipeline\nimport afm_hf",
        "import transformers.modeling_layers\nimport afm_hf",
        "import afm_hf\nfrom transformers import Trainer",
        "from afm_hf import ClapAfmModel",
        "from afm_hf import ClapAfmConfig",
        "import afm_hf.models.clap_afm.configuration_clap_afm",
        "from afm_hf import ClapAfmFeatureExtractor\nimport transformers.pipelines.audio_classification",
    ],
    ids=lambda order: order.replace("\n", "; "),
)
def test_the_order_of_imports_does_not_matter(order):
    run(order + "\n" + CHECK)


def test_every_config_is_registered_under_its_type():
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    public = {getattr(afm_hf, name) for name in afm_hf.__all__ if name.endswith("Config")}
    registered = {config: key for key, config in CONFIG_MAPPING._extra_content.items() if config in public}
    assert registered == {config: config.model_type for config in public}


def test_importing_again_is_harmless():
    again = """
import importlib, sys
import afm_hf
importlib.reload(afm_hf)
import transformers.pipelines
importlib.reload(afm_hf)
for name in [name for name in sys.modules if name.partition(".")[0] == "afm_hf"]:
    del sys.modules[name]
import afm_hf
assert sum(type(finder).__name__ == "_RegisterAfterImport" for finder in sys.meta_path) == 1
"""
    run(again + CHECK)


def test_the_import_alone_loads_nothing_heavy():
    code = "import sys, afm_hf; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = set(run(code).split())
    assert "afm_hf" in loaded
    heavy = {"torch", "transformers", "numpy", "soundfile", "soxr", "huggingface_hub", "safetensors", "typer", "scipy"}
    assert not loaded & heavy


def test_dir_and_help_load_nothing_heavy():
    run("import sys, afm_hf; dir(afm_hf); assert 'torch' not in sys.modules and 'ClapAfmModel' in dir(afm_hf)")


@pytest.mark.parametrize("name", afm_hf.__all__)
def test_every_public_name_resolves(name):
    value = getattr(afm_hf, name)
    if isinstance(value, type):
        assert value.__name__ == name
        # its own module offers it to all who read that
        assert name in getattr(importlib.import_module(value.__module__), "__all__", [name])


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="no_such_name"):
        afm_hf.no_such_name  # noqa: B018
    with pytest.raises(ImportError):
        from afm_hf import no_such_name  # noqa: F401


@pytest.mark.parametrize("name", PRIVATE_NAMES)
def test_what_is_relied_on_of_transformers_is_there(name):
    """If this fails after an upgrade, `registration.py` has to be looked at: transformers has changed that name."""
    module, _, path = name.partition(":")
    value = importlib.import_module(module)
    *owners, last = path.split(".")
    for part in owners:
        value = getattr(value, part)
    meaning = PRIVATE_NAMES[name]
    assert hasattr(value, last), f"transformers has no {name} any more ({meaning})"
    if meaning.endswith("a dict"):
        assert isinstance(getattr(value, last), dict), f"{name} is no dict any more ({meaning})"


def test_what_was_elsewhere_once_is_found_there_still():
    program = """
import importlib, warnings
import afm_hf
from afm_hf.moved import MOVED
for old, new in MOVED.items():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module = importlib.import_module(old)
    assert module is importlib.import_module(new) and module.__name__ == new and module.__spec__.name == new, old
    told = [str(each.message) for each in caught if each.category is DeprecationWarning]
    assert f"{old} has moved to {new}." in told, (old, told)
import afm_hf.embedder, afm_hf.retrieval, afm_hf.hub, afm_hf.evaluation.paper, afm_hf.evaluation.suite
from afm_hf.adaptation.test_time import generalization_report
from afm_hf.retrieval import AudioIndex, ClapEmbedder, embed_files
"""
    run(program)


def break_packages(folder, **errors):
    """Fake packages that fail when they are imported, as wheels that do not fit the installed torch do."""
    for name, error in errors.items():
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(f"raise {error}('built for another torch')\n")
        info = folder / f"{name}-9.9.9.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.9.9\n")
    return {"PYTHONPATH": str(folder)}


@pytest.mark.parametrize("first", ["import afm_hf", "import transformers"])
def test_broken_optional_packages_break_nothing(first, tmp_path):
    code = """
import numpy as np
from afm_hf import AfmCnn14Config, AfmCnn14Model, AfmFeatureExtractor, load_audio
model = AfmCnn14Model(AfmCnn14Config(block_channels=[2], pool_sizes=[2], hidden_size=4))
extractor = AfmFeatureExtractor(sampling_rate=32000, max_length_s=0.1)
model(**extractor([np.ones(100, np.float32)], sampling_rate=16000, return_tensors="pt"))
from transformers import pipeline
"""
    broken = break_packages(tmp_path, torchaudio="OSError", torchcodec="RuntimeError", torchvision="AttributeError")
    run(first + code, **broken)
