"""The small Pengi, ADIFF and Mellow: tokenizer, untrained models with clap-small's ears, and their loss.

Training does not run the frozen ears: `loss_of` starts from what they have heard (see answers_heard.py).
"""

import math
import time
from collections.abc import Iterable, Sequence

import torch
from answers_facts import Bank
from answers_tasks import Example
from small_clap_features import feature_extractor
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch.nn import functional as F
from transformers import GenerationConfig, GPT2Config, LlamaConfig, PreTrainedModel, PreTrainedTokenizerFast

from afm_hf import (
    AdiffConfig,
    AdiffForConditionalGeneration,
    AdiffProcessor,
    AfmEarsConfig,
    ClapAfmModel,
    MellowConfig,
    MellowForCausalLM,
    MellowProcessor,
    PengiConfig,
    PengiForConditionalGeneration,
    PengiProcessor,
)
from afm_hf.models.common.modeling_afm_common import AfmProjection
from afm_hf.models.encoders.modeling_afm_encoders import AfmEarsClassifier

END, PAD, AUDIO = "<|endoftext|>", "<|pad|>", "<|audio|>"
PROMPT_LENGTH = 32  # of Pengi and ADIFF
MAPPERS = {"prefix_length": 8, "mapper_layers": 2, "mapper_heads": 4, "projection_dropout": 0.0}
PAIR_MAPPERS = MAPPERS | {"prefix_length": 4, "mapper_layers": 1}  # of ADIFF, which has three
LAYERS, WIDTH, HEADS, DROPOUT = 4, 128, 4, 0.05
WORD_SIZE = 0.16  # deviation of the numbers in the vectors of words, at first
PAIR_WIDTH = 96  # of ADIFF's language model


def make_tokenizer(texts: Iterable[str], labels: Sequence[str], size: int = 1200) -> PreTrainedTokenizerFast:
    """
    A byte-level BPE of these texts that ignores case, with the placeholder as its last token.

    Each label that training knows is one token, so that naming a sound, or comparing it with a word of the question, is
    one step for the language model and not a matter of spelling.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[PAD, END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        bos_token=END,
        pad_token=PAD,
        model_input_names=["input_ids", "attention_mask"],
    )
    made.add_tokens([AddedToken(label, single_word=True, normalized=True) for label in labels])
    made.add_special_tokens({"extra_special_tokens": [AUDIO]})
    return made


@torch.no_grad()
def begin_labels(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, labels: Sequence[str], classes: torch.Tensor
) -> None:
    """Let the tokens of like labels begin alike: CLAP's embeddings `(labels, dim)`, turned into the words' space."""
    words = model.get_input_embeddings().weight
    generator = torch.Generator().manual_seed(0)
    turn = torch.randn(classes.shape[1], words.shape[1], generator=generator) / classes.shape[1] ** 0.5
    begun = F.normalize(classes - classes.mean(0), dim=-1) @ turn
    words[tokenizer.convert_tokens_to_ids(list(labels))] = begun * words.std() / begun.std()


def language_model(kind: str, tokenizer: PreTrainedTokenizerFast) -> GPT2Config | LlamaConfig:
    """GPT-2's architecture in small, and Llama's (that of SmolLM2) for Mellow."""
    end = tokenizer.eos_token_id
    ids = {"vocab_size": len(tokenizer), "bos_token_id": end, "eos_token_id": end}
    if kind == "mellow":
        return LlamaConfig(
            hidden_size=WIDTH,
            intermediate_size=3 * WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS,
            max_position_embeddings=256,
            attention_dropout=DROPOUT,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            **ids,
        )
    dropout = {"resid_pdrop": DROPOUT, "embd_pdrop": 0.0, "attn_pdrop": DROPOUT}
    width = PAIR_WIDTH if kind == "adiff" else WIDTH
    return GPT2Config(n_positions=128, n_embd=width, n_layer=LAYERS, n_head=HEADS, **dropout, **ids)


def build(
    kind: str, clap: ClapAfmModel, tokenizer: PreTrainedTokenizerFast, classes: torch.Tensor
) -> tuple[PreTrainedModel, object]:
    """The untrained model, with the trained ears, and its processor.

    Args:
        kind (`str`): "pengi", "adiff" or "mellow".
        clap ([`ClapAfmModel`]): Whose ears, and whose head, the model hears with.
        tokenizer (`PreTrainedTokenizerFast`): Of the language model.
        classes (`torch.Tensor`): CLAP's embeddings of the labels, `(labels, dim)`: the classes that Mellow hears.
    """
    shared = {"text_config": language_model(kind, tokenizer), "pad_token_id": tokenizer.pad_token_id}
    if kind == "mellow":
        model, processor = _mellow(clap, tokenizer, classes, shared)
    else:
        model, processor = _with_mappers(kind, clap, tokenizer, shared)
    model.freeze_audio_tower()
    end = tokenizer.eos_token_id
    model.generation_config = GenerationConfig(
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=tokenizer.pad_token_id,
        suppress_tokens=[model.config.audio_token_id],
        max_new_tokens=60,
    )
    return model, processor


def classifying_ears(clap: ClapAfmModel, classes: int) -> AfmEarsConfig:
    """The config of CLAP's ears with a classifier, as Mellow needs it."""
    ears = clap.config.audio_config.encoder_config.to_dict()
    head = {"use_framewise_head": True, "num_classes": classes, "head_dim": clap.config.projection_dim}
    return AfmEarsConfig.from_dict({**ears, **head})


