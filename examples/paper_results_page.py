"""Write the page of the docs that shows every reported figure: `python examples/paper_results_page.py`."""

from pathlib import Path

from afm_hf.evaluation.paper.figures import load
from afm_hf.evaluation.paper.tables import as_markdown

PAGE = Path(__file__).parents[1] / "docs" / "paper_results.md"

LEAD = """# Reported numbers

The numbers that the papers report, {count} figures, are data in the package: `afm_hf/evaluation/paper_results.json`.
They are other people's measurements; nothing on this page was measured with this package.

```bash
afm-hf paper "clap 23" --task zero-shot
afm-hf paper mellow --dataset mmau --format markdown     # or json, jsonl, csv
```

```python
from afm_hf.evaluation.paper import difference, find

(row,) = find(system="CLAP 23", task="zero-shot", dataset="esc50")
print(row.printed, row.sources[0].where, row.doubts)
print(difference(0.91, row))  # ESC-50 all folds, accuracy: reported 0.939 (CLAP 23), measured 0.91, difference -0.029
```

`find` compares names without case, spaces and signs; `variant=""` leaves ablations out. `difference` takes a fraction,
or with `unit="percent"` per cent, and brings it to the unit of the reported figure.

The tables are those of the thesis slides, of the papers on CLAP (arXiv 2206.04769 and 2309.05767) and of the
leaderboards in the authors' repositories: "the sources" in the notes below. Higher is better in all of them. A row that
is printed in several tables, or twice in one, is one figure. Left out are figures that are only drawn in a plot, and
gains without the numbers behind them (WavText5K, SELM). For PAM and for captioners trained without audio the sources
have no numbers.

This page is made from the data by `python examples/paper_results_page.py`.
"""


def page() -> str:
    """The whole page, in Markdown."""
    figures = load()
    return LEAD.format(count=len(figures)) + "\n" + as_markdown(figures) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{len(load())} figures in {PAGE}")
