"""What reaches the models is what the papers asked: prompts of every benchmark, and the metric that it is judged by."""

import json

import pytest

pytest.importorskip("datasets")

from asked_models import Listener, save_model
from commands import run_command
from official_layouts import MAKE

from afm_hf.data import load_templates
from afm_hf.evaluation.benchmark import split_in_papers
from afm_hf.evaluation.datasets import BENCHMARKS
from afm_hf.evaluation.runner import run
from afm_hf.evaluation.tasks.closed import ClosedTask, said_labels
from afm_hf.evaluation.tasks_by_name import build_task, items_for

SOUND, EMOTION, SCENE, NOTE = "this is a sound of", "this emotion is", "this acoustic scene is", "this music note is"
PENGI = {  # slides of Pengi; those of music notes are a reading
    **dict.fromkeys(("esc50", "esc50-actions", "fsd50k", "urbansound8k", "dcase17", "vocalsound", "sesa"), SOUND),
    **dict.fromkeys(("gtzan-music-speech", "beijing-opera"), SOUND),
    **dict.fromkeys(("crema-d", "ravdess"), EMOTION),
    "tut2017": SCENE,
    "gtzan-genres": "music analysis, this is a sound of",
    **{f"nsynth-{kind}": NOTE for kind in ("family", "pitch", "velocity", "qualities")},
}
METRICS = {"dcase17": "F1", "fsd50k": "mAP", "esc50-actions": "mAP", "nsynth-qualities": "mAP"}
ADAPTED = (  # slides of test-time adaptation
    *("esc50", "urbansound8k", "dcase17", "vocalsound", "sesa", "tut2017", "gtzan-music-speech", "gtzan-genres"),
    *("beijing-opera", "nsynth-family", "crema-d", "ravdess"),
)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    made = {}

    def folder(kind):
        if kind not in made:
            made[kind] = str(save_model(kind, tmp_path_factory.mktemp("models") / kind))
        return made[kind]

    return folder


def laid_out(name, root):
    root.mkdir()
    MAKE[name](root)
    return str(root)


def asked(task_name, name, root, model, tmp_path, **options):
    """(result, the texts that reached the model) of a task on the miniature of a benchmark."""
    folder = laid_out(name, root)
    items, benchmark, _report = items_for(task_name, name, folder)
    task = build_task(task_name, items, benchmark, folder, model, "cpu", **options)
    listener = Listener(task.pipe)
    split = split_in_papers(benchmark, task_name, None)
    result = run(task, items, tmp_path / "run", dataset=name, progress=False, draws=5, split=split)
    return result, listener.said


@pytest.mark.parametrize("name", PENGI)
def test_pengi_is_asked_the_question_of_the_benchmark(models, tmp_path, name):
    options = {"similarity_model": models("clap")}
    result, said = asked("closed", name, tmp_path / "data", models("pengi_no_text_enc"), tmp_path, **options)
    assert set(said) == {PENGI[name]}
    assert result.main_metric == METRICS.get(name, "accuracy") and 0 <= result.metrics[result.main_metric] <= 1
    assert result.settings["prompt"] == PENGI[name] and result.asked[0].startswith(PENGI[name])
    if name == "dcase17":
        assert {"F1", "macro F1", "mAP"} == set(result.metrics) and "F1" in result.intervals


def test_every_closed_benchmark_of_pengi_is_here():
    papers = {name for name, each in BENCHMARKS.items() if "closed" in each.tasks and each.paper}
    not_pengi = {"audioset", "mridangam-stroke", "mridangam-tonic", "libricount", "nsynth-source"}
    assert papers - not_pengi - {"speech-commands"} == PENGI.keys()
    assert {BENCHMARKS[name].question for name in BENCHMARKS} <= load_templates("pengi").keys()


def test_another_question_and_likelihoods_are_options(models, tmp_path):
    options = {"prompt": "what is heard", "scoring": "likelihood"}
    result, said = asked("closed", "sesa", tmp_path / "data", models("pengi_no_text_enc"), tmp_path, **options)
    assert set(said) == {"what is heard"}
    assert set(result.metrics) == {"accuracy by likelihood", "macro F1 by likelihood"}
    assert result.main_metric == "accuracy by likelihood"


