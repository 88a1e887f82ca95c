"""An untrained tiny CLAPCAP, Pengi, Mellow, ADIFF or SELM, to try training recipes on.

    python examples/fresh_prefix_lm.py --architecture adiff --data examples/sounds --output adiff-fresh

They hear with one of clap-small's trained ears, the lighter one (YAMNet); SELM (speech emotion) is a Pengi with a
speech encoder, by default an untrained tiny Wav2Vec2, or `--speech_encoder` (a folder or Hub id, as
facebook/wav2vec2-base; its fourth layer is heard). The language model is a GPT-2 of two layers with a byte-level BPE
of the folder's captions. For real training begin with a converted checkpoint, or give the config of your architecture
a real language model and encoder.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModel, GPT2Config, PreTrainedTokenizerFast, Wav2Vec2Config

import afm_hf
from afm_hf.data import read_audio_folder

END, PAD, AUDIO = "<|endoftext|>", "<|pad|>", "<|audio|>"
NAMES = {
    "clapcap": ("ClapAfmCaptioning", "ClapAfmForConditionalGeneration"),
    "pengi": ("Pengi", "PengiForConditionalGeneration"),
    "mellow": ("Mellow", "MellowForCausalLM"),
    "adiff": ("Adiff", "AdiffForConditionalGeneration"),
}


def make_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE of these texts, with the placeholder as its last token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe = trainers.BpeTrainer(vocab_size=800, special_tokens=[PAD, END], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, bpe)
    names = ["input_ids", "attention_mask"]
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, bos_token=END, pad_token=PAD, model_input_names=names
    )
    made.add_special_tokens({"extra_special_tokens": [AUDIO]})
    return made


def build(
    architecture: str,
    texts: list[str],
    width: int = 64,
    layers: int = 2,
    positions: int = 160,
    language_model: str = "gpt2",
) -> tuple[Any, Any]:
    """
    The untrained model and its processor.

    Args:
        architecture: `"clapcap"`, `"pengi"`, `"mellow"` or `"adiff"`; it hears with clap-small's YAMNet.
        texts: What the tokenizer learns its words from.
        width, layers, positions: Of the language model.
        language_model: Its kind: `"gpt2"`, or `"llama"`, which SmolLM2 is.
    """
    ear = AutoModel.from_pretrained(afm_hf.bundled_model()).audio_model.encoder.ears[0]
    front = afm_hf.AfmYamnetFeatureExtractor(max_length_s=2.415, truncation="first", padding="repeat")
    tokenizer = make_tokenizer(texts)
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    shape = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": max(4, width // 64)}
    more = {"intermediate_size": 4 * width} if language_model == "llama" else {}
    words = {"vocab_size": len(tokenizer), "bos_token_id": end, "eos_token_id": end}
    text = AutoConfig.for_model(language_model, max_position_embeddings=positions, **words, **shape, **more)
    sizes: dict[str, Any] = {"prefix_length": 4, "mapper_layers": 1, "mapper_heads": 4, "projection_dim": 384}
    audio = ear.config.to_dict()
    if architecture == "mellow":  # hears class probabilities, here of classes of its own
        sizes = {"projection_dropout": 0.1, "clip_frames": 240}
        audio |= {"use_class_head": True, "num_classes": 32}
    elif architecture == "adiff":
        sizes |= {"cross_layers": 1, "separator_token_id": end}
    config_name, model_name = NAMES[architecture]
    config = getattr(afm_hf, f"{config_name}Config")(audio_config=audio, text_config=text, pad_token_id=pad, **sizes)
    model = getattr(afm_hf, model_name)(config)
    model.model.audio_tower.load_state_dict(ear.state_dict(), strict=architecture != "mellow")
    model.generation_config.update(eos_token_id=end, pad_token_id=pad, suppress_tokens=[config.audio_token_id])
    how: dict[str, Any] = {"prefix_length": config.num_placeholders, "answer_suffix": END}
    if architecture != "clapcap":
        how |= {"prompt_length": 24, "prompt_suffix": ""}
    parts = [front, tokenizer, tokenizer] if architecture == "pengi" else [front, tokenizer]
    return model, getattr(afm_hf, f"{config_name}Processor")(*parts, **how)


def build_selm(texts: list[str], speech_encoder: str | None = None) -> tuple[Any, Any]:
    """Pengi with a frozen speech encoder in the place of HTSAT, and its processor."""
    tokenizer = make_tokenizer(texts)
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    text = GPT2Config(
        vocab_size=len(tokenizer), n_positions=160, bos_token_id=end, eos_token_id=end, n_embd=64, n_layer=2, n_head=4
    )
    tiny = Wav2Vec2Config(
        hidden_size=48, num_hidden_layers=4, num_attention_heads=4, intermediate_size=96, conv_dim=[32] * 7,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4,
    )  # fmt: skip
    trained = AutoModel.from_pretrained(speech_encoder) if speech_encoder else None
    encoder = trained.config if trained else tiny
    audio = afm_hf.AfmSpeechEncoderConfig(encoder_config=encoder, layer=min(4, encoder.num_hidden_layers))
    sizes: dict[str, Any] = {"prefix_length": 4, "mapper_layers": 1, "mapper_heads": 4, "projection_dim": 64}
    config = afm_hf.PengiConfig(audio_config=audio, text_config=text, pad_token_id=pad, **sizes)
    model = afm_hf.PengiForConditionalGeneration(config)
    if trained:
        model.model.audio_tower.encoder.load_state_dict(trained.state_dict())
    model.generation_config.update(eos_token_id=end, pad_token_id=pad, suppress_tokens=[config.audio_token_id])
    how: dict[str, Any] = {"prefix_length": config.num_placeholders, "answer_suffix": END}
    how |= {"prompt_length": 24, "prompt_suffix": ""}
    return model, afm_hf.PengiProcessor(afm_hf.AfmSpeechFeatureExtractor(), tokenizer, tokenizer, **how)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", choices=[*sorted(NAMES), "selm"], required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder with metadata.csv, for the words")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--speech_encoder", help="of SELM: folder or Hub id")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    data, _ = read_audio_folder(arguments.data, check="none")
    words = [text for texts in data["captions"] for text in texts]
    if arguments.architecture == "selm":
        model, processor = build_selm([*words, "this emotion is"], arguments.speech_encoder)
    else:
        model, processor = build(arguments.architecture, words)
    model.save_pretrained(arguments.output)
    processor.save_pretrained(arguments.output)
    print(f"{arguments.output}: {sum(p.numel() for p in model.parameters()) / 1e6:.1f} M parameters")


if __name__ == "__main__":
    main()
