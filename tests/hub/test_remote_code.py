"""Which code of a repo runs where this package is installed, whoever is trusted: what SECURITY.md says, no more."""

import json
import os
import subprocess
import sys

import pytest

import afm_hf

PROGRAM = """
import json, os, shutil, sys
import afm_hf
import transformers
from transformers import pipeline

transformers.utils.logging.set_verbosity_error()
root, trust = sys.argv[1], {"yes": True, "no": False, "unsaid": None}[sys.argv[2]]
how = {} if trust is None else {"trust_remote_code": trust}
clip = str(afm_hf.bundled_audio()[4])
AUTO = ["AutoConfig", "AutoModel", "AutoModelForMultimodalLM", "AutoModelForCausalLM",
        "AutoModelForAudioClassification", "AutoModelForSequenceClassification"]

def change(file, **entries):
    content = json.load(open(file)) if os.path.exists(file) else {}
    json.dump({**content, **entries}, open(file, "w"))

def repo(route, name):
    # a checkpoint of this package in whose folder everything that can name code names code of its own
    folder = os.path.join(root, route)
    shutil.copytree(afm_hf.bundled_model(name), folder)
    mark = os.path.join(root, route + ".ran")
    os.makedirs(os.path.join(folder, "custom_generate"))
    for file in (f"evil_{route}.py", "custom_generate/generate.py"):
        with open(os.path.join(folder, file), "w") as code:
            code.write(f"open({mark!r}, 'w').close()\\ndef generate(model, *args, **kwargs):\\n    return None\\n")
    evil = f"evil_{route}.Evil"
    tasks = {task: {"impl": evil, "pt": ["AutoModel"], "type": "multimodal"} for task in
             ("audio-captioning", "zero-shot-audio-classification", "evil-task")}
    change(f"{folder}/config.json", auto_map={each: evil for each in AUTO}, custom_pipelines=tasks)
    change(f"{folder}/tokenizer_config.json", auto_map={"AutoTokenizer": [evil, evil]})
    parts = json.load(open(f"{folder}/processor_config.json")).get("feature_extractor", {})
    parts = {**parts, "auto_map": {"AutoFeatureExtractor": evil, "AutoProcessor": evil}}
    change(f"{folder}/processor_config.json", auto_map={"AutoProcessor": evil}, feature_extractor=parts)
    return folder

def loads(auto, name="pengi-small"):
    return lambda route: getattr(transformers, auto).from_pretrained(repo(route, name), **how)

def generates(route):
    folder = repo(route, "pengi-small")
    model = transformers.AutoModelForMultimodalLM.from_pretrained(folder, **how)
    processor = afm_hf.PengiProcessor.from_pretrained(folder, **how)
    inputs = processor(text="generate audio caption", audio=clip, return_tensors="pt")
    assert model.generate(**inputs, max_new_tokens=2) is not None

def pipes(task, name):
    return lambda route: pipeline(task, model=repo(route, name), **how)

def of_another_class(auto, file, **entries):
    def load(route):
        folder = repo(route, "clap-small")
        change(f"{folder}/{file}", **entries)
        return getattr(transformers, auto).from_pretrained(folder, **how)
    return load

def another_model_type(route):
    folder = repo(route, "pengi-small")
    change(f"{folder}/config.json", model_type="evil")
    return transformers.AutoConfig.from_pretrained(folder, **how)

routes = {f"{auto} of a {name}": loads(auto, name) for auto in AUTO for name in ("pengi-small", "clap-small")}
routes |= {
    "AutoProcessor": loads("AutoProcessor"), "AutoProcessor of a clap": loads("AutoProcessor", "clap-small"),
    "AutoFeatureExtractor": loads("AutoFeatureExtractor"), "generate": generates,
    "captions": pipes("audio-captioning", "pengi-small"), "another task": pipes("evil-task", "pengi-small"),
    "AutoTokenizer": loads("AutoTokenizer"),
    "labels": pipes("zero-shot-audio-classification", "clap-small"),
    "another processor": of_another_class("AutoProcessor", "processor_config.json", processor_class="ClapProcessor"),
    "another extractor": of_another_class(
        "AutoFeatureExtractor", "processor_config.json",
        feature_extractor={"feature_extractor_type": "ClapFeatureExtractor",
                           "auto_map": {"AutoFeatureExtractor": "evil_another_extractor.Evil"}},
    ),
    "another model type": another_model_type,
}
ran, failed = [], {}
for name, route in routes.items():
    safe = name.replace(" ", "_").replace("-", "_")
    try:
        route(safe)
    except Exception as error:
        failed[name] = f"{type(error).__name__}: {error}"
    if os.path.exists(os.path.join(root, safe + ".ran")):
        ran.append(name)
print()  # after what transformers may have asked
print(json.dumps({"ran": ran, "failed": failed}))
"""
# By transformers, before any class of ours is asked; SECURITY.md and docs/hub.md say so.
RUNS_IF_TRUSTED = ["AutoTokenizer", "labels", "another processor", "another extractor", "another model type"]


def outcome(folder, trust):
    environment = {**os.environ, "HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), trust],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def trusted(tmp_path_factory):
    return outcome(tmp_path_factory.mktemp("trusted"), "yes")


def test_of_our_model_types_no_code_of_a_repo_runs_but_what_is_documented(trusted):
    assert trusted["ran"] == RUNS_IF_TRUSTED


def test_what_this_package_has_is_loaded_all_the_same(trusted):
    whole = ["AutoConfig of a pengi-small", "AutoModel of a clap-small", "AutoModelForMultimodalLM of a pengi-small"]
    whole += ["AutoProcessor", "AutoProcessor of a clap", "AutoFeatureExtractor", "generate", "captions"]
    assert not {name: trusted["failed"].get(name) for name in whole if name in trusted["failed"]}
    assert (
        "Unrecognized configuration class" in trusted["failed"]["AutoModelForSequenceClassification of a pengi-small"]
    )


@pytest.mark.parametrize("trust", ["no", pytest.param("unsaid", marks=pytest.mark.slow)])
def test_without_trust_no_code_of_a_repo_runs_at_all(tmp_path, trust):
    assert outcome(tmp_path, trust)["ran"] == []


def test_what_is_said_of_it_names_every_case():
    root = os.path.join(os.path.dirname(afm_hf.__file__), "..", "..")
    with open(os.path.join(root, "SECURITY.md"), encoding="utf-8") as file:
        text = " ".join(file.read().split())
    for words in ("tokenizer_config.json", "custom_generate", "custom_pipelines", "another model type"):
        assert words in text, words
