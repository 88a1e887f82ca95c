"""The benchmarks' runner: goals and verdicts, parts that fail, and the page that is made of its report."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from prefix_models import tiny_model

from afm_hf.models.common.int8_text_afm import has_int8_kernels

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import figures  # noqa: E402
import generation  # noqa: E402
import run_all  # noqa: E402
from figures import GOALS, Figure  # noqa: E402

SPEED, TIME = GOALS["files", "float32 against ClapModel"], GOALS["start", "classify"]


@pytest.mark.parametrize(
    ("goal", "values", "verdict"),
    [
        (SPEED, [1.0, 1.7, 1.8], "met"),  # the median counts
        (SPEED, [1.0, 1.5, 9.0], "MISSED"),
        (SPEED, [1.6], "met"),
        (TIME, [0.1, 0.2, 0.9], "met"),  # at most
        (TIME, [0.1, 0.3, 0.4], "MISSED"),
        (None, [1.0], ""),
    ],
)
def test_a_median_is_held_against_its_goal(goal, values, verdict):
    assert Figure("it", "a peer", values, goal.unit if goal else "x", goal).verdict == verdict


def test_a_line_says_minimum_median_maximum_goal_and_verdict():
    line = str(Figure("files", "ClapModel", [1.9, 1.5, 1.7], goal=SPEED))
    assert "1.70 x (1.50 to 1.90)" in line and "at least 1.60 x" in line and line.endswith(": met")
    assert "at most 0.20 s" in str(Figure("start", "", [0.25], "s", TIME))
    assert "not measured: no faiss" in str(Figure("search", "faiss", unmeasured="no faiss"))


@pytest.mark.parametrize("given", [{}, {"values": [1.0], "unmeasured": "a reason"}])
def test_a_figure_has_values_or_a_reason(given):
    with pytest.raises(ValueError, match="values, or the reason"):
        Figure("it", **given)


def test_a_goal_is_of_the_figures_unit():
    with pytest.raises(ValueError, match=r"in MB, but its goal in s"):
        Figure("it", "", [1.0], "MB", TIME)


def test_ratios_are_peer_over_ours_round_by_round_in_turns():
    order = []
    spent = figures.in_turns({"ours": lambda: order.append("ours"), "peer": lambda: order.append("peer")}, 2)
    assert order == ["ours", "peer"] * 3  # the first round is not counted
    assert {name: len(times) for name, times in spent.items()} == {"ours": 2, "peer": 2}
    assert figures.ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]


def test_figures_outlive_the_file():
    for figure in (Figure("it", "a peer", [1.0, 3.0, 2.0], goal=SPEED), Figure("it", unmeasured="why", goal=SPEED)):
        assert Figure.from_json(json.loads(json.dumps(figure.as_json()))) == figure
    said = Figure("it", "a peer", [1.0, 3.0, 2.0], goal=SPEED).as_json()
    assert (said["minimum"], said["median"], said["maximum"], said["met"]) == (1.0, 2.0, 3.0, True)


def test_every_goal_belongs_to_a_part():
    assert {goal.part for goal in GOALS.values()} <= {*run_all.PARTS, "all"}


# What parts of the runner do, each in a process of its own that imports this module's neighbour by name.
PARTS = """
from figures import GOALS, Figure

def good(options):
    yield Figure("loading", "", [0.1] * options.rounds, "s", GOALS["start", "loading CLAP 2023"])

def half(options):
    yield from good(options)
    import a_package_that_is_not_there

def killed(options):
    import os
    os.abort()
