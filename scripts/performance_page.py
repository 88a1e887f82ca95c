"""Writes the tables of `docs/performance.md` from a report of `make bench`.

python scripts/performance_page.py bench.json   # keeps the report in benchmarks/results/ and renews the page
python scripts/performance_page.py              # renews the page from the report that is kept
python scripts/performance_page.py --check      # exit code 1 if the page is stale, as tests/test_benchmarks.py
"""

import argparse
import json
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE, KEPT = ROOT / "docs" / "performance.md", ROOT / "benchmarks" / "results" / "bench.json"
BLOCK = re.compile(r"<!-- bench: (\w+) -->\n.*?<!-- end -->", re.S)
sys.path.insert(0, str(ROOT / "benchmarks"))

from figures import Figure  # noqa: E402
from run_all import PARTS, Options, figures_of  # noqa: E402

VERDICTS = {"MISSED": "**missed**"}


def page(text: str, report: dict[str, Any]) -> str:
    """The page with its marked blocks made anew.

    Raises:
        ValueError: a block of the page has no part of this name, or a part of the benchmark has no block.
    """
    makers = {"machine": machine, "goals": goals, **dict.fromkeys(PARTS, part)}
    named = BLOCK.findall(text)
    if sorted(named) != sorted(makers):
        wrong = sorted(set(named) ^ set(makers)) or sorted({name for name in named if named.count(name) > 1})
        raise ValueError(f"{PAGE.name} shall have one block of each part; these are too many or too few: {wrong}.")
    return BLOCK.sub(lambda found: block(found[1], makers[found[1]](report, found[1])), text)


def block(name: str, content: str) -> str:
    """What stands between the two marks, and the marks."""
    return f"<!-- bench: {name} -->\n{content}\n<!-- end -->"


def machine(report: dict[str, Any], name: str) -> str:
    """The machine, and what the run took."""
    there = report["machine"]
    loads = [part["load_average"] for part in report["parts"].values()]
    took = sum(part["minutes"] for part in report["parts"].values())
    return (
        f"Measured on: {there['processor']}, {there['cores']} cores, torch {there['torch']}, transformers "
        f"{there['transformers']}; {took:.0f} minutes in all, load average before each part {min(loads):.1f} to "
        f"{max(loads):.1f} (this run's own work included)."
    )


def goals(report: dict[str, Any], name: str) -> str:
    """How many goals are met, and all that are not."""
    beside = [figure for figure in figures_of(report) if figure.goal is not None]
    said = [figure.verdict for figure in beside]
    first = f"Of {len(beside)} figures beside goals {said.count('met')} are met"
    first += f", {said.count('MISSED')} are missed and {said.count('not measured')} not measured."
    others = [figure for figure in beside if figure.verdict != "met"]
    return "\n".join([first, *(["", "Those that are not met:", "", table(others)] if others else [])])


def part(report: dict[str, Any], name: str) -> str:
    """The table of a part, and the command that makes it."""
    if name not in report["parts"]:
        return f"Not in the report: `python benchmarks/run_all.py --only {name}` measures it."
    found = report["parts"][name]
    given = {key: value for key, value in found["options"].items() if value != asdict(Options())[key]}
    command = " ".join(["python benchmarks/run_all.py --only", name, *(f"--{key} {given[key]}" for key in given)])
    figures = table([Figure.from_json(said) for said in found["figures"]])
    return f"{figures}\n\n`{command}`, {found['minutes']:.1f} minutes."


def table(figures: list[Figure]) -> str:
    """Figures as rows."""
    lines = ["| what | against | median (least to most) | goal | |", "|---|---|---|---|---|"]
    for figure in figures:
        goal = str(figure.goal) if figure.goal is not None else ""
        cells = (figure.what, figure.against, figure.amounts, goal, VERDICTS.get(figure.verdict, figure.verdict))
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, nargs="?", default=KEPT, help="of benchmarks/run_all.py")
    parser.add_argument("--check", action="store_true", help="only say whether the page is stale")
    arguments = parser.parse_args()
    text = PAGE.read_text(encoding="utf-8")
    written = arguments.report.read_text(encoding="utf-8")
    wanted = page(text, json.loads(written))
    if arguments.check:
        if text != wanted:
            print(f"{PAGE.relative_to(ROOT)} is stale: run `python scripts/performance_page.py`", file=sys.stderr)
        return int(text != wanted)
    KEPT.write_text(written, encoding="utf-8")
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
