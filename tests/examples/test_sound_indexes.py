"""The indexes of training clips: complete, without repeats, and apart from the clips that models are judged by."""

import csv
from collections import Counter
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_indexes_name_every_clip_once_with_label_and_licence() -> None:
    first, more = (read(EXAMPLES / name) for name in ("debian-sounds.csv", "debian-sounds-more.csv"))
    assert list(first[0]) == list(more[0])
    for key in ("path", "id"):
        repeated = [value for value, count in Counter(row[key] for row in first + more).items() if count > 1]
        assert not repeated, (key, repeated[:5])
    for row in first + more:
        assert row["label"] and row["caption"] and row["licence"], row["path"]
        assert row["path"].startswith(f"{row['package']}/"), row["path"]


def test_further_clips_are_of_packages_that_judge_no_model() -> None:
    judging = {row["source"] for row in read(EXAMPLES / "sounds" / "metadata.csv")}
    first = {row["package"] for row in read(EXAMPLES / "debian-sounds.csv")}
    more = {row["package"] for row in read(EXAMPLES / "debian-sounds-more.csv")}
    assert judging and not more & (judging | first)
