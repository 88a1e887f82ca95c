"""Models whose blocks (FSDP2) or matrices (tensor parallelism) lie in two processes do as they do in one."""

import numpy as np
import pytest
import transformers
from conformity_models import make_row
from packaging import version
from sharded_models import gradients, refusal, sharded, split_by_tensors, spoken
from two_processes import in_two_processes

NEW_ENOUGH = pytest.mark.skipif(
    version.parse(transformers.__version__) < version.parse("5.23"), reason="plans were other ones before"
)


@pytest.mark.parametrize("kind", ["clap", "mellow", "adiff"])
def test_blocks_in_two_processes_give_the_loss_and_the_gradients_of_one(kind):
    row = make_row(kind)
    loss, norms = gradients(row.model, row.loss())
    for other_loss, other_norms, blocks in in_two_processes(sharded, kind):
        assert blocks >= 3
        assert other_loss == pytest.approx(loss, rel=1e-5)
        assert other_norms == pytest.approx(norms, rel=1e-3, abs=1e-6)


@NEW_ENOUGH
@pytest.mark.parametrize("kind", ["pengi", "mellow"])  # GPT-2, of which the vocabulary alone is split, and Llama
def test_matrices_in_two_processes_answer_as_in_one(kind, tmp_path):
    row = make_row(kind)
    if kind == "mellow":  # heads are not halved
        row.model.config.text_config.num_key_value_heads = 2
    model = type(row.model)(row.model.config).eval()
    model.save_pretrained(tmp_path)
    logits, answer = spoken(model, row.inputs)
    for found, said, split in in_two_processes(split_by_tensors, str(tmp_path), kind):
        assert split >= (1 if kind == "pengi" else 8)
        np.testing.assert_allclose(found, logits, atol=1e-4)
        assert said == answer


@NEW_ENOUGH
def test_a_model_without_a_plan_is_not_split_in_silence(tmp_path):
    make_row("clap").model.save_pretrained(tmp_path)
    for said in in_two_processes(refusal, str(tmp_path), "clap"):
        assert "no `tp_plan`" in said
