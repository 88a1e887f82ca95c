"""Zero-shot audio classification: which of some labels, given as words, does a clip fit best?

A drop-in for the stock pipeline of transformers: same arguments, same results, any model with audio and text. What is
added: audio is decoded without ffmpeg, in any form; the labels are encoded once for all clips and remembered; a set of
templates (their mean embedding, as in CLIP); independent labels; long clips by windows; errors that name the clip.
"""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from transformers.feature_extraction_utils import BatchFeature
from transformers.pipelines.base import Pipeline
from transformers.pipelines.pt_utils import PipelineIterator
from transformers.utils import logging

from ..adaptation.test_time.domain_vector import DomainVector, as_domain_vector, text_fingerprint
from ..adaptation.test_time.prompted_labels import embed_with_vector
from ..audio.audio_samples import refuse_misnamed_rate
from ..models.clap_afm.background_clap_afm import EVERYDAY_SOUNDS, relative_scores
from ..models.clap_afm.calibration_clap_afm import NONE_LABEL, Calibration, as_calibration
from ..models.clap_afm.embedding_clap_afm import (
    DEFAULT_TEMPLATE,
    as_labels,
    as_templates,
    embed_audio,
    embed_labels,
    extract_features,
    is_another_of_ours,
    logit_scale,
    mean_of_templates,
)
from ..models.clap_afm.texts_clap_afm import Tokens, longest_text
from ..models.clap_afm.timeline_clap_afm import TIMELINE, extract_with_timeline, plan_timeline
from ..models.common.batch_afm import AfmBatchFeature
from ..models.common.fingerprint_afm import weights_fingerprint
from ..models.common.text_side_afm import model_version, text_settings, text_side_version
from .pipeline_audio_inputs import as_inputs, collate_features, load_batches

logger = logging.get_logger(__name__)

CACHED_LABEL_SETS = 8


