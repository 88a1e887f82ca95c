"""Classification, tagging and retrieval figures, on cases that can be counted by hand."""

import numpy as np
import pytest

from afm_hf.evaluation.metrics.retrieval_metrics import retrieval_scores

pytest.importorskip("sklearn")

from afm_hf.evaluation.metrics.accuracy import classification_scores, tagging_scores


def test_classes_are_counted():
    result = classification_scores(["dog", "dog", "rain", "cow"], ["dog", "rain", "rain", None], ["rain", "dog", "cow"])
    assert result.accuracy == 0.5 and result.outside == 1 and result.count == 4
    assert result.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert result.per_class["dog"] == {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2}
    assert result.macro_recall == pytest.approx((1 + 0.5 + 0) / 3)
    assert dict(result)["labels"] == ["rain", "dog", "cow"]


def test_a_target_that_is_no_label_is_named():
    with pytest.raises(ValueError, match="'cow'"):
        classification_scores(["cow"], ["dog"], ["dog"])
    with pytest.raises(ValueError, match="1 targets and 2 predictions"):
        classification_scores(["cow"], ["dog", "cow"])


def test_single_class_and_one_hot_targets_give_the_same():
    scores = np.random.default_rng(0).random((30, 4))
    classes = np.arange(30) % 4
    one, several = tagging_scores(classes, scores), tagging_scores(np.eye(4)[classes], scores, threshold=0.5)
    assert one.mean_average_precision == several.mean_average_precision
    assert one.micro_f1 is None and 0 < several.micro_f1 < 1


def test_average_precision_by_hand_and_classes_without_clips():
    # class 0: right clips at ranks 1 and 3; class 1 has none
    result = tagging_scores([[1, 0], [0, 0], [1, 0]], [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    assert result.mean_average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert result.without_clips == [1] and np.isnan(result.average_precision[1])


@pytest.mark.parametrize(
    ("targets", "scores", "message"),
    [
        ([0, 2], [[0.1, 0.2], [0.3, 0.4]], "from 0 to 2"),
        ([[0, 2], [1, 0]], [[0.1, 0.2], [0.3, 0.4]], "0 or 1"),
        ([[0, 0]], [[0.1, 0.2]], "No class has a clip"),
        ([0, 1], [[0.1, float("nan")], [0.3, 0.4]], "finite"),
    ],
)
def test_tagging_inputs_that_do_not_fit_are_refused(targets, scores, message):
    with pytest.raises(ValueError, match=message):
        tagging_scores(targets, scores)


def test_any_caption_counts_for_recall_and_all_for_average_precision():
    # clip 0: its captions 0, 1 are at ranks 1 and 4; clip 1: its captions 2, 3 at ranks 2 and 3
    similarity = [[0.9, 0.1, 0.5, 0.4], [0.2, 0.8, 0.7, 0.3]]
    result = retrieval_scores(similarity, [0, 0, 1, 1])
    assert result.audio_to_text_ranks.tolist() == [1, 2] and result.text_to_audio_ranks.tolist() == [1, 2, 1, 2]
    assert result.audio_to_text["recall@1"] == 0.5 and result.audio_to_text["recall@5"] == 1.0
    assert result.audio_to_text["map@10"] == pytest.approx(((1 + 2 / 4) / 2 + (1 / 2 + 2 / 3) / 2) / 2)
    assert result.text_to_audio["map@10"] == pytest.approx((1 + 1 / 2 + 1 + 1 / 2) / 4)


def test_what_is_behind_the_tenth_place_does_not_count():
    similarity = np.arange(12.0)[None, :].repeat(12, 0)  # every clip prefers caption 11, then 10, ...
    result = retrieval_scores(similarity)
    assert result.audio_to_text_ranks.tolist() == list(range(12, 0, -1))
    assert result.audio_to_text["map@10"] == pytest.approx(sum(1 / rank for rank in range(1, 11)) / 12)
    assert result.audio_to_text["recall@10"] == pytest.approx(10 / 12)


def test_ties_go_to_the_wrong_ones():
    assert set(retrieval_scores(np.zeros((12, 12))).text_to_audio.values()) == {0.0}


def test_a_caption_of_several_clips_is_right_for_all_of_them():
    similarity = np.eye(3)[[0, 0, 0, 1, 2]] @ np.eye(3)[:, [0, 0, 0, 1, 2]]  # three clips of rain, one of each other
    apart = retrieval_scores(similarity)
    assert apart.audio_to_text["recall@1"] == pytest.approx(2 / 5) and apart.shared == 0
    result = retrieval_scores(similarity, texts=["rain", "rain", "rain", "a dog", "wind"])
    assert result.shared == 3 and result.captions == 5
    assert set(result.audio_to_text.values()) == set(result.text_to_audio.values()) == {1.0}
    # A clip of rain before the dog: rank 2 for it, and no effect of the copies of rain among themselves.
    similarity[0, 3], similarity[0, :3] = 1.0, 0.9
    result = retrieval_scores(similarity, texts=["rain", "rain", "rain", "a dog", "wind"])
    assert result.audio_to_text_ranks.tolist() == [2, 1, 1, 1, 1]
    assert result.audio_to_text_precisions[0] == pytest.approx((1 / 2 + 2 / 3 + 3 / 4) / 3)
    assert result.text_to_audio_ranks.tolist() == [1, 1, 1, 2, 1]


def test_shared_captions_beside_captions_of_ones_own():
    owner, texts = [0, 0, 1, 1], ["rain", "drops", "rain", "a gutter"]
    result = retrieval_scores([[0.1, 0.5, 0.9, 0.2], [0.8, 0.3, 0.7, 0.6]], owner, texts)
    assert result.audio_to_text_ranks.tolist() == [1, 1], "clip 0 finds its caption in the copy of clip 1"
    assert result.text_to_audio_ranks.tolist() == [1, 1, 1, 1] and result.shared == 2
    with pytest.raises(ValueError, match="texts of 2 captions; expected one for each of 4"):
        retrieval_scores(np.zeros((2, 4)), owner, ["a", "b"])


def test_tables_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 2\)"):
        retrieval_scores([[1.0, float("nan")], [0.0, 1.0]])
    with pytest.raises(ValueError, match="each of 2 clips"):
        retrieval_scores([[1.0, 0.5], [0.0, 1.0]], [0, 0])
    with pytest.raises(ValueError, match="each of 3 captions"):
        retrieval_scores(np.zeros((2, 3)))


def test_dictionaries_by_item_are_put_into_one_order_and_ids_are_never_compared():
    true, said = {"1": "dog", "2": "rain", "3": "rain"}, {"3": "dog", "2": "rain", "1": "dog"}
    assert classification_scores(true, said).accuracy == pytest.approx(2 / 3)
    assert classification_scores(iter(true.values()), (said[key] for key in true)).accuracy == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="`predictions` lacks 2"):
        classification_scores(true, {"1": "dog"})
    with pytest.raises(ValueError, match="`targets` is a dictionary by clip, `predictions` is not"):
        classification_scores(true, ["dog", "rain", "rain"])
    with pytest.raises(ValueError, match="`predictions` is one text"):
        classification_scores(["d", "o", "g"], "dog")
