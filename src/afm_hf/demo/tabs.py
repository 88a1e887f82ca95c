"""What stands on each tab, and which function answers its buttons."""

from collections.abc import Callable
from functools import partial
from typing import Any

import gradio as gr

from ..models.clap_afm.embedding_clap_afm import DEFAULT_TEMPLATE
from ..models.prefix_lm.prompts_afm import TIERS
from ..pipelines.pipeline_audio_quality_assessment import PROMPTS
from .adaptation import COLUMNS, adapt_to_clips
from .answers import answer_question, caption_clip, tell_difference
from .classify import HEARD, classify_clip
from .clips import example_clips
from .models import DemoModels
from .quality import score_quality

Run = Callable[[Callable[..., Any]], Callable[..., Any]]

LABELS = "cow mooing, bell ringing, rain, birds singing, snare drum, applause"
QUESTIONS = ["what is the sound?", "is the sound high or low?", "is the sound steady or changing?"]
PAIR_QUESTIONS = ["which audio is higher?", "which audio is louder?", "which audio is noisier?"]
Picture = partial(gr.Plot, format="png", elem_classes="picture")


def classify_tab(models: DemoModels, run: Run) -> None:
    """Which of some labels fits a clip."""
    with gr.Tab("Classify", id="classify"):
        gr.Markdown("Which of your labels fits the clip best? Write any words you like.")
        with gr.Row():
            with gr.Column():
                clip = _clip("Clip", "classify")
                labels = gr.Textbox(LABELS, label="Labels, with commas between them", elem_id="classify-labels")
                with gr.Accordion("More settings", open=False):
                    templates = gr.Textbox(
                        DEFAULT_TEMPLATE,
                        lines=2,
                        label="Sentences with {} for the label, one a line; several are averaged",
                        elem_id="classify-templates",
                    )
                    heard = gr.Radio(list(HEARD), value="all of it", label="What of a long clip is heard")
                    each = gr.Checkbox(label="Score each label by itself (several may fit)")
                button = _button("Classify", "classify")
            with gr.Column():
                scores = gr.Label(label="Scores", elem_id="classify-scores")
                over_time = Picture(label="Scores over time (of long clips)")
                picture = Picture(label="The clip as the model gets it")
        inputs = [clip, labels, templates, heard, each]
        _on([button.click, labels.submit], run(classify_clip), inputs, [scores, over_time, picture])


def answers_tab(models: DemoModels, run: Run) -> None:
    """Captions, and answers about one or two clips."""
    with gr.Tab("Caption and ask", id="answers"):
        gr.Markdown(
            "What is heard, in a sentence; and questions about one clip or two. The models understand few wordings."
        )
        with gr.Row():
            with gr.Column():
                first = _clip("Clip (audio 1)", "answers-first")
                second = _clip("Second clip (audio 2), only for questions about two", "answers-second")
            with gr.Column():
                describe = _button("Caption the clip", "answers-caption")
                said = gr.Textbox(label="Caption", interactive=False, elem_id="answers-said")
                gr.Markdown("Or ask:")
                question = gr.Textbox(QUESTIONS[0], label="Question", elem_id="answers-question")
                gr.Examples([[text] for text in QUESTIONS + PAIR_QUESTIONS], question, label="Questions to try")
                choices = gr.Textbox(label="Choices, with commas between them (optional)", elem_id="answers-choices")
                ask = _button("Ask", "answers-ask")
                answer = gr.Textbox(label="Answer", interactive=False, elem_id="answers-answer")
                shares = gr.Label(label="Choices", elem_id="answers-shares")
        with gr.Row():
            pictures = [Picture(label="Audio 1"), Picture(label="Audio 2")]
        _on([describe.click], run(caption_clip), [first], [said, pictures[0]])
        asked = [first, second, question, choices]
        _on([ask.click, question.submit], run(answer_question), asked, [answer, shares, *pictures])


