"""The tasks of `afm-hf evaluate`: their rules on constructed records, and the bundled models on clips."""

import csv
import json
import shutil

import numpy as np
import pytest
import soundfile
import torch
from commands import run_command
from transformers import AutoFeatureExtractor, pipeline

import afm_hf
from afm_hf import ClapAfmForAudioClassification
from afm_hf.cli.evaluate import TaskName
from afm_hf.evaluation.paper.reported import reported
from afm_hf.evaluation.runner import EvaluationResult, run
from afm_hf.evaluation.task import Item, Record
from afm_hf.evaluation.tasks.entailment import EntailmentTask
from afm_hf.evaluation.tasks.fine_tune import FineTuneTask, by_fold
from afm_hf.evaluation.tasks.linear_probe import LinearProbeTask, with_folds
from afm_hf.evaluation.tasks.questions import ClothoAqaTask, MmauTask, MultipleChoiceTask, lettered
from afm_hf.evaluation.tasks_by_name import RECIPES, build_task, items_for


def records(rows, key="text"):
    """(truth, prediction) -> records."""
    return [Record(Item(str(i), "a.wav", truth), {key: said}) for i, (truth, said) in enumerate(rows)]


def test_the_command_knows_all_tasks():
    assert [name.value for name in TaskName] == list(RECIPES)
    with pytest.raises(ValueError, match="There is no task 'sing'; known are zero-shot"):
        build_task("sing", [], None, "")


# -- words ------------------------------------------------------------------------------------------------------------


def test_letters_by_the_strict_rule_and_by_the_published_one():
    rows = [("b) rain", "b) rain"), ("b) rain", "rain"), ("a) dog", "a dog barks"), ("a) dog", "c) cat")]
    made = records([({"answer": answer, "subtype": "AudioCaps.json"}, said) for answer, said in rows])
    task = MultipleChoiceTask(None)
    scores = task.score(made)
    assert scores == {"accuracy": 0.25, "published": 0.5, "unparsed": 0.5}  # unreadable counts as a) there
    assert task.details(made)["by_group"]["subtype"]["AudioCaps.json"]["accuracy"] == 0.25
    items = [record.item for record in made]
    assert lettered([*items, Item("open", "a.wav", {"answer": "rain"})]) == items
    with pytest.raises(ValueError, match="None of the 1 answers begins with a letter"):
        lettered([Item("open", "a.wav", {"answer": "rain"})])


def test_no_in_noise_is_no_answer_and_unanimous_questions_are_their_own():
    rows = [
        ({"answers": ["no", "no", "no"]}, "a noise"),
        ({"answers": ["yes", "no", "yes"]}, "yes, it is."),
        ({"answers": ["water", "rain", "water"]}, "the rain"),
        ({"answers": ["water", "rain", "water"]}, "some water falls"),
    ]
    scores = ClothoAqaTask(None).score(records(rows))
    assert scores["binary"] == 0.5 and scores["binary, unanimous"] == 0 and scores["binary, published"] == 1
    assert scores["open"] == 0.5 and scores["open, contained"] == 1
    assert ClothoAqaTask(None).details(records(rows))["questions"] == {"binary": 2, "binary, unanimous": 1, "open": 2}


def mmau(answers):
    truth = {"prompt": "Who speaks?", "choices": ["a man", "a woman"], "answer": "a man", "task": "speech"}
    made = []
    for i, said in enumerate(answers):
        item = Item(str(i), "a.wav", {**truth, "id": f"q{i}", "difficulty": "easy", "sub_category": "x"})
        made.append(Record(item, {"text": said, "likeliest": "a man"}))
    return made


def test_mmau_by_its_official_rule_and_by_letter():
    task = MmauTask(None)
    assert task.score(mmau(["A man."] * 4))["accuracy"] == 1  # its own gold answers
    scores = task.score(mmau(["a) a man", "(b) a man", "b) a woman", "a man or a woman"]))
    # "a" stands in both choices, so a letter before the answer does no harm here; "b" is a word of neither
    parts = {"speech": 0.5, "speech, letter": 0.25}
    assert scores == {"accuracy": 0.5, "string without letter": 0.5, "letter": 0.25, **parts, "likelihood": 1.0}
    details = task.details(mmau(["a man"]))
    assert details["by_group"]["sub-category"]["x"]["accuracy"] == 1 and "unknown" in details["version"]


