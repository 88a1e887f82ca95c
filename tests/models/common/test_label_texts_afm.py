"""Labels in one text: commas between them, a JSON list where they have commas, and no guess where both may be meant."""

import pytest

from afm_hf.models.clap_afm.embedding_clap_afm import as_labels
from afm_hf.models.common.label_texts_afm import split_labels


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("rain, a dog ,wind", ["rain", "a dog", "wind"]),
        ("rain,,wind,", ["rain", "wind"]),
        ("a dog's bark", ["a dog's bark"]),
        ("rain (heavy), wind", ["rain (heavy)", "wind"]),
        (' ["rain, heavy", "wind"]', ["rain, heavy", "wind"]),
        ('["Regen, hei\\u00df"]', ["Regen, heiß"]),
        (" ", []),
    ],
)
def test_labels_of_a_text(text, labels):
    assert split_labels(text) == labels


@pytest.mark.parametrize(
    "text", ['"rain, heavy", wind', '"rain", "wind"', "rain (heavy, cold), wind", "[rain, wind]", '["rain", 1]']
)
def test_what_can_be_read_in_two_ways_is_refused(text):
    with pytest.raises(ValueError, match="JSON"):
        split_labels(text)


def test_labels_of_pipelines_are_read_in_the_same_way():
    assert as_labels('["rain, heavy", "wind"]') == ("rain, heavy", "wind")
    with pytest.raises(ValueError, match=r"candidate_labels.* can be read in two ways"):
        as_labels("rain (heavy, cold), wind")
    with pytest.raises(ValueError, match="is empty"):
        as_labels("[]")
