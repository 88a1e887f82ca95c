"""FSDP2: models whose blocks lie in two processes train as they do in one."""

import pytest
from conformity_models import make_row
from sharded_models import gradients, sharded
from two_processes import in_two_processes


@pytest.mark.parametrize("kind", ["clap", "mellow", "adiff"])
def test_blocks_in_two_processes_give_the_loss_and_the_gradients_of_one(kind):
    row = make_row(kind)
    loss, norms = gradients(row.model, row.loss())
    for other_loss, other_norms, blocks in in_two_processes(sharded, kind):
        assert blocks >= 3
        assert other_loss == pytest.approx(loss, rel=1e-5)
        assert other_norms == pytest.approx(norms, rel=1e-3, abs=1e-6)