def difference_tab(models: DemoModels, run: Run) -> None:
    """Two clips, compared in words."""
    with gr.Tab("Difference", id="difference"):
        gr.Markdown("How do two clips differ? In words, at three lengths.")
        with gr.Row():
            with gr.Column():
                first = _clip("First clip", "difference-first")
            with gr.Column():
                second = _clip("Second clip", "difference-second")
        tier = gr.Radio(list(TIERS), value=TIERS[0], label="How much to say")
        button = _button("Compare", "difference")
        text = gr.Textbox(label="Difference", interactive=False, lines=3, elem_id="difference-text")
        with gr.Row():
            pictures = [Picture(label="First clip"), Picture(label="Second clip")]
        _on([button.click], run(tell_difference), [first, second, tier], [text, *pictures])


def quality_tab(models: DemoModels, run: Run) -> None:
    """PAM."""
    with gr.Tab("Quality", id="quality"):
        gr.Markdown(
            "PAM: a score from 0 to 1, the probability of the prompt for good audio against that for bad audio. In the "
            "paper it goes together with what people hear, with CLAP 2023; with `clap-small` it does not."
        )
        with gr.Row():
            with gr.Column():
                clip = _clip("Clip", "quality")
                with gr.Accordion("Prompts", open=False):
                    good = gr.Textbox(PROMPTS[0], label="What good audio is like")
                    bad = gr.Textbox(PROMPTS[1], label="What bad audio is like")
                button = _button("Score", "quality")
            with gr.Column():
                shares = gr.Label(label="Score (of the prompt for good audio)", elem_id="quality-scores")
                over_time = Picture(label="Score over time")
                picture = Picture(label="The clip as the model gets it")
        _on([button.click], run(score_quality), [clip, good, bad], [shares, over_time, picture])


def adaptation_tab(models: DemoModels, run: Run) -> None:
    """A domain vector from some clips."""
    with gr.Tab("Test-time adaptation", id="adaptation"):
        gr.Markdown(
            "The model learns from your unlabelled clips: it changes the first words of its prompt so that it becomes "
            "surer. That may help or harm; with `clap-small` it rarely helps. Nothing of it is kept."
        )
        with gr.Row():
            with gr.Column():
                clips = gr.File(
                    label="Clips (one or several)", file_count="multiple", type="filepath", elem_id="adaptation-clips"
                )
                take = gr.Button("Take the example clips", size="sm", elem_id="adaptation-examples")
                labels = gr.Textbox(LABELS, label="Labels, with commas between them", elem_id="adaptation-labels")
                steps = gr.Slider(1, 50, value=10, step=1, label="Steps")
                views = gr.Slider(2, 64, value=16, step=1, label="Views of each clip")
                button = _button("Adapt", "adaptation")
            with gr.Column():
                said = gr.Textbox(label="What happened", interactive=False, lines=3, elem_id="adaptation-said")
                entropy = Picture(label="Entropy over the steps")
                picture = Picture(label="The first clip as the model gets it")
        table = gr.Dataframe(headers=COLUMNS, label="Scores before and after", interactive=False, wrap=True)
        take.click(lambda: list(example_clips().values()), None, clips, api_visibility="private")
        _on([button.click], run(adapt_to_clips), [clips, labels, steps, views], [said, table, entropy, picture])


def _clip(label: str, name: str) -> gr.Audio:
    """A place for a clip, with examples below."""
    clip = gr.Audio(
        sources=["upload", "microphone"],
        type="filepath",
        label=label,
        elem_id=f"{name}-clip",
        editable=False,
        buttons=[],
    )
    examples = example_clips()
    gr.Examples([[path] for path in examples.values()], clip, label="Examples", example_labels=list(examples))
    return clip


def _button(text: str, name: str) -> gr.Button:
    return gr.Button(text, variant="primary", elem_id=f"{name}-button")


def _on(triggers: list[Any], function: Callable[..., Any], inputs: list[Any], outputs: list[Any]) -> None:
    """One job at a time on the whole page: the models share the machine."""
    gr.on(triggers, function, inputs, outputs, concurrency_id="models", concurrency_limit=1, api_visibility="private")
