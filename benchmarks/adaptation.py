"""
What test-time adaptation costs: a step against one plain zero-shot call, and what is spent once for every clip.

    python benchmarks/adaptation.py [--models clap-small clap-2023] [--labels 20] [--repeats 3] [--json FILE]

Seconds of processor time, best of the repeats, one thread; every ratio is of figures of the same run. clap-2023 has
random weights and the word pieces of clap-small, which does not change the work.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from clap import processor_name
from transformers import AutoModel, AutoProcessor, GPT2Config

from afm_hf import (
    ClapAfmConfig,
    ClapAfmFeatureExtractor,
    ClapAfmModel,
    ClapAfmTextConfig,
    TestTimeAdaptationPipeline,
    ZeroShotAudioClassificationPipeline,
    bundled_model,
)
from afm_hf.adaptation.test_time.optimization import AdaptationSettings, adapt

VIEWS, STEPS = 64, 2


def seconds(work: Callable[[], Any], repeats: int) -> float:
    """Least processor time of some runs."""
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def clap_small() -> tuple[Any, Any, Any]:
    """The bundled model: BERT of two layers."""
    model = AutoModel.from_pretrained(bundled_model("clap-small")).eval()
    processor = AutoProcessor.from_pretrained(bundled_model("clap-small"))
    return model, processor.tokenizer, processor.feature_extractor


def clap_2023() -> tuple[Any, Any, Any]:
    """HTSAT and GPT-2 in full size."""
    tokenizer = clap_small()[1]
    model = ClapAfmModel(ClapAfmConfig(text_config=ClapAfmTextConfig(encoder_config=GPT2Config()))).eval()
    return model, tokenizer, ClapAfmFeatureExtractor()


MODELS: dict[str, Callable[[], tuple[Any, Any, Any]]] = {"clap-small": clap_small, "clap-2023": clap_2023}


def measure(parts: tuple[Any, Any, Any], labels: list[str], repeats: int) -> Iterator[tuple[str, float]]:
    """Processor time of each piece, in seconds."""
    model, tokenizer, extractor = parts
    names = {"model": model, "tokenizer": tokenizer, "feature_extractor": extractor}
    classify, adapter = ZeroShotAudioClassificationPipeline(**names), TestTimeAdaptationPipeline(**names)
    clip = torch.randn(extractor.clip_samples(extractor.max_length_s)).numpy() * 0.1

    def call(fresh: bool) -> None:
        if fresh:
            classify.clear_label_cache()
        classify(clip, candidate_labels=labels, sampling_rate=extractor.sampling_rate)

    views = torch.nn.functional.normalize(torch.randn(1, VIEWS, model.config.projection_dim), dim=-1)

    def learn(steps: int, share: bool = True, **more: Any) -> Callable[[], Any]:
        settings = AdaptationSettings(steps=steps, min_entropy=0.0, guard=False, **more)
        return lambda: adapt(model, tokenizer, views, labels, settings, fingerprint="0" * 64, share=share)

    def step(**more: Any) -> float:
        long, short = (seconds(learn(count, **more), repeats) for count in (1 + STEPS, 1))
        return (long - short) / STEPS

    call(True)
    yield "plain call", seconds(lambda: call(True), repeats)
    yield "plain call, labels known", seconds(lambda: call(False), repeats)
    yield "a step", step()
    yield "a step, nothing shared", step(share=False)
    yield "a step, prompt after the label", step(position="after", prompt="can be heard")
    yield "a step, additive", step(kind="embedding")
    yield f"{VIEWS} views of a clip, encoded", seconds(lambda: adapter.encode(clip, views=VIEWS), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--json", help="file for the figures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    labels = [f"a sound of kind {index}" for index in range(arguments.labels)]
    print(f"{processor_name()}  torch {torch.__version__}  {arguments.labels} labels")
    results: dict[str, dict[str, float]] = {}
    for name in arguments.models:
        figures = results[name] = {}
        for what, spent in measure(MODELS[name](), labels, arguments.repeats):
            figures[what] = spent
            calls = spent / figures["plain call"]
            print(f"{name:10s} {what:32s} {spent * 1e3:9.1f} ms  {calls:6.2f} plain calls", flush=True)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(results, file, indent=2)


if __name__ == "__main__":
    main()