def test_answers_that_name_no_relation_are_wrong_and_counted():
    rows = [({"label": "entailment"}, "entailment"), ({"label": "neutral"}, None), ({"label": "neutral"}, "neutral")]
    task = EntailmentTask(type("Pipe", (), {"model": None}))
    scores = task.score(records(rows, "label"))
    assert scores["accuracy"] == pytest.approx(2 / 3) and scores["unparsed"] == pytest.approx(1 / 3)
    for truth, _ in rows:
        truth["hypothesis"] = "it rains"
    assert task.details(records(rows, "label"))["baselines"]["most frequent relation"]["accuracy"] == pytest.approx(
        2 / 3
    )


def test_what_words_alone_reach_stands_beside_entailment():
    """Hypotheses that betray their relation by a word: whoever reads them needs no clip."""
    words = {"entailment": "surely", "neutral": "perhaps", "contradiction": "never"}
    made = [
        Record(Item(f"{clip}{label}", f"{clip}.wav", {"label": label, "hypothesis": f"it is {word} number {clip}"}),
               {"label": "neutral"})
        for clip in range(10) for label, word in words.items()
    ]  # fmt: skip
    task = EntailmentTask(type("Pipe", (), {"model": None}))
    details = task.details(made)
    assert details["baselines"]["words of the hypothesis alone"]["accuracy"] == 1
    assert details["baselines"]["most frequent relation"]["accuracy"] == pytest.approx(1 / 3)
    assert details["examples"][0] == {
        "id": "0entailment", "asked": "it is surely number 0", "said": "neutral", "right": "entailment"
    }  # fmt: skip
    few = task.details(made[:9])["baselines"]
    assert list(few) == ["most frequent relation"]  # three clips are too few to learn words from


# -- probes -----------------------------------------------------------------------------------------------------------


def embedded(labels, folds, rng, multi_label=False):
    centres = {"dog": 0, "rain": 1}
    made = []
    for i, (label, fold) in enumerate(zip(labels, folds, strict=True)):
        vector = 0.1 * rng.standard_normal(4)
        for name in label if multi_label else [label]:
            vector[centres[name]] += 1
        truth = {"labels": label} if multi_label else {"label": label}
        made.append(Record(Item(str(i), "a.wav", {**truth, "fold": fold}), {"embedding": vector.tolist()}))
    return made


