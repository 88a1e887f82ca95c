"""The folder of a converted checkpoint: it is written beside its place, reloaded and compared, and only then put there.

So a conversion that is refused, or interrupted, leaves nothing that loads, and harms no folder that was there.
"""

import contextlib
import glob
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoProcessor, PreTrainedModel

from ..models.common.writing_afm import check_folder, explained, sync_folder
from .checkpoint import ConversionError
from .common import Conversion, as_usual

REPORT = "conversion.json"
STALE = (
    "*.safetensors",
    "*.safetensors.index.json",
    "pytorch_model*",
)  # other weights would be mixed with the new ones
WHAT = "the converted model"
LEFT_BEHIND_S = 3600
RATE = 44100  # Hz, of the tone that both models hear


@dataclass
class Converted:
    """
    What a conversion has made.

    Args:
        name: What it is, in words.
        model, processor: What `from_pretrained` will give.
        conversion: Where every official key went.
        facts: For the report: `variant`, `official_file`, `front_end`.
        card: README.md.
        reload: How the model is loaded again, as `AutoModel.from_pretrained`.
        inputs: What the processor needs beside audio, to compare before and after.
        added: A remark on what was added to the official weights.
    """

    name: str
    model: PreTrainedModel
    processor: Any
    conversion: Conversion
    facts: dict[str, Any]
    card: str
    reload: Callable[..., Any]
    inputs: dict[str, Any] = field(default_factory=dict)
    added: str = ""

    def finish(self, output: str | os.PathLike[str]) -> Path:
        """
        Writes everything, compares what is read back, and says what was done. Gives the folder.

        Raises:
            ConversionError: if anything differs after reloading, or an answer is not finite.
            OSError: if the folder cannot be written.
        """
        size = sum(weight.numel() * weight.element_size() for weight in self.model.state_dict().values())
        with new_folder(output, size) as folder:
            with explained(output, WHAT):
                self._write(folder)
            with as_usual():
                self._compare(folder)
        self._say()
        return Path(output)

    def _write(self, folder: Path) -> None:
        self.model.save_pretrained(folder)
        self.processor.save_pretrained(folder)
        (folder / "README.md").write_text(self.card, encoding="utf-8")
        reasons: dict[str, list[str]] = {}
        for key, reason in self.conversion.dropped.items():
            reasons.setdefault(reason, []).append(key)
        report = {**self.facts, "renamed": self.conversion.renamed, "dropped": reasons}
        (folder / REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")

    def _compare(self, folder: Path) -> None:
        reloaded = self.reload(folder, dtype=torch.float32).eval()
        weights, again = self.model.state_dict(), reloaded.state_dict()
        changed = [key for key in weights if not torch.equal(weights[key], again[key])]
        if changed:
            raise ConversionError(f"After reloading, {len(changed)} weights differ, for example {changed[:3]}.")
        if hasattr(reloaded, "lm_head") and reloaded.lm_head.weight is not reloaded.get_input_embeddings().weight:
            raise ConversionError("After reloading, the head is no longer tied to the word table.")
        tone = torch.sin(torch.arange(RATE) * 2 * torch.pi * 440 / RATE)
        inputs = AutoProcessor.from_pretrained(folder)(audio=[tone], sampling_rate=RATE, **self.inputs)
        with torch.no_grad():
            before, after = _logits(self.model(**inputs)), _logits(reloaded(**inputs))
        self._compare_logits(before, after)

    def _compare_logits(self, before: torch.Tensor, after: torch.Tensor) -> None:
        if not bool(torch.isfinite(before).all()):
            size, key = max((float(t.abs().max()), key) for key, t in self.conversion.state_dict.items() if t.numel())
            raise ConversionError(
                "The converted model answers a tone with numbers that are not finite. The largest weight is "
                f"{size:.1e}, in {self.conversion.official(key)}; the file is damaged."
            )
        # The weights are equal; where they lie in memory moves the last bits.
        tolerance = 1e-4 * max(1.0, float(before.abs().max()))
        difference = float((before - after).abs().max())
        if not difference <= tolerance:
            raise ConversionError(f"After reloading, logits changed by up to {difference:.1e}.")

    def _say(self) -> None:
        dropped = self.conversion.dropped
        print(
            f"{self.name}: {len(self.conversion.renamed)} weights converted, {len(dropped)} dropped, "
            f"{self.added}reloaded equal."
        )
        for reason in sorted(set(dropped.values())):
            print(f"  dropped {sum(each == reason for each in dropped.values())}: {reason}")
        print(f"  {self.facts['front_end']}")


def _logits(outputs: Any) -> torch.Tensor:
    """What a model answers: logits, or the embeddings of an encoder alone."""
    names = ("logits_per_audio", "logits", "pooler_output")
    answer: torch.Tensor = next(outputs[name] for name in names if name in outputs)
    return answer


def check_output(output: str | os.PathLike[str], size: int = 0) -> Path:
    """
    Refuses a place where no folder can be written, before the long work.

    Args:
        output: The place.
        size (`int`, *optional*): Bytes that will be needed, as far as that is known.

    Raises:
        OSError: if it is a file, holds files of something else, may not be written to, or has no room.
    """
    target = check_folder(output, WHAT, size)
    there = sorted(entry.name for entry in target.iterdir()) if target.is_dir() else []
    if there and REPORT not in there:
        raise OSError(
            f"{target} holds other files ({', '.join(there[:3])}); give a new or an empty folder, or one that a "
            "conversion wrote, to write it anew."
        )
    return target


@contextlib.contextmanager
def new_folder(output: str | os.PathLike[str], size: int = 0) -> Iterator[Path]:
    """
    An empty folder to fill, which is put in the place of `output` at the end, and vanishes if anything fails.

    Args:
        output: The place. A folder of an earlier conversion is replaced file by file; other files stay.
        size (`int`, *optional*): Bytes that will be needed, as far as that is known.

    Raises:
        OSError: if there is no room, or the place cannot be written to; nothing has changed then.
    """
    target = Path(os.path.realpath(check_output(output, size)))
    place = target if os.path.ismount(target) else target.parent  # where the same disk is
    absent = [folder for folder in (place, *place.parents) if not folder.exists()]
    partial = place / f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    try:
        with explained(output, WHAT):
            place.mkdir(parents=True, exist_ok=True)
            _clear_away(place, target.name)
            partial.mkdir()
        yield partial
        with explained(output, WHAT):
            _to_disk(partial)
            _put(partial, target)
            sync_folder(place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        for folder in absent:  # those that hold nothing
            with contextlib.suppress(OSError):
                folder.rmdir()


def _clear_away(place: Path, name: str) -> None:
    """Removes what conversions that were killed have left there, unless it may be of one that runs."""
    for old in place.glob(f".{glob.escape(name)}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - old.stat().st_mtime > LEFT_BEHIND_S:
                shutil.rmtree(old)


def _to_disk(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())


def _put(made: Path, target: Path) -> None:
    """Puts a finished folder in its place, or, if that fails half-way, leaves what was there."""
    if not target.exists():
        made.rename(target)
        return
    aside = made / "replaced"
    moves = [(path, target / path.name) for path in sorted(made.iterdir())]
    names = {path.name for path, _ in moves}
    old = [path for path in target.iterdir() if path.name in names or any(path.match(pattern) for pattern in STALE)]
    aside.mkdir()
    done: list[tuple[Path, Path]] = []
    try:
        for source, place in [*((path, aside / path.name) for path in old), *moves]:
            source.rename(place)
            done.append((source, place))
    except BaseException:
        for source, place in reversed(done):
            place.rename(source)
        raise


__all__ = ["REPORT", "Converted", "check_output", "new_folder"]
