"""However rows write their labels, the classifier learns those, or the row is refused."""

import numpy as np
import pytest
import torch
from tiny_models import RATE, clap_parts, tone

from afm_hf.training.class_labels import Classes
from afm_hf.training.collators import ClapCollator, LabelCollator, PrefixLMCollator

THREE = Classes(["dog", "rain", "wind"])


@pytest.mark.parametrize("label", ["rain", 1, np.int64(1), np.int8(1), np.array(1), torch.tensor(1), np.str_("rain")])
def test_one_label_is_a_name_or_a_number(label):
    labels = THREE.read([label, "dog"])
    assert labels.dtype == torch.int64 and labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    "labels",
    [
        ["dog", "wind"],
        ("wind", "dog"),
        {"dog", "wind"},
        [0, 2],
        [2, np.int32(0)],
        [1, 0, 1],
        [1.0, 0.0, 1.0],
        [True, False, True],
        np.array([0, 2]),
        np.array([1, 0, 1]),
        np.array([1, 0, 1], dtype=np.float16),
        torch.tensor([1.0, 0.0, 1.0]),
        torch.tensor([True, False, True]),
    ],
    ids=lambda given: repr(sorted(given)) if isinstance(given, set) else repr(given),  # the same in every process
)
def test_several_labels_are_names_numbers_or_zeros_and_ones(labels):
    made = THREE.read([labels, []])
    assert made.dtype == torch.float32 and made.tolist() == [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]


def test_all_zeros_and_all_ones_are_no_numbers():
    assert THREE.read([[0, 0, 0], [1, 1, 1], [0, 1, 0]]).tolist() == [[0.0] * 3, [1.0] * 3, [0.0, 1.0, 0.0]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([3], "numbers of the 3 classes go from 0 to 2"),
        ([-1], "label -1"),  # unlabelled, in data sets that hide their test labels
        ([np.int64(7)], "label 7"),
        ([True], "label True; expected a name"),
        ([1.0], "label 1.0; expected a name"),
        (["cat"], "'cat', which is none of the 3 classes: 'dog', 'rain', 'wind'"),
        ([b"dog"], "expected a name"),
        ([["dog", 1]], "expected names, class numbers"),
        ([[0, 3]], "label 3"),
        ([[0, -1]], "label -1"),
        ([[1, 1]], "each once"),
        ([[0.5, 0.0, 1.0]], "zeros and ones"),
        ([[1.0, 0.0]], "zeros and ones"),
        ([[0, 1, 2, 1]], "each once"),
        ([np.zeros(20)], "and 12 more"),
        (["dog", ["rain"]], "one label and others a list"),
    ],
)
def test_what_cannot_be_a_label_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        THREE.read(given)


def test_what_can_be_read_in_two_ways_is_refused():
    two = Classes(["no", "yes"])
    for labels in ([0, 1], [1, 0]):
        with pytest.raises(ValueError, match="class numbers or zeros and ones"):
            two.read([labels])
    assert two.read([[0.0, 1.0], [1, 1], [1], ["no"]]).tolist() == [[0, 1], [1, 1], [0, 1], [1, 0]]


def test_a_class_label_of_datasets_names_the_numbers():
    datasets = pytest.importorskip("datasets")
    feature = datasets.ClassLabel(names=["wind", "dog"])
    rows = datasets.Dataset.from_dict(
        {"audio": [tone(200).tolist(), tone(400).tolist()], "label": [1, 0]},
        features=datasets.Features({"audio": datasets.List(datasets.Value("float32")), "label": feature}),
    )
    collator = LabelCollator(clap_parts()[2], rows.features["label"], sampling_rate=RATE)
    assert collator([rows[0], rows[1]])["labels"].tolist() == [1, 0]
    assert collator.classes == {"wind": 0, "dog": 1}


@pytest.mark.parametrize("collator", ["clap", "label", "prefix"])
def test_columns_that_trainer_dropped_are_told_with_the_remedy(collator):
    from prefix_models import tiny_processor

    from afm_hf import ClapAfmProcessor

    _, tokenizer, extractor = clap_parts()
    made = {
        "clap": lambda: ClapCollator(ClapAfmProcessor(extractor, tokenizer)),
        "label": lambda: LabelCollator(extractor, ["a", "b"]),
        "prefix": lambda: PrefixLMCollator(tiny_processor("clapcap")),
    }[collator]()
    with pytest.raises(ValueError, match="remove_unused_columns=False"):
        made([{}, {}])
    with pytest.raises(ValueError, match="remove_unused_columns=False"):
        made([{"labels": ["a"], "text": "words"}])  # what the model's signature lets through
    with pytest.raises(ValueError, match=r"is filled\.$"):
        made([{"audio": tone(200)}])  # nothing was dropped
