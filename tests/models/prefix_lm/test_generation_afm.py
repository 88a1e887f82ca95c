"""Each shortcut of the authors' beam search beside the plain way."""

import pytest
import torch

from afm_hf.models.prefix_lm.cache_afm import SharedPrompt
from afm_hf.models.prefix_lm.generation_afm import GROUP, _advance, in_their_places, largest


@pytest.mark.parametrize("numbers", [7, GROUP * 6, GROUP * 10 + 1, GROUP * 50 - 1])
def test_the_largest_numbers_are_those_of_a_search_through_all(numbers):
    torch.manual_seed(0)
    for _ in range(20):
        values = torch.randn(4, numbers)
        values[1] = float("-inf")  # but for some
        values[1, -3:] = torch.tensor([1.0, 3.0, 2.0])
        values[2, : min(numbers, 5)] += 10  # all in one group
        expected, places = values.topk(3, dim=-1)
        found, index = largest(values, 3)
        assert torch.equal(found, expected) and torch.equal(index, places)


def plainly(log_probs, scores, lengths, stopped):
    """All words of all beams compared at once."""
    batch, beams, vocabulary = log_probs.shape
    log_probs = log_probs.masked_fill(stopped[:, :, None], float("-inf"))
    log_probs[:, :, 0] = log_probs[:, :, 0].masked_fill(stopped, 0.0)
    lengths = lengths + (~stopped).to(lengths.dtype)
    best, index = ((scores[:, :, None] + log_probs) / lengths[:, :, None]).view(batch, -1).topk(beams, dim=-1)
    source = index // vocabulary
    lengths = lengths.gather(1, source)
    return best * lengths, index % vocabulary, source, lengths


@pytest.mark.parametrize("vocabulary", [3, 40, 700])
def test_the_next_beams_are_the_best_of_all(vocabulary):
    torch.manual_seed(0)
    for _ in range(30):
        log_probs = torch.randn(2, 5, vocabulary).log_softmax(-1)
        stopped = torch.rand(2, 5) < 0.3
        stopped[:, 0] = False
        state = log_probs, -torch.rand(2, 5) * 9, torch.randint(1, 9, (2, 5)).float(), stopped
        rows = [
            [sorted(zip(*(part[i].tolist() for part in made), strict=True)) for i in range(2)]
            for made in (_advance(*state), plainly(*state))
        ]
        assert rows[0] == rows[1]


def test_beams_that_are_gone_on_from_keep_their_places():
    for sources in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 2, 0, 2], [1, 1, 1, 1], [0, 3, 3, 0]):
        source = torch.tensor([sources])
        order = in_their_places(source)
        assert order[0].sort().values.tolist() == [0, 1, 2, 3]
        placed = source.gather(1, order)[0].tolist()
        assert all(placed[old] == old for old in set(sources))


def test_rows_move_at_once_only_where_none_is_both_read_and_written():
    shared = SharedPrompt(length=5, repeats=3)
    for rows, moves in (
        ([0, 1, 2, 3, 4, 5], []),
        ([0, 0, 2, 5, 4, 5], [(1, 0), (3, 5)]),
        ([1, 0, 2, 3, 4, 5], None),
        ([1, 2, 2, 3, 4, 5], None),
    ):
        assert shared.still_holds(torch.tensor(rows)) and shared.moves == moves
    assert not shared.still_holds(torch.tensor([3, 1, 2, 3, 4, 5]))
