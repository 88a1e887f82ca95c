"""What made a result, in a line for people: model, revision, split, metric, words that were asked."""

from .runner import EvaluationResult


def provenance(result: EvaluationResult) -> str:
    """
    Model, revision and number format (where that is not float32), split, main metric and the words that were asked, as
    far as they are known.
    """
    model = str(result.settings.get("model", "–")).rstrip("/").rsplit("/", 1)[-1]
    revision = result.settings.get("revision")
    parts = [f"model {model}" + (f" at {str(revision)[:12]}" if revision else "")]
    parts += [str(result.settings["dtype"])] if "dtype" in result.settings else []
    parts += [f"split {result.split!r}"] if result.split else []
    parts += [f"metric {result.main_metric}"] if result.main_metric else []
    parts += ["asked " + " / ".join(f'"{words}"' for words in result.asked)] if result.asked else []
    return "; ".join(parts)


def left_out(result: EvaluationResult) -> int:
    """Rows and clips that are in no figure."""
    return result.skipped + len(result.failures)


__all__ = ["left_out", "provenance"]
