"""`afm-hf classify --check-labels`: labels that the model can hardly tell apart, said before it listens."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common import note

if TYPE_CHECKING:
    from ...pipelines.pipeline_zero_shot_audio_classification import ZeroShotAudioClassificationPipeline

CheckLabelsOption = Annotated[
    bool, typer.Option("--check-labels", help="Say first, on stderr, which labels the model can hardly tell apart.")
]


def say_what_is_alike(pipe: "ZeroShotAudioClassificationPipeline", options: dict[str, Any]) -> None:
    """A line for each pair of labels that are alike."""
    from ...adaptation.label_check import check_labels
    from ...models.clap_afm.embedding_clap_afm import DEFAULT_TEMPLATE

    labels, template = options["candidate_labels"], options.get("hypothesis_template", DEFAULT_TEMPLATE)
    pairs = check_labels(pipe.model, pipe.tokenizer, labels, template)
    for pair in pairs:
        note(f"labels {pair}")
    if not pairs:
        note(f"--check-labels: all {len(labels)} labels are told apart as well as most sounds.")
