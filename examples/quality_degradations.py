"""Does PAM fall when audio gets worse? Noise, clipping, low-pass and MP3 at rising strength, and the mean scores.

    python examples/quality_degradations.py --why
    python examples/quality_degradations.py --sounds examples/sounds --good "a bright sound" --bad "a dull sound"

All clips are brought to the model's rate, and after each degradation back to the loudness (RMS) of the original, so
that no score can follow loudness. Intervals are 95 % bootstrap intervals over clips. `--why` asks where the fault lies
if the scores do not fall: is the degradation to be seen in the audio embeddings, and do the prompts look that way?
"""

import argparse
import io
from pathlib import Path

import numpy as np
import soundfile
import torch
from transformers import pipeline
from transformers.utils import logging

from afm_hf import AudioQualityAssessmentPipeline, bundled_audio, bundled_model, load_audio
from afm_hf.evaluation.degradations import DEGRADATIONS, Degradation, Samples, as_loud_as, low_pass
from afm_hf.evaluation.metrics.correlation import bootstrap_mean
from afm_hf.pipelines.pipeline_audio_quality_assessment import PROMPTS


def mp3(x: Samples, compression: float, rate: int, rng: np.random.Generator) -> Samples:
    """Through MP3 and back, with libsndfile's compression level (0 to 1, constant bit rate)."""
    file, peak = io.BytesIO(), np.abs(x).max()
    how = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT"}
    soundfile.write(file, 0.9 * x / peak, rate, compression_level=compression, **how)
    file.seek(0)
    back = soundfile.read(file)[0][: len(x)]
    return np.pad(back, (0, len(x) - len(back))) * peak / 0.9


def crush(x: Samples, bits: int, rate: int, rng: np.random.Generator) -> Samples:
    """What comes near MP3 where it cannot be written: the upper half of the band cut off, few bits."""
    x, steps = low_pass(x, rate / 4, rate, rng), 2 ** (bits - 1)
    return np.round(x / np.abs(x).max() * steps) / steps * np.abs(x).max()


# Strength rises from left to right.
STUDIES: dict[str, tuple[str, Degradation, list[float]]] = {
    **DEGRADATIONS,
    "mp3": ("compression", mp3, [0.5, 0.75, 0.9, 0.95, 0.98]),
}
if "MP3" not in soundfile.available_formats():
    STUDIES["crushed"] = ("bits", crush, [12, 8, 6, 4, 2])
    del STUDIES["mp3"]


def degraded(clips: list[Samples], kind: str, level: float, rate: int) -> list[Samples]:
    """All clips, made worse, as loud as before; the same seed for each level, so that only the strength differs."""
    made = []
    for seed, x in enumerate(clips):
        worse = STUDIES[kind][1](x, level, rate, np.random.default_rng(seed))
        made.append(as_loud_as(worse, x))
    return made


def score(assess: AudioQualityAssessmentPipeline, clips: list[Samples], prompts: list[tuple[str, str]]) -> np.ndarray:
    """`(clips,)`."""
    return np.array([result.score for result in assess(clips, prompts=prompts, batch_size=16)])


def study(
    assess: AudioQualityAssessmentPipeline, clips: list[Samples], prompts: list[tuple[str, str]], kinds: list[str]
) -> None:
    """Print the mean score of every kind and level."""
    rate = assess.feature_extractor.sampling_rate
    clean = score(assess, clips, prompts)
    low, high = bootstrap_mean(clean)
    print(f"prompts: {prompts}\noriginal: {clean.mean():.3f} [{low:.3f}, {high:.3f}], {len(clips)} clips")
    for kind in kinds:
        unit, _, levels = STUDIES[kind]
        means = [clean.mean()]
        for level in levels:
            worse = score(assess, degraded(clips, kind, level, rate), prompts)
            (low, high), (left, right) = bootstrap_mean(worse), bootstrap_mean(worse - clean)
            means.append(worse.mean())
            print(
                f"  {kind:8s} {level:6g} {unit:11s} {means[-1]:.3f} [{low:.3f}, {high:.3f}]  change "
                f"{means[-1] - means[0]:+.3f} [{left:+.3f}, {right:+.3f}]  lower in "
                f"{100 * np.mean(worse < clean):.0f} % of the clips"
            )
        falls = bool(np.all(np.diff(means) <= 0))
        print(f"  {kind}: {'falls at every step' if falls else 'does not fall at every step'}")


