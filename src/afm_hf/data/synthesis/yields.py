"""How much of what a language model wrote was kept, kind by kind, and why the rest was not."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

_SHOWN = 3  # dropped answers of each reason that the report quotes


@dataclass
class KindYield:
    """
    What became of the requests of one kind.

    Attributes:
        asked: Requests that were answered, or failed.
        kept: Items that are in the table.
        dropped: How many were not kept, by reason.
    """

    asked: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Kept of asked."""
        return self.kept / self.asked if self.asked else 0.0


@dataclass
class SynthesisReport:
    """
    What was made. `print(report)` shows it, `report.to_dict()` is ready for JSON.

    Attributes:
        kinds: By kind, what was asked and kept.
        rows: Rows of the table.
        hypotheses: Clips with all three hypotheses, the rows of `entailment.csv`.
        unanswered: Requests that nobody has answered yet: the run was stopped.
        examples: Some dropped answers, by reason.
    """

    kinds: dict[str, KindYield] = field(default_factory=dict)
    rows: int = 0
    hypotheses: int = 0
    unanswered: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)

    def count(self, kind: str, reason: str, answer: str = "") -> None:
        """One more request of a kind: kept if there is no reason against it."""
        found = self.kinds.setdefault(kind, KindYield())
        found.asked += 1
        if not reason:
            found.kept += 1
            return
        found.dropped[reason] += 1
        quoted = self.examples.setdefault(reason, [])
        if len(quoted) < _SHOWN:
            quoted.append(f"{kind}: {answer[:200]}")

    @property
    def total(self) -> KindYield:
        """All kinds together."""
        every = list(self.kinds.values())
        dropped = sum((each.dropped for each in every), Counter[str]())
        return KindYield(sum(each.asked for each in every), sum(each.kept for each in every), dropped)

    def to_dict(self) -> dict[str, Any]:
        """Numbers, rates and examples, ready for JSON."""
        kinds = {**self.kinds, "all": self.total}
        return {
            "kinds": {
                kind: {
                    "asked": each.asked,
                    "kept": each.kept,
                    "rate": round(each.rate, 4),
                    "dropped": {
                        reason: {"count": count, "rate": round(count / each.asked, 4)}
                        for reason, count in each.dropped.most_common()
                    },
                }
                for kind, each in kinds.items()
            },
            "rows": self.rows,
            "hypotheses": self.hypotheses,
            "unanswered": self.unanswered,
            "examples of what was dropped": self.examples,
        }

    def __str__(self) -> str:
        kinds = {**self.kinds, "all": self.total}
        width = max(map(len, kinds))
        lines = [f"{'kind':<{width}}  asked  kept    rate  dropped"]
        for kind, each in kinds.items():
            dropped = ", ".join(f"{reason} {count / each.asked:.1%}" for reason, count in each.dropped.most_common())
            lines.append(f"{kind:<{width}}  {each.asked:>5}  {each.kept:>4}  {each.rate:>6.1%}  {dropped or '-'}")
        lines.append(f"{self.rows} rows; {self.hypotheses} clips with all three hypotheses")
        if self.unanswered:
            lines.append(f"{self.unanswered} requests are not answered yet: the same command goes on")
        return "\n".join(lines)


__all__ = ["KindYield", "SynthesisReport"]
