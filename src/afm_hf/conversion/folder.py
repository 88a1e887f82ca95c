"""The folder of a converted checkpoint: it is written beside its place, reloaded and compared, and only then put there.

So a conversion that is refused, or interrupted, leaves nothing that loads, and harms no folder that was there.
"""

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoProcessor, PreTrainedModel

from .checkpoint import ConversionError
from .common import Conversion

REPORT = "conversion.json"
STALE = (
    "*.safetensors",
    "*.safetensors.index.json",
    "pytorch_model*",
)  # other weights would be mixed with the new ones
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
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
            with _writing(output):
                self._write(folder)
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
    logits: torch.Tensor = outputs.logits_per_audio if "logits_per_audio" in outputs else outputs.logits
    return logits


def check_output(output: str | os.PathLike[str]) -> None:
    """
    Refuses a place where no folder can be written, before the long work.

    Raises:
        OSError: if it is a file, holds files of something else, or may not be written to.
    """
    target = Path(output)
    if target.is_dir():
        there = sorted(entry.name for entry in target.iterdir())
        if there and REPORT not in there:
            raise OSError(
                f"{target} holds other files ({', '.join(there[:3])}); give a new or an empty folder, or one that a "
                "conversion wrote, to write it anew."
            )
    elif target.exists() or target.is_symlink():
        raise OSError(f"{target} is a file; give the folder to write.")
    parent = next(place for place in (target, *target.absolute().parents) if place.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise OSError(f"{target} cannot be written: {parent} is no folder that one may write to.")


@contextlib.contextmanager
def new_folder(output: str | os.PathLike[str], size: int = 0) -> Iterator[Path]:
    """
    An empty folder to fill, which is put in the place of `output` at the end, and vanishes if anything fails.

    Args:
        output: The place. A folder of an earlier conversion is replaced file by file; other files stay.
        size (`int`, *optional*): Bytes that will be needed.

    Raises:
        OSError: if there is no room, or the place cannot be written to.
    """
    check_output(output)
    target = Path(os.path.realpath(output))
    place = target if os.path.ismount(target) else target.parent  # where the same disk is
    absent = [folder for folder in (place, *place.parents) if not folder.exists()]
    partial = place / f".{target.name}.partial-{secrets.token_hex(4)}"
    try:
        with _writing(output):
            place.mkdir(parents=True, exist_ok=True)
            _check_room(place, size)
            partial.mkdir()
        yield partial
        with _writing(output):
            _put(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        for folder in absent:  # those that hold nothing
            with contextlib.suppress(OSError):
                folder.rmdir()


def _check_room(place: Path, size: int) -> None:
    free = shutil.disk_usage(place).free
    if size > free:
        raise OSError(errno.ENOSPC, f"{size / 1e9:.2f} GB are needed, {free / 1e9:.2f} GB are free")


@contextlib.contextmanager
def _writing(output: str | os.PathLike[str]) -> Iterator[None]:
    """Whatever goes wrong in writing is one `OSError`: each library has an error of its own for a full disk."""
    try:
        yield
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        full = getattr(error, "errno", None) in FULL or any(f"os error {number}" in text for number in FULL)
        why = f"the disk is full ({text})" if full else text or type(error).__name__
        raise OSError(f"{output} could not be written: {why}. Nothing was changed there.") from error


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