def test_a_probe_is_judged_on_the_folds_that_it_has_not_seen():
    rng = np.random.default_rng(0)
    made = embedded(["dog", "rain"] * 10, [1 + i // 4 for i in range(20)], rng)
    task = LinearProbeTask(None)
    assert task.score(made) == {"accuracy": 1.0, "macro F1": 1.0}
    # a fold whose labels are exchanged is judged by the others alone, and so is all wrong
    other = {"dog": "rain", "rain": "dog"}
    swapped = []
    for record in made:
        truth = dict(record.item.truth)
        if truth["fold"] == 1:
            truth["label"] = other[truth["label"]]
        swapped.append(Record(Item(record.item.id, "a.wav", truth), record.prediction))
    right = task.per_record(swapped)["accuracy"]
    assert not any(each for each, record in zip(right, swapped, strict=True) if record.item.truth["fold"] == 1)
    assert sum(right) > 10


def test_training_clips_are_never_judged():
    rng = np.random.default_rng(0)
    made = embedded(["dog", "rain"] * 6, ["train"] * 8 + ["test"] * 4, rng)
    task = LinearProbeTask(None)
    assert task.score(made)["accuracy"] == 1 and len(task.per_record(made)["accuracy"]) == 4
    assert task.details(made)["clips"] == {"judged": 4, "trained on alone": 8}
    with pytest.raises(ValueError, match="none to train on"):
        task.score([record for record in made if record.item.truth["fold"] == "test"])


def test_a_probe_for_several_labels_is_scored_by_map():
    rng = np.random.default_rng(0)
    labels = [["dog"], ["rain"], ["dog", "rain"], ["rain"]] * 5
    made = embedded(labels, ["train"] * 12 + ["test"] * 8, rng, multi_label=True)
    assert LinearProbeTask(None, ["dog", "rain"], multi_label=True).score(made) == {"mAP": 1.0}


@pytest.fixture(scope="module")
def clap():
    return pipeline("zero-shot-audio-classification", model=str(afm_hf.bundled_model("clap-small")))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Three clips and the same softer, as two folds of three labels."""
    folder, items = tmp_path_factory.mktemp("pairs"), []
    for clip in afm_hf.bundled_audio()[2:5]:
        samples, rate = soundfile.read(clip)
        soundfile.write(folder / f"{clip.stem}.wav", 0.6 * samples, rate)
        label = clip.stem.split("_")[0]
        items.append(Item(clip.name, str(clip), {"label": label, "fold": 1}))
        items.append(Item(f"soft {clip.name}", str(folder / f"{clip.stem}.wav"), {"label": label, "fold": 2}))
    return items


def test_fine_tuning_learns_from_the_other_folds_and_goes_on(clap, pairs, tmp_path):
    items, labels = by_fold(pairs), ["birds", "car", "cow"]
    options = {"epochs": 15, "learning_rate": 1e-4, "batch_size": 3, "folder": tmp_path / "kept"}
    before = {name: value.clone() for name, value in clap.model.state_dict().items()}
    result = run(FineTuneTask(clap, items, labels, **options), items, tmp_path / "run", progress=False, draws=0)
    assert result.metrics["accuracy"] == 1 and result.count == 6
    assert all(torch.equal(value, before[name]) for name, value in clap.model.state_dict().items())
    kept = sorted((tmp_path / "kept").iterdir())
    assert [path.name[:7] for path in kept] == ["fold-1-", "fold-2-"]

    # as if killed in the second fold: the first classifier is taken from the folder, and figures are the same
    shutil.rmtree(kept[1])
    stamp = (kept[0] / "model.safetensors").stat().st_mtime_ns
    again = run(FineTuneTask(clap, items, labels, **options), items, tmp_path / "again", progress=False, draws=0)
    lines = [(tmp_path / name / "predictions-0.jsonl").read_text().splitlines() for name in ("run", "again")]
    names = [[json.loads(line)["id"] for line in each] for each in lines]
    assert names[0] == names[1] and again.metrics == pytest.approx(result.metrics)
    assert (kept[0] / "model.safetensors").stat().st_mtime_ns == stamp
    other = FineTuneTask(clap, items, labels, **{**options, "epochs": 1})
    run(other, items, tmp_path / "other", progress=False, draws=0)
    assert len(list((tmp_path / "kept").iterdir())) == 4  # other settings, other classifiers

    # what is kept is a model as any other
    loaded = ClapAfmForAudioClassification.from_pretrained(kept[0])
    features = AutoFeatureExtractor.from_pretrained(kept[0])([items[0].audio], return_tensors="pt")
    with torch.inference_mode():
        said = loaded.eval()(**features).logits[0].tolist()
    assert said == pytest.approx(json.loads(lines[0][0])["prediction"]["scores"], abs=1e-4)


def test_fine_tuning_leaves_out_what_cannot_be_used_and_never_judges_training_clips(clap, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    clips = afm_hf.bundled_audio()
    training = [
        Item(f"train/{i}", str(clips[i]), {"labels": [["a"], ["b"]][i // 2], "fold": "train"}) for i in range(4)
    ]
    training.append(Item("train/bad", str(tmp_path / "broken.wav"), {"labels": ["a"], "fold": "train"}))
    items = [*training, Item("0", str(clips[0]), {"labels": ["a"], "fold": "test"})]
    items.append(Item("1", str(clips[2]), {"labels": ["b"], "fold": "test"}))
    task = FineTuneTask(clap, items, ["a", "b"], multi_label=True, epochs=1, batch_size=1)
    result = run(task, by_fold(items), tmp_path / "run", progress=False, draws=0)
    assert list(result.failures) == ["train/bad"] and "not an audio file" in result.failures["train/bad"]
    assert set(result.metrics) == {"mAP"}
    assert result.details["clips"] == {"judged": 2, "trained on alone": 4}


def test_fine_tuning_wants_one_process_and_other_folds(clap, pairs, monkeypatch):
    alone = FineTuneTask(clap, pairs[::2], ["birds", "car", "cow"], epochs=1)
    with pytest.raises(ValueError, match="no clips outside of the fold '1'"):
        list(alone.predict(pairs[::2]))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="runs in one process"):
        FineTuneTask(clap, pairs, ["birds", "car", "cow"])


def test_folds_are_made_only_where_there_are_none():
    items = [Item(str(i), "a.wav", {"label": label}) for i, label in enumerate(["dog"] * 7 + ["rain"] * 2)]
    assert [item.truth["fold"] for item in with_folds(items)] == ["1", "2", "3", "4", "5", "1", "2", "1", "2"]
    given = [Item("a", "a.wav", {"fold": 3})]
    assert with_folds(given) == given
    both = with_folds(items[:1], training=items[:2])
    assert [(item.id, item.truth["fold"]) for item in both] == [
        ("train/0", "train"),
        ("train/1", "train"),
        ("0", "test"),
    ]
    with pytest.raises(ValueError, match="1 of 2 items have a `fold`"):
        with_folds([*given, items[0]])


def test_figures_stand_beside_those_of_the_papers():
    result = EvaluationResult(task="closed", dataset="esc50", metrics={"accuracy": 0.9})
    assert any("Pengi" in str(row) for row in reported(result)["accuracy"])
    tiers = EvaluationResult(task="difference", dataset="cld", metrics={"tier 1 bleu_4": 0.15})
    assert any("ADIFF" in str(row) for row in reported(tiers)["tier 1 bleu_4"])


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("sounds")
    with (root / "metadata.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file_name", "label", "caption"])
        clips = afm_hf.bundled_audio()[:6]
        for i, clip in enumerate(clips):
            shutil.copy(clip, root)
            label = "applause" if i < 2 else "bell ringing" if i < 4 else "cow mooing"
            rows.writerow([clip.name, label, f"a sound of {label}."])
    return root


@pytest.mark.parametrize("task", ["linear-probe", "fine-tune", "closed", "adaptation"])
def test_tasks_run_from_the_shell(folder, tmp_path, task):
    options = ["--task", task, "--dataset", "folder", "--data-dir", folder, "-o", tmp_path / "run", "--draws", 10]
    limit = ["--limit", 3] if task == "adaptation" else ["--epochs", 1] if task == "fine-tune" else []
    printed = json.loads(run_command("evaluate", *options, *limit, "--format", "json").stdout)
    assert printed["count"] == (3 if task == "adaptation" else 6) and 0 <= printed["metrics"]["accuracy"] <= 1
    assert printed["details"]["examples"][0]["right"] == "applause"
    again = json.loads(run_command("evaluate", *options, *limit, "--format", "json").stdout)
    assert again["metrics"] == printed["metrics"]


def test_closed_tasks_by_the_papers_similarity(folder, tmp_path):
    options = ["--task", "closed", "--dataset", "folder", "--data-dir", folder, "-o", tmp_path / "run", "--draws", 0]
    printed = run_command("evaluate", *options, "--similarity-model", "clap-small", "--format", "json").stdout
    assert set(json.loads(printed)["metrics"]) == {"accuracy", "named", "macro F1"}
    both = json.loads(run_command("evaluate", *options, "--scoring", "both", "--overwrite", "--format", "json").stdout)
    assert {"accuracy", "accuracy by likelihood"} < set(both["metrics"])


def own_folder(root, columns, *rows):
    """A folder as a user has it: bundled clips and `metadata.jsonl`."""
    root.mkdir()
    for clip in afm_hf.bundled_audio():
        shutil.copy(clip, root)
    lines = [json.dumps(dict(zip(["file_name", *columns], row, strict=True))) for row in rows]
    (root / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return root


APPLAUSE, COW, RAIN = (afm_hf.bundled_audio()[i].name for i in (0, 4, 11))
OWN = {
    "question-answering": (
        ["question", "answer", "choices"],
        [APPLAUSE, "what is it?", "applause", ["rain", "applause"]],
        [COW, "what is it?", "cow mooing", ["cow mooing", "rain"]],
    ),
    "multiple-choice": (
        ["prompt", "answer"],
        [APPLAUSE, "what is it? a) applause b) rain", "a) applause"],
        [COW, "what is it? a) rain b) cow mooing", "b) cow mooing"],
    ),
    "difference": (["file_name2", "answer"], [APPLAUSE, COW, "first applause"], [COW, APPLAUSE, "first a cow"]),
    "entailment": (["hypothesis", "label"], [APPLAUSE, "applause", "entailment"], [COW, "rain", "contradiction"]),
    "quality": (["rating"], [APPLAUSE, 4.5], [COW, "3"], [RAIN, 2]),
    "zero-shot": (["labels"], [APPLAUSE, ["applause"]], [COW, ["cow", "animal"]], [RAIN, ["rain"]]),
    "linear-probe": (["label", "fold"], [APPLAUSE, "a", 1], [COW, "b", 2], [RAIN, "a", 3]),
}  # fmt: skip


@pytest.mark.parametrize("task", OWN)
def test_a_folder_of_ones_own_has_what_its_columns_say(tmp_path, task):
    columns, *rows = OWN[task]
    root = own_folder(tmp_path / "own", columns, *rows, [RAIN] + [None] * len(columns))  # the last row says nothing
    options = ["--task", task, "--dataset", "folder", "--data-dir", root, "-o", tmp_path / "run", "--draws", 0]
    done = run_command("evaluate", *options, "--format", "json", code=1)  # 1: something was left out
    printed = json.loads(done.stdout)
    assert printed["count"] == len(rows) and not printed["failures"]
    assert f"{RAIN}: no " in done.stderr and "metadata.jsonl:" in done.stderr
    if task == "question-answering":  # the choices were scored, and not what is said alone
        assert "letter accuracy" in printed["metrics"]
    if task == "zero-shot":
        assert set(printed["metrics"]) == {"mAP"}
        assert printed["settings"]["labels"] == ["animal", "applause", "cow", "rain"]


def test_lists_in_a_csv_are_lists(tmp_path):
    shutil.copy(afm_hf.bundled_audio()[4], tmp_path)
    row = [COW, "what is it?", "cow mooing", '["rain", "cow mooing"]', "2"]
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file_name", "question", "answer", "choices", "fold"], row])
    items, _, _ = items_for("question-answering", "folder", str(tmp_path))
    assert items[0].truth["choices"] == ["rain", "cow mooing"] and items[0].truth["fold"] == 2


@pytest.mark.parametrize("task", [task for task in RECIPES if task not in ("mmau", "clotho-aqa", "entailment-probe")])
def test_a_folder_without_the_columns_of_a_task_is_told_so(tmp_path, task):
    root = own_folder(tmp_path / "own", ["colour"], [APPLAUSE, "red"], [COW, "blue"])
    options = ["--task", task, "--dataset", "folder", "--data-dir", root, "-o", tmp_path / "run"]
    stderr = run_command("evaluate", *options, code=2).stderr
    assert "None of the 2 rows can be used" in stderr and "They have colour" in stderr


def test_wrong_labels_ratings_and_numbers_of_clips_are_told(tmp_path):
    def told(name, task, columns, *rows):
        root = own_folder(tmp_path / name, columns, *rows)
        options = ["--task", task, "--dataset", "folder", "--data-dir", root, "-o", tmp_path / f"{name} run"]
        return run_command("evaluate", *options, code=2).stderr

    stderr = told("a", "entailment", ["hypothesis", "label"], [APPLAUSE, "rain", "no"], [COW, "a cow", "entailment"])
    assert "metadata.jsonl:1: the label is 'no'; expected entailment, neutral, contradiction" in stderr
    stderr = told("b", "quality", ["rating"], [APPLAUSE, "good"], [COW, "3"])
    assert "metadata.jsonl:1: the rating is 'good'" in stderr
    stderr = told("c", "difference", ["answer"], [APPLAUSE, "x"], [COW, "y"])
    assert "1 clip, expected 2 (`file_name2`)" in stderr
    stderr = told("d", "zero-shot", ["label", "file_name2"], [APPLAUSE, "x", COW], [COW, "y", APPLAUSE])
    assert "2 clips, expected 1" in stderr
    stderr = told("e", "linear-probe", ["label"], [APPLAUSE, "x"], [COW, "x"])
    assert "1 different labels" in stderr


def test_models_that_do_not_fit_a_task_are_told(folder, tmp_path):
    options = ["--dataset", "folder", "--data-dir", folder, "-o", tmp_path / "run"]
    stderr = run_command("evaluate", "--task", "retrieval", "--model", "pengi-small", *options, code=2).stderr
    assert "PengiModel does not embed audio and text apart; expected a CLAP" in stderr
    stderr = run_command("evaluate", "--task", "captioning", "--model", "clap-small", *options, code=2).stderr
    assert "clap-small is a 'clap_afm' model" in stderr
    wild = ["--epochs", 1, "--learning-rate", 1e9]
    stderr = run_command("evaluate", "--task", "fine-tune", *wild, *options, code=2).stderr
    assert "the learning rate of 1e+09 is too high" in stderr


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """Official layouts with two bundled clips, of Clotho and of MMAU."""
    root = tmp_path_factory.mktemp("official")
    clips = afm_hf.bundled_audio()
    for folder in ("evaluation", "audio_files", "test-mini-audios"):
        (root / folder).mkdir()
        for name, clip in zip("ab", (clips[0], clips[4]), strict=True):
            shutil.copy(clip, root / folder / f"{name}.wav")

    def table(name, columns, *rows):
        with (root / name).open("w", newline="") as file:
            csv.writer(file).writerows([columns.split(","), *rows])

    table(
        "clotho_aqa_test.csv",
        "file_name,QuestionText,answer,confidence",
        *[["a.wav", "Is it applause?", "yes", "yes"]] * 3,
        *[["b.wav", "What animal is it?", word, "yes"] for word in ("cow", "cow", "cattle")],
    )
    table(
        "clotho_entailment_evaluation.csv",
        "Dataset,Audio file,Caption,Entailment,Neutral,Contradiction",
        *[["ClothoV2", f"{name}.wav", "A sound.", "a sound is heard", "it is loud", "it is silent"] for name in "ab"],
    )
    prompts = {"fewwords": "in few words", "sentence": "in a sentence", "detail": "in detail"}
    for tier, words in prompts.items():
        pair = [
            "clothov21",
            "evaluation/a.wav",
            "evaluation/b.wav",
            "applause",
            "a cow",
            f"explain the difference {words}",
        ]
        table(
            f"cld_evaluation_adiff_{tier}_answer.csv",
            "taskname,filepath1,filepath2,caption1,caption2,input,answer",
            [*pair, "the first is applause, the second is cow mooing."],
            [
                *pair[:1],
                "evaluation/b.wav",
                "evaluation/a.wav",
                *pair[3:],
                "the first is cow mooing, the second is applause.",
            ],
        )
    question = {"choices": ["applause", "cow mooing"], "task": "sound", "difficulty": "easy", "category": "x"}
    mmau = [
        {
            **question,
            "id": name,
            "audio_id": f"./test-mini-audios/{name}.wav",
            "question": "What is it?",
            "answer": right,
        }
        for name, right in zip("ab", question["choices"], strict=True)
    ]
    (root / "mmau-test-mini.json").write_text(json.dumps(mmau))
    row = {"taskname": "clothov21", "filepath2": "", "caption1": "x", "caption2": "", "subtype": "ClothoMCQ.json"}
    choices = "what is the sound? a) applause b) cow mooing"
    rows = [
        {**row, "filepath1": f"evaluation/{name}.wav", "input": choices, "answer": right}
        for name, right in (("a", "a) applause"), ("b", "b) cow mooing"))
    ]
    open_question = {**row, "filepath1": "evaluation/a.wav", "input": "what is it?", "answer": "applause"}
    (root / "test.json").write_text(json.dumps([*rows, open_question]))
    return root


@pytest.mark.parametrize(
    ("task", "dataset", "count", "metric"),
    [
        ("mmau", "mmau", 2, "accuracy"),
        ("clotho-aqa", "clotho-aqa", 2, "binary"),
        ("entailment", "cle", 6, "accuracy"),
        ("difference", "cld", 6, "tier 3 rouge_l"),
        ("multiple-choice", "reasonaqa", 2, "accuracy"),
    ],
)
def test_official_layouts_from_files_to_figures(official, tmp_path, task, dataset, count, metric):
    options = ["--task", task, "--dataset", dataset, "--data-dir", official, "-o", tmp_path, "--draws", 0]
    printed = json.loads(run_command("evaluate", *options, "--format", "json").stdout)
    assert printed["count"] == count and not printed["failures"]
    assert 0 <= printed["metrics"][metric] <= 1


def test_other_weights_at_the_same_place_are_noticed(folder, tmp_path):
    from transformers import AutoModel

    shutil.copytree(afm_hf.bundled_model("clap-small"), tmp_path / "clap")
    options = ["--task", "zero-shot", "--dataset", "folder", "--data-dir", folder, "-o", tmp_path / "run", "--draws", 0]
    options += ["--model", tmp_path / "clap"]
    run_command("evaluate", *options)
    model = AutoModel.from_pretrained(tmp_path / "clap")
    model.audio_projection.linear1.weight.data.normal_()
    model.save_pretrained(tmp_path / "clap")
    stderr = run_command("evaluate", *options, code=2).stderr
    assert "other settings (weights)" in stderr
    run_command("evaluate", *options, "--overwrite")