def test_pitches_are_scored_as_the_model_would_say_them(models, tmp_path, monkeypatch):
    folder = laid_out("nsynth-pitch", tmp_path / "data")
    items, benchmark, _ = items_for("closed", "nsynth-pitch", folder)
    model = models("pengi_no_text_enc")
    task = build_task("closed", items, benchmark, folder, model, "cpu", similarity_model=models("clap"))
    monkeypatch.setattr(task.pipe, "generate", lambda inputs, *_: [["pitch 50"]] * len(inputs["input_ids"]))
    result = run(task, items, tmp_path / "run", progress=False, draws=0)
    right = [item.truth["label"] == "50" for item in items]
    assert result.metrics["accuracy"] == pytest.approx(sum(right) / len(right))
    assert result.metrics["named"] == result.metrics["accuracy"] and 0 < sum(right) < len(right)


def test_labels_that_stand_in_an_answer():
    labels = ["car", "car alarm", "air horn, truck horn", "train", "train horn"]
    assert said_labels("car alarm, train", labels) == ["car alarm", "train"]
    assert said_labels("Car, car alarm", labels) == ["car", "car alarm"]
    assert said_labels("an air horn, truck horn", labels) == ["air horn, truck horn"]
    assert said_labels("it is not a train", labels) == [] and said_labels("a scar", labels) == []


def test_what_a_closed_task_cannot_do_is_refused():
    for options, message in (
        ({"labels": ["a"]}, "expected 2 or more"),
        ({"scoring": "guess"}, "`scoring` is 'guess'; expected one of matching, likelihood, both"),
        ({"answer": "pitch"}, "`answer` is 'pitch'"),
    ):
        with pytest.raises(ValueError, match=message):
            ClosedTask(None, **{"labels": ["a", "b"], **options})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("esc50", "this is the sound of sneezing"),
        ("ravdess", "this emotion is calm"),
        ("speech-commands", "yes"),
        ("libricount", "3 persons speaking"),
    ],
)
def test_a_clap_of_2023_is_asked_in_the_words_of_2023(models, tmp_path, name, words):
    """The tiny CLAP has the text tower of CLAP 2023."""
    result, said = asked("zero-shot", name, tmp_path / "data", models("clap"), tmp_path)
    assert words in said and len(said) == len(result.settings["labels"])
    result, said = asked("zero-shot", name, tmp_path / "again", models("clap"), tmp_path / "x", templates=["a {}"])
    assert all(text.startswith("a ") for text in said) and result.asked == ["a {}"]


def test_a_clap_of_2022_is_asked_in_the_words_of_2022():
    other = type("Model", (), {"config": type("Config", (), {})})
    assert BENCHMARKS["crema-d"].templates_for(other) == ("this person is feeling {}",)
    assert BENCHMARKS["esc50"].templates_for(other) == ("this is a sound of {}",)


@pytest.mark.parametrize("name", ADAPTED)
def test_adaptation_starts_from_the_question_of_the_benchmark(models, tmp_path, name):
    result, said = asked("adaptation", name, tmp_path / "data", models("clap"), tmp_path)
    start = "this emotion is " if name in ("crema-d", "ravdess") else "this is the sound of "
    assert said and all(text.startswith(start) for text in said)
    assert result.main_metric == ("F1" if name == "dcase17" else "accuracy")
    assert result.settings["clips"] == 1 and len(result.details["draws"]) == 5


def test_scenes_have_two_sets_and_folds_where_they_are_asked_for(tmp_path):
    folder = laid_out("tut2017", tmp_path / "data")
    items, benchmark, _ = items_for("linear-probe", "tut2017", folder)
    assert {item.truth["fold"] for item in items} == {"train", "test"}
    assert sum(item.truth["fold"] == "test" for item in items) == 3
    items, benchmark, _ = items_for("linear-probe", "tut2017", folder, "development")
    assert {item.truth["fold"] for item in items} == {1, 2, 3, 4}
    assert "the part 'development', where the papers test on 'evaluation'" in benchmark.partial
    with pytest.raises(ValueError, match=r"has only the development set.*--split development"):
        items_for("zero-shot", "tut2017", f"{folder}/development")


