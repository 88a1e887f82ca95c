"""From captions to tables that the readers take; answers that survive a kill."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from audio_files import write_clip, write_csv
from commands import run_command
from written_by import NO_SYSTEM, TEMPLATE, known_item, tiny_llama

pytest.importorskip("jsonschema")

from afm_hf.data import read_entailment, read_reasonaqa, read_table
from afm_hf.data.synthesis import TransformersWriter, WriterError, clips_of, load_instructions, synthesize
from afm_hf.data.synthesis.requests import request_of
from afm_hf.models.common.int8_afm import is_int8
from afm_hf.models.common.int8_text_afm import has_int8_kernels

DOGS = [f"A dog of {name} barks in the rain." for name in ("Ann", "Ben", "Cleo", "Dora")]


class Known:
    """Writes what is known to be good, or what `answer` makes of the item, and counts."""

    def __init__(self, answer=lambda item, number: json.dumps(item)):
        self.answer, self.asked = answer, []

    def settings(self):
        return {"model": "known"}

    def write(self, requests):
        self.asked += requests
        first = len(self.asked) - len(requests)
        return [self.answer(known_item(request), first + number) for number, request in enumerate(requests)]


def read(folder, captions=DOGS):
    """Clips with these captions."""
    for number in range(len(captions)):
        write_clip(folder / f"{number}.wav", 0.1 + number / 100)
    rows = [[f"{number}.wav", caption] for number, caption in enumerate(captions)]
    data, _ = read_table(write_csv(folder / "clips.csv", "file_name,caption", *rows))
    return clips_of(data, folder)


def numbered(item, number):
    """The item, another one at every request, so that nothing is a duplicate."""
    changed = {
        name: f"{value} number {number}" if name in ("hypothesis", "difference") else value
        for name, value in item.items()
    }
    return json.dumps(changed)


def test_everything_is_kept_and_read_as_reasonaqa_and_audio_entailment(tmp_path):
    clips = read(tmp_path / "clips")
    report = synthesize(clips, Known(numbered), tmp_path / "made", batch_size=3)
    assert report.total.kept == report.total.asked == len(clips) * 8 and report.hypotheses == 4
    data, read_report = read_reasonaqa(tmp_path / "made" / "train.json", tmp_path / "clips")
    assert read_report.kept == report.rows == 32 and not read_report.skipped
    rows = {subtype: [row for row in data if row["subtype"] == subtype] for subtype in data.unique("subtype")}
    assert {name.removeprefix("made-") for name in rows} == {each.kind for each in load_instructions()}
    for row in rows["made-choices"]:
        letter, answer = row["answer"].split(") ")
        assert answer == "a dog" and f"{letter}) a dog" in row["prompt"] and " d) " in row["prompt"]
    assert len({row["answer"] for row in rows["made-choices"]}) > 1  # the right one is not always the first
    for kind in ("concise", "brief", "detailed"):
        assert all(row["audio2"]["path"] != row["audio"]["path"] for row in rows[f"made-{kind}"])
        assert rows[f"made-{kind}"][0]["prompt"].startswith("explain the difference in")
    pairs = [
        [(row["audio"]["path"], row["audio2"]["path"]) for row in rows[f"made-{kind}"]] for kind in ("concise", "brief")
    ]
    assert pairs[0] == pairs[1]  # a pair has all tiers
    assert {row["answer"][:2] for row in rows["made-neutral"]} == {"c)"}
    assert "a) It is definitely true" in rows["made-entailment"][0]["prompt"]
    hypotheses, _ = read_entailment(tmp_path / "made" / "entailment.csv", tmp_path / "clips")
    assert len(hypotheses) == 12 and set(hypotheses["label"]) == {"entailment", "neutral", "contradiction"}
    assert json.loads((tmp_path / "made" / "report.json").read_text())["kinds"]["all"]["rate"] == 1


def test_a_run_that_is_killed_goes_on_and_ends_as_one_that_was_not(tmp_path):
    clips = read(tmp_path / "clips")
    whole = Known(numbered)
    expected = synthesize(clips, whole, tmp_path / "whole", batch_size=3)
    script = f"""
import os, signal, sys
sys.path += {sys.path!r}
from pathlib import Path
from test_synthesis_making import Known, numbered, read, synthesize

class Killed(Known):
    def write(self, requests):
        if len(self.asked) >= 9:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().write(requests)

