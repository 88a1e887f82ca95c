"""Our tiny models, as transformers' common tests want them: a config and inputs, fresh for every test."""

import contextlib
import copy
import functools
import inspect

import torch
from conformity_models import make_row
from mixins import mixin
from pair_models import tiny_pair_model
from prefix_models import tiny_config
from tiny_models import htsat_config
from transformers.testing_utils import torch_device

PLACEHOLDER = 1  # low, for the tests cut the vocabulary down to four words
PAIRS = ("adiff", "mellow")
BATCH = 7  # as many as the comparison of attentions takes
FRAMES, MELS = 64, 16


ModelTesterMixin = mixin("test_modeling_common", "ModelTesterMixin")


def leave_out(**reasons):
    """Decorator of a test case: tests that do not apply, each with its reason."""

    def decorate(case):
        for name, reason in reasons.items():
            setattr(case, f"test_{name}", lambda self, reason=reason: self.skipTest(reason))
        return case

    return decorate


class CommonModelTest(ModelTesterMixin):
    """
    The common tests of models; subclasses name the `kind` of the tiny model, its classes and `sizes`.

    Without `is_training` the classes have no loss.
    """

    kind = ""
    sizes = {}
    is_training = True

    def setUp(self):
        self.model_tester = ModelTester(self.kind, is_training=self.is_training, **self.sizes)

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        inputs = super()._prepare_for_class(inputs_dict, model_class)
        return {**inputs, **self.model_tester.labels()} if return_labels else inputs

    def test_keep_in_fp32_modules(self):
        """The test of transformers 5.20 wants the counts of batch normalisation, which are integers, to be cast."""
        looks_at_integers = "is_floating_point" not in inspect.getsource(super().test_keep_in_fp32_modules)
        config, _ = self.model_tester.prepare_config_and_inputs_for_common()
        for model_class in self.all_model_classes:
            if looks_at_integers and not all(v.is_floating_point() for v in model_class(config).state_dict().values()):
                self.skipTest("this transformers' test wants integers to be floats; that of 5.23 passes over them")
        super().test_keep_in_fp32_modules()

    def subTest(self, *args, **kwargs):  # noqa: N802 - unittest's name
        """Some tests make one of every weight; to report thousands takes longer than to run them."""
        return contextlib.nullcontext()


class ModelTester:
    """What the mixins ask for under this name."""

    batch_size = BATCH

    def __init__(self, kind, **sizes):
        self.kind = kind
        vars(self).update(sizes)

    def prepare_config_and_inputs_for_common(self):
        config, inputs = copy.deepcopy(made(self.kind))
        moved = {n: v.to(torch_device) if isinstance(v, torch.Tensor) else v for n, v in inputs.items()}
        return config, {name: value for name, value in moved.items() if name != "labels"}

    def labels(self):
        return {name: value.to(torch_device) for name, value in made(self.kind)[1].items() if name == "labels"}

    def get_config(self):
        return self.prepare_config_and_inputs_for_common()[0]


@functools.cache
def made(kind):
    """(config, inputs) of one kind, inputs with `labels` where the model has some."""
    if kind in ("clapcap", "pengi", "pengi_no_text_enc", *PAIRS):
        return prefix_config(kind), prefix_inputs(kind)
    if kind.startswith("clap text"):
        config, inputs = made("clap")
        return config.text_config, {name: inputs[name] for name in ("input_ids", "attention_mask")}
    if kind.startswith("clap audio"):
        config, inputs = made("clap")
        return config.audio_config, {"input_features": inputs["input_features"]}
    if kind == "htsat":
        two_stages = {"depths": [1, 1], "num_attention_heads": [1, 2]}
        config = htsat_config(use_framewise_head=True, num_classes=5, **two_stages)
        return config, {"input_features": log_mels()}
    row = make_row(kind)
    config = type(row.model.config).from_dict(row.model.config.to_dict())
    inputs = {name: repeated(value) for name, value in row.inputs.items()}
    return config, inputs


def repeated(value):
    """A tensor of as many rows as there are in a batch."""
    if not isinstance(value, torch.Tensor):
        return value
    return value.repeat(-(-BATCH // len(value)), *[1] * (value.ndim - 1))[:BATCH]


def log_mels():
    """`(batch, 1, frames, mels)`, no two alike."""
    return torch.randn(BATCH, 1, FRAMES, MELS, generator=torch.Generator().manual_seed(1)) * 20 - 30


def prefix_config(kind):
    """As it is before a model has chosen how it attends."""
    config = tiny_pair_model(kind)[0].config if kind in PAIRS else tiny_config(kind)
    config = type(config).from_dict(config.to_dict())
    config.audio_token_id, config.pad_token_id = PLACEHOLDER, 2
    if kind == "adiff":
        config.separator_token_id = 3
    return config


def prefix_inputs(kind):
    config = prefix_config(kind)
    generator = torch.Generator().manual_seed(0)

    def words(count):
        return torch.randint(4, 200, (BATCH, count), generator=generator)

    ids = torch.cat([torch.full((BATCH, config.num_placeholders), PLACEHOLDER), words(5)], dim=1)
    features = log_mels()
    if kind in PAIRS:
        features = torch.stack([features, features.flip(0)], dim=1)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "input_features": features}
    if kind not in ("clapcap", "mellow"):
        inputs["prompt_input_ids"] = words(12)
    if kind.startswith("pengi"):
        inputs["prompt_attention_mask"] = torch.ones(BATCH, 12, dtype=torch.long)
    inputs["labels"] = torch.where(ids == PLACEHOLDER, -100, ids)
    return inputs