def classifier_of(clap: ClapAfmModel, projection: AfmProjection, classes: torch.Tensor) -> AfmEarsClassifier:
    """Class probabilities as CLAP's zero-shot classification gives them, through this projection."""
    classifier = AfmEarsClassifier(projection.linear1.in_features, *classes.shape[::-1])
    classifier.projection.load_state_dict(projection.state_dict())
    with torch.no_grad():
        classifier.classes.weight.copy_(classes)
        classifier.logit_scale.copy_(clap.logit_scale.clamp(max=math.log(50)))
    return classifier.eval()


def load_classifying_ears(tower: PreTrainedModel, clap: ClapAfmModel, classes: torch.Tensor) -> None:
    """CLAP's ears, its head, and its embeddings of the classes as their classifier."""
    tower.load_state_dict(clap.audio_model.encoder.state_dict(), strict=False)
    tower.classifier.load_state_dict(classifier_of(clap, clap.audio_projection, classes).state_dict())


@torch.no_grad()
def attend_to_likes(model: PreTrainedModel, size: float = 0.08) -> None:
    """
    Let a language model of Llama's kind begin with attention to what is like a token itself: keys equal queries.

    Trained transformers come near to this ("Mimetic initialization of self-attention layers", arXiv 2305.09828). Here
    it lets a label in a question find the same label in what is heard, which three thousand steps did not learn alone.
    """
    for layer in model.model.language_model.layers:
        torch.nn.init.normal_(layer.self_attn.q_proj.weight, std=size)
        layer.self_attn.k_proj.weight.copy_(layer.self_attn.q_proj.weight)


@torch.no_grad()
def enlarge_words(model: PreTrainedModel) -> None:
    """Let the vectors of words begin so large that what is like a token itself stands out; logits stay as they are."""
    words, norm = model.get_input_embeddings(), model.model.language_model.norm
    words.weight.mul_(WORD_SIZE / words.weight.std())
    norm.weight.mul_(0.02 / WORD_SIZE)


def as_large_as_words(model: PreTrainedModel) -> None:
    """Let Mellow's vectors of a clip begin as large as words are; of length zero they would give no gradients."""
    size = model.get_input_embeddings().weight.std().item()
    torch.nn.init.constant_(model.model.audio_projection.layer_norm.weight, size)


def _mellow(clap: ClapAfmModel, tokenizer: PreTrainedTokenizerFast, classes: torch.Tensor, shared: dict) -> tuple:
    ears = classifying_ears(clap, len(classes))
    config = MellowConfig(audio_config=ears, projection_dropout=0.0, **shared)
    model = MellowForCausalLM(config)
    processor = MellowProcessor(
        feature_extractor(truncation="first"),
        tokenizer,
        prefix_length=config.num_placeholders,
        answer_suffix=END,
        prompt_length=120,
        pad_prompt=False,
        train_lower_case=False,
        train_prompt_suffix=END,
        prompt_suffix=END,
    )
    load_classifying_ears(model.model.audio_tower, clap, classes)
    as_large_as_words(model)
    return model, processor


def _with_mappers(kind: str, clap: ClapAfmModel, tokenizer: PreTrainedTokenizerFast, shared: dict) -> tuple:
    shared = {
        "audio_config": clap.config.audio_config.encoder_config,
        "projection_dim": clap.config.projection_dim,
        **shared,
        **(MAPPERS if kind == "pengi" else PAIR_MAPPERS),
    }
    how = {"answer_suffix": END, "prompt_length": PROMPT_LENGTH, "prompt_suffix": ""}
    if kind == "pengi":
        model = PengiForConditionalGeneration(PengiConfig(**shared))
        length = model.config.num_placeholders
        processor = PengiProcessor(feature_extractor(), tokenizer, tokenizer, prefix_length=length, **how)
    else:
        config = AdiffConfig(**shared, cross_layers=1, separator_token_id=tokenizer.eos_token_id)
        model = AdiffForConditionalGeneration(config)
        length = model.config.num_placeholders
        processor = AdiffProcessor(feature_extractor(truncation="first"), tokenizer, prefix_length=length, **how)
    model.model.audio_tower.load_state_dict(clap.audio_model.encoder.state_dict())
    model.model.audio_projection.load_state_dict(clap.audio_projection.state_dict())
    model.model.audio_projection.requires_grad_(False)
    return model, processor


