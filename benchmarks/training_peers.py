"""CLAPs of the same size, of this package and of transformers, with what trains them: for `training.py`."""

from typing import Any

from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, RobertaConfig, Trainer

from afm_hf import (
    AfmHtsatConfig,
    ClapAfmAudioConfig,
    ClapAfmConfig,
    ClapAfmFeatureExtractor,
    ClapAfmModel,
    ClapAfmProcessor,
    ClapAfmTextConfig,
    load_audio,
)
from afm_hf.training.collators import ClapCollator
from afm_hf.training.contrastive_trainer import ContrastiveTrainer

Parts = tuple[type[Trainer], Any, Any]  # trainer, model, collator

DEPTHS, HEADS, EMBED, PROJECTION = [2, 2, 2, 2], [2, 4, 8, 16], 48, 256
TEXT = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 512}
RATE, CLIP_S = 48_000, 10


def ours(tokenizer: Any) -> Parts:
    """HTSAT and RoBERTa in a [`ClapAfmModel`]."""
    htsat = AfmHtsatConfig(embed_dim=EMBED, depths=DEPTHS, num_attention_heads=HEADS)
    text = RobertaConfig(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id or 0, **TEXT)
    config = ClapAfmConfig(
        audio_config=ClapAfmAudioConfig(encoder_config=htsat, projection_dim=PROJECTION),
        text_config=ClapAfmTextConfig(encoder_config=text, pooling="cls", projection_dim=PROJECTION),
    )
    extractor = ClapAfmFeatureExtractor(sampling_rate=RATE, hop_length=480, max_length_s=CLIP_S, truncation="random")
    return ContrastiveTrainer, ClapAfmModel(config), ClapCollator(ClapAfmProcessor(extractor, tokenizer))


def stock(tokenizer: Any) -> Parts:
    """The same sizes in a `ClapModel`, with transformers' own feature extractor, front-end and `Trainer`."""
    config = ClapConfig(
        audio_config={
            "patch_embeds_hidden_size": EMBED,
            "depths": DEPTHS,
            "num_attention_heads": HEADS,
            "hidden_size": EMBED * 2 ** (len(DEPTHS) - 1),
            "enable_fusion": False,
        },
        text_config={"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id or 0, **TEXT},
        projection_dim=PROJECTION,
    )
    extractor = ClapFeatureExtractor(sampling_rate=RATE, truncation="rand_trunc", padding="repeatpad")
    return Trainer, ClapModel(config), StockCollator(extractor, tokenizer)


class StockCollator:
    """
    What a user of `ClapModel` writes.

    Args:
        extractor, tokenizer: Of transformers.
    """

    def __init__(self, extractor: Any, tokenizer: Any) -> None:
        self.extractor, self.tokenizer = extractor, tokenizer

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Rows of `audio` and `captions` -> a batch."""
        clips = [load_audio(row["audio"], RATE) for row in rows]
        features = self.extractor(clips, sampling_rate=RATE, return_tensors="pt")
        texts = [row["captions"][0] for row in rows]
        tokens = self.tokenizer(texts, padding=True, return_tensors="pt")
        named = {name: tokens[name] for name in ("input_ids", "attention_mask")}
        return {"input_features": features["input_features"], **named, "return_loss": True}


__all__ = ["ours", "stock"]
