"""Full-size parity of Mellow and ADIFF with the authors' code: prefix, logits, loss, gradients, greedy tokens."""

import gc

import numpy as np
import pytest
import torch
from official import byte_level_gpt2, full_size_checkpoint, golden, official_clip
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForMultimodalLM, AutoProcessor, PreTrainedTokenizerFast

from afm_hf.conversion import adiff as convert_adiff
from afm_hf.conversion import mellow as convert_mellow

from official import byte_symbols  # isort: skip

pytestmark = pytest.mark.slow

# tests/parity/README.md: the FFT in place of the authors' convolutional STFT moves prefixes and logits.
PREFIX, LOGITS, LOSS = 1e-4, 5e-3, 1e-4


def smollm2_like(folder, size=49152):
    """A byte-level tokenizer with SmolLM2's ids of the end token (0) and of `!` (17)."""
    symbols = ["<|endoftext|>", *(f"<unused {i}>" for i in range(16)), *byte_symbols()]
    symbols += [f"<more {i}>" for i in range(size - len(symbols))]
    tokenizer = Tokenizer(models.BPE({symbol: i for i, symbol in enumerate(symbols)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(folder)
    return str(folder)


class Converted:
    """A converted full-size checkpoint and what the authors' code gave."""

    def __init__(self, name, folder):
        self.name = name
        self.record, self.arrays = golden(name)
        full_size_checkpoint(name, folder / "official.pth")
        if name == "mellow":
            words = smollm2_like(folder / "words")
            convert_mellow.convert(str(folder / "official.pth"), words, str(folder / "converted"))
        else:
            words = byte_level_gpt2(folder / "words", 50257)
            convert_adiff.convert(str(folder / "official.pth"), words, str(folder / "converted"))
        (folder / "official.pth").unlink()
        self.model = AutoModelForMultimodalLM.from_pretrained(folder / "converted", dtype=torch.float32).eval()
        (folder / "converted" / "model.safetensors").unlink()
        self.extractor = AutoProcessor.from_pretrained(folder / "converted").feature_extractor
        self.made = {}

    def features(self, clips):
        for name in clips:
            if name not in self.made:
                samples = official_clip(self.extractor, self.record, name)
                made = self.extractor([samples], sampling_rate=32000, return_tensors="pt")
                self.made[name] = made["input_features"]
        return torch.cat([self.made[name] for name in clips])

    def inputs(self, pairs, prompt_ids, following=None):
        """What the model reads: official clips, recorded ids of the prompts, and the ids of answers."""
        made = {"input_features": torch.stack([self.features(pair) for pair in pairs])}
        following = following or [[]] * len(pairs)
        placeholder = self.model.config.audio_token_id
        if self.name == "mellow":
            clip = [placeholder] * 129 + [0]
            rows = [clip + clip + list(ids) + list(more) for ids, more in zip(prompt_ids, following, strict=True)]
        else:
            rows = [[placeholder] * 121 + list(more) for more in following]
            made["prompt_input_ids"] = torch.tensor(prompt_ids)
        made["input_ids"] = torch.tensor(rows)
        made["attention_mask"] = torch.ones_like(made["input_ids"])
        return made

    def cases(self):
        """Pairs, prompt ids, expected rows of tokens, and the case."""
        ids = self.record["prompt_tokens"]["input_ids"]
        for case in self.record["generate"]:
            examples = case.get("examples") or [[case["audio1"], case["audio2"], case["prompt"]]]
            tokens = case["tokens"] if "examples" in case else [case["tokens"]]
            prompts = [ids[self.record["prompts"].index(prompt)] for *_, prompt in examples]
            yield [example[:2] for example in examples], prompts, tokens, case


@pytest.fixture(scope="module", params=["mellow", "adiff"])
def converted(request, tmp_path_factory):
    made = Converted(request.param, tmp_path_factory.mktemp(request.param))
    yield made
    del made
    gc.collect()


def close(made, expected, share):
    return np.abs(made.numpy() - expected).max() < share * np.abs(expected).max()


@torch.no_grad()
def test_prefix_is_the_official_one(converted):
    model, arrays, record = converted.model.model, converted.arrays, converted.record
    ids = record["prompt_tokens"]["input_ids"][:3]
    inputs = converted.inputs(record["pairs"], ids)
    if converted.name == "adiff":
        prefix = model.get_prefix(inputs["input_features"], prompt_input_ids=inputs["prompt_input_ids"])
        assert close(prefix[0], arrays["prefix_0"], PREFIX)
        assert close(prefix.flatten(1)[:, ::37], arrays["prefix_every37"], PREFIX)
        return
    tokens = model.get_audio_tokens(converted.features(record["audio_names"][:1]))
    assert close(tokens[0, [0, 1, 8, 9, 33, 512, 1024]], arrays["audio_tokens_real1_rows"], PREFIX)
    pooled = model.pool(tokens)
    assert close(pooled[0, [0, 1, 2, 3, 4, 5, 6, 127, 128]], arrays["downsampled_clip0_rows"], PREFIX)
    prefix = model.get_prefix(inputs["input_features"])
    embeds = model.insert_prefix(inputs["input_ids"], model.get_input_embeddings()(inputs["input_ids"]), prefix)
    assert close(embeds.flatten(1)[:, ::101], arrays["prefix_every101"], PREFIX)


@torch.no_grad()
def test_logits_at_the_recorded_positions(converted):
    if converted.name == "adiff":
        pytest.skip("ADIFF's record has those of the answers only")
    record = converted.record
    inputs = converted.inputs(record["pairs"][:1], record["prompt_tokens"]["input_ids"][:1])
    logits = converted.model(**inputs).logits[0, [0, 1, 128, 129, 130, 258, 259, 260, 300, 388], :49152]
    assert np.abs(logits[:, ::997].numpy() - converted.arrays["prefix0_logits_positions_every997"]).max() < LOGITS


def test_greedy_tokens_are_the_official_ones(converted):
    for pairs, prompts, tokens, case in converted.cases():
        inputs = converted.inputs(pairs, prompts)
        made = converted.model.generate(
            **inputs, max_new_tokens=case["max_len"], eos_token_id=case["stop_token_index"], do_sample=False
        )[:, inputs["input_ids"].shape[1] :].tolist()
        assert [row[: len(expected)] for row, expected in zip(made, tokens, strict=True)] == tokens


def test_teacher_forced_loss_logits_and_gradients_are_the_official_ones(converted):
    model, record, arrays = converted.model, converted.record["teacher_forced"], converted.arrays
    answers = record["answer_ids"]
    ids = converted.record.get("teacher_forced_input_ids") or converted.record["prompt_tokens"]["input_ids"][:2]
    inputs = converted.inputs(converted.record["pairs"][:2], ids, answers)
    length = record["prefix_length"]
    inputs["labels"] = inputs["input_ids"].masked_fill(inputs["input_ids"] == record["ignore_index"], -100)
    inputs["labels"][:, :length] = -100
    made = model(**inputs)
    try:
        assert abs(made.loss.item() - record["loss"]) < LOSS
        logits = made.logits[:, length - 1 : -1, : model.config.audio_token_id].detach()
        assert np.abs(logits[..., ::997].numpy() - arrays["teacher_forced_answer_logits_every997"]).max() < LOGITS
        made.loss.backward()
        parameters = dict(model.named_parameters())
        for key, expected in record["eval_mode_gradients"].items():
            norm = parameters[new_name(converted.name, key)].grad.double().norm().item()
            # The placeholder's row of the word table has no gradient: it is neither read nor predicted.
            assert abs(norm - expected["norm"]) < 2e-3 * expected["norm"], (key, norm)
    finally:
        model.zero_grad(set_to_none=True)


def new_name(model, key):
    """Our name of an official weight (heads are tied to word tables)."""
    module = convert_mellow if model == "mellow" else convert_adiff
    return next(iter(module.rename_keys({key: torch.zeros(1)}, module.KEYS).state_dict))
