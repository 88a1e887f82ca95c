"""The suite: its questions have right answers, its controls do not, and it goes on where it was stopped."""

import json

import numpy as np
import pytest
from commands import run_command
from transformers import pipeline

import afm_hf
from afm_hf.evaluation.suite.items import (
    NAMED,
    backwards,
    captioned,
    hypotheses,
    labelled,
    learnable,
    other_audio,
    pairs,
    questions,
)
from afm_hf.evaluation.suite.running import SHUFFLED, SUITE, TRIVIAL, run_suite
from afm_hf.evaluation.suite.tasks import ABOVE, BOTH, LABEL, NamedCaptionTask, NamedDifferenceTask, QualityOrderTask
from afm_hf.evaluation.task import Failure, Item, Record

LABELS = ["dog", "rain", "wind", "car", "bell", "dog", "rain", "dog"]
ITEMS = [
    Item(f"{i}.wav", f"/clips/{i}.wav", {"label": label, "captions": [f"A {label}."]}) for i, label in enumerate(LABELS)
]
LABEL_OF_AUDIO = {item.audio: item.truth["label"] for item in ITEMS}


def test_questions_have_one_right_answer_and_the_same_seed_asks_the_same():
    asked = questions(ITEMS, seed=0)
    assert len(asked) == 3 * len(ITEMS) and len({item.id for item in asked}) == len(asked)
    for item in asked:
        assert item.truth["choices"].count(item.truth["answer"]) == 1
        if item.truth["answer"] == "yes":
            assert LABEL_OF_AUDIO[item.audio] in item.truth["question"]
        if item.truth["answer"] == "no":
            assert LABEL_OF_AUDIO[item.audio] not in item.truth["question"]
    assert asked == questions(ITEMS, seed=0) != questions(ITEMS, seed=1)


def test_hypotheses_are_of_the_label_or_not():
    for item in hypotheses(ITEMS, seed=0):
        told = item.truth["hypothesis"].removeprefix("This is a sound of ").removesuffix(".")
        heard = LABEL_OF_AUDIO[item.audio]
        assert {
            "entailment": told == heard,
            "neutral": told.startswith(f"{heard} "),
            "contradiction": heard not in told,
        }[item.truth["label"]]


def test_the_control_hears_nothing_that_the_question_names():
    for item, before in zip(other_audio(questions(ITEMS, 0), 0), questions(ITEMS, 0), strict=True):
        heard = LABEL_OF_AUDIO[item.audio]
        assert heard != item.truth["label"] and (item.id, item.truth) == (before.id, before.truth)
        assert heard not in item.truth["question"] and heard not in item.truth["choices"]


def test_pairs_have_two_labels_and_are_turned_round():
    made = pairs(ITEMS, seed=0, most=10)
    assert len(made) == len({item.id for item in made}) == 10
    for item, turned in zip(made, backwards(made, 0), strict=True):
        first, second = (LABEL_OF_AUDIO[audio] for audio in item.audio)
        assert first != second and item.truth["answer"] == NAMED.format(first, second)
        assert turned.audio == item.audio[::-1] and turned.truth == item.truth
    assert len(pairs(ITEMS[:2], seed=0)) == 2  # there are no more


def test_folds_have_labels_that_can_be_learned():
    made = learnable(ITEMS)
    assert [(item.truth["label"], item.truth["fold"]) for item in made] == [
        ("dog", "1"),
        ("rain", "1"),
        ("dog", "2"),
        ("rain", "2"),
        ("dog", "3"),
    ]
    with pytest.raises(ValueError, match="two clips or more"):
        learnable(ITEMS[:5])


def test_what_clips_lack_is_said():
    assert [item.id for item in captioned(ITEMS, once=True)] == [f"{i}.wav" for i in range(5)]
    with pytest.raises(ValueError, match="captions"):
        captioned([Item("a", "a", {"label": "dog"})])
    with pytest.raises(ValueError, match="1 labels"):
        labelled([ITEMS[0], Item("b", "b")])


def test_names_count_in_their_place():
    difference, caption = NamedDifferenceTask(None), NamedCaptionTask(None)
    truth = {"labels": ["dog", "rain"], "answer": NAMED.format("dog", "rain"), "label": "dog", "captions": ["A dog."]}
    texts = [NAMED.format("dog", "rain"), NAMED.format("rain", "dog"), NAMED.format("dog", "dog")]
    records = [Record(Item(str(i), "a", truth), {"text": text}) for i, text in enumerate(texts)]
    figures = difference.score(records)
    assert figures[BOTH] == pytest.approx(1 / 3) and figures["first clip named"] == pytest.approx(2 / 3)
    assert list(difference.per_record(records)[BOTH]) == [True, False, False]
    said = [Record(Item("a", "a", truth), {"text": "A dog barks"}), Record(Item("b", "b", truth), {"text": "rain"})]
    assert caption.score(said)[LABEL] == 0.5