synthesize(read(Path({str(tmp_path / "clips")!r})), Killed(numbered), Path({str(tmp_path / "made")!r}), batch_size=3)
"""
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}
    assert subprocess.run([sys.executable, "-c", script], env=here).returncode == -signal.SIGKILL
    answers = tmp_path / "made" / "answers.jsonl"
    done = len(answers.read_text().splitlines())
    assert 9 <= done < len(whole.asked) and not (tmp_path / "made" / "train.json").exists()
    with answers.open("a") as file:
        file.write('{"id": "cut off')
    rest = Known(lambda item, number: numbered(item, number + done))
    report = synthesize(clips, rest, tmp_path / "made", batch_size=3)
    assert len(rest.asked) == len(whole.asked) - done and report == expected
    for name in ("answers.jsonl", "train.json", "entailment.csv", "report.json"):
        assert (tmp_path / "made" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    again = Known()
    synthesize(clips, again, tmp_path / "made", batch_size=5)
    assert not again.asked  # filtered anew, without asking anything


def test_answers_of_other_settings_are_not_mixed_in(tmp_path):
    clips = read(tmp_path / "clips")
    made = tmp_path / "made"
    synthesize(clips, Known(), made, groups=["questions"])
    with pytest.raises(ValueError, match="other settings: form was 'json'"):
        synthesize(clips, Known(), made, groups=["questions"], form="lines")
    with pytest.raises(ValueError, match="other settings: requests"):
        synthesize(clips[:3], Known(), made, groups=["questions"])
    (made / "settings.json").write_text("{")
    with pytest.raises(ValueError, match=r"settings\.json cannot be read"):
        synthesize(clips, Known(), made, groups=["questions"])


def test_the_report_counts_each_reason_and_quotes_answers(tmp_path):
    said = ["no JSON", '{"question": 1}', json.dumps({"question": "Who is there now?", "answer": "a dog"}), None]
    writer = Known(lambda item, number: said[number] if said[number] else WriterError("out of order"))
    report = synthesize(read(tmp_path / "clips"), writer, tmp_path / "made", groups=["questions"])
    found = report.kinds["questions"]
    assert (found.asked, found.kept, found.rate) == (4, 1, 0.25)
    assert found.dropped == {"unparsed": 1, "schema": 1, "failed": 1}
    assert "25.0%" in str(report) and "unparsed 25.0%" in str(report)
    assert report.to_dict()["examples of what was dropped"]["failed"] == ["questions: out of order"]
    dropped = [json.loads(line) for line in (tmp_path / "made" / "dropped.jsonl").read_text().splitlines()]
    assert [row["reason"] for row in dropped] == ["unparsed", "schema", "failed"]
    # What failed is asked again, and nothing else is.
    again = Known()
    assert synthesize(read(tmp_path / "clips"), again, tmp_path / "made", groups=["questions"]).total.kept == 2
    assert len(again.asked) == 1


def test_wrong_choices_are_borrowed_from_clips_that_have_nothing_in_common(tmp_path):
    animals = ["dog", "cat", "cow", "hen", "hen"]
    clips = read(tmp_path / "clips", [f"A {name} is heard, take {i}." for i, name in enumerate(animals)])
    writer = Known(lambda item, number: f"Question: What is loud?\nAnswer: a {animals[number % 5]}")
    how = {"groups": ["choices"], "aspects": ["objects"], "form": "lines", "borrow_choices": True}
    report = synthesize(clips, writer, tmp_path / "made", **how)
    assert report.total.kept == 5
    for row in json.loads((tmp_path / "made" / "train.json").read_text()):
        assert all(f") a {name}" in row["input"] for name in {*animals})
        assert row["input"].count("a hen") == 1
    lonely = synthesize(clips[:3], writer, tmp_path / "few", **how)
    assert lonely.total.dropped == {"choices alike": 3}


def test_captions_and_aspects_take_turns(tmp_path):
    clips = read(tmp_path / "clips")
    several = [clip.__class__(clip.file, (clip.captions[0], "The dog growls."), clip.source) for clip in clips]
    writer = Known()
    synthesize(several, writer, tmp_path / "made", groups=["questions"], per_clip=3, aspects=["events", "scenes"])
    asked = [request.messages[-1]["content"] for request in writer.asked[:3]]
    assert ["growls" in text for text in asked] == [False, True, False]
    assert ["what happens" in text for text in asked] == [True, False, True]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"form": "xml"}, "expected one of 'json', 'lines'"),
        ({"per_clip": 0}, "expected 1 or more"),
        ({"batch_size": 0}, "expected 1 or more"),
        ({"aspects": ["taste"]}, "'taste'.*'events'"),
        ({"groups": ["songs"]}, "'songs'"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_anything_is_asked(tmp_path, settings, message):
    clips, writer = read(tmp_path / "clips"), Known()
    with pytest.raises(ValueError, match=message):
        synthesize(clips, writer, tmp_path / "made", **settings)
    with pytest.raises(ValueError, match="no clips"):
        synthesize([], writer, tmp_path / "made")
    with pytest.raises(ValueError, match="between two clips"):
        synthesize(clips[:1], writer, tmp_path / "made")
    assert not writer.asked and not (tmp_path / "made").exists()


def requests_for(captions, kind="neutral"):
    instruction = next(each for each in load_instructions() if each.kind == kind)
    return [request_of(instruction, {"caption": text, "aspect": "it"}, "lines") for text in captions]


def test_the_common_beginning_is_computed_once_and_changes_nothing(tmp_path):
    folder = tiny_llama(tmp_path)
    plain = TransformersWriter(folder, max_new_tokens=12, share_start=False)
    shared = TransformersWriter(folder, max_new_tokens=12)
    requests = requests_for(["A dog.", "Rain falls on a very large roof of tin.", "An engine."])
    expected = plain.write(requests)
    assert shared.write(requests) == expected
    known = shared._start
    assert known is not None and len(known[0]) > 500
    assert shared.write(requests[:2]) == expected[:2] and shared._start is known
    assert [text for request in requests for text in plain.write([request])] == expected
    assert all(text.startswith("Possible:") for text in expected)
    other = requests_for(["A dog."], "entailment")
    assert shared.write(other) == plain.write(other)


@pytest.mark.skipif(not has_int8_kernels(), reason="torch has no kernels for this processor")
def test_answers_in_other_number_formats_are_kept_apart(tmp_path):
    folder, requests = tiny_llama(tmp_path), requests_for(["A dog."])
    small = TransformersWriter(folder, max_new_tokens=4, dtype="int8")
    assert is_int8(small.model) and small.write(requests)[0].startswith("Possible:")
    assert small.settings()["dtype"] == "int8" and "dtype" not in TransformersWriter(folder).settings()
    with pytest.raises(ValueError, match="is for CPUs"):
        TransformersWriter(folder, device="meta", dtype="int8")


def test_drawn_answers_are_the_same_again_and_others_with_another_seed(tmp_path):
    folder = tiny_llama(tmp_path)
    requests = requests_for(["A dog.", "Rain."])
    how = {"max_new_tokens": 8, "temperature": 1.0}
    first = TransformersWriter(folder, seed=1, **how).write(requests)
    assert TransformersWriter(folder, seed=1, **how).write(requests) == first
    assert TransformersWriter(folder, seed=2, **how).write(requests) != first


def test_templates_without_a_system_message_and_models_without_a_template(tmp_path):
    writer = TransformersWriter(tiny_llama(tmp_path / "none", NO_SYSTEM + TEMPLATE), max_new_tokens=4)
    text = writer.tokenizer.decode(writer._ids(requests_for(["A dog."])[0]))
    assert text.startswith("<user>You write sentences") and "<system>" not in text and text.endswith("Possible:")
    with pytest.raises(WriterError, match="no instruct model"):
        TransformersWriter(tiny_llama(tmp_path / "base", None))
    with pytest.raises(WriterError, match="cannot be loaded"):
        TransformersWriter(tmp_path / "nothing")


def test_the_command_with_a_model_of_a_folder(tmp_path):
    read(tmp_path / "clips")
    model = tiny_llama(tmp_path / "model")
    options = ["--data", tmp_path / "clips" / "clips.csv", "--dataset", "table", "--model", model, "--form", "lines"]
    options += ["--kind", "entailment", "--limit", 2, "--max-new-tokens", 3, "--device", "cpu"]
    result = run_command("make-data", *options, "-o", tmp_path / "made")
    assert "4 rows kept" in result.stderr and "contradiction" in result.stdout
    report = json.loads((tmp_path / "made" / "report.json").read_text())
    assert report["kinds"]["all"]["asked"] == 6  # two of the clips, three hypotheses
    assert run_command("make-data", *options, "-o", tmp_path / "made").stdout == result.stdout
    refused = run_command("make-data", *options, "--form", "json", "-o", tmp_path / "made", code=2)
    assert "other settings: form" in refused.stderr
    nobody = run_command("make-data", "--data", tmp_path / "clips", "-o", tmp_path / "other", code=2)
    assert "metadata.csv" in nobody.stderr
