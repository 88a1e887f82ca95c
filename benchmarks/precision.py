"""
What a CLAP loses in other number formats: embeddings and labels beside those of float32.

    python benchmarks/precision.py [--sounds examples/sounds] [--model clap-small] [--dtype bfloat16 int8]

The folder holds `metadata.csv` (`file_name`, `label`). For each format: the cosine similarity of every clip's embedding
to that of float32 (least, median), the clips whose likeliest of all labels is the same, and those whose likeliest label
is right. Formats that this processor only imitates are exact all the same, and slow.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

from afm_hf.pipelines.audio_files import in_batches, read_batches
from afm_hf.retrieval import ClapEmbedder


def embeddings(embedder: ClapEmbedder, paths: list[str]) -> np.ndarray:
    """Float32 `(clips, dim)`, L2-normalised."""
    batches = read_batches(embedder.feature_extractor, in_batches(paths, 16))
    return np.concatenate([embedder.embed_features(batch.features) for batch in batches])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sounds", type=Path, default=Path("examples/sounds"))
    parser.add_argument("--model", default="clap-small")
    parser.add_argument("--dtype", nargs="+", default=["bfloat16", "int8"])
    arguments = parser.parse_args()
    with (arguments.sounds / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    labels = sorted({row["label"] for row in rows})
    truth = np.array([labels.index(row["label"]) for row in rows])
    paths = [str(arguments.sounds / row["file_name"]) for row in rows]
    exact = None
    print(f"{len(rows)} clips, {len(labels)} labels, {arguments.model}")
    for dtype in ("float32", *arguments.dtype):
        embedder = ClapEmbedder(arguments.model, "cpu", dtype)
        texts = embedder.embed_text([f"This is a sound of {label}." for label in labels])
        clips = embeddings(embedder, paths)
        said = (clips @ texts.T).argmax(axis=1)
        if exact is None:
            exact, first = clips, said
        likeness = (clips * exact).sum(axis=1)
        print(
            f"{dtype:9s} cosine to float32: least {likeness.min():.4f}, median {np.median(likeness):.4f}   "
            f"same label {(said == first).mean():6.1%}   right {(said == truth).mean():6.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
