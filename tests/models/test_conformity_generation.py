"""What users of transformers expect of every generating model: one test a capability, one row a model."""

import copy
import re
import threading

import pytest
import torch
from conformity_models import BATCH, GENERATING, every_generating_row, make_row
from transformers import AutoModelForCausalLM, AutoModelForMultimodalLM, CompileConfig, TextIteratorStreamer
from transformers.pytorch_utils import Conv1D

from afm_hf import average_log_prob_beam_search

NEW = 6
DECODINGS = {
    "greedy": {"do_sample": False},
    "beam": {"num_beams": 3, "do_sample": False},
    "beams returned": {"num_beams": 3, "num_return_sequences": 2, "do_sample": False},
    "authors' beams": {"num_beams": 3, "num_return_sequences": 3, "custom_generate": average_log_prob_beam_search},
}
every_decoding = pytest.mark.parametrize("decoding", DECODINGS.values(), ids=DECODINGS)


@pytest.fixture
def row(request):
    return make_row(request.param)


def new_tokens(row, inputs, **kwargs):
    made = row.model.generate(**inputs, max_new_tokens=NEW, **kwargs)
    return made[:, inputs["input_ids"].shape[1] :]


def alone(row, index, decoding, **kwargs):
    return new_tokens(row, row.prompt_inputs(slice(index, index + 1), **kwargs), **decoding)


def padded(tokens, length=NEW):
    return torch.nn.functional.pad(tokens, (0, length - tokens.shape[1]))


@every_generating_row()
@every_decoding
def test_the_cache_changes_no_token(row, decoding):
    inputs = row.prompt_inputs()
    cached = new_tokens(row, inputs, **decoding)
    assert torch.equal(cached, new_tokens(row, inputs, use_cache=False, **decoding))
    assert len(cached) == BATCH * decoding.get("num_return_sequences", 1)
    assert not (cached == row.model.config.audio_token_id).any()
    assert len({tuple(tokens) for tokens in cached.tolist()}) > 1  # the examples are told apart


@every_generating_row()
@every_decoding
def test_a_batch_gives_what_single_examples_give_whatever_the_padding(row, decoding):
    """Answers that begin with texts of other lengths: the shorter rows are padded."""
    beginnings = ["a", "a dog", ""]
    inputs = row.prompt_inputs(add_text=beginnings)
    assert len(set(inputs["attention_mask"].sum(1).tolist())) == BATCH
    together = padded(new_tokens(row, inputs, **decoding))
    singles = [padded(alone(row, index, decoding, add_text=[text])) for index, text in enumerate(beginnings)]
    assert torch.equal(together, torch.cat(singles))


@every_generating_row()
@torch.no_grad()
def test_the_side_of_the_padding_does_not_matter(row):
    beginnings, logits = ["a", "a dog", ""], []
    for side in ("left", "right"):
        inputs = row.prompt_inputs(add_text=beginnings, padding_side=side)
        positions = (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)
        output = row.model(**inputs, position_ids=positions)
        logits.append(output.logits[inputs["attention_mask"].bool()])
    torch.testing.assert_close(*logits, atol=1e-4, rtol=1e-4)


@every_generating_row()
@pytest.mark.parametrize(
    "decoding",
    [
        {"num_beams": 5, "do_sample": False},
        {"num_beams": 5, "custom_generate": average_log_prob_beam_search},
        {"num_return_sequences": 5, "do_sample": True},
    ],
    ids=["beams", "authors' beams", "samples"],
)
def test_encoder_and_prompt_run_once_for_each_example(row, decoding):
    """Beams and samples of an example begin alike: five of them must not cost five encoders and five prompts."""
    inputs, heard, read = row.prompt_inputs(), [], []
    row.model.model.audio_tower.register_forward_pre_hook(lambda module, args: heard.append(len(args[0])))
    row.model.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: read.append(len(kwargs["inputs_embeds"])), with_kwargs=True
    )
    made = row.model.generate(**inputs, max_new_tokens=3, **decoding)
    clips = inputs["input_features"].shape[1] if inputs["input_features"].ndim == 5 else 1
    assert sum(heard) == BATCH * clips
    assert read == [BATCH, 5 * BATCH, 5 * BATCH]
    assert len(made) == BATCH * decoding.get("num_return_sequences", 1)


@every_generating_row()
def test_what_generate_returns_of_repeated_prompts_has_all_rows(row):
    how = {"num_beams": 3, "max_new_tokens": 2, "do_sample": False, "return_dict_in_generate": True}
    row.model.set_attn_implementation("eager")
    made = row.model.generate(
        **row.prompt_inputs(), output_scores=True, output_hidden_states=True, output_attentions=True, **how
    )
    assert [len(scores) for scores in made.scores] == [3 * BATCH] * 2
    assert {len(state) for states in made.hidden_states for state in states} == {3 * BATCH}
    assert {len(weights) for step in made.attentions for weights in step} == {3 * BATCH}


