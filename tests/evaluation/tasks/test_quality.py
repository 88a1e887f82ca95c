"""PAM against human ratings: the official layout, other layouts, and figures that numpy gives too."""

import csv
import json

import numpy as np
import pytest
import soundfile
from tiny_models import RATE, clap_parts

from afm_hf import AudioQualityAssessmentPipeline
from afm_hf.evaluation.tasks.quality import RatedClip, evaluate_quality, read_ratings, score_files


@pytest.fixture(scope="module")
def assess():
    model, tokenizer, extractor = clap_parts()
    return AudioQualityAssessmentPipeline(model=model, feature_extractor=extractor, tokenizer=tokenizer)


def write_table(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """The official layout: scores.csv beside one folder for each of three models, four clips in each."""
    folder = tmp_path_factory.mktemp("task")
    generator = np.random.default_rng(0)
    rows = []
    for model in ("audiogen", "audioldm", "gold"):
        (folder / model).mkdir()
        for number in range(4):
            seconds = 0.3 + 0.4 * number
            samples = generator.normal(size=round(seconds * RATE)) * generator.uniform(0.01, 0.3)
            soundfile.write(folder / model / f"clip {number}.wav", samples, RATE)
            opinion = {"OVL": round(generator.uniform(1, 5), 2), "REL": round(generator.uniform(1, 5), 2)}
            rows.append({"Model": model, "File Name": f"clip {number}", **opinion})
    write_table(folder / "scores.csv", rows)
    return folder


def test_the_official_layout_gives_the_official_figures(assess, task):
    rated = read_ratings(task / "scores.csv")
    assert rated[5] == RatedClip(str(task / "audioldm" / "clip 1.wav"), "audioldm", rated[5].ratings)
    assert list(rated[5].ratings) == ["OVL", "REL"]
    report = evaluate_quality(assess, rated, batch_size=5, resamples=50)
    scores = [assess(clip.file).score for clip in rated]
    np.testing.assert_allclose([clip["score"] for clip in report.clips], scores, atol=1e-5)
    for rating in ("OVL", "REL"):
        opinions = [clip.ratings[rating] for clip in rated]
        assert report.correlation(rating).pearson == pytest.approx(np.corrcoef(scores, opinions)[0, 1], abs=1e-2)
        for place, system in enumerate(("audiogen", "audioldm", "gold")):  # what the released script prints
            part = slice(4 * place, 4 * place + 4)
            expected = np.corrcoef([clip["score"] for clip in report.clips[part]], opinions[part])[0, 1]
            assert report.correlation(rating, "clips", system).pearson == pytest.approx(expected, abs=1e-6)
        means = np.reshape([clip["score"] for clip in report.clips], (3, 4)).mean(1)
        expected = np.corrcoef(means, np.reshape(opinions, (3, 4)).mean(1))[0, 1]
        assert report.correlation(rating, "systems").pearson == pytest.approx(expected, abs=1e-6)
    assert len(report.correlations) == 2 * (1 + 1 + 3)
    with pytest.raises(KeyError, match="'MOS'"):
        report.correlation("MOS")


def test_a_report_says_what_made_it(assess, task):
    report = evaluate_quality(
        assess, read_ratings(task / "scores.csv"), segments="first", prompts=("good", "bad"), seed=3, resamples=20
    )
    expected = {"prompts": [["good", "bad"]], "segments": "first", "seed": 3, "resamples": 20, "confidence": 0.95}
    assert expected.items() <= report.settings.items()
    assert json.loads(report.to_json())["correlations"][0]["correlation"]["count"] == 12


def test_the_first_segment_is_scored_alone(assess, task):
    long = str(task / "gold" / "clip 3.wav")
    ((_, whole),) = score_files(assess, [long])
    ((_, first),) = score_files(assess, [long], segments="first")
    assert len(whole.segment_scores) == 3 and first.segment_scores == pytest.approx(whole.segment_scores[:1], abs=1e-5)


def test_other_columns_and_several_listeners(assess, task, tmp_path):
    rows = [
        {"wav": f"clip {number}.wav", "who": listener, "mos": number + listener}
        for number in range(4)
        for listener in (1, 2)
    ]
    table = write_table(tmp_path / "listeners.csv", rows)
    rated = read_ratings(table, task / "gold", file_column="wav", rating_columns=["mos"])
    assert [clip.ratings["mos"] for clip in rated] == [1.5, 2.5, 3.5, 4.5]
    report = evaluate_quality(assess, rated, resamples=0)
    assert [(row["rating"], row["over"], row["system"]) for row in report.correlations] == [("mos", "clips", None)]


def test_bad_files_are_named_and_the_rest_is_kept(assess, task, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"no audio")
    rows = [{"File Name": str(task / "gold" / f"clip {number}"), "OVL": number} for number in range(4)]
    rows[1:1] = [{"File Name": "broken.wav", "OVL": 1}, {"File Name": "absent", "OVL": 1}]
    report = evaluate_quality(assess, read_ratings(write_table(tmp_path / "s.csv", rows)), batch_size=2, resamples=0)
    assert set(report.skipped) == {str(tmp_path / "broken.wav"), str(tmp_path / "absent.wav")}
    assert all(report.skipped.values())
    assert report.correlation("OVL").count == 4
    assert [clip["ratings"]["OVL"] for clip in report.clips] == [0, 1, 2, 3]


def test_mistakes_are_named(assess, task, tmp_path):
    table = write_table(tmp_path / "s.csv", [{"File Name": "a", "OVL": "good"}])
    with pytest.raises(ValueError, match=r"s\.csv:2: `OVL` is 'good'; expected a number"):
        read_ratings(table)
    with pytest.raises(ValueError, match="none of the usual ratings"):
        read_ratings(write_table(tmp_path / "t.csv", [{"File Name": "a", "MOS": 3}]))
    with pytest.raises(ValueError, match="no column `System`"):
        read_ratings(table, system_column="System")
    with pytest.raises(ValueError, match=r"3 clips or more, but 0 of 1 .*absent"):
        evaluate_quality(assess, [RatedClip("/absent.wav", None, {"OVL": 1.0})])
    with pytest.raises(ValueError, match="`segments` is 'last'"):
        list(score_files(assess, [], segments="last"))
