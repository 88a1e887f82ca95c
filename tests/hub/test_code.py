"""Sharing: round trips over HTTP with a Hub on this machine, repos with code, model cards."""

import hashlib
import json
import os
import re
import subprocess
import sys
import sysconfig
import textwrap
import venv
from pathlib import Path

import pytest
import yaml
from local_hub import environment, local_hub
from transformers import AutoModel, AutoModelForMultimodalLM, AutoProcessor, pipeline

import afm_hf
from afm_hf.adaptation.text_only import captioner_from_clap
from afm_hf.hub.cards import model_card, write_card
from afm_hf.hub.code import code_of, flattened, save_with_code, travelling_files
from afm_hf.models.clap_afm.sentence_files_clap_afm import SENTENCE_FILES

CLIPS = [str(clip) for clip in afm_hf.bundled_audio()]
KINDS = ("clap-small", "pengi-small", "mellow-small", "adiff-small")


def load(name):
    folder = afm_hf.bundled_model(name)
    auto = AutoModel if name == "clap-small" else AutoModelForMultimodalLM
    return auto.from_pretrained(folder), AutoProcessor.from_pretrained(folder)


def python(program, folder, interpreter=sys.executable, **more):
    """What a new process prints as JSON in its last line."""
    done = subprocess.run(
        [str(interpreter), "-c", textwrap.dedent(program)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **more}, cwd=folder, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def hub():
    with local_hub() as found:
        yield found


# -- a Hub ------------------------------------------------------------------------------------------------------------

PUSH_AND_LOAD = """
    import json
    import afm_hf
    from huggingface_hub import HfApi
    from transformers import AutoModel, AutoProcessor, pipeline

    folder = afm_hf.bundled_model("clap-small")
    model, processor = AutoModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    model.push_to_hub("me/my-clap", max_shard_size="20MB")
    processor.push_to_hub("me/my-clap")
    first = HfApi().model_info("me/my-clap").sha
    model.logit_scale.data.fill_(0.5)
    model.push_to_hub("me/my-clap", max_shard_size="20MB")
    now = AutoModel.from_pretrained("me/my-clap")
    before = AutoModel.from_pretrained("me/my-clap", revision=first)
    loaded = AutoProcessor.from_pretrained("me/my-clap")
    said = pipeline("zero-shot-audio-classification", model="me/my-clap", revision=first)(
        str(afm_hf.bundled_audio()[0]), candidate_labels=["applause", "rain"]
    )
    files = HfApi().list_repo_files("me/my-clap")
    print(json.dumps({"files": files, "now": now.logit_scale.item(), "before": before.logit_scale.item(),
                      "processor": type(loaded).__name__, "said": said}))
"""


def test_push_in_shards_list_and_load_by_revision(hub, tmp_path):
    _, address = hub
    found = python(PUSH_AND_LOAD, tmp_path, **environment(address, tmp_path / "home"))
    shards = [name for name in found["files"] if re.fullmatch(r"model-0000\d-of-0000\d\.safetensors", name)]
    assert len(shards) > 1 and {"config.json", "processor_config.json", "tokenizer.json"} <= set(found["files"])
    assert set(SENTENCE_FILES) <= set(found["files"])
    model, _ = load("clap-small")
    assert found["now"] == 0.5 and found["before"] == pytest.approx(model.logit_scale.item())
    pipe = pipeline("zero-shot-audio-classification", model=str(afm_hf.bundled_model("clap-small")))
    expected = pipe(CLIPS[0], candidate_labels=["applause", "rain"])
    assert found["said"][0]["score"] == pytest.approx(expected[0]["score"], abs=1e-4)

    # the cache is enough without the Hub
    offline = {**environment("http://127.0.0.1:1", tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    program = """
        import json
        import afm_hf
        from transformers import AutoModel
        print(json.dumps(AutoModel.from_pretrained("me/my-clap").logit_scale.item()))
    """
    assert python(program, tmp_path, **offline) == 0.5


EVERY_MODEL = """
    import json
    import afm_hf
    from transformers import AutoModelForMultimodalLM, AutoProcessor, pipeline

    for name in ("pengi-small", "mellow-small", "adiff-small"):
        folder = afm_hf.bundled_model(name)
        AutoModelForMultimodalLM.from_pretrained(folder).push_to_hub("me/" + name)
        AutoProcessor.from_pretrained(folder).push_to_hub("me/" + name)
    clips = [str(clip) for clip in afm_hf.bundled_audio()]
    print(json.dumps([
        pipeline("audio-captioning", model="me/pengi-small")(clips[4]),
        pipeline("audio-question-answering", model="me/mellow-small")(clips[4], question="what is the sound?"),
        pipeline("audio-difference", model="me/adiff-small")((clips[0], clips[4])),
    ]))
"""


def test_models_that_write_answer_from_the_hub_as_from_their_folders(hub, tmp_path):
    _, address = hub
    found = python(EVERY_MODEL, tmp_path, **environment(address, tmp_path / "home"))
    folder = {name: str(afm_hf.bundled_model(name)) for name in KINDS}
    ask = pipeline("audio-question-answering", model=folder["mellow-small"])
    assert found == [
        pipeline("audio-captioning", model=folder["pengi-small"])(CLIPS[4]),
        ask(CLIPS[4], question="what is the sound?"),
        pipeline("audio-difference", model=folder["adiff-small"])((CLIPS[0], CLIPS[4])),
    ]


def test_a_download_that_breaks_off_ends_in_a_whole_file(hub, tmp_path):
    server, address = hub
    server.repos["me/my-clap"] = []
    folder = afm_hf.bundled_model("clap-small")
    server.commit("me/my-clap", {path.name: path.read_bytes() for path in folder.iterdir()}, [], "main")
    server.cut.add("model.safetensors")
    program = """
        import hashlib, json
        import afm_hf
        from huggingface_hub import hf_hub_download
        from transformers import AutoModel
        path = hf_hub_download("me/my-clap", "model.safetensors")
        AutoModel.from_pretrained("me/my-clap")
        print(json.dumps(hashlib.sha256(open(path, "rb").read()).hexdigest()))
    """
    digest = python(program, tmp_path, **environment(address, tmp_path / "home"))
    assert digest == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    asked = [path for method, path, _ in server.requests if method == "GET" and path.endswith("model.safetensors")]
    assert len(asked) == 2 and not server.cut  # it broke off once; the second model was loaded from the cache


def test_a_command_shows_how_far_a_download_is_and_no_other_bar(hub, tmp_path):
    server, address = hub
    server.repos["me/my-clap"] = []
    folder = afm_hf.bundled_model("clap-small")
    server.commit("me/my-clap", {path.name: path.read_bytes() for path in folder.iterdir()}, [], "main")
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment(address, tmp_path / "home")}
    del variables["HF_HUB_DISABLE_PROGRESS_BARS"]
    variables["TQDM_POSITION"] = "-1"  # bars also where no person looks
    command = [
        sys.executable,
        "-m",
        "afm_hf",
        "classify",
        CLIPS[0],
        "--labels",
        "rain,applause",
        "--model",
        "me/my-clap",
    ]
    for is_new in (True, False):
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        assert ("model.safetensors: 100%" in done.stderr) == is_new and "Loading weights" not in done.stderr


# -- code -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_code(tmp_path_factory):
    folder = tmp_path_factory.mktemp("with-code")
    for name in KINDS:
        save_with_code(*load(name), folder / name)
    clap, words = load("clap-small"), load("pengi-small")
    captioner = captioner_from_clap(*clap, words[0], words[1].tokenizer, prefix_length=4, mapper_layers=1)
    save_with_code(*captioner, folder / "clapcap")
    return folder


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory):
    """Python of an environment with everything that is installed here, but this package."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    venv.create(folder, with_pip=False)
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    # a folder that is named in a .pth file is searched, but its own .pth files, as that of an editable install, are not
    Path(paths["purelib"], "installed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


ELSEWHERE = """
    import json, sys
    from transformers import AutoFeatureExtractor, AutoModel, AutoModelForMultimodalLM, AutoProcessor, AutoTokenizer
    from transformers import pipeline
    try:
        import afm_hf
    except ImportError:
        pass
    else:
        raise SystemExit("afm_hf is there")
    root, clips = sys.argv[1] if len(sys.argv) > 1 else ROOT, CLIPS
    trust = {"trust_remote_code": True}
    made = {}
    classify = pipeline("zero-shot-audio-classification", model=f"{root}/clap-small", **trust)
    made["labels"] = classify(clips[0], candidate_labels=["applause", "rain"])
    made["timeline"] = classify(clips[0], candidate_labels=["applause", "rain"], timestamps=True)["chunks"]
    assess = pipeline("audio-quality-assessment", model=f"{root}/clap-small", **trust)
    made["quality"] = assess(clips[0]).score
    made["caption"] = pipeline("audio-captioning", model=f"{root}/pengi-small", **trust)(clips[4])
    ask = pipeline("audio-question-answering", model=f"{root}/mellow-small", **trust)
    made["answer"] = ask(clips[4], question="what is the sound?", choices=["rain", "cow mooing", "bell ringing"])
    explain = pipeline("audio-difference", model=f"{root}/adiff-small", **trust)
    made["difference"] = explain((clips[0], clips[4]))
    model = AutoModelForMultimodalLM.from_pretrained(f"{root}/pengi-small", **trust)
    processor = AutoProcessor.from_pretrained(f"{root}/pengi-small", **trust)
    made["pengi"] = [type(model).__name__, type(processor).__name__, type(processor.feature_extractor).__name__]
    made["clapcap"] = pipeline("audio-captioning", model=f"{root}/clapcap", **trust)(clips[4], max_new_tokens=5)
    made["tokenizer"] = AutoTokenizer.from_pretrained(f"{root}/clapcap", **trust)("a").input_ids
    made["extractor"] = type(AutoFeatureExtractor.from_pretrained(f"{root}/clapcap", **trust)).__name__
    made["bare"] = type(AutoModel.from_pretrained(f"{root}/adiff-small", **trust)).__name__
    print(json.dumps(made))
"""


def test_repos_with_code_work_where_the_package_is_not_installed(with_code, bare_python, tmp_path):
    program = ELSEWHERE.replace("ROOT", repr(str(with_code))).replace("CLIPS", repr(CLIPS))
    found = python(program, tmp_path, bare_python, HF_HOME=str(tmp_path / "home"), HF_HUB_OFFLINE="1", PYTHONPATH="")
    folder = {name: str(afm_hf.bundled_model(name)) for name in KINDS}
    labels = pipeline("zero-shot-audio-classification", model=folder["clap-small"])(
        CLIPS[0], candidate_labels=["applause", "rain"]
    )
    assert [row["label"] for row in found["labels"]] == [row["label"] for row in labels]
    assert found["labels"][0]["score"] == pytest.approx(labels[0]["score"], abs=1e-5)
    timeline = pipeline("zero-shot-audio-classification", model=folder["clap-small"])(
        CLIPS[0], candidate_labels=["applause", "rain"], timestamps=True
    )["chunks"]
    assert [chunk["timestamp"] for chunk in found["timeline"]] == [list(chunk["timestamp"]) for chunk in timeline]
    assert found["timeline"][1]["scores"] == pytest.approx(timeline[1]["scores"], abs=1e-4)
    quality = pipeline("audio-quality-assessment", model=folder["clap-small"])(CLIPS[0])
    assert found["quality"] == pytest.approx(quality.score, abs=1e-5)
    assert found["caption"] == pipeline("audio-captioning", model=folder["pengi-small"])(CLIPS[4])
    ask = pipeline("audio-question-answering", model=folder["mellow-small"])
    answer = ask(CLIPS[4], question="what is the sound?", choices=["rain", "cow mooing", "bell ringing"])
    scores = [[(row["choice"], row["score"]) for row in result["scores"]] for result in (found["answer"], answer)]
    assert dict(scores[0]) == pytest.approx(dict(scores[1]), abs=1e-4)  # the same at every step in time
    assert found["difference"] == pipeline("audio-difference", model=folder["adiff-small"])((CLIPS[0], CLIPS[4]))
    assert found["pengi"] == ["PengiForConditionalGeneration", "PengiProcessor", "AfmEarsFeatureExtractor"]
    clapcap = pipeline("audio-captioning", model=str(with_code / "clapcap"))
    assert found["clapcap"] == clapcap(CLIPS[4], max_new_tokens=5)
    assert found["tokenizer"] == clapcap.tokenizer("a").input_ids and found["extractor"] == "AfmEarsFeatureExtractor"
    assert found["bare"] == "AdiffModel"


def test_with_the_package_nobody_is_asked_to_trust_a_repo(with_code):
    pipe = pipeline("audio-captioning", model=str(with_code / "pengi-small"))
    assert type(pipe).__module__.startswith("afm_hf.") and type(pipe.model).__module__.startswith("afm_hf.")
    assert not hasattr(pipe.model.config, "custom_pipelines")


def test_the_code_in_a_repo_is_the_package_s(with_code):
    for name in KINDS:
        copied = {path.name: path.read_text(encoding="utf-8") for path in (with_code / name).glob("*.py")}
        assert copied == {file: flattened(file) for file in copied} and len(copied) > 20
        for file, text in copied.items():  # the same, line by line, but for where siblings lie
            lines = travelling_files()[file.removesuffix(".py")].read_text(encoding="utf-8").splitlines()
            for copy, line in zip(text.splitlines(), lines, strict=True):
                assert copy == line or re.match(r" *from \.\w+ import ", copy), (file, copy)
    assert "modeling_afm_htsat.py" in code_of(["modeling_pengi"]) and "modeling_adiff.py" not in code_of(
        ["modeling_pengi"]
    )


def test_what_cannot_be_saved_with_code_is_told(tmp_path):
    model, processor = load("clap-small")
    with pytest.raises(ValueError, match=r"model type 'clap_afm_audio_model'.*expected one of clap_afm"):
        save_with_code(model.audio_model, processor, tmp_path)
    with pytest.raises(ValueError, match="needs its processor, but was given a NoneType"):
        save_with_code(model, None, tmp_path)


def test_a_push_with_code_is_one_commit_with_a_card_and_pipelines_push(hub, tmp_path):
    server, address = hub
    program = """
        import json
        import afm_hf
        from afm_hf.hub.code import push_with_code
        from transformers import AutoModel, AutoProcessor, pipeline
        folder = afm_hf.bundled_model("clap-small")
        model, processor = AutoModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
        urls = [push_with_code(model, processor, "me/shared") for _ in range(2)]
        urls.append(push_with_code(model, processor, "me/shared", revision="other"))
        pipeline("audio-captioning", model=str(afm_hf.bundled_model("pengi-small"))).push_to_hub("me/pipe")
        said = pipeline("audio-captioning", model="me/pipe")(str(afm_hf.bundled_audio()[4]))
        print(json.dumps([urls, said]))
    """
    _, said = python(program, tmp_path, **environment(address, tmp_path / "home"))
    assert said == pipeline("audio-captioning", model=str(afm_hf.bundled_model("pengi-small")))(CLIPS[4])
    assert server.sha("me/shared", "other") != server.sha("me/shared", "main")
    (_, start), (_, files), *_ = server.repos["me/shared"]
    assert list(start) == [".gitattributes"]
    assert {"README.md", "config.json", "model.safetensors", "modeling_clap_afm.py"} <= set(files)
    assert b"trust_remote_code" in files["README.md"] and b'model="me/shared"' in files["README.md"]


# -- cards ------------------------------------------------------------------------------------------------------------


def header(card):
    return yaml.safe_load(card.split("---")[1])


@pytest.mark.parametrize("name", KINDS)
def test_snippets_of_cards_run(name, tmp_path, monkeypatch):
    model, _ = load(name)
    card = model_card(model, repo_id=str(afm_hf.bundled_model(name)))
    monkeypatch.chdir(tmp_path)
    for number, clip in enumerate(("clip.wav", "other.wav")):
        Path(clip).write_bytes(Path(CLIPS[number]).read_bytes())
    (block,) = re.findall(r"```python\n(.*?)```", card, re.S)
    exec(compile(block, "card", "exec"), {"__name__": "card"})
    assert header(card)["license_name"] == "not-stated" and "arxiv.org/abs/" in card and "make test-parity" in card


def test_a_card_holds_figures_and_survives_strange_names(tmp_path):
    figure = {
        "task": "zero-shot", "dataset": 'my | "set": 1\n', "count": 110,
        "metrics": {"accuracy": 0.482, "nan": float("nan")},
        "intervals": {"accuracy": [0.4, 0.57]}, "details": {"command": "afm-hf evaluate --task zero-shot"},
    }  # fmt: skip
    model, _ = load("clap-small")
    card = model_card(model, title="my-clap", licence="mit", data="Ten clips.", limits="Music.", figures=[figure])
    about = header(card)
    assert about["license"] == "mit" and about["pipeline_tag"] == "zero-shot-audio-classification"
    assert about["model-index"][0]["results"][0]["dataset"]["name"] == 'my | "set": 1\n'
    assert about["model-index"][0]["results"][0]["metrics"] == [{"type": "accuracy", "value": 0.482}]
    assert "| accuracy | 0.4820 | 0.400 to 0.570 |" in card and "`afm-hf evaluate --task zero-shot`" in card
    assert "# my-clap" in card and "Ten clips." in card and "Music." in card
    write_card(model, tmp_path)
    with pytest.raises(ValueError, match="never overwritten"):
        write_card(model, tmp_path)
    with pytest.raises(ValueError, match="no card for the model type"):
        model_card(model.audio_model)