@every_generating_row()
@pytest.mark.parametrize("name", ["greedy", "beam"])
def test_a_static_cache_changes_no_token(row, name):
    inputs, decoding = row.prompt_inputs(), DECODINGS[name]
    assert torch.equal(
        new_tokens(row, inputs, **decoding), new_tokens(row, inputs, cache_implementation="static", **decoding)
    )


@every_generating_row()
def test_the_authors_beams_take_a_static_cache(row):
    inputs, decoding = row.prompt_inputs(), DECODINGS["authors' beams"]
    assert torch.equal(
        new_tokens(row, inputs, **decoding), new_tokens(row, inputs, cache_implementation="static", **decoding)
    )


@every_generating_row()
@every_decoding
def test_embeddings_in_place_of_ids_give_the_same_tokens(row, decoding):
    inputs = row.prompt_inputs(add_text=["a", "a dog", ""])
    extra = {name: inputs[name] for name in row.model.prefix_input_names if name in inputs}
    with torch.no_grad():
        prefix = row.model.get_prefix(inputs["input_features"], **extra)
        words = row.model.get_input_embeddings()(inputs["input_ids"])
        embeds = row.model.model.insert_prefix(inputs["input_ids"], words, prefix)
    mask = inputs["attention_mask"]
    made = row.model.generate(inputs_embeds=embeds, attention_mask=mask, max_new_tokens=NEW, **decoding)
    assert torch.equal(made, new_tokens(row, inputs, **decoding))


@every_generating_row()
def test_sampling_is_reproducible_and_returns_as_many_as_asked(row):
    runs = []
    for _ in range(2):
        torch.manual_seed(7)
        runs.append(new_tokens(row, row.prompt_inputs(), do_sample=True, num_return_sequences=4))
    assert torch.equal(*runs)
    assert len(runs[0]) == 4 * BATCH
    assert len({tuple(tokens) for tokens in runs[0][:4].tolist()}) > 1


@every_generating_row()
def test_a_streamer_gives_the_text_while_it_is_made(row):
    inputs = row.prompt_inputs(slice(1))
    tokenizer = row.processor.tokenizer
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=30)
    how = {"max_new_tokens": NEW, "do_sample": False}
    thread = threading.Thread(target=row.model.generate, kwargs={**inputs, **how, "streamer": streamer})
    thread.start()
    text = "".join(streamer)
    thread.join()
    assert text == tokenizer.decode(new_tokens(row, inputs, do_sample=False)[0])


@every_generating_row()
def test_a_draft_of_the_same_class_assists_without_changing_a_token(row):
    inputs = row.prompt_inputs(slice(1))
    draft = copy.deepcopy(row.model)
    with torch.no_grad():
        for parameter in draft.model.language_model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    heard = []
    draft.model.audio_tower.register_forward_pre_hook(lambda module, args: heard.append(len(args[0])))
    assisted = new_tokens(row, inputs, assistant_model=draft, do_sample=False)
    assert len(heard) == 1  # once: a draft that hears nothing is no help
    assert torch.equal(assisted, new_tokens(row, inputs, do_sample=False))


@every_generating_row()
def test_words_may_be_looked_up_in_the_prompt_as_drafts(row):
    inputs = row.prompt_inputs(slice(1), add_text=["a dog a dog a"])
    drafted = new_tokens(row, inputs, prompt_lookup_num_tokens=2, do_sample=False)
    assert torch.equal(drafted, new_tokens(row, inputs, do_sample=False))


@every_generating_row()
def test_several_examples_cannot_be_assisted_and_the_error_says_so(row):
    with pytest.raises(ValueError, match="batch_size = 1"):
        new_tokens(row, row.prompt_inputs(), assistant_model=copy.deepcopy(row.model), do_sample=False)


@every_generating_row()
@torch.no_grad()
def test_the_vocabulary_can_grow(row, tmp_path):
    """The placeholder keeps its id and stays masked; words keep their logits."""
    config, inputs = row.model.config, row.prompt_inputs()
    size, placeholder, before = config.vocab_size, config.audio_token_id, row.model(**inputs).logits
    row.model.resize_token_embeddings(size + 7)
    assert (config.vocab_size, config.text_config.vocab_size, config.audio_token_id) == (
        size + 7,
        size + 7,
        placeholder,
    )
    row.model.save_pretrained(tmp_path)
    for model in (row.model, type(row.model).from_pretrained(tmp_path)):
        after = model(**inputs).logits
        assert model.lm_head.weight is model.get_input_embeddings().weight
        assert after.shape[-1] == len(model.lm_head.weight) == size + 7
        torch.testing.assert_close(after[..., :size], before)
        assert (after[..., placeholder] == torch.finfo(after.dtype).min).all()
        assert not (model.generate(**inputs, max_new_tokens=NEW, do_sample=False)[:, -NEW:] == placeholder).any()


