"""The command `afm-hf entail`: do sentences follow from a clip?"""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from .answers import Answers, TextFormat, TextFormatOption, given, read_pairs
from .common import BatchOption, DeviceOption, DtypeOption, TruncationOption, WorkersOption, errors_for_users
from .kept import KeptOption, KeptResults, OverwriteOption, interrupted, kept_results

PAIR_COLUMNS = {"file": ("audio",), "hypothesis": ("hypothesis",)}


class Scoring(str, Enum):
    """How the label is found."""

    THRESHOLDS = "thresholds"
    PROBE = "probe"
    LETTER = "letter"
    TEXT = "text"
    LIKELIHOOD = "likelihood"


class Premise(str, Enum):
    """What the sentence shall follow from."""

    AUDIO = "audio"
    BOTH = "both"


def entail(
    audio: Annotated[Path | None, typer.Argument(help="An audio file.", show_default=False)] = None,
    hypotheses: Annotated[
        list[str] | None, typer.Argument(metavar="HYPOTHESIS...", help='Sentences, as "an animal is heard".')
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="A table of pairs (CSV, TSV, JSON, Parquet): columns `audio` and `hypothesis`; paths from its folder."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="A CLAP, Pengi or Mellow: a bundled model, a folder, or a Hub id.")
    ] = None,
    thresholds: Annotated[
        Path | None, typer.Option(help="JSON file of thresholds.", show_default="those beside the checkpoint")
    ] = None,
    probe: Annotated[Path | None, typer.Option(help="File of a probe.")] = None,
    scoring: Annotated[
        Scoring | None, typer.Option(help="How the label is found.", show_default="the model's own way")
    ] = None,
    premise: Annotated[Premise, typer.Option(help="The clip, or clip and caption.")] = Premise.AUDIO,
    caption: Annotated[str | None, typer.Option(help="The clip's caption, for --premise both.")] = None,
    captioner: Annotated[str | None, typer.Option(help="A model that captions, for --premise both.")] = None,
    truncation: TruncationOption = None,
    batch_size: BatchOption = 8,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    num_workers: WorkersOption = 0,
    output_format: TextFormatOption = TextFormat.TEXT,
    output: KeptOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Say of sentences whether they follow from a clip: entailment, neutral or contradiction.

    Files that cannot be used are named on stderr and skipped; the exit code is then 1. With --output the same command
    goes on where it was stopped; without it nothing is kept.
    """
    with errors_for_users(interrupted(output)):
        kept = kept_results(output, overwrite, output_format)
        if (not audio or not hypotheses) if pairs is None else bool(audio):
            raise ValueError('Give a file and sentences, as `entail dog.wav "a dog barks"`, or --pairs FILE.csv.')
        rows = [{"file": str(audio), "hypothesis": text} for text in hypotheses or []]
        if pairs is not None:
            rows = read_pairs(pairs, PAIR_COLUMNS, ("file",))
        options = given(
            truncation=truncation,
            thresholds=thresholds,
            probe=probe,
            scoring=scoring and scoring.value,
            premise=premise.value,
            caption=caption,
            captioner=captioner and _resolved(captioner),
        )
        judge = _Judgements("audio-entailment", model, device, dtype, options, batch_size, num_workers)
        names = {name: name for name in ("label", "similarity", "scores", "answer", "caption")}
        if output_format in (TextFormat.TABLE, TextFormat.CSV):
            names.pop("scores")
        judge.write(rows, names, output_format, "label", kept)


class _Judgements(Answers):
    """Results of pairs of a file and a sentence."""

    def inputs_of(self, rows: list[dict[str, str]]) -> list[Any]:
        """Rows as the pipeline reads them."""
        return [{"audio": row["file"], "hypothesis": row["hypothesis"]} for row in rows]

    def write(
        self,
        rows: list[dict[str, str]],
        names: dict[str, str],
        output_format: TextFormat,
        answer: str,
        kept: KeptResults | None,
    ) -> None:
        """As of [`Answers`], but that text is short: file, label and sentence."""
        if kept is not None or output_format is not TextFormat.TEXT:
            super().write(rows, names, output_format, answer, kept)
            return
        for row in self.of(rows, names):
            typer.echo(f"{row['file']}\t{row[answer] or 'no answer'}\t{row['hypothesis']}")
        self.end()


def _resolved(captioner: str) -> str:
    from ..hub.loading import resolve_model

    return str(resolve_model(captioner))