class ZeroShotAudioClassificationPipeline(Pipeline):
    """Zero-shot audio classification with any CLAP: this package's [`ClapAfmModel`] or transformers' own `ClapModel`.

    Example:
    ```python
    >>> import numpy as np
    >>> from transformers import pipeline
    >>> import afm_hf

    >>> classifier = pipeline("zero-shot-audio-classification", model=str(afm_hf.bundled_model("clap-small")))
    >>> hiss = np.random.default_rng(0).normal(scale=0.1, size=16000)
    >>> result = classifier(hiss, candidate_labels=["rain", "a dog"])
    >>> sorted(result[0])
    ['label', 'score']

    ```
    """

    _load_processor = False
    _load_image_processor = False
    _load_video_processor = False
    _load_feature_extractor = True
    _load_tokenizer = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if logit_scale(self.model) is None and is_another_of_ours(self.model):
            raise ValueError(
                f"{type(self.model).__name__} does not embed audio and text apart; expected a CLAP. Models that answer "
                'in words choose among labels, too: `pipeline("audio-text-generation", ...).classify(clip, labels)`.'
            )
        self._label_cache: OrderedDict[Any, torch.Tensor] = OrderedDict()

    def __call__(self, audios: Any, **kwargs: Any) -> Any:
        """Scores every label for every clip.

        Args:
            audios:
                One clip: a path, URL, bytes, file object, samples `(samples,)` or `(channels, samples)`,
                `{"array", "sampling_rate"}`, a decoder or item of `datasets`. Or several: a list of clips, a column of
                `datasets`, a `Dataset` (rows may be clips or hold one under `"audio"`), a generator.
            candidate_labels (`list[str]` or `str`):
                The labels; a string is cut at its commas.
            hypothesis_template (`str` or `list[str]`, *optional*, defaults to `"This is a sound of {}."`):
                The sentence that a label is put into, at `{}`. Of several, the mean of the normalised embeddings is
                taken. With a `domain_vector` its own template is the default.
            domain_vector ([`DomainVector`] or path of its file, *optional*):
                What test-time adaptation has learned; `None` does without, also where the pipeline was made with one.
            multi_label (`bool`, *optional*, defaults to `False`):
                Score each label by itself instead of all against each other (softmax): above 0.5 it fits the clip
                better than nine of ten everyday sounds, see [`relative_scores`]. One label alone is scored so anyway.
            calibration ([`Calibration`], path or `True`, *optional*):
                What makes probabilities of scores, fitted on labelled clips by [`fit_calibration`]; `True` takes the
                file beside the model. There is then one label more, for clips that hold none of the others; with
                `multi_label` each score is the probability that the label is heard. Refused for another model, number
                format or template than the one it was fitted for.
            none_label (`str`, *optional*, defaults to `"none of these"`): What that label is called.
            false_accept (`float`, *optional*):
                Puts that label first wherever it is so likely that, of clips like those of the validation set that
                hold none of the labels, only about this share is given another label: 0.05, 0.1, 0.2 or 0.3. Without
                it the likeliest comes first.
            top_k (`int`, *optional*): How many of the best labels to return; all if not given.
            sampling_rate (`int`, *optional*):
                Rate in Hz of bare arrays, which are resampled if need be. Without it they are taken to be at the
                feature extractor's rate, with a warning. A row may have it as a column, too.
            truncation (`str`, *optional*):
                What of a long clip is heard: `"first"`, `"center"`, `"random"` or all `"windows"`; the feature
                extractor's own setting if not given. Other models' extractors have other names.
            timestamps (`bool`, *optional*, defaults to `False`):
                Say also when: score the labels for each step in time, from the first sample of the clip to its last.
                `truncation` is then `"windows"` if not given, for all of the clip is heard anyway.
            timestamp_hop_s (`float`, *optional*):
                Seconds from one step to the next, for each of which a window of the model's clip length is heard. If
                not given, the steps are those of the audio encoder, or windows a quarter of their length apart; see
                [`plan_timeline`].
            batch_size, num_workers (`int`, *optional*): Clips per forward pass; processes that decode.

        Returns:
            For one clip a list of `{"score": float, "label": str}`, best first; for several in a list such a list per
            clip; for a dataset or generator an iterator over these. With `timestamps` it is, in place of the list of a
            clip, `{"labels": that list, "chunks": [{"timestamp": (start, end), "heard": (start, end), "scores": {label:
            score}}, ...]}`, with times in seconds of the clip. Chunks follow each other without overlap; `"timestamp"`
            is what a chunk stands for, `"heard"` what the model listened to around it, and the best of its `top_k`
            labels comes first. Where nothing is heard (-80 dB) there is no chunk.

        Raises:
            AudioDecodeError: (a `ValueError`) a clip cannot be used; the message names it.
            ValueError: labels, templates or settings are missing or make no sense.
        """
        if kwargs.get("candidate_labels", self._forward_params.get("candidate_labels")) is None:
            raise ValueError('No labels were given. Pass them as `candidate_labels=["rain", "a dog"]`.')
        inputs, eager = as_inputs(audios)
        outputs = super().__call__(inputs, **kwargs)
        return list(outputs) if eager else outputs

    def classify_features(self, features: Mapping[str, torch.Tensor], **kwargs: Any) -> list[Any]:
        """Scores a batch of the feature extractor's output, for those who decode themselves.

        Args:
            features: `input_features` and what else the model takes, `(batch, ...)` each; see [`collate_features`].
            kwargs (*optional*): `candidate_labels` and the other arguments of a call.

        Returns:
            For each clip a list of `{"score": float, "label": str}`, best first; with chunks where the features have a
            timeline, see a call.
        """
        _, forward, postprocess = self._sanitize_parameters(**kwargs)
        outputs = self.forward(self._cast(features), **{**self._forward_params, **forward})  # (batch, ...) each
        options = {**self._postprocess_params, **postprocess}
        return [
            self.postprocess({name: rows[index : index + 1] for name, rows in outputs.items()}, **options)
            for index in range(len(outputs["logits"]))
        ]

    def _cast(self, features: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """In the model's dtype; log-mels of this package stay in fp32, in which its models normalise them."""
        batch = AfmBatchFeature if hasattr(self.feature_extractor, "window_hop_s") else BatchFeature
        return dict(batch(dict(features)).to(self.dtype))

    def clear_label_cache(self) -> None:
        """Forgets encoded labels. Needed only after weights were changed behind autograd's back, through `.data`."""
        self._label_cache.clear()

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Saves model, tokenizer and feature extractor, without code: any pipeline of this task can load them.

        Args:
            save_directory (`str` or `os.PathLike`): The folder; made if need be.
            kwargs (*optional*): Passed on to every `save_pretrained`.
        """
        for part in (self.model, self.tokenizer, self.feature_extractor):
            if part is not None:
                part.save_pretrained(save_directory, **kwargs)

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        known = {"candidate_labels", "hypothesis_template", "multi_label", "top_k", "sampling_rate", "truncation"}
        known |= {"domain_vector", "timestamps", "timestamp_hop_s", "calibration", "none_label", "false_accept"}
        unknown = kwargs.keys() - known
        refuse_misnamed_rate(unknown)
        if unknown:
            logger.warning(f"Ignoring the unknown arguments {sorted(unknown)}; known are {sorted(known)}.")
        own = ("sampling_rate", "truncation", "timestamps", "timestamp_hop_s")
        preprocess: dict[str, Any] = {name: kwargs[name] for name in own if name in kwargs}
        forward: dict[str, Any] = {}
        postprocess: dict[str, Any] = {name: kwargs[name] for name in ("multi_label", "top_k") if name in kwargs}
        if "multi_label" in kwargs:
            forward["multi_label"] = kwargs["multi_label"]
        if kwargs.get("candidate_labels") is not None:
            forward["candidate_labels"] = postprocess["candidate_labels"] = as_labels(kwargs["candidate_labels"])
        if kwargs.get("hypothesis_template") is not None:
            forward["hypothesis_template"] = as_templates(kwargs["hypothesis_template"])
        if "domain_vector" in kwargs:
            forward["domain_vector"] = as_domain_vector(kwargs["domain_vector"])
        if "calibration" in kwargs:
            calibration = as_calibration(kwargs["calibration"], self.model)
            forward["calibration"] = postprocess["calibration"] = calibration
            heard = kwargs.get("truncation", getattr(self, "_preprocess_params", {}).get("truncation"))
            if calibration is not None and heard != calibration.truncation:
                logger.warning_once(
                    f"The calibration was fitted with `truncation={calibration.truncation!r}`, and this is {heard!r}: "
                    "of long clips another part is heard, and probabilities may be off."
                )
        for name in ("none_label", "false_accept"):
            if kwargs.get(name) is not None:
                postprocess[name] = kwargs[name]
        if postprocess.get("top_k") is not None and postprocess["top_k"] < 1:
            raise ValueError(f"`top_k` is {postprocess['top_k']}; expected 1 or more, or None for all labels.")
        return preprocess, forward, postprocess

    def preprocess(
        self,
        audio: Any,
        sampling_rate: int | None = None,
        truncation: str | None = None,
        timestamps: bool = False,
        timestamp_hop_s: float | None = None,
    ) -> BatchFeature:
        """The model's audio inputs for one clip, and with `timestamps` its steps in time."""
        if not timestamps:
            if timestamp_hop_s is not None:
                raise ValueError("`timestamp_hop_s` is for the steps of a timeline: give `timestamps=True`, too.")
            return extract_features(self.feature_extractor, audio, sampling_rate, truncation).to(self.dtype)
        plan = plan_timeline(self.model, self.feature_extractor, timestamp_hop_s)
        return extract_with_timeline(self.feature_extractor, audio, plan, sampling_rate, truncation).to(self.dtype)

    def _forward(
        self,
        model_inputs: Mapping[str, Any],
        candidate_labels: tuple[str, ...],
        hypothesis_template: tuple[str, ...] | None = None,
        domain_vector: DomainVector | None = None,
        multi_label: bool = False,
        calibration: Calibration | None = None,
    ) -> dict[str, Any]:
        alone = multi_label or len(candidate_labels) == 1 or calibration is not None
        if alone and not multi_label and calibration is None:
            logger.warning_once(
                "One label alone has no others to be compared with, and a softmax would always say 1. It is scored by "
                "itself, as with `multi_label=True`: against everyday sounds."
            )
        labels = (*candidate_labels, *EVERYDAY_SOUNDS) if alone else candidate_labels
        hypothesis_template = hypothesis_template or (domain_vector.template if domain_vector else DEFAULT_TEMPLATE,)
        scale = logit_scale(self.model)
        count = len(candidate_labels)
        if calibration is not None:
            self._check_calibration(calibration, hypothesis_template, domain_vector)

        def split(logits: torch.Tensor) -> dict[str, torch.Tensor]:
            if calibration is not None and scale is not None:
                cosines = logits / scale.float().exp().to(logits.device)
                odds = calibration.log_odds(cosines[:, :count], cosines[:, count:])
                return {"logits": logits[:, :count], "log_odds": odds}
            return {"logits": logits[:, :count], "everyday": logits[:, count:]} if alone else {"logits": logits}

        if scale is None:
            if domain_vector is not None:
                raise ValueError(f"A domain vector needs a ClapAfmModel; this is a {type(self.model).__name__}.")
            logits = self._forward_whole(model_inputs, labels, hypothesis_template)
        else:
            texts = self.label_embeddings(candidate_labels, hypothesis_template, domain_vector)  # (labels, dim)
            if alone:
                everyday = self.label_embeddings(EVERYDAY_SOUNDS, hypothesis_template, domain_vector)
                texts = torch.cat([texts, everyday])
            features = dict(model_inputs)
            timelines = features.pop(TIMELINE, None)

            def compare(audio: torch.Tensor) -> dict[str, torch.Tensor]:
                """`(clips or steps, dim)` -> `(clips or steps, labels)`, and the same of everyday sounds."""
                # fp32: at a scale of up to 100, half precision would swap close labels.
                return split(scale.float().exp() * audio @ texts.to(audio.device).t())

            outputs: dict[str, Any] = compare(embed_audio(self.model, features))  # (batch, dim)
            if timelines is not None:
                outputs[TIMELINE] = [timeline.score(self.model, compare) for timeline in timelines]
            return outputs
        return split(logits)

    def _check_calibration(
        self, calibration: Calibration, templates: tuple[str, ...], domain_vector: DomainVector | None
    ) -> None:
        """Raises a `ValueError` for a calibration of another model, number format or template."""
        if logit_scale(self.model) is None or domain_vector is not None:
            what = "no domain vector" if domain_vector is not None else "a ClapAfmModel"
            raise ValueError(
                f"A calibration needs {what}: it was fitted on cosines of labels as the model embeds them."
            )
        calibration.check(self._whole_fingerprint(), templates, type(self.model).__name__)

    def _whole_fingerprint(self) -> str:
        """The fingerprint of weights and feature extractor, remembered while the model stays the same."""
        version = model_version(self.model)
        known: tuple[Any, str] | None = getattr(self, "_known_whole", None)
        if known is None or version is None or known[0] != version:
            found = weights_fingerprint(self.model, self.feature_extractor)
            known = self._known_whole = (version, found)
        return known[1]

    def _forward_whole(
        self, model_inputs: Mapping[str, Any], labels: tuple[str, ...], templates: tuple[str, ...]
    ) -> torch.Tensor:
        """`(batch, labels)` by a model that does not show its two towers: the labels go in with every batch."""
        if len(templates) > 1:
            raise ValueError(
                f"{type(self.model).__name__} has no `get_audio_features`, `get_text_features` and `logit_scale`, so "
                f"that the embeddings of {len(templates)} templates cannot be averaged. Pass one `hypothesis_template`."
            )
        tokens = Tokens(self.tokenizer, longest_text(self.model, self.tokenizer))
        texts = tokens([templates[0].format(label) for label in labels])
        tokens.say_what_was_cut(len(labels))
        return self.model(**texts.to(self.device), **model_inputs).logits_per_audio

    def postprocess(
        self,
        model_outputs: Mapping[str, Any],
        candidate_labels: tuple[str, ...],
        multi_label: bool = False,
        top_k: int | None = None,
        calibration: Calibration | None = None,
        none_label: str = NONE_LABEL,
        false_accept: float | None = None,
    ) -> list[dict[str, Any]] | dict[str, Any]:
        """`(1, labels)` logits, perhaps with those of everyday sounds -> labels with scores, best first; see a call."""
        if false_accept is not None and (calibration is None or multi_label):
            raise ValueError("`false_accept` needs a `calibration`, and labels that are compared: no `multi_label`.")
        has_none = calibration is not None and not multi_label
        if has_none and none_label in candidate_labels:
            raise ValueError(f"{none_label!r} is one of the labels; call the label for none of them otherwise.")
        names = (*candidate_labels, none_label) if has_none else candidate_labels
        bar = calibration.bar(false_accept) if calibration is not None and false_accept is not None else None

        def best(scores: list[float]) -> list[tuple[float, str]]:
            ranked = _best(scores, names, None)
            if bar is not None and scores[-1] >= bar:
                ranked.sort(key=lambda pair: pair[1] != none_label)  # the rest stays in order
            return ranked[:top_k]

        (scores,) = _scores(model_outputs, calibration, multi_label).tolist()
        labels = [{"score": score, "label": label} for score, label in best(scores)]
        if TIMELINE not in model_outputs:
            return labels
        timeline = model_outputs[TIMELINE]
        timeline = timeline[0] if isinstance(timeline, list) else timeline
        # Of channels that cancel each other out there may be no row at all.
        of_rows = _scores(timeline, calibration, multi_label).tolist() if "logits" in timeline else []
        rows = zip(timeline["times"].tolist(), of_rows, strict=True) if of_rows else ()
        chunks = [
            {
                "timestamp": (start, end),
                "heard": (first, last),
                "scores": {label: score for score, label in best(scores)},
            }
            for (start, end, first, last), scores in rows
        ]
        return {"labels": labels, "chunks": chunks}

    def label_embeddings(
        self, labels: tuple[str, ...], templates: tuple[str, ...], domain_vector: DomainVector | None = None
    ) -> torch.Tensor:
        """Embeddings of labels in templates, under a domain vector, float32 `(labels, dim)`, L2-normalised.

        They are remembered for as long as the weights stay the same.
        """
        key = (labels, templates, domain_vector and domain_vector.key(), self._text_side_version())
        if key not in self._label_cache:
            more = () if domain_vector is None else (domain_vector,)
            self._label_cache[key] = self._encode_labels(labels, templates, *more)
            while len(self._label_cache) > CACHED_LABEL_SETS:
                self._label_cache.popitem(last=False)
        self._label_cache.move_to_end(key)
        return self._label_cache[key]

    def _encode_labels(
        self, labels: tuple[str, ...], templates: tuple[str, ...], domain_vector: DomainVector | None = None
    ) -> torch.Tensor:
        """The embeddings of the labels, float32 `(labels, dim)`, L2-normalised.

        Subclasses may do it otherwise; what else their result depends on belongs into `_text_side_version`.
        """
        if domain_vector is None:
            return embed_labels(self.model, self.tokenizer, labels, templates, self._kept_as)
        domain_vector.check(self.model, self._fingerprint())
        embed = partial(embed_with_vector, self.model, self.tokenizer, labels, domain_vector)
        return mean_of_templates(torch.cat([embed(template) for template in templates]), len(templates))

    def _kept_as(self) -> str | None:
        """What embeddings of texts follow from besides their tokens; None where that cannot be told."""
        if torch.is_grad_enabled():
            return None
        try:
            weights = text_fingerprint(self.model)
        except ValueError:  # no CLAP with a text tower and a projection
            return None
        settings = (weights, text_settings(self.model), self.device.type, torch.__version__)
        return hashlib.sha256(repr(settings).encode()).hexdigest()

    def _fingerprint(self) -> str:
        """The model's fingerprint, remembered for as long as its text side stays the same."""
        version = self._text_side_version()
        known: tuple[Any, str] | None = getattr(self, "_known_fingerprint", None)
        if known is None or known[0] != version:
            known = self._known_fingerprint = (version, text_fingerprint(self.model))
        return known[1]

    def _text_side_version(self) -> tuple[Any, ...]:
        """Differs whenever the text side does: other weights, adapters on, off or merged, another dtype or device."""
        tokenizer = (self.tokenizer, getattr(self.tokenizer, "model_max_length", None))
        version = text_side_version(self.model)
        # Weights that do not count their changes: what was encoded holds for this call only.
        return (*tokenizer, "call", self.call_count) if version is None else (*tokenizer, version)

    def get_iterator(
        self,
        inputs: Any,
        num_workers: int,
        batch_size: int,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> PipelineIterator:
        """As in the base class, but for the batching: clips of several windows, and no demands on the tokenizer."""
        process = partial(self.preprocess, **preprocess_params)
        if num_workers:
            os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # or each forked worker would warn
        loader = load_batches(inputs, process, collate_features, batch_size, num_workers)
        batches = PipelineIterator(loader, self.forward, forward_params, loader_batch_size=batch_size)
        return PipelineIterator(batches, self.postprocess, postprocess_params)


def _scores(
    outputs: Mapping[str, torch.Tensor], calibration: Calibration | None = None, multi_label: bool = False
) -> torch.Tensor:
    """
    `(rows, labels)` scores of logits, of each label by itself if there are those of everyday sounds, too.

    With a calibration these are probabilities, and the last is that of none of the labels unless `multi_label`.
    """
    if calibration is not None:
        odds = outputs["log_odds"].float()
        return calibration.label_scores(odds) if multi_label else calibration.shares(odds)
    logits, everyday = outputs["logits"].float(), outputs.get("everyday")
    return logits.softmax(dim=-1) if everyday is None else relative_scores(logits, everyday)


def _best(scores: list[float], labels: tuple[str, ...], top_k: int | None) -> list[tuple[float, str]]:
    """Scores with their labels, best first."""
    return sorted(zip(scores, labels, strict=True), key=lambda pair: -pair[0])[:top_k]


__all__ = ["ZeroShotAudioClassificationPipeline"]
