"""How far a calibration of a CLAP's zero-shot scores holds, on clips that neither the model nor it was fitted on.

    python examples/calibration.py --sounds examples/sounds

looks at the calibration beside the bundled model, and at one that is fitted on the clips of one half of the labels and
used on the clips and labels of the other half, so that none of its labels was seen (five draws of halves). `--fit
FOLDER --save FILE` fits one on the clips of another folder that are not among `--sounds` (told by the column `sha1`).
Folders have `metadata.csv` with `file_name` and `label`. Intervals draw clips anew.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, AutoProcessor

from afm_hf import bundled_model
from afm_hf.adaptation.calibration import (
    LabelledCosines,
    calibrate,
    calibration_error,
    fit_calibration,
    labelled_cosines,
    trials,
)
from afm_hf.evaluation.bootstrap import bootstrap_interval
from afm_hf.models.clap_afm.background_clap_afm import relative_scores
from afm_hf.models.clap_afm.calibration_clap_afm import Calibration
from afm_hf.models.clap_afm.embedding_clap_afm import DEFAULT_TEMPLATE, embed_labels

RATE = 0.1  # of false accepts that the bar is for
DRAWS = 5


def read(folder: Path) -> list[dict[str, str]]:
    """Rows of the folder's metadata.csv."""
    with (folder / "metadata.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def interval(values: np.ndarray, clips: np.ndarray) -> str:
    """Mean and 95 % interval, in per cent."""
    found = bootstrap_interval(100 * values, groups=clips.tolist(), resamples=2000)
    return f"{found.value:.1f} [{found.low:.1f}, {found.high:.1f}]"


def error_interval(chances: np.ndarray, truths: np.ndarray, clips: np.ndarray) -> str:
    """Expected calibration error, 95 % interval, in per cent."""
    generator, kinds = np.random.default_rng(0), np.unique(clips)
    rows = {kind: np.flatnonzero(clips == kind) for kind in kinds}
    drawn = [np.concatenate([rows[kind] for kind in generator.choice(kinds, len(kinds))]) for _ in range(300)]
    low, high = np.percentile([100 * calibration_error(chances[d], truths[d]) for d in drawn], [2.5, 97.5])
    return f"{100 * calibration_error(chances, truths):.1f} [{low:.1f}, {high:.1f}]"


def scored_alone(name: str, chances: np.ndarray, heard: np.ndarray, clips: np.ndarray) -> None:
    """Print how scores of single labels fare."""
    which = np.repeat(clips, heard.shape[1]).reshape(heard.shape)
    print(
        f"{name}: calibration error {error_interval(chances.ravel(), heard.ravel(), which.ravel())} %; above 0.5 "
        f"{interval(chances[heard] > 0.5, which[heard])} % of the present labels, "
        f"{interval(chances[~heard] > 0.5, which[~heard])} % of the absent"
    )


def odds_of(calibration: Calibration, cosines: LabelledCosines) -> torch.Tensor:
    """`(clips, labels)`."""
    return calibration.log_odds(torch.from_numpy(cosines.labels), torch.from_numpy(cosines.everyday))


def none_of_these(found: list[tuple[Calibration, LabelledCosines, np.ndarray]]) -> None:
    """Print how "none of these" fares where one label is offered that is heard, and where none is."""
    tables = [trials(calibration, cosines, seed=1, sizes=(2, 5, 10, 20)) for calibration, cosines, _ in found]
    for size in sorted(set.intersection(*(set(present) for present, _ in tables))):
        parts = []
        for (calibration, _, clips), (present, absent) in zip(found, tables, strict=True):
            for rows, is_none in ((present[size], False), (absent[size], True)):
                of_rows = np.repeat(clips, len(rows) // len(clips))  # each clip has as many trials
                parts.append((rows[:, -1], rows.argmax(1), rows[:, -1] >= calibration.bar(RATE), is_none, of_rows))
        chance, best, barred, clips = (np.concatenate([part[k] for part in parts]) for k in (0, 1, 2, 4))
        truth = np.concatenate([np.full(len(part[0]), part[3]) for part in parts])
        print(
            f"  {size:3d} labels: calibration error of none {error_interval(chance, truth, clips)} %; false accepts "
            f"{interval(best[truth] != size, clips[truth])} %, false rejects "
            f"{interval(best[~truth] == size, clips[~truth])} %, right {interval(best[~truth] == 0, clips[~truth])} %; "
            f"with the bar for {RATE:.0%}: false accepts {interval(~barred[truth], clips[truth])} %, false rejects "
            f"{interval(barred[~truth], clips[~truth])} %"
        )


def two_labels(cosines: LabelledCosines, likeness: np.ndarray) -> None:
    """Print how often the wrong one of two labels scores higher, by how alike their texts are."""
    own, clips = cosines.heard.argmax(1), np.arange(len(cosines.heard))
    wrong = (cosines.labels >= cosines.labels[clips, own][:, None])[~cosines.heard]
    alike = likeness[own][~cosines.heard]
    for low, high in ((-1, 0.2), (0.2, 0.35), (0.35, 0.5), (0.5, 0.7), (0.7, 1)):
        here = (alike >= low) & (alike < high)
        share = f"{100 * wrong[here].mean():.0f} %" if here.any() else "-"
        print(f"  texts of a cosine from {low} to {high}: {share} of {here.sum()}")
    print(f"  all: {100 * wrong.mean():.1f} %")


def main() -> None:
    """Measure, and perhaps fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sounds", type=Path, required=True, help="folder with metadata.csv: the clips to look at")
    parser.add_argument("--model", default=None, help="a checkpoint's folder; the bundled clap-small by default")
    parser.add_argument("--fit", type=Path, help="another folder, to fit a calibration on")
    parser.add_argument("--save", type=Path, help="where to write that")
    args = parser.parse_args()

    folder = Path(args.model or bundled_model("clap-small"))
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    rows = read(args.sounds)
    names = sorted({row["label"] for row in rows})
    truths = [row["label"] for row in rows]
    paths = [str(args.sounds / row["file_name"]) for row in rows]
    cosines = labelled_cosines(model, processor, paths, truths, names)
    if args.fit:
        known = {row["sha1"] for row in rows}
        others = [row for row in read(args.fit) if row["sha1"] not in known]
        clips = [str(args.fit / row["file_name"]) for row in others]
        calibration = fit_calibration(model, processor, clips, [row["label"] for row in others])
        if args.save:
            calibration.settings["model"] = folder.name
            calibration.save(args.save)
    else:
        calibration = Calibration.load(folder)
    fitted_on = f"{calibration.clips} clips, {len(calibration.labels)} labels"
    print(f"{len(rows)} clips, {len(names)} labels; fitted on {fitted_on}")
    everyone = np.arange(len(rows))
    scale = model.logit_scale.detach().exp()
    before = relative_scores(scale * torch.from_numpy(cosines.labels), scale * torch.from_numpy(cosines.everyday))
    scored_alone("single labels, without", before.double().numpy(), cosines.heard, everyone)
    odds = odds_of(calibration, cosines)
    scored_alone("single labels, with", calibration.label_scores(odds).double().numpy(), cosines.heard, everyone)
    scored_alone(
        "  with a label share of one half (which these clips do not have)",
        odds.sigmoid().double().numpy(),
        cosines.heard,
        everyone,
    )
    print("the wrong one of two labels scores higher")
    texts = embed_labels(model, processor.tokenizer, names, [DEFAULT_TEMPLATE]).detach()
    two_labels(cosines, (texts @ texts.t()).numpy())
    print("one label or none")
    none_of_these([(calibration, cosines, everyone)])

    print(f"fitted on one half of the labels, used on the other ({DRAWS} draws)")
    generator, parts = np.random.default_rng(0), []
    for _ in range(DRAWS):
        order = generator.permutation(len(names))
        halves = order[::2], order[1::2]
        of = [np.array([names.index(truth) in half for truth in truths]) for half in halves]
        for here, there in ((0, 1), (1, 0)):
            fitted = calibrate(cosines.of(of[here], halves[here]))
            parts.append((fitted, cosines.of(of[there], halves[there]), everyone[of[there]]))
    alone = [(each.label_scores(odds_of(each, part)).double().numpy(), part.heard, who) for each, part, who in parts]
    flat = [np.concatenate([chance.ravel() for chance, _, _ in alone])[:, None]]
    heard = np.concatenate([truth.ravel() for _, truth, _ in alone])[:, None]
    who = np.concatenate([np.repeat(clips, truth.shape[1]) for _, truth, clips in alone])
    scored_alone("single labels", flat[0], heard, who)
    none_of_these(parts)


if __name__ == "__main__":
    main()