def test_quality_compares_a_clip_with_itself(tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no audio")
    pipe = pipeline("audio-quality-assessment", model=str(afm_hf.bundled_model("clap-small")))
    task = QualityOrderTask(pipe, kinds=("noise",))
    clip = Item("a", str(afm_hf.bundled_audio()[0]))
    scores, failure = task.predict([clip, Item("bad", str(bad))])
    assert isinstance(failure, Failure) and list(scores) == ["clean", *(f"noise {n}" for n in (30, 20, 10, 0, -10))]
    assert scores["clean"] == pytest.approx(pipe(clip.audio).score, abs=1e-5)
    falling = Record(clip, {"clean": 0.5, **{name: 0.6 - 0.1 * i for i, name in enumerate(task.levels, 1)}})
    assert task.score([falling])[ABOVE] == pytest.approx(0.8)  # the first is no lower
    (line,) = task.details([falling])["curves"][0]["lines"].values()
    assert [x for x, _ in line] == [0, 1, 2, 3, 4, 5] and line[-1][1] == pytest.approx(0.1)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    rows = ["file_name,label,caption"]
    for clip in afm_hf.bundled_audio()[:6]:
        (folder / clip.name).write_bytes(clip.read_bytes())
        label = " ".join(clip.stem.split("_")[:-2])
        rows.append(f"{clip.name},{label},A sound of {label}.")
    (folder / "metadata.csv").write_text("\n".join(rows))
    return folder


def test_every_task_with_its_controls_and_on_again(sounds, tmp_path):
    options = {"draws": 20, "progress": False}
    quick = [name for name in SUITE if name not in ("linear-probe", "quality", "adaptation")]
    found = run_suite(tmp_path, sounds, [*quick, "linear-probe"], **options)
    assert [result.task for result in found.results] == quick and found.clips == 6
    assert "two clips or more" in found.skipped["linear-probe"]  # one clip a label; the others go on
    for result in found.results:
        name = result.details["main_metric"]
        assert name in result.metrics and name in result.details["baselines"][SHUFFLED]
        assert name in result.details["baselines"][TRIVIAL] and result.count and not result.failures
        saved = json.loads((tmp_path / result.task / "result.json").read_text())
        assert saved == json.loads(result.to_json())
    details = {result.task: result.details for result in found.results}
    assert set(details["question-answering"]["by_group"]["kind of question"]) == {"one of four labels", "yes or no"}
    assert np.sum(details["entailment"]["confusion"]) == 18
    example = details["question-answering"]["examples"][0]
    assert example["right"] in example["asked"] and ".ogg" in example["id"]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("predictions-*.jsonl")}
    again = run_suite(tmp_path, sounds, quick, **options)
    assert [result.metrics for result in again.results] == [result.metrics for result in found.results]
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("predictions-*.jsonl")}


def test_a_folder_for_each_label_is_enough(tmp_path):
    for label, clip in (("cow", afm_hf.bundled_audio()[4]), ("rain", afm_hf.bundled_audio()[11])):
        (tmp_path / "sounds" / label).mkdir(parents=True)
        (tmp_path / "sounds" / label / clip.name).write_bytes(clip.read_bytes())
    found = run_suite(tmp_path / "run", tmp_path / "sounds", ["zero-shot", "captioning"], draws=0, progress=False)
    assert found.clips == 2 and [result.task for result in found.results] == ["zero-shot"]
    assert "'caption'" in found.skipped["captioning"]


def test_clips_that_cannot_be_used_are_named_and_the_others_go_on(sounds, tmp_path):
    import shutil

    folder = tmp_path / "sounds"
    shutil.copytree(sounds, folder)
    with (folder / "metadata.csv").open("a") as file:
        file.write("\nlost.wav,rain,Rain.\nempty.wav,rain,Rain.")
    (folder / "empty.wav").write_bytes(b"")
    found = run_suite(tmp_path / "out", folder, ["zero-shot"], draws=0, progress=False)
    assert found.clips == 6 and "lost.wav" in found.left_out and "empty.wav" in found.left_out
    said = run_command("suite", "-o", tmp_path / "out", "--sounds", folder, "--task", "zero-shot", "--draws", 0, code=1)
    assert "lost.wav" in said.output and "lost.wav" in (tmp_path / "out" / "report.md").read_text()


def test_what_cannot_be_done_is_refused(sounds, tmp_path):
    with pytest.raises(ValueError, match=r"no task 'singing'; its tasks are zero-shot"):
        run_suite(tmp_path, sounds, ["singing"])
    with pytest.raises(ValueError, match=r"captioning: clap-small is a 'clap_afm' model; 'audio-captioning' takes "):
        run_suite(tmp_path, sounds, ["captioning"], {"captioning": "clap-small"})
    with pytest.raises(ValueError, match=r"No task of the suite.*linear-probe"):
        run_suite(tmp_path, sounds, ["linear-probe"])


def test_the_command_writes_the_report_and_says_how_few_clips_there_are(tmp_path):
    said = run_command("suite", "--output", tmp_path / "out", "--task", "zero-shot", "--draws", "20")
    assert "accuracy" in said.output and "wide" in said.output
    page = (tmp_path / "out" / "report.html").read_text()
    assert "bundled clips" in page and "shuffled audio" in page and "afm-hf suite --output out --task zero-shot" in page
    again = run_command("suite", "--output", tmp_path / "out", "--task", "zero-shot", "--dtype", "bfloat16", code=2)
    assert "dtype" in again.output and "--overwrite" in again.output  # figures of two number formats are not mixed
    wrong = run_command("suite", "--output", tmp_path / "x", "--model", "clap-small", code=2)
    assert "expected TASK=MODEL" in wrong.output
