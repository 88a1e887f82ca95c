"""What commands with labels share: `--labels`, `--labels-file`, and `--template` by sentence or by name."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

LabelsOption = Annotated[
    str | None,
    typer.Option("--labels", help='Labels, with commas between them, or a JSON list, as \'["rain, heavy", "a dog"]\'.'),
]
LabelsFileOption = Annotated[
    Path | None,
    typer.Option(
        "--labels-file", help="A file of labels: a text with one a line, a JSON list, or a table (*.csv, *.tsv)."
    ),
]
LabelsColumnOption = Annotated[
    str | None,
    typer.Option(
        "--labels-column", help="With a table: the column of the labels.", show_default="label, or the only one"
    ),
]
TEMPLATE_HELP = "Sentence with {} for the label, or a name of `afm-hf templates`; repeat it for an ensemble."
USUAL_COLUMN = "label"
DELIMITERS = {".csv": ",", ".tsv": "\t"}


def read_labels(labels: str | None, labels_file: Path | None, labels_column: str | None = None) -> list[str]:
    """The labels of `--labels` or of `--labels-file`.

    Raises:
        ValueError: not just one of the two is given, or what is given is no list of labels or can be read in two ways.
        OSError: the file cannot be read.
    """
    if (labels is None) == (labels_file is None):
        raise ValueError("Give the labels either as --labels a,b,c or as --labels-file FILE, with one label a line.")
    if labels_column is not None and (labels_file is None or labels_file.suffix.lower() not in DELIMITERS):
        raise ValueError("--labels-column is for a table as --labels-file, *.csv or *.tsv.")
    from ...models.common.label_texts_afm import split_labels

    if labels_file is None:
        return split_labels(labels or "", "labels of --labels")
    return _of_file(labels_file, labels_column)


def _of_file(path: Path, column: str | None) -> list[str]:
    from ...models.common.label_texts_afm import labels_of_json

    text = path.read_text(encoding="utf-8-sig")
    suffix = path.suffix.lower()
    if suffix == ".json" or text.lstrip().startswith("["):
        return labels_of_json(text.strip(), f"labels of {path}")
    if suffix in DELIMITERS:
        return _of_table(path, text, column)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) == 1 and "," in lines[0]:
        raise ValueError(
            f"{path} has one line, {lines[0]!r}, which may be one label or several. Write one label a line, or a JSON "
            "list."
        )
    return lines


def _of_table(path: Path, text: str, column: str | None) -> list[str]:
    """The labels of a column, each once, in the order in which they come first."""
    rows = csv.DictReader(text.splitlines(), delimiter=DELIMITERS[path.suffix.lower()])
    columns = [name or "" for name in rows.fieldnames or []]
    chosen = column or USUAL_COLUMN
    if chosen not in columns:
        hint = "its first line says the columns' names" if column else "choose one with --labels-column"
        raise ValueError(f"{path} has no column {chosen!r}, but {', '.join(map(repr, columns)) or 'none'}: {hint}.")
    said = [(row[chosen] or "").strip() for row in rows]
    return list(dict.fromkeys(label for label in said if label))


def read_templates(given: Sequence[str] | None) -> list[str] | None:
    """Sentences as they are, and those of the names that are no sentences; None if none were given.

    Raises:
        ValueError: one is neither; it lists the names.
    """
    from ...data.templates import domain_templates, domains

    sentences: list[str] = []
    for text in given or ():
        if "{" in text:
            sentences.append(text)
        elif text in domains():
            sentences += domain_templates(text)
        else:
            raise ValueError(
                f"--template {text!r} has no place for the label, {{}}, and is no name of a stored template. These are "
                f"{', '.join(domains())}; `afm-hf templates` shows them."
            )
    return sentences or None


def templates() -> None:
    """List the stored templates: the names that --template takes, and their sentences."""
    from ...data.templates import load_templates
    from ..common import errors_for_users

    with errors_for_users():
        for name, template in load_templates("domains").items():
            typer.echo(f"{name}: {' | '.join([template['prompt'], *template.get('more', [])])}")
            typer.echo(f"    {template['source']}")
