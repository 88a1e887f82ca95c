"""Text from audio and a prompt, with CLAPCAP, Pengi, ADIFF or Mellow; and classification by what they would say."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoTokenizer
from transformers.pipelines import PIPELINE_REGISTRY

from ..models.clap_afm.embedding_clap_afm import DEFAULT_TEMPLATE, as_labels, as_templates, embed_texts
from ..models.prefix_lm.prompts_afm import CAPTION_PROMPTS, CLASS_PROMPTS, is_said
from ..models.prefix_lm.questions_afm import heard_once
from ..models.prefix_lm.scoring_afm import score_answers
from .pipeline_afm_prefix_lm import AfmPrefixLMPipeline, checked_prompt
from .pipeline_audio_inputs import BadInputError, is_row, is_single
from .pipeline_zero_shot_audio_classification import ZeroShotAudioClassificationPipeline

METHODS = ("likelihood", "similarity", "both")


class AudioTextGenerationPipeline(AfmPrefixLMPipeline):
    """
    Text from audio and a prompt.

    ```python
    pipe = pipeline("audio-text-generation", model="pengi")
    pipe("dog.wav", prompt="generate audio caption")              # [{"generated_text": "a dog is barking"}]
    pipe([{"audio": "dog.wav", "prompt": "generate metadata"}, {"audio": "cat.wav", "prompt": "this is a sound of"}])
    pipe.describe("dog.wav")                                      # Pengi: caption, metadata and events in one text
    pipe.classify("dog.wav", candidate_labels=["dog", "rain"])    # closed-ended: scores of given labels
    mellow(("first.wav", "second.wav"), prompt="which of the two is louder?")    # a tuple is a pair, a list a batch
    ```

    Arguments of a call:
        audios:
            One input or many. An input is a clip (path, URL, bytes, file object, samples, `{"array", "sampling_rate"}`,
            item or decoder of `datasets`), for models with two clips also a pair of clips as a tuple, or a row
            `{"audio": clip or pair, "prompt": ...}`. A list, a `Dataset` or a generator holds many inputs.
        prompt (`str` or `list[str]`, *optional*):
            What to ask: for all inputs, or one for each of a list; a row's own prompt comes first. CLAPCAP needs none
            (a prompt is what its caption begins with). Of a single input a list is several questions, as is one in a
            row: the audio is heard once, and read once where it stands before the question (Mellow, CLAPCAP).
        max_new_tokens, num_beams, do_sample, num_return_sequences, streamer, ... and generate_kwargs (`dict`):
            Arguments of `generate`; what is not given is as in the checkpoint's generation config. The authors' rule
            for CLAPCAP and Pengi is `custom_generate=afm_hf.average_log_prob_beam_search`. A streamer works for one
            input at a time and without beams.
        batch_size, num_workers (`int`, *optional*): Inputs of one batch; processes that decode.
        sampling_rate (`int`, *optional*): Rate in Hz of bare arrays.
        truncation (`str`, *optional*):
            What of a long clip is heard: `"first"`, `"center"`, `"random"`, or all `"windows"` (CLAPCAP and Pengi).
        on_error (`str`, *optional*, defaults to `"raise"`):
            `"return"` gives the error in place of the result where an input cannot be used, and goes on.

    Returns of a call:
        For one input `[{"generated_text": str}, ...]`, one entry a returned sequence; for several questions about it a
        list of these; for a list of inputs a list of results; for a dataset or generator an iterator over them.
    """

    forward_options = ("task", "candidate_labels", "method", "similarity_model", "hypothesis_template", "return_text")

    def __init__(self, **kwargs: Any) -> None:
        # By name or identity; what was given is kept too, so that no other object takes its identity.
        self._text_sides: dict[Any, tuple[ZeroShotAudioClassificationPipeline, Any]] = {}
        super().__init__(**kwargs)

    def describe(self, audios: Any, **kwargs: Any) -> Any:
        """
        Caption, metadata and sound events of each clip in one text, as the released wrapper of Pengi gives them.

        Args:
            audios: One clip or many, as in a call.
            kwargs (*optional*): As in a call, but for `prompt`.

        Raises:
            ValueError: if the model is not Pengi.
        """
        return self(audios, task="describe", **kwargs)

    def classify(
        self,
        audios: Any,
        candidate_labels: str | Sequence[str],
        prompt: str | None = None,
        method: str = "likelihood",
        similarity_model: Any = None,
        hypothesis_template: str = DEFAULT_TEMPLATE,
        return_text: bool = False,
        **kwargs: Any,
    ) -> Any:
        """
        Scores labels by what the model would say: the closed-ended tasks of the Pengi paper.

        Args:
            audios: One clip or many, as in a call.
            candidate_labels (`list[str]` or `str`): The labels; a string is cut at its commas.
            prompt (`str`, *optional*): The question; `"this is a sound of"` for Pengi, and its like for the others.
            method (`str`, *optional*, defaults to `"likelihood"`):
                `"likelihood"`: how likely the model finds each label as its answer, by the mean log-probability of the
                label's tokens. Audio and prompt are read once for all labels.
                `"similarity"`: the model answers freely, and labels are compared to the answer in the text space of a
                CLAP. `"both"` gives both, and what was answered.
            similarity_model (*optional*):
                The CLAP for that: a folder or Hub id, a loaded zero-shot pipeline, or `(model, tokenizer)`; the default
                model of the task `zero-shot-audio-classification` if not given.
            hypothesis_template (`str`, *optional*, defaults to `"This is a sound of {}."`):
                The sentence into which that CLAP gets answer and labels.
            return_text (`bool`, *optional*, defaults to `False`):
                With `"similarity"`: a dictionary as of `"both"`, which has what was answered.
            kwargs (*optional*): As in a call.

        Returns:
            For each clip a list of `{"score", "label", ...}`, best first. Scores of `"likelihood"` add up to 1 (softmax
            of `"log_likelihood"`, which is there too), those of `"similarity"` are cosines. With `"both"` a dictionary
            `{"generated_text", "match", "likelihood": [...], "similarity": [...]}`; `"match"` is the label that stands
            in the answer, if it is but one. With `return_text` the same without `"likelihood"`.

        Raises:
            ValueError: if there are no labels, or the method is not one of these.
        """
        options: dict[str, Any] = {"candidate_labels": candidate_labels, "method": method}
        options["hypothesis_template"] = hypothesis_template
        if return_text:
            options["return_text"] = True
        if prompt is None:
            prompt = CLASS_PROMPTS.get(self.model_type)
        return self(audios, prompt=prompt, similarity_model=similarity_model, **options, **kwargs)

    def make_prompt(self, options: dict[str, Any]) -> str | list[str] | None:
        """The given prompt, or all questions about the input; only CLAPCAP does without."""
        prompt, example = options.get("prompt"), CAPTION_PROMPTS.get(self.model_type, "what is this sound?")
        if prompt is None and example is not None:
            raise BadInputError(f"{type(self.model).__name__} needs a prompt, as `prompt={example!r}`.")
        if isinstance(prompt, list | tuple):
            if not prompt:
                raise BadInputError("The list of prompts is empty; expected one question or more.")
            return [checked_prompt(each) for each in prompt]
        return None if prompt is None else checked_prompt(prompt)

    def _give_each_its_own(self, audios: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """As in the base class, but a list of prompts for a single input are questions about it."""
        prompts = kwargs.get("prompt")
        if not isinstance(prompts, list | tuple) or not is_single(audios):
            return super()._give_each_its_own(audios, kwargs)
        row = dict(audios) if is_row(audios) else {"audio": audios}
        return {**row, "prompt": list(prompts)}, {name: kwargs[name] for name in kwargs if name != "prompt"}

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if kwargs.get("task") == "describe":
            if not hasattr(self.processor, "describe_prompts"):
                raise ValueError(f"Only Pengi describes; this is a {type(self.model).__name__}.")
            kwargs["prompt"] = self.processor.describe_prompts[0]
        elif kwargs.get("task") is not None:
            raise ValueError(f"`task` is {kwargs['task']!r}; the only one is 'describe'.")
        if kwargs.get("candidate_labels") is not None:
            kwargs["candidate_labels"] = as_labels(kwargs["candidate_labels"])
        if kwargs.get("method", "both") not in METHODS:
            raise ValueError(f"`method` is {kwargs['method']!r}; expected one of {', '.join(map(repr, METHODS))}.")
        if "hypothesis_template" in kwargs:
            templates = as_templates(kwargs["hypothesis_template"])
            if len(templates) > 1:
                raise ValueError(f"There are {len(templates)} templates; an answer is put into one.")
            kwargs["hypothesis_template"] = templates[0]
        return super()._sanitize_parameters(**kwargs)

    def _forward(
        self,
        model_inputs: dict[str, Any],
        generate_kwargs: Mapping[str, Any] | None = None,
        task: str | None = None,
        candidate_labels: tuple[str, ...] | None = None,
        method: str = "likelihood",
        similarity_model: Any = None,
        hypothesis_template: str = DEFAULT_TEMPLATE,
        return_text: bool = False,
    ) -> dict[str, Any]:
        inputs, questions = model_inputs["inputs"], model_inputs["questions"]
        if task == "describe":
            return {"texts": self._describe(inputs, generate_kwargs)}
        texts, scores = [], {}
        if candidate_labels is None or method != "likelihood":
            texts = self.generate(inputs, generate_kwargs, questions)
        if candidate_labels is not None and method != "similarity":
            if max(questions) > 1:
                inputs = heard_once(self.model, inputs, questions, share_cache=False)
            scores["likelihood"] = score_answers(self.model, self.processor, inputs, candidate_labels).mean
        if candidate_labels is not None and method != "likelihood":
            answers = [text for text, *_ in texts]
            scores["similarity"] = self._similarity(answers, candidate_labels, similarity_model, hypothesis_template)
        return {"texts": texts, "labels": candidate_labels, "scores": scores, "return_text": return_text}

    def _describe(self, inputs: dict[str, torch.Tensor], generate_kwargs: Mapping[str, Any] | None) -> list[list[str]]:
        """One text for each clip, joined of the answers to three prompts."""
        answers = []
        for prompt in self.processor.describe_prompts:
            asked = self.processor.prompt_inputs([prompt] * len(inputs["input_ids"]))
            asked = {name: value.to(self.device) for name, value in asked.items()}
            answers.append([texts[0] for texts in self.generate({**inputs, **asked}, generate_kwargs)])
        return [[self.processor.join_description(parts)] for parts in zip(*answers, strict=True)]

    def _similarity(
        self, answers: list[str], labels: tuple[str, ...], similarity_model: Any, template: str
    ) -> torch.Tensor:
        """Cosines of answers and labels, `(answers, labels)`."""
        zero_shot = self._text_side(similarity_model)
        texts = [template.format(answer) for answer in answers]
        embeddings = embed_texts(zero_shot.model, zero_shot.tokenizer, texts)
        return embeddings @ zero_shot.label_embeddings(labels, (template,)).t()

    def _text_side(self, given: Any) -> ZeroShotAudioClassificationPipeline:
        """A CLAP, loaded when it is first wanted, in a pipeline that remembers the embeddings of labels."""
        if given is None:
            given = PIPELINE_REGISTRY.check_task("zero-shot-audio-classification")[1]["default"]["model"][0]
        key = str(given) if isinstance(given, str | Path) else id(given)
        if key not in self._text_sides:
            self._text_sides[key] = self._load_text_side(given), given
        return self._text_sides[key][0]

    def _load_text_side(self, given: Any) -> ZeroShotAudioClassificationPipeline:
        if isinstance(given, ZeroShotAudioClassificationPipeline):
            return given
        if isinstance(given, str | Path):
            given = AutoModel.from_pretrained(given).eval(), AutoTokenizer.from_pretrained(given)
        pair = given if isinstance(given, tuple) else (getattr(given, "model", None), getattr(given, "tokenizer", None))
        if len(pair) != 2 or not hasattr(pair[0], "get_text_features") or pair[1] is None:
            raise ValueError(
                f"`similarity_model` gives a {type(pair[0]).__name__}; expected a model with `get_text_features`, like "
                "CLAP, as a folder, Hub id, zero-shot pipeline or (model, tokenizer)."
            )
        return ZeroShotAudioClassificationPipeline(model=pair[0], tokenizer=pair[1], device=self.device)

    def postprocess(self, model_outputs: dict[str, Any], **postprocess_params: Any) -> list[Any]:
        """Results of a batch: texts, or labels with scores."""
        labels, scores = model_outputs.get("labels"), model_outputs.get("scores", {})
        if labels is None:
            return super().postprocess(model_outputs)
        results: dict[str, list[Any]] = {}
        if "likelihood" in scores:
            results["likelihood"] = [_by_likelihood(labels, row.tolist()) for row in scores["likelihood"]]
        if "similarity" in scores:
            results["similarity"] = [_ranked(labels, row.tolist()) for row in scores["similarity"]]
        if len(results) == 1 and not (model_outputs.get("return_text") and "similarity" in results):
            return next(iter(results.values()))
        ranked = [dict(zip(results, row, strict=True)) for row in zip(*results.values(), strict=True)]
        return [
            {"generated_text": text, "match": _match(text, labels), **row}
            for (text, *_), row in zip(model_outputs["texts"], ranked, strict=True)
        ]


def _by_likelihood(labels: Sequence[str], log_likelihoods: list[float]) -> list[dict[str, Any]]:
    """Labels with a softmax of their log-likelihoods, best first."""
    shares = torch.tensor(log_likelihoods).softmax(dim=0).tolist()
    return _ranked(labels, shares, log_likelihoods)


def _ranked(
    labels: Sequence[str], scores: list[float], log_likelihoods: list[float] | None = None
) -> list[dict[str, Any]]:
    """Labels with their scores, best first."""
    entries: list[dict[str, Any]] = [
        {"score": score, "label": label} for score, label in zip(scores, labels, strict=True)
    ]
    for entry, value in zip(entries, log_likelihoods or [], strict=False):
        entry["log_likelihood"] = value
    return sorted(entries, key=lambda entry: -entry["score"])


def _match(text: str, labels: Sequence[str]) -> str | None:
    """The label that the text is, or the only one whose words stand in it, not denied; None otherwise."""
    exact = [label for label in labels if label.lower() == text.lower().rstrip(".")]
    within = [label for label in labels if is_said(label.lower(), text.lower())]
    return exact[0] if exact else within[0] if len(within) == 1 else None


__all__ = ["AudioTextGenerationPipeline"]
