"""An untrained CLAP with the ears and the text encoder of a file, to train by train_clap.py.

    python examples/fresh_clap.py examples/configs/wavtext5k_model.yaml --data examples/sounds --output wavtext5k-fresh

The file names each ear's front-end and encoder with its sizes, and the text encoder: a type with its sizes, whose
byte-level BPE is made of the folder's captions, or a folder or Hub id, whose weights and words are taken.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
import yaml
from fresh_prefix_lm import make_tokenizer
from transformers import AutoConfig, AutoModel, AutoTokenizer

import afm_hf
from afm_hf.data import read_audio_folder

ENCODERS = {
    "afm_cnn14": afm_hf.AfmCnn14Config,
    "afm_htsat": afm_hf.AfmHtsatConfig,
    "afm_yamnet": afm_hf.AfmYamnetConfig,
}
FRONT_ENDS = {"afm_yamnet": afm_hf.AfmYamnetFeatureExtractor}


def front_end_of(ears: list[dict[str, Any]], max_length_s: float) -> Any:
    """One feature extractor for all ears."""
    made = [FRONT_ENDS.get(ear["model_type"], afm_hf.AfmFeatureExtractor)(**ear.get("front_end", {})) for ear in ears]
    return afm_hf.AfmEarsFeatureExtractor(ears=made, max_length_s=max_length_s, padding="repeat")


def build(settings: dict[str, Any], captions: list[str]) -> tuple[Any, Any]:
    """The untrained model of a file, and its processor."""
    ears, text = settings["ears"], settings["text"]
    extractor = front_end_of(ears, settings["max_length_s"])
    encoders = [ENCODERS[ear["model_type"]](**ear.get("sizes", {})) for ear in ears]
    hears = afm_hf.AfmEarsConfig(ears=encoders, frames=extractor.frames())
    if isinstance(text, str):
        tokenizer, reads = AutoTokenizer.from_pretrained(text), AutoConfig.from_pretrained(text)
    else:
        tokenizer = make_tokenizer(captions)
        special = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": 1, "eos_token_id": tokenizer.eos_token_id}
        reads = AutoConfig.for_model(text["model_type"], vocab_size=len(tokenizer), **special, **text["sizes"])
        tokenizer.model_max_length = reads.max_position_embeddings - 2  # RoBERTa counts positions from two on
    width = settings["projection_dim"]
    model = afm_hf.ClapAfmModel(
        afm_hf.ClapAfmConfig(
            audio_config=afm_hf.ClapAfmAudioConfig(encoder_config=hears, projection_dim=width),
            text_config=afm_hf.ClapAfmTextConfig(encoder_config=reads, projection_dim=width, pooling="mean"),
        )
    )
    if isinstance(text, str):
        model.text_model.encoder.load_state_dict(AutoModel.from_pretrained(text).state_dict())
    return model, afm_hf.ClapAfmProcessor(extractor, tokenizer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", type=Path, help="YAML file of ears and text encoder")
    parser.add_argument("--data", required=True, help="folder with metadata.csv: the captions' words")
    parser.add_argument("--output", required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    data, _ = read_audio_folder(arguments.data, check="none")
    captions = [text for texts in data["captions"] for text in texts]
    model, processor = build(yaml.safe_load(arguments.settings.read_text(encoding="utf-8")), captions)
    model.save_pretrained(arguments.output)
    processor.save_pretrained(arguments.output)
    ears = model.config.audio_config.encoder_config.ears
    print(f"{arguments.output}: {model.num_parameters() / 1e6:.2f} M parameters, {len(ears)} ears")


if __name__ == "__main__":
    main()