@pytest.mark.parametrize("name", ["crema-d", "ravdess"])
def test_no_speaker_is_learned_from_and_judged(tmp_path, name):
    items, benchmark, _ = items_for("linear-probe", name, laid_out(name, tmp_path / "data"))
    speaker = BENCHMARKS[name].speaker
    of_fold = {}
    for item in items:
        of_fold.setdefault(item.truth["fold"], set()).add(speaker(item.audio))
    assert len(of_fold) == 2 and not set.intersection(*of_fold.values())
    assert benchmark.notes == ("5 folds of our own by speaker; which clip is in which of the papers' is not known",)


@pytest.mark.parametrize("task", ["linear-probe", "fine-tune"])
@pytest.mark.parametrize(
    "name", ["gtzan-genres", "gtzan-music-speech", "mridangam-tonic", "beijing-opera", "libricount"]
)
def test_sets_without_official_folds_are_dealt_to_as_many_as_the_papers_have(tmp_path, task, name):
    items, benchmark, _ = items_for(task, name, laid_out(name, tmp_path / "data"))
    folds = {item.truth["fold"] for item in items}
    assert 2 <= len(folds) <= (10 if name.startswith("gtzan") else 5)
    assert split_in_papers(benchmark, task, None) == "folds"
    assert benchmark.notes[0].startswith("10 folds" if name.startswith("gtzan") else "5 folds")


def test_the_check_of_generalization_is_a_command(models, tmp_path):
    folders = {name: laid_out(name, tmp_path / name) for name in ("sesa", "dcase17", "ravdess")}
    named = [word for name, folder in folders.items() for word in ("--dataset", f"{name}={folder}")]
    options = ["--model", models("clap"), "--draws", 2, "--steps", 1, "--views", 4]
    printed = run_command("generalization", *named, *options).stdout
    assert printed.splitlines()[0].split() == [
        "adapted",
        "on",
        "zero-shot",
        "%",
        "gain",
        "on",
        "it",
        *["gain", "on", "the", "others"],
    ]
    assert [line.split()[0] for line in printed.splitlines()[1:4]] == ["dcase17", "ravdess", "sesa"]
    assert "mean gain on the others:" in printed
    found = json.loads(run_command("generalization", *named, *options, "--format", "json").stdout)
    assert set(found["gains"]["sesa"]) == {"sesa", "dcase17", "ravdess"} and found["settings"]["clips"] == 1
    assert "expected NAME=FOLDER" in run_command("generalization", "--dataset", "esc50", code=2).stderr
    one = ["--dataset", f"sesa={folders['sesa']}"]
    assert "adapts on one and measures on others" in run_command("generalization", *one, code=2).stderr


def test_entailment_by_a_probe_learns_from_the_development_part(models, tmp_path):
    folder = laid_out("cle", tmp_path / "data")
    options = ["--task", "entailment-probe", "--dataset", "cle", "--data-dir", folder, "--model", models("clap")]
    found = json.loads(run_command("evaluate", *options, "-o", tmp_path / "run", "--format", "json").stdout)
    assert found["details"]["clips"] == {"judged": 6, "trained on alone": 6}
    assert found["split"] == "test" and found["settings"]["premise"] == "audio"
    assert found["metrics"]["accuracy"] == 1  # each hypothesis says the same of every clip: words alone are enough
    options += ["--captioner", models("clapcap")]
    found = json.loads(run_command("evaluate", *options, "-o", tmp_path / "cap", "--format", "json").stdout)
    assert found["settings"]["premise"] == "both" and found["count"] == 12
    options = ["--task", "entailment-probe", "--dataset", "cle", "--data-dir", folder, "-o", tmp_path / "x"]
    stderr = run_command("evaluate", *options, "--model", models("mellow"), code=2).stderr
    assert "A probe reads embeddings, which a MellowForCausalLM has not; take a CLAP" in stderr
