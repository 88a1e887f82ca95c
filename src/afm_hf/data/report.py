"""What a reader found, and what it left out: every clip that is missing or broken, by name and reason."""

from dataclasses import asdict, dataclass, field
from typing import Any

_SHOWN = 10  # clips of each kind that `print(report)` names


@dataclass
class BadAudio:
    """
    A clip that cannot be used.

    Attributes:
        audio: its name in the official file, or its path.
        reason: what is wrong with it.
        source: the first row that names it, as `file.csv:12`.
        rows: how many rows were left out because of it.
    """

    audio: str
    reason: str
    source: str
    rows: int = 1

    def __str__(self) -> str:
        more = f" and {self.rows - 1} more rows" if self.rows > 1 else ""
        return f"{self.audio}: {self.reason} ({self.source}{more})"


@dataclass
class Note:
    """
    Something to know about rows that are kept.

    Attributes:
        text: What it is.
        rows: How many rows it concerns; 0 for the data set as a whole.
        example: The first case, if one helps.
    """

    text: str
    rows: int = 0
    example: str = ""

    def __str__(self) -> str:
        example = f", as {self.example}" if self.example else ""
        rows = f" ({self.rows} row{'s' * (self.rows > 1)})" if self.rows else ""
        return f"{self.text}{example}{rows}"


@dataclass
class ReadReport:
    """
    What became of the rows of a data set. `print(report)` shows it, `report.to_dict()` is ready for JSON.

    A row left out is counted once, under the first of its clips that cannot be used.

    Attributes:
        kept: rows in the data set.
        missing: clips that are not there, each once.
        broken: clips that are there and cannot be used, each once.
        textless: clips whose row in the official file has no text to learn.
        notes: what else is to be known of the rows that are kept.
    """

    kept: int = 0
    missing: list[BadAudio] = field(default_factory=list)
    broken: list[BadAudio] = field(default_factory=list)
    textless: list[BadAudio] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    _seen: dict[str, BadAudio] = field(default_factory=dict, repr=False, compare=False)

    @property
    def skipped(self) -> int:
        """Rows left out."""
        return sum(clip.rows for clip in [*self.missing, *self.broken, *self.textless])

    def add(self, kind: list[BadAudio], audio: str, reason: str, source: str) -> None:
        """Counts a row left out because of `audio`; `kind` is one of the report's lists."""
        if audio in self._seen:
            self._seen[audio].rows += 1
            return
        self._seen[audio] = BadAudio(audio, reason, source)
        kind.append(self._seen[audio])

    def note(self, text: str, rows: int = 0, example: str = "") -> None:
        """Says something about rows that are kept; the same text again adds to their number."""
        for known in self.notes:
            if known.text == text:
                known.rows += rows
                return
        self.notes.append(Note(text, rows, example))

    def join(self, other: "ReadReport") -> None:
        """Takes over what another report counts."""
        self.kept += other.kept
        for kind in ("missing", "broken", "textless"):
            getattr(self, kind).extend(getattr(other, kind))
        for note in other.notes:
            self.note(note.text, note.rows, note.example)

    def clear(self) -> None:
        """Forgets everything: a streamed data set is read anew."""
        self.kept = 0
        self.missing.clear()
        self.broken.clear()
        self.textless.clear()
        self.notes.clear()
        self._seen.clear()

    def to_dict(self) -> dict[str, Any]:
        """Numbers and lists, ready for JSON."""
        return {
            "kept": self.kept,
            "skipped": self.skipped,
            "missing": [asdict(clip) for clip in self.missing],
            "broken": [asdict(clip) for clip in self.broken],
            "textless": [asdict(clip) for clip in self.textless],
            "notes": [asdict(note) for note in self.notes],
        }

    def __str__(self) -> str:
        lines = [
            f"{self.kept} rows kept, {self.skipped} left out "
            f"({len(self.missing)} clips missing, {len(self.broken)} broken, {len(self.textless)} without text)"
        ]
        for title, clips in (("missing", self.missing), ("broken", self.broken), ("textless", self.textless)):
            lines += [f"  {title}: {clip}" for clip in clips[:_SHOWN]]
            if len(clips) > _SHOWN:
                lines.append(f"  {title}: ... and {len(clips) - _SHOWN} more, in `report.{title}`")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])