@torch.inference_mode()
def embed(assess: AudioQualityAssessmentPipeline, clips: list[Samples]) -> np.ndarray:
    """Audio embeddings, `(clips, dim)`, L2-normalised; long clips are averaged over windows."""
    how = {"sampling_rate": assess.feature_extractor.sampling_rate, "truncation": "windows", "return_tensors": "pt"}
    return np.concatenate(
        [assess.model.get_audio_features(**assess.feature_extractor([x], **how)).pooler_output.numpy() for x in clips]
    )


@torch.no_grad()
def why(assess: AudioQualityAssessmentPipeline, clips: list[Samples], prompts: tuple[str, str]) -> None:
    """Print how a degradation moves the audio embeddings, and how the prompts lie to that."""
    good, bad = assess.label_embeddings(prompts, ("{}",)).numpy()
    axis = (good - bad) / np.linalg.norm(good - bad)
    clean, rate = embed(assess, clips), assess.feature_extractor.sampling_rate
    print(f"cosine of the two prompts {good @ bad:.3f}; of a clip and the good one {np.mean(clean @ good):.3f}")
    for kind, (_, _, levels) in STUDIES.items():
        moved = embed(assess, degraded(clips, kind, levels[-1], rate)) - clean  # (clips, dim)
        # Each clip is judged by the mean movement of the others: is it worse now in the direction in which they went?
        others = moved.sum(0) - moved
        along = (moved * others).sum(1) > 0
        common = moved.mean(0) / np.linalg.norm(moved.mean(0))
        print(
            f"  {kind} at its worst: embeddings move by {np.linalg.norm(moved, axis=1).mean():.2f}; "
            f"{100 * along.mean():.0f} % of the clips in the direction of the others; cosine of that direction with "
            f"bad minus good {-common @ axis:+.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sounds", type=Path, help="a folder of clips; the bundled ones if not given")
    parser.add_argument("--others", action="store_true", help="leave out of the folder what is bundled")
    parser.add_argument("--model", default=str(bundled_model("clap-small")))
    parser.add_argument("--good", action="append", help="a prompt of good audio; repeatable")
    parser.add_argument("--bad", action="append", help="its opposite, once for each --good")
    parser.add_argument("--kinds", nargs="+", choices=list(STUDIES), default=list(STUDIES), help="degradations to try")
    parser.add_argument("--why", action="store_true", help="also look at the embeddings")
    args = parser.parse_args()
    if len(args.good or []) != len(args.bad or []):
        parser.error("give --good and --bad in pairs")
    prompts = list(zip(args.good, args.bad, strict=True)) if args.good else [PROMPTS]

    logging.disable_progress_bar()
    assess = pipeline("audio-quality-assessment", model=args.model)
    assess.feature_extractor.allow_silence = True  # a hard low-pass may leave nothing
    suffixes = (".ogg", ".wav", ".flac")
    paths = sorted(p for p in args.sounds.iterdir() if p.suffix in suffixes) if args.sounds else bundled_audio()
    bundled = {path.name for path in bundled_audio()} if args.others else set()
    paths = [path for path in paths if path.name not in bundled]
    clips = [load_audio(str(path), assess.feature_extractor.sampling_rate).astype(np.float64) for path in paths]
    study(assess, clips, prompts, args.kinds)
    if args.why:
        for pair in prompts:
            why(assess, clips, pair)


if __name__ == "__main__":
    main()