def align(model: PreTrainedModel, words: torch.Tensor, bank: Bank, steps: int, noise: float, lr: float = 1e-3) -> None:
    """
    Teach what makes Mellow's vectors of a clip, and nothing else, to point at the language model's vector of its label.

    It costs no run of the language model, which then has something to read, and to compare words with, from its first
    step on.

    Args:
        model (`PreTrainedModel`): The model.
        words (`torch.Tensor`): A vector for each label of the bank, `(labels, width)`.
        bank ([`Bank`]): Clips.
        steps (`int`): Of 256 clips.
        noise (`float`): On what is heard, in units of its deviation.
        lr (`float`): Learning rate.
    """
    learning = [x for name, x in model.named_parameters() if "_projection." in name and x.requires_grad]
    centre, size = words.mean(0), words.var()
    targets = F.normalize(words - centre, dim=1)
    optimizer = torch.optim.AdamW(learning, lr=lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, steps, pct_start=0.1)
    labels, spread = torch.from_numpy(bank.labels), bank.heard.std(0)
    start = time.process_time()
    for step in range(1, steps + 1):
        drawn = torch.randint(len(bank), (256,))
        heard = bank.heard[drawn] + noise * spread * torch.randn(256, bank.heard.shape[1])
        pairs = prefix_of("mellow", model, heard.unflatten(0, (-1, 2)), None)  # (128, both clips' vectors, width)
        # (256, steps of a clip, width); the ears' embedding of the whole clip would be learned by heart.
        vectors = pairs.unflatten(1, (2, -1)).flatten(0, 1)[:, 1:]
        wanted = labels[drawn][:, None].expand(vectors.shape[:2])  # every vector of a clip points at its label
        near = F.normalize(vectors - centre, dim=-1) @ targets.T * 20
        loss = F.cross_entropy(near.flatten(0, 1), wanted.flatten()) + F.mse_loss(vectors, words[wanted]) / size
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % max(1, steps // 5) == 0:
            right = (near.argmax(-1) == wanted).float().mean(0).tolist()
            told = ", ".join(f"{100 * share:.0f}" for share in right)
            used = time.process_time() - start
            print(
                f"aligned {step}: loss {loss.item():.3f}, nearest label right in {told} %, {used:.0f} CPU-s", flush=True
            )


def prefix_of(kind: str, model: PreTrainedModel, heard: torch.Tensor, prompts: torch.Tensor | None) -> torch.Tensor:
    """As the model's `get_prefix`, from what the ear has heard; `(batch, prefix, width)`."""
    inner = model.model
    if kind == "mellow":
        config = inner.config
        width, classes = config.encoder_width, config.audio_config.num_classes
        clip = heard[..., :width].flatten(0, 1)[:, None]  # (2 batch, 1, width)
        scores = heard[..., width:].reshape(len(clip), -1, classes)  # (2 batch, steps, classes)
        frames = inner.frame_projection(scores)
        clip = clip if config.clip_vector == "embedding" else frames.mean(dim=1, keepdim=True)
        tokens = inner.pool(inner.audio_projection(torch.cat([clip, frames], dim=1)))
        return tokens.unflatten(0, (-1, 2)).flatten(1, 2)
    heard = F.normalize(heard, dim=-1)
    if kind == "pengi":
        return torch.cat([inner.audio_mapper(heard), inner.get_prompt_prefix(prompts)], dim=1)
    words = inner.get_input_embeddings()
    separator = words(prompts.new_full((len(prompts), 1), inner.config.separator_token_id))
    first, second = inner.first_mapper(heard[:, 0]), inner.second_mapper(heard[:, 1])
    return inner.cross_projection(torch.cat([first, separator, second, inner.prompt_mapper(words(prompts))], dim=1))


def loss_of(
    kind: str, model: PreTrainedModel, processor: object, drawn: list[Example], heard: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss of a batch, and for each example whether every token of the answer is the likeliest, `(batch,)` bool."""
    # Mellow's prompts end as its processor makes them end; those of Pengi and ADIFF are part of the prefix.
    suffix = processor.prompt_suffix if kind == "mellow" else ""
    prompts = [example.prompt + suffix for example in drawn]
    prompt_ids = processor.prompt_inputs(prompts).get("prompt_input_ids")
    fronts = [processor.front_ids(prompt) for prompt in prompts]
    answers = [processor.answer_ids(example.answer) for example in drawn]
    longest = max(len(front) + len(answer) for front, answer in zip(fronts, answers, strict=True))
    ids = torch.full((len(drawn), longest), processor.pad_id)
    labels = torch.full_like(ids, -100)
    for row, (front, answer) in enumerate(zip(fronts, answers, strict=True)):
        both = torch.tensor(front + answer)
        ids[row, : len(both)] = both
        labels[row, len(front) : len(both)] = both[len(front) :]
    places = ids == model.config.audio_token_id
    embeds = model.get_input_embeddings()(ids.masked_fill(places, processor.pad_id))
    prefix = prefix_of(kind, model, heard, prompt_ids)
    embeds = embeds.masked_scatter(places[..., None], prefix.to(embeds.dtype))
    hidden = model.model.language_model(inputs_embeds=embeds).last_hidden_state[:, :-1]
    targets = labels[:, 1:]
    said = targets != -100
    logits = model.lm_head(hidden[said])[..., : model.config.audio_token_id]  # the placeholder is the last row
    loss = F.cross_entropy(logits, targets[said])
    hits = torch.ones_like(said)
    hits[said] = logits.argmax(-1) == targets[said]
    return loss, hits.all(1)
