r"""Put trained models into the package, those weights that they share only once.

    python scripts/pack_bundled.py --clap clap-small --pengi pengi-small --mellow mellow-small --adiff adiff-small \
        --output src/afm_hf/assets

The folders are ordinary ones, as `save_pretrained` makes them. All hear with CLAP's ears, and with its
projection: that these are the same to the bit is checked before anything is written. Then each is put together from its
parts, as its users will have it, and compared with what came in. A model that is not named stays as it is, if it still
fits. A model card that is in the package already stays where the folder has none; anything else, as thresholds of
entailment, depends on the weights and goes.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from afm_hf.hub.parts import OWN, PARTS, WEIGHTS, RawTensor, gather, read_tensors, write_tensors

EARS = "ears.safetensors"
HEARS_WITH = {"clap": "audio_model.encoder.", "pengi": "model.audio_tower.", "mellow": "model.audio_tower."}
HEARS_WITH["adiff"] = HEARS_WITH["pengi"]
PROJECTION = "audio_projection."
PROJECTS_AS = {"pengi": "model.audio_projection.", "adiff": "model.audio_projection."}
PROJECTS_AS["mellow"] = "model.audio_tower.classifier.projection."  # whose ears have a classifier in CLAP's space
CARD = "README.md"
MOST_MB = 35


def weights_of(folder: Path) -> dict[str, RawTensor]:
    """The tensors of an ordinary folder."""
    if not (folder / WEIGHTS).is_file():
        sys.exit(f"{folder} has no {WEIGHTS}; expected a folder that `save_pretrained` made, not in several shards.")
    return read_tensors(folder / WEIGHTS)


def below(tensors: dict[str, RawTensor], prefix: str) -> dict[str, RawTensor]:
    """The tensors whose names begin so, without the beginning."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def same(what: str, expected: dict[str, RawTensor], found: dict[str, RawTensor]) -> None:
    """Ends the script if a tensor is missing, or differs by a bit."""
    differ = sorted(name for name, value in expected.items() if found.get(name) != value)
    if differ:
        sys.exit(
            f"{what}: {len(differ)} of {len(expected)} tensors are not the same as CLAP's: {', '.join(differ[:5])}"
        )


def parts_of(kind: str, tensors: dict[str, RawTensor], clap: dict[str, RawTensor]) -> list[dict[str, str]]:
    """What `parts.json` says of the shared weights; they are compared."""
    ears = HEARS_WITH[kind]
    parts = [{"file": f"../{EARS}", "from": "", "to": ears}]
    same(f"the ears of {kind}", below(clap, HEARS_WITH["clap"]), below(tensors, ears))
    if kind in PROJECTS_AS:
        to = PROJECTS_AS[kind]
        same(f"the projection of {kind}", below(clap, PROJECTION), below(tensors, to))
        parts.append({"file": f"../clap-small/{OWN}", "from": PROJECTION, "to": to})
    return parts


def without_places(value: Any) -> Any:
    """A config without the folders, on the machine that trained it, that its parts were loaded from."""
    if isinstance(value, dict):
        return {key: "" if key == "_name_or_path" else without_places(each) for key, each in value.items()}
    return [without_places(each) for each in value] if isinstance(value, list) else value


def pack(kind: str, source: Path, clap: dict[str, RawTensor], assets: Path) -> None:
    """Write one model's folder; CLAP's comes first, for others take from it."""
    tensors, target = weights_of(source), assets / f"{kind}-small"
    parts = parts_of(kind, tensors, clap)
    card = (target / CARD).read_bytes() if (target / CARD).is_file() else b""
    known = {*(path.name for path in source.iterdir()), PARTS, OWN, CARD}
    for name in sorted(path.name for path in target.glob("*") if path.name not in known):
        print(f"{kind}: {name} goes, {source} has none")
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.safetensors", "*.bin", "READY", "FINAL", ".*"))
    if card and not (target / CARD).is_file():
        (target / CARD).write_bytes(card)
    config = target / "config.json"
    config.write_text(json.dumps(without_places(json.loads(config.read_text())), indent=2, sort_keys=True) + "\n")
    shared = gather(target, parts)
    write_tensors({name: value for name, value in tensors.items() if name not in shared}, target / OWN)
    parts.append({"file": OWN, "from": "", "to": ""})
    about: dict[str, Any] = {"sha256": "", "weights": parts}
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / WEIGHTS
        about["sha256"] = write_tensors(gather(target, parts), whole)
        if read_tensors(whole) != tensors:
            sys.exit(f"{kind}: put together, the tensors are not those of {source}")
    (target / PARTS).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def fits(folder: Path, scratch: Path) -> bool:
    """Whether a model's parts give the weights that its digest is of."""
    about = json.loads((folder / PARTS).read_text(encoding="utf-8"))
    return write_tensors(gather(folder, about["weights"]), scratch / WEIGHTS) == about["sha256"]


def main() -> None:
    """Pack into a copy, look at it, and put it in the place of what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clap", type=Path, required=True, help="folder of the CLAP, whose ears the others share")
    for kind in ("pengi", "mellow", "adiff"):
        parser.add_argument(f"--{kind}", type=Path, help=f"folder of the {kind} model")
    parser.add_argument("--output", type=Path, required=True, help="src/afm_hf/assets")
    args = parser.parse_args()
    given = {kind: getattr(args, kind) for kind in HEARS_WITH if getattr(args, kind)}
    clap = weights_of(args.clap)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        made = work / "assets"
        made.mkdir()
        args.output.mkdir(parents=True, exist_ok=True)
        for folder in sorted(args.output.glob("*-small")):
            shutil.copytree(folder, made / folder.name)
        write_tensors(below(clap, HEARS_WITH["clap"]), made / EARS)
        for kind, source in given.items():
            pack(kind, source, clap, made)
        models = sorted(path.parent for path in made.glob(f"*/{PARTS}"))
        stale = [folder.name for folder in models if not fits(folder, work)]
        if stale:
            sys.exit(f"{', '.join(stale)} in {args.output} share other weights than these: pack them as well.")
        shutil.copyfile(made / EARS, args.output / EARS)
        for kind in given:
            shutil.rmtree(args.output / f"{kind}-small", ignore_errors=True)
            shutil.copytree(made / f"{kind}-small", args.output / f"{kind}-small")
    report(args.output)


def report(assets: Path) -> None:
    """Print what the package will hold."""
    total = 0
    for path in [assets / EARS, *sorted(path.parent for path in assets.glob(f"*/{PARTS}"))]:
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        size = sum(file.stat().st_size for file in files)
        count = len(read_tensors(path if path.is_file() else path / OWN))
        total += size
        print(f"{path.name:18s} {size / 1e6:6.2f} MB, {count} tensors")
    print(f"{'together':18s} {total / 1e6:6.2f} MB (at most {MOST_MB})")
    if total > MOST_MB * 1e6:
        sys.exit("That is too large for the package.")


if __name__ == "__main__":
    main()
