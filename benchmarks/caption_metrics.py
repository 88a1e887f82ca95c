"""
Caption words and metrics against pycocoevalcap, on the tables of Audio Entailment and ADIFF as downloaded.

    python benchmarks/caption_metrics.py clotho_entailment_evaluation.csv cld_evaluation_adiff_sentence_answer.csv

Needs Java and `pip install pycocoevalcap`. Audio Entailment: the first caption against the other four (ACE has one: the
entailed sentence against it). ADIFF: an answer against that of the next row. Prints how many texts the Java tokenizer
cuts otherwise, the largest difference of any figure (of the set or of one clip), and seconds of both.
"""

import argparse
import ast
import csv
import time
from pathlib import Path

import numpy as np

from afm_hf.evaluation.metrics.captions import WITHOUT_JAVA, caption_scores
from afm_hf.evaluation.metrics.pairs import CaptionPairs
from afm_hf.evaluation.metrics.tokenizer import ptb_words


def read(path: Path) -> tuple[list[str], list[list[str]], list[str]]:
    """Candidates, references, and all texts of a table."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if "answer" in rows[0]:
        answers = [row["answer"] for row in rows]
        return answers, [[text] for text in answers[1:] + answers[:1]], answers + [row["caption1"] for row in rows]
    captions = [ast.literal_eval(row["Caption"]) if row["Caption"][0] == "[" else [row["Caption"]] for row in rows]
    sentences = [row[name] for name in ("Entailment", "Neutral", "Contradiction") for row in rows]
    texts = [*sentences, *(text for several in captions for text in several)]
    if len(captions[0]) == 1:
        return sentences[: len(rows)], captions, texts
    return [several[0] for several in captions], [several[1:] for several in captions], texts


def java_words(texts: list[str]) -> list[list[str]]:
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    cut = PTBTokenizer().tokenize({i: [{"caption": text}] for i, text in enumerate(texts)})
    return [cut[i][0].split() for i in range(len(texts))]


def coco_scores(pairs: CaptionPairs) -> dict[str, tuple[float, np.ndarray]]:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    references = {i: [" ".join(words) for words in clip] for i, clip in enumerate(pairs.references)}
    candidates = {i: [" ".join(words)] for i, words in enumerate(pairs.candidates)}
    corpus, per_clip = Bleu(4).compute_score(references, candidates, verbose=0)
    found = {f"bleu_{i + 1}": (corpus[i], np.array(per_clip[i])) for i in range(4)}
    found["rouge_l"] = Rouge().compute_score(references, candidates)
    found["cider_d"] = Cider().compute_score(references, candidates)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", type=Path)
    for path in parser.parse_args().tables:
        candidates, references, texts = read(path)
        texts = list(dict.fromkeys(texts))
        other = sum(ptb_words(text) != words for text, words in zip(texts, java_words(texts), strict=True))
        start = time.process_time()
        ours = caption_scores(candidates, references, metrics=WITHOUT_JAVA)
        middle = time.process_time()
        theirs = coco_scores(CaptionPairs.from_texts(candidates, references))
        end = time.process_time()
        difference = max(
            max(abs(ours.scores[name] - corpus), np.abs(ours.per_clip[name] - per_clip).max())
            for name, (corpus, per_clip) in theirs.items()
        )
        print(f"{path.name}: {other} of {len(texts)} texts cut otherwise; {len(candidates)} clips, largest difference")
        print(f"  {difference:.1e}; {middle - start:.1f} s, pycocoevalcap {end - middle:.1f} s")


if __name__ == "__main__":
    main()