"""


@pytest.fixture
def parts(tmp_path, monkeypatch):
    (tmp_path / "parts_of_a_benchmark.py").write_text(PARTS)
    monkeypatch.syspath_prepend(tmp_path)
    import parts_of_a_benchmark

    yield parts_of_a_benchmark
    del sys.modules["parts_of_a_benchmark"]


@pytest.mark.parametrize(
    ("name", "measured", "failed", "reason"),
    [
        ("good", 1, "", "a reason of its own"),
        ("half", 1, "ModuleNotFoundError", "a_package_that_is_not_there"),
        ("killed", 0, "BrokenProcessPool", "the part failed"),
    ],
)
def test_a_part_that_fails_keeps_what_it_has_and_drops_no_goal(parts, name, measured, failed, reason, capfd):
    part = run_all.Part(getattr(parts, name), rounds=3, lacking="a reason of its own")
    report = run_all.run("start", part, run_all.Options())
    found = [Figure.from_json(said) for said in report["figures"]]
    assert report["failed"].startswith(failed) and bool(report["failed"]) == bool(failed)
    assert [len(figure.values) for figure in found if figure.values] == [3] * measured
    assert {figure.goal for figure in found} == {goal for goal in GOALS.values() if goal.part == "start"}
    assert all(reason in figure.unmeasured for figure in found if not figure.values)
    assert "classify" in capfd.readouterr().out  # it is printed, too


def test_a_report_keeps_other_parts_of_the_same_machine_alone(tmp_path):
    path, own = tmp_path / "bench.json", {"processor": "one"}
    assert run_all.opened(path, own, keep=True) == {"machine": own, "parts": {}}
    path.write_text(json.dumps({"machine": own, "parts": {"files": {}}}))
    assert run_all.opened(path, own, keep=True)["parts"] == {"files": {}}
    assert run_all.opened(path, own, keep=False)["parts"] == {}
    with pytest.raises(ValueError, match="another machine"):
        run_all.opened(path, {"processor": "two"}, keep=True)
    path.write_text("[]")
    with pytest.raises(ValueError, match="no report"):
        run_all.opened(path, own, keep=True)


@pytest.mark.parametrize("option", [["--only", "nothing"], ["--vectors", "0"], ["--rounds", "-1"]])
def test_wrong_options_are_refused(option, tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "run_all.py"), *option]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and option[0] in done.stderr
    assert not (tmp_path / "bench.json").exists()


# -- the authors' loop ------------------------------------------------------------------------------------------------


@pytest.fixture
def case():
    model = generation.without_end(tiny_model("clapcap"))
    ids = torch.full((1, model.config.prefix_length), model.config.audio_token_id)
    return generation.Case("tiny", model, ids, torch.randn(1, 1, 60, 16), new_tokens=16, beams=2)


def test_the_loop_from_a_sample_of_its_steps_takes_what_all_steps_take(case, monkeypatch):
    """With a clock that counts the places that the language model runs over."""
    passed, plain = [0], generation.Rerun.step

    def step(self, ids, prefix, scores, length):
        passed[0] += ids.numel()
        return plain(self, ids, prefix, scores, length)

    monkeypatch.setattr(generation.Rerun, "step", step)
    monkeypatch.setattr(generation.time, "process_time", lambda: passed[0])
    with torch.inference_mode():
        words = case.generate()[0]
        whole = generation.Rerun(case)
        assert len(list(whole)) == case.new_tokens and torch.equal(whole.tokens, words)
        assert generation.loop_seconds(case, words, every=4) == whole.first_encoder_s + whole.language_model_s > 0


@pytest.mark.parametrize(("new_tokens", "has_goal"), [(4, False), (64, True)])
def test_goals_of_generation_are_of_64_tokens(case, new_tokens, has_goal):
    with torch.inference_mode():
        found = list(generation.beside_the_loop("CLAPCAP", generation.replace(case, new_tokens=new_tokens), rounds=2))
    formats = 1 + has_int8_kernels()
    assert [len(figure.values) for figure in found] == [2, 1] * formats  # a batch in every second round
    assert [figure.goal is not None for figure in found] == [has_goal, has_goal] * formats
    assert [figure.what.endswith(", int8") for figure in found] == [False, False, True, True][: 2 * formats]


# -- the page ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(ROOT / "scripts" / "performance_page.py"))


def test_the_page_is_what_the_kept_report_says(script):
    text = script["PAGE"].read_text(encoding="utf-8")
    wanted = script["page"](text, json.loads(script["KEPT"].read_text(encoding="utf-8")))
    assert text == wanted, "run `python scripts/performance_page.py` and commit docs/performance.md"


def test_missed_goals_and_missing_parts_are_on_the_page(script):
    text = "".join(script["block"](name, "old") + "\n" for name in ["machine", "goals", *run_all.PARTS])
    slow = Figure("classify", "", [0.5], "s", TIME)
    own = {"figures": [slow.as_json()], "options": {"rounds": 1}, "minutes": 2}
    machine = {"processor": "one", "cores": 2, "torch": "2", "transformers": "5"}
    made = script["page"](text, {"machine": machine, "parts": {"start": {**own, "load_average": 0.1}}})
    assert "old" not in made and "0 are met, 1 are missed and 1 not measured" in made
    assert "| classify |  | 0.50 s | at most 0.20 s | **missed** |" in made
    assert "`python benchmarks/run_all.py --only start --rounds 1`, 2.0 minutes" in made
    assert "Not in the report: `python benchmarks/run_all.py --only search`" in made


def test_a_page_without_a_block_for_a_part_is_refused(script):
    with pytest.raises(ValueError, match="search"):
        script["page"](script["PAGE"].read_text().replace("<!-- bench: search -->", ""), {"machine": {}, "parts": {}})
