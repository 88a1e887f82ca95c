"""
Audio Entailment: does a sentence follow from a clip? CLAP has thresholds or a probe for it, Pengi and Mellow are asked.

Deshmukh et al., AAAI 2025 (arXiv 2407.18062). A caption may stand beside the clip ("caption before reason", section on
improvements) or in place of it. What is not known of the paper's settings and therefore ours: how a caption joins (the
mean of the two similarities; the probe's further inputs; the words of the prompt), and Pengi's prompt and answers.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers.pipelines import pipeline as make_pipeline
from transformers.pipelines.base import Pipeline

from ..audio.audio_samples import is_samples, lacks_rate, rate_of, warn_of_assumed_rate, with_rate
from ..entailment.entailment_contrastive import (
    THRESHOLDS_FILE,
    check_thresholds,
    embed_pairs,
    find_thresholds,
    probed,
    similarities_of,
)
from ..entailment.entailment_labels import PREMISES, AudioEntailmentResult, EntailmentProbe, EntailmentThresholds
from ..entailment.entailment_prompts import (
    OPTIONS,
    PROMPTS,
    as_options,
    entailment_prompt,
    label_shares,
    named_letter,
    named_option,
)
from ..models.clap_afm.embedding_clap_afm import extract_features
from ..models.common.results_afm import settings_of
from ..models.prefix_lm.prompts_afm import scored_answers
from ..models.prefix_lm.scoring_afm import score_answers
from .pipeline_afm_prefix_lm import AfmPrefixLMPipeline
from .pipeline_audio_captioning import AudioCaptioningPipeline
from .pipeline_audio_inputs import BadInputError, as_inputs, collate_features, is_row

CONTRASTIVE_SCORING = ("thresholds", "probe", "similarity", "embeddings")
GENERATIVE_SCORING = ("letter", "text", "likelihood")
SETTINGS = ("scoring", "thresholds", "probe", "premise", "captioner", "prompt", "options")


class AudioEntailmentPipeline(AfmPrefixLMPipeline):
    """
    Whether sentences follow from clips.

    ```python
    pipe = pipeline("audio-entailment", model="clap", thresholds="thresholds.json")
    pipe("dog.wav", hypothesis="an animal is heard")                     # an AudioEntailmentResult
    pipe("dog.wav", hypothesis=["a dog barks", "it is quiet"])           # a list of them
    pipe(["dog.wav", "cat.wav"], hypothesis=["a dog barks", "it rains"], batch_size=2)     # one each
    pipe([{"audio": "dog.wav", "hypothesis": "a dog barks"}, ...])       # rows, also of `datasets`
    pipe({"caption": "a dog barks", "hypothesis": "an animal is heard"}, premise="caption")  # text in place of audio
    ```

    Arguments of a call:
        audios:
            One clip or many, as for [`AudioTextGenerationPipeline`]; rows may hold `"hypothesis"` and `"caption"` (also
            `"captions"`), and need no clip where the premise is the caption.
        hypothesis (`str` or `list[str]`):
            The sentence, for all clips; of a list of clips one each; of one clip (or in a row) several.
        scoring (`str`, *optional*):
            Of CLAP: `"thresholds"` (the default), `"probe"` (the default if there is one), or `"similarity"`, which
            gives no label and is what thresholds are fitted on. Of Pengi and Mellow: by the `"letter"` of the generated
            answer (the default of Mellow), its `"text"`, or by the `"likelihood"` of the options (the default of Pengi,
            which has not learned letters).
        thresholds ([`EntailmentThresholds`], `(low, high)` or a JSON file, *optional*):
            Those of CLAP. If not given, those that lie beside the checkpoint (`entailment_thresholds_audio.json`).
        probe ([`EntailmentProbe`] or a file, *optional*): See `afm_hf.adaptation.entailment.fit_entailment_probe`.
        premise (`str`, *optional*, defaults to `"audio"`):
            `"audio"`; `"both"`: clip and caption (caption before reason); `"caption"`: the caption alone (of CLAP).
        caption (`str` or `list[str]`, *optional*): The caption, as `hypothesis`. A row may hold several of its clip.
        captioner (*optional*):
            Who captions clips without a caption: a pipeline for audio captioning, or a folder or Hub id. Pengi and
            Mellow caption themselves if there is none. It hears one clip at a time.
        prompt (`str`, *optional*):
            Of Pengi and Mellow: words with `{hypothesis}`, perhaps `{options}`, and `{caption}` if there is one.
        options (`dict[str, str | None]`, *optional*):
            The answers to choose from in this order, and the label that each means, or None for none.
        sampling_rate, truncation, batch_size, num_workers, on_error, max_new_tokens, ...: See
            [`AudioTextGenerationPipeline`].

    Returns of a call:
        An [`AudioEntailmentResult`] for each hypothesis. An answer that names no option, or two, has the label None.
    """

    row_options = ("hypothesis", "caption")
    forward_options = SETTINGS

    def __init__(self, model: Any, processor: Any = None, **kwargs: Any) -> None:
        self.is_contrastive = hasattr(model, "get_text_features")
        self._captioner: Any = None
        if self.is_contrastive:
            if not hasattr(processor, "feature_extractor") or not hasattr(processor, "tokenizer"):
                raise ValueError(
                    f"{type(model).__name__} needs its processor, but was given a {type(processor).__name__}. Pass "
                    "`processor=AutoProcessor.from_pretrained(...)` beside a loaded model."
                )
            Pipeline.__init__(self, model=model, processor=processor, **kwargs)
            self.model.eval()
        elif getattr(getattr(model, "config", None), "model_type", None) == "clap_afm_captioning":
            raise ValueError("CLAPCAP reads no prompt, and so judges no hypothesis. Take a CLAP, Pengi or Mellow.")
        else:
            super().__init__(model=model, processor=processor, **kwargs)

    def __call__(self, audios: Any, **kwargs: Any) -> Any:
        """
        Judges hypotheses; the arguments are those of the pipeline's class.

        Raises:
            AudioDecodeError: (a `ValueError`) a clip cannot be used; the message names it.
            ValueError: a setting is unknown or makes no sense, hypotheses and clips are not as many, or thresholds are
                needed and not known.
        """
        inputs, _ = as_inputs(audios)
        is_one = inputs is audios or is_samples(audios)
        given = {name: kwargs.pop(name) for name in self.row_options if is_one and isinstance(kwargs.get(name), list)}
        if given:  # all of the one clip
            audios = {**(dict(audios) if _is_pair_row(audios) else {"audio": audios}), **given}
        settings = {**self._forward_params, **{name: kwargs[name] for name in SETTINGS if name in kwargs}}
        if self.is_contrastive and self._scoring(settings) == "thresholds" and settings.get("thresholds") is None:
            kwargs["thresholds"] = find_thresholds(self.model, settings.get("premise", "audio"))
        return super().__call__(audios, **kwargs)

    @torch.no_grad()
    def embed(self, audios: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        """
        Embeddings of pairs by a CLAP, to fit a probe on.

        Args:
            audios, kwargs: As in a call. With `premise="both"` clips and captions, with `"caption"` captions alone.

        Returns:
            `"hypothesis"` and, by the premise, `"audio"` and `"caption"`: float32 `(pairs, dim)`, L2-normalised.
        """
        found = self(audios, scoring="embeddings", **kwargs)
        rows = [pair for row in ([found] if isinstance(found, dict) else found) for pair in _as_list(row)]
        return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Saves model and processor, and the thresholds beside them, where a new pipeline finds them."""
        super().save_pretrained(save_directory, **kwargs)
        thresholds = self._forward_params.get("thresholds")
        if thresholds is not None:
            thresholds.save(Path(save_directory) / THRESHOLDS_FILE.format(thresholds.premise))

    # -- settings -----------------------------------------------------------------------------------------------------

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        allowed = CONTRASTIVE_SCORING if self.is_contrastive else GENERATIVE_SCORING
        _choice("scoring", kwargs.get("scoring", allowed[0]), allowed)
        _choice("premise", kwargs.get("premise", "audio"), PREMISES if self.is_contrastive else ("audio", "both"))
        others = ("prompt", "options") if self.is_contrastive else ("thresholds", "probe")
        if wrong := [name for name in others if kwargs.get(name) is not None]:
            raise ValueError(f"{wrong} is not for a {type(self.model).__name__}.")
        if kwargs.get("thresholds") is not None:
            kwargs["thresholds"] = _as_thresholds(kwargs["thresholds"])
        if isinstance(kwargs.get("probe"), str | os.PathLike):
            kwargs["probe"] = EntailmentProbe.load(kwargs["probe"])
        if kwargs.get("options") is not None:
            kwargs["options"] = as_options(kwargs["options"])
        preprocess, forward, postprocess = super()._sanitize_parameters(**kwargs)
        return {**preprocess, **{name: kwargs[name] for name in SETTINGS if name in kwargs}}, forward, postprocess

    def _scoring(self, settings: Mapping[str, Any]) -> str:
        """How labels are found: as was said, or the default."""
        if settings.get("scoring"):
            return str(settings["scoring"])
        if self.is_contrastive:
            return "thresholds" if settings.get("probe") is None else "probe"
        return "likelihood" if self.model_type == "afm_pengi" else "letter"

    def _needs(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """What the label depends on: of audio, caption and hypothesis."""
        if self.is_contrastive and self._scoring(settings) == "probe":
            if settings.get("probe") is None:
                raise ValueError("`scoring='probe'` needs `probe`; `fit_entailment_probe` makes one.")
            return tuple(settings["probe"].inputs)
        premise = settings.get("premise", "audio")
        return ("hypothesis", *(("audio", "caption") if premise == "both" else (premise,)))

    # -- one input ----------------------------------------------------------------------------------------------------

    def clip_counts(self) -> tuple[int, ...]:
        """A hypothesis is about one clip."""
        return (1,)

    def preprocess(
        self,
        audio: Any,
        sampling_rate: int | None = None,
        truncation: str | None = None,
        on_error: str = "raise",
        hypothesis: Any = None,
        caption: Any = None,
        **settings: Any,
    ) -> dict[str, Any]:
        """The inputs of one clip with its hypotheses and captions."""
        row = _as_row(audio)
        clip: Any = with_rate(row.get("audio"), rate_of(row, "its row", is_row=True))
        given = row.get("hypothesis") if row.get("hypothesis") is not None else hypothesis
        captions = next((row[name] for name in ("caption", "captions") if row.get(name) is not None), caption)
        item: dict[str, Any] = {"hypotheses": _texts("hypothesis", given), "one": isinstance(given, str)}
        needs = self._needs(settings)
        if hasattr(clip, "read"):  # it may be read more than once
            clip = {"path": getattr(clip, "name", None), "bytes": clip.read()}
        if sampling_rate is None and lacks_rate(clip):
            sampling_rate = self.processor.feature_extractor.sampling_rate  # also for the captioner
            warn_of_assumed_rate(sampling_rate)
        if "caption" in needs:
            if captions is None:
                captions = self._caption(clip, settings.get("captioner"), sampling_rate, truncation)
            item["captions"] = _texts("caption", captions)
        if self.is_contrastive:
            if "audio" in needs:
                self._clips_of(clip)
                item["inputs"] = dict(self._features(clip, sampling_rate, truncation))
            return item
        item["asked"] = [
            super(AudioEntailmentPipeline, self).preprocess(
                clip, sampling_rate, truncation, hypothesis=text, captions=item.get("captions"), **settings
            )
            for text in item["hypotheses"]
        ]
        return item

    def _clips_of(self, audio: Any) -> list[Any]:
        if audio is None:
            raise BadInputError('There is no clip. Give one, or a row {"audio": ..., "hypothesis": ...}.')
        if not self.is_contrastive:
            return super()._clips_of(audio)
        if isinstance(audio, list | tuple) and not is_samples(audio):
            raise BadInputError(f"{len(audio)} clips were given for one hypothesis; give one row for each clip.")
        return [audio]

    def _features(self, clip: Any, sampling_rate: int | None, truncation: str | None) -> Any:
        return extract_features(self.processor.feature_extractor, clip, sampling_rate, truncation).to(self.dtype)

    def _caption(self, clip: Any, captioner: Any, sampling_rate: int | None, truncation: str | None) -> str:
        """What the captioner says of a clip."""
        self._clips_of(clip)
        heard = self._as_captioner(captioner)(clip, sampling_rate=sampling_rate, truncation=truncation)
        text = str(heard[0]["generated_text"]).strip()
        if not text:
            raise BadInputError("The captioner says nothing of it; give a `caption`.")
        return text

    def _as_captioner(self, captioner: Any) -> Any:
        if callable(captioner):
            return captioner
        if self._captioner is None or self._captioner[0] != captioner:
            if captioner is not None:
                made = make_pipeline("audio-captioning", model=str(captioner), device=self.device)
            elif self.is_contrastive:
                raise BadInputError("It has no caption. Give `caption`, or a `captioner` that makes it.")
            else:
                made = AudioCaptioningPipeline(model=self.model, processor=self.processor, device=self.device)
            self._captioner = (captioner, made)
        return self._captioner[1]

    def make_prompt(self, options: dict[str, Any]) -> str | None:
        """The question to a model that answers in words."""
        answers = list(self._answers(options))
        try:
            return entailment_prompt(
                self.model_type, options["hypothesis"], options.get("captions"), options.get("prompt"), answers
            )
        except ValueError as error:
            raise BadInputError(str(error)) from error

    def _answers(self, settings: Mapping[str, Any]) -> dict[str, str | None]:
        """The options, with the label of each."""
        options = settings.get("options") or OPTIONS.get(self.model_type)
        if options is None:
            raise BadInputError(f"What a {self.model_type!r} may answer is not known; pass `options`.")
        return options

    # -- batches ------------------------------------------------------------------------------------------------------

    def get_iterator(self, inputs: Any, num_workers: int, batch_size: int, *params: Any, **more: Any) -> Any:
        """As in the base class; a captioner works in this process only."""
        settings = {**self._preprocess_params, **params[0]}
        captions = "caption" in self._needs(settings) and (not self.is_contrastive or settings.get("captioner"))
        return super().get_iterator(inputs, 0 if captions else num_workers, batch_size, *params, **more)

    def collate(self, items: Sequence[Any]) -> dict[str, Any]:
        """Joins what `preprocess` made; failures stand by their position."""
        failures = {place: item for place, item in enumerate(items) if isinstance(item, Exception)}
        good = [item for item in items if not isinstance(item, Exception)]
        inputs: dict[str, Any] = {}
        if not self.is_contrastive:
            inputs = super().collate([one for item in good for one in item.pop("asked")])["inputs"]
        elif good and "inputs" in good[0]:
            inputs = collate_features([item.pop("inputs") for item in good])
        return {"inputs": inputs, "options": good, "failures": failures}

    def _forward(
        self, model_inputs: dict[str, Any], generate_kwargs: Mapping[str, Any] | None = None, **settings: Any
    ) -> dict[str, Any]:
        items = model_inputs["options"]
        if self.is_contrastive:
            pairs = self._compare(model_inputs["inputs"], items, settings)
        else:
            pairs = self._ask(model_inputs["inputs"], items, generate_kwargs, settings)
        return {"pairs": pairs, "items": items}

    def postprocess(self, model_outputs: dict[str, Any], **postprocess_params: Any) -> list[Any]:
        """For each input its result, or a list of them if it has a list of hypotheses."""
        pairs = iter(model_outputs["pairs"])
        rows = [([next(pairs) for _ in item["hypotheses"]], item["one"]) for item in model_outputs["items"]]
        return [results[0] if one else results for results, one in rows]

    # -- contrastive models -------------------------------------------------------------------------------------------

    def _compare(self, inputs: dict[str, Any], items: list[dict[str, Any]], settings: dict[str, Any]) -> list[Any]:
        """Results of all pairs by their embeddings."""
        embeddings = embed_pairs(self.model, self.processor.tokenizer, inputs, items, self._needs(settings))
        scoring, similarities = self._scoring(settings), similarities_of(embeddings)
        if scoring == "embeddings":
            moved = {name: value.cpu() for name, value in embeddings.items()}
            return [{name: value[i] for name, value in moved.items()} for i in range(len(similarities))]
        made = settings_of(self.model, scoring=scoring, premise=settings.get("premise", "audio"))
        labels: Sequence[str | None] = [None] * len(similarities)
        scores: list[dict[str, float]] = [{} for _ in similarities]
        if scoring == "probe":
            made |= {"premise": "+".join(settings["probe"].inputs), "probe": settings["probe"].settings}
            labels, scores = probed(settings["probe"], embeddings)
        elif scoring == "thresholds":
            thresholds = settings["thresholds"]
            check_thresholds(thresholds, made["premise"], made["model"])
            made["thresholds"] = [thresholds.low, thresholds.high]
            labels = [thresholds.label(similarity) for similarity in similarities]
            scores = [thresholds.margins(similarity) for similarity in similarities]
        self._name_captioner(made, settings)
        return [
            AudioEntailmentResult(
                label=label, similarity=similarity, scores=score, hypothesis=text, caption=caption, settings=made
            )
            for label, similarity, score, (text, caption) in zip(
                labels, similarities, scores, _pairs_of(items), strict=True
            )
        ]

    # -- models that answer in words ----------------------------------------------------------------------------------

    def _ask(
        self,
        inputs: dict[str, Any],
        items: list[dict[str, Any]],
        generate_kwargs: Mapping[str, Any] | None,
        settings: dict[str, Any],
    ) -> list[AudioEntailmentResult]:
        """Results of all pairs by what the model says, or would say."""
        scoring, meaning = self._scoring(settings), self._answers(settings)
        options, captions = list(meaning), settings.get("premise") == "both"
        template = settings.get("prompt") or PROMPTS[self.model_type][captions]
        made = settings_of(
            self.model, scoring=scoring, premise=settings.get("premise", "audio"), prompt=template, options=meaning
        )
        self._name_captioner(made, settings)
        if scoring == "likelihood":
            scored = scored_answers(self.model_type, options)
            values = score_answers(self.model, self.processor, inputs, scored).mean  # (pairs, options)
            chosen: list[int | None] = list(values.argmax(dim=-1).tolist())
            answers = [scored[int(index or 0)] for index in chosen]
            scores = [label_shares(row, meaning) for row in values.softmax(dim=-1).tolist()]
        else:
            if scoring == "letter" and scored_answers(self.model_type, options) == options:
                raise ValueError("This model is not shown letters; take `scoring='text'` or `'likelihood'`.")
            read = named_letter if scoring == "letter" else named_option
            answers = [texts[0] for texts in self.generate(inputs, generate_kwargs)]
            chosen = [read(answer, options) for answer in answers]
            scores = [{} for _ in answers]
        labels = [None if index is None else meaning[options[index]] for index in chosen]
        return [
            AudioEntailmentResult(
                label=label, answer=answer, scores=score, hypothesis=text, caption=caption, settings=made
            )
            for label, answer, score, (text, caption) in zip(labels, answers, scores, _pairs_of(items), strict=True)
        ]

    def _name_captioner(self, made: dict[str, Any], settings: Mapping[str, Any]) -> None:
        """Says in the settings of a result who captions."""
        captioner = settings.get("captioner")
        if captioner is not None:
            model = getattr(captioner, "model", None)
            made["captioner"] = str(captioner) if model is None else settings_of(model)["model"]


def _as_row(audio: Any) -> dict[str, Any]:
    """The parts of an input; of a row without a clip that stands in a row, too."""
    row = dict(audio) if _is_pair_row(audio) else {"audio": audio}
    inner: Any = row.get("audio")
    if _is_pair_row(inner):
        row = {**inner, **{name: value for name, value in row.items() if name != "audio"}}
    return row


def _is_pair_row(audio: Any) -> bool:
    """Whether an input is a row: with a clip, or with texts in place of it."""
    return is_row(audio) or (isinstance(audio, Mapping) and bool({"hypothesis", "caption", "captions"} & audio.keys()))


def _texts(name: str, given: Any) -> list[str]:
    """One text or several as a checked list."""
    texts = [given] if isinstance(given, str) else list(given) if isinstance(given, list | tuple) else []
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise BadInputError(
            f"The {name} is {given!r}; expected a sentence, as `{name}='a dog is barking'`, or several."
        )
    return texts


def _pairs_of(items: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Hypothesis and caption of all pairs."""
    pairs = []
    for item in items:
        captions = item.get("captions")
        caption = captions[0] if captions and len(captions) == 1 else captions
        pairs += [(text, caption) for text in item["hypotheses"]]
    return pairs


def _as_thresholds(given: Any) -> EntailmentThresholds:
    if isinstance(given, EntailmentThresholds):
        return given
    if isinstance(given, str | os.PathLike):
        return EntailmentThresholds.load(given)
    if isinstance(given, list | tuple) and len(given) == 2:
        return EntailmentThresholds(low=given[0], high=given[1])
    raise ValueError(f"`thresholds` is {given!r}; expected EntailmentThresholds, (low, high) or the name of a file.")


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _choice(name: str, value: Any, allowed: Sequence[str]) -> None:
    if value is not None and value not in allowed:
        raise ValueError(f"`{name}` is {value!r}; expected one of {', '.join(map(repr, allowed))}.")


__all__ = ["AudioEntailmentPipeline"]
