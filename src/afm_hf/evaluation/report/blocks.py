"""
The parts of a report, and how they become Markdown and HTML.

Texts in the parts are plain: labels, captions, paths and errors come from data, so both writers escape everything, and
no part can hold markup. The HTML page is one file without scripts or links to load from.
"""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .plots import clean


@dataclass(frozen=True)
class Heading:
    """A title; level 1 is the page's."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Code:
    """Commands or settings, kept as they are."""

    text: str


@dataclass(frozen=True)
class Table:
    """Rows of cells; `numbers` are the columns that are set to the right, by default all but the first."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: range = range(1, 99)


@dataclass(frozen=True)
class Plot:
    """An SVG picture, from `report_plots`; `name` is its file's beside the Markdown."""

    name: str
    svg: str
    caption: str


@dataclass(frozen=True)
class Fold:
    """Parts that are opened by a click."""

    title: str
    blocks: "Sequence[Block]"


Block: TypeAlias = Heading | Text | Code | Table | Plot | Fold


def as_markdown(blocks: Sequence[Block], plots: str) -> str:
    """
    Markdown of the parts.

    Args:
        blocks: The parts.
        plots (`str`): The folder, as seen from the Markdown file, where `name.svg` of each plot lies.
    """
    return "\n\n".join(_markdown(block, plots) for block in blocks) + "\n"


def as_html(blocks: Sequence[Block], title: str) -> str:
    """
    A page that needs nothing beside it.

    Args:
        blocks: The parts.
        title (`str`): Of the window.
    """
    body = "\n".join(_html(block) for block in blocks)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # nothing may be loaded or run, whatever the data hold
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{_h(title)}</title>\n<style>{_PAGE}</style></head>\n<body><main>\n{body}\n</main></body></html>\n"
    )


def escape_markdown(text: object) -> str:
    """Text as Markdown shows it to the letter, also in a cell of a table."""
    line = html.escape(clean(text), quote=False)
    line = re.sub(r"([\\`*_{}\[\]|~$^])", r"\\\1", line)
    line = re.sub(r"^([#>=+-])", r"\\\1", line)  # a title, a quote, a list
    line = re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", line)
    return line.replace("://", "&#58;//").replace("www.", "www&#46;").replace("@", "&#64;")  # no links made of it


def _markdown(block: Block, plots: str) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {escape_markdown(block.text)}"
    if isinstance(block, Text):
        return escape_markdown(block.text)
    if isinstance(block, Code):
        fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", block.text)), default=0))
        return f"{fence}text\n{_lines(block.text)}\n{fence}"
    if isinstance(block, Table):
        dashes = ["---:" if i in block.numbers else "---" for i in range(len(block.header))]
        rows = [[escape_markdown(cell) for cell in row] for row in (block.header, *block.rows)]
        rows.insert(1, dashes)
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)
    if isinstance(block, Plot):
        said = escape_markdown(block.caption)
        return f"![{said}]({plots}/{block.name}.svg)\n\n{said}"
    inside = as_markdown(block.blocks, plots).strip()
    # `markdown`: what is inside is Markdown, for MkDocs with md_in_html; GitHub takes it so anyway
    return f'<details markdown="1"><summary>{_h(block.title)}</summary>\n\n{inside}\n\n</details>'


def _html(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{_h(block.text)}</h{block.level}>"
    if isinstance(block, Text):
        return f"<p>{_h(block.text)}</p>"
    if isinstance(block, Code):
        return f"<pre>{html.escape(_lines(block.text))}</pre>"
    if isinstance(block, Table):
        head = "".join(f"<th{_side(block, i)}>{_h(cell)}</th>" for i, cell in enumerate(block.header))
        rows = [
            "".join(f"<td{_side(block, i, cell)}>{_h(cell)}</td>" for i, cell in enumerate(row)) for row in block.rows
        ]
        body = "\n".join(f"<tr>{row}</tr>" for row in rows)
        return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'
    if isinstance(block, Plot):
        # inside of the page, so that a mouse over a mark tells its figure
        return f"<figure>{block.svg}<figcaption>{_h(block.caption)}</figcaption></figure>"
    inside = "\n".join(_html(each) for each in block.blocks)
    return f"<details><summary>{_h(block.title)}</summary>\n{inside}\n</details>"


def _h(text: object) -> str:
    return html.escape(clean(text))


def _side(table: Table, column: int, cell: str = "") -> str:
    """Numbers stand to the right; short words are not broken."""
    if column in table.numbers:
        return ' class="n"'
    return ' class="k"' if 0 < len(cell) <= 26 else ""


def _lines(text: str) -> str:
    """Several lines, each cleaned; leading spaces stay."""
    return "\n".join(" " * (len(line) - len(line.lstrip(" "))) + clean(line) for line in text.split("\n"))


_PAGE = """
:root{color-scheme:light dark;--back:#f6f8fa;--card:#fff;--text:#24292f;--soft:#57606a;--line:#d8dee4;--blue:#2f6fb2}
@media(prefers-color-scheme:dark){:root{--back:#0d1117;--card:#161b22;--text:#e6edf3;--soft:#9198a1;--line:#30363d;
--blue:#79b0ea}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--text);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1120px;margin:0 auto;padding:40px 24px 80px}
h1{font-size:2rem;line-height:1.2;margin:0 0 8px}
h2{font-size:1.35rem;margin:48px 0 8px;padding-top:20px;border-top:1px solid var(--line)}
h3{font-size:1.05rem;margin:28px 0 6px}
p{margin:8px 0;max-width:75ch}
.wide{overflow-x:auto;margin:14px 0;background:var(--card);border:1px solid var(--line);border-radius:8px}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{padding:7px 10px;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:600;white-space:nowrap}
tbody tr:last-child td{border-bottom:0}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.k{white-space:nowrap}
figure{margin:16px 0;padding:14px;background:var(--card);border:1px solid var(--line);border-radius:8px;overflow-x:auto}
figure svg{display:block;max-width:100%;height:auto}
figcaption{color:var(--soft);font-size:.85rem;margin-top:8px}
details{margin:12px 0;border:1px solid var(--line);border-radius:8px;background:var(--card);padding:0 14px}
summary{cursor:pointer;padding:9px 0;color:var(--blue);font-weight:600}
details .wide{border:0;margin:0 0 10px}
pre{white-space:pre-wrap;margin:4px 0 14px;padding:12px;background:var(--back);border-radius:6px;overflow-x:auto;
font-size:.82rem;line-height:1.45}
"""