@every_generating_row()
def test_the_vocabulary_cannot_shrink_below_the_placeholder(row):
    placeholder = row.model.config.audio_token_id
    with pytest.raises(ValueError, match=rf"placeholder.* {placeholder}\b"):
        row.model.resize_token_embeddings(placeholder)
    assert row.model.config.vocab_size == placeholder + 1


@every_generating_row()
@torch.no_grad()
def test_the_loss_is_divided_by_the_number_of_items_that_the_trainer_counts(row):
    """With gradient accumulation the items are those of all steps, not of this batch."""
    labels = row.inputs["labels"]
    count = (labels[:, 1:] != -100).sum()
    mean = row.model(**row.inputs).loss
    torch.testing.assert_close(row.model(**row.inputs, num_items_in_batch=4 * count).loss, mean / 4)
    torch.testing.assert_close(row.model(**row.inputs, num_items_in_batch=count).loss, mean)


@every_generating_row()
@torch.no_grad()
def test_auto_classes_of_generation_find_what_was_saved(row, tmp_path):
    row.model.save_pretrained(tmp_path)
    row.processor.save_pretrained(tmp_path)
    again = AutoModelForMultimodalLM.from_pretrained(tmp_path)
    assert type(again) is type(row.model)
    assert again.generation_config.to_dict().items() >= row.model.generation_config.to_diff_dict().items()
    torch.testing.assert_close(again(**row.inputs).logits, row.model(**row.inputs).logits, atol=1e-5, rtol=1e-4)
    if row.name == "mellow":
        assert type(AutoModelForCausalLM.from_pretrained(tmp_path)) is type(row.model)
    else:
        with pytest.raises(ValueError, match="AutoModelForCausalLM"):
            AutoModelForCausalLM.from_pretrained(tmp_path)


PARTS = {
    "language model": r".*language_model.*\.(c_attn|q_proj|v_proj)",
    "mapper": r".*(audio_mapper|audio_projection|first_mapper|cross_projection)\..*",
}


@pytest.mark.parametrize("part", PARTS)
@every_generating_row()
def test_adapters_train_alone_generate_and_survive_a_file(row, part, tmp_path):
    peft = pytest.importorskip("peft")
    layers = {name for name, module in row.model.named_modules() if isinstance(module, torch.nn.Linear | Conv1D)}
    targets = [name for name in layers if re.fullmatch(PARTS[part], name)]
    assert targets
    base = copy.deepcopy(row.model)
    inputs = row.prompt_inputs()
    plain = new_tokens(row, inputs, do_sample=False)
    model = peft.get_peft_model(row.model, peft.LoraConfig(r=2, target_modules=targets, init_lora_weights=False))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.eval()(**row.inputs).loss.backward()
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0).step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if "lora_" in name}

    made = model.generate(**inputs, max_new_tokens=NEW, do_sample=False)
    assert not torch.equal(padded(made[:, inputs["input_ids"].shape[1] :]), padded(plain))
    beams = {"num_beams": 3, "custom_generate": average_log_prob_beam_search}
    model.generate(**inputs, max_new_tokens=2, **beams)
    model.save_pretrained(tmp_path)
    again = peft.PeftModel.from_pretrained(base, tmp_path).eval()
    with torch.no_grad():
        expected = model(**row.inputs).logits
        torch.testing.assert_close(again(**row.inputs).logits, expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(again.merge_and_unload()(**row.inputs).logits, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("row", GENERATING, indirect=True)
def test_a_step_from_a_static_cache_is_one_graph(row):
    """What `generate` compiles by itself on an accelerator; here it is asked to."""
    inputs, static = row.prompt_inputs(), {"do_sample": False, "cache_implementation": "static"}
    expected = new_tokens(row, inputs, **static)
    how = CompileConfig(backend="aot_eager", fullgraph=True, dynamic=False, mode=None)
    how._compile_all_devices = True
    assert row.model._can_compile_fullgraph
    assert torch.equal(new_tokens(row, inputs, compile_config=how, **static), expected)


@pytest.mark.slow
@pytest.mark.parametrize("row", GENERATING, indirect=True)
def test_a_compiled_model_generates_the_same_tokens(row):
    inputs = row.prompt_inputs()
    expected = new_tokens(row, inputs, do_sample=False)
    row.model.forward = torch.compile(row.model.forward)
    assert torch.equal(new_tokens(row, inputs, do_sample=False), expected)
