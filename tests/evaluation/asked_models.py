"""Tiny random models for evaluations, and what they are asked: the texts that reach their towers."""

from pathlib import Path

from generating_models import parts
from prefix_models import bytes_tokenizer
from tiny_models import tiny_clap

PROMPT_LENGTH = 90  # bytes: the papers' prompts are not cut


def save_model(kind, folder):
    """Saves a tiny model of a kind, whose prompts are not cut; returns its folder."""
    if kind == "clap":
        return tiny_clap(folder)
    model, processor = parts(kind, max_new_tokens=3)
    if kind != "clapcap":
        processor.prompt_length = PROMPT_LENGTH
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return Path(folder)


class Listener:
    """Writes down the prompts of a model that answers in words, and the texts of a CLAP."""

    def __init__(self, pipe):
        self.said = []
        self.words = bytes_tokenizer()
        if hasattr(pipe.model, "get_text_features"):
            self._clap(pipe)
        else:
            self.processor = pipe.processor
            pipe.model.register_forward_pre_hook(self._prompts, with_kwargs=True)

    def _prompts(self, model, args, kwargs):
        ids = kwargs.get("prompt_input_ids")
        tokenizer = getattr(self.processor, "prompt_tokenizer", None) or self.processor.tokenizer
        if ids is None and kwargs.get("input_features") is not None:
            audio = model.config.audio_token_id
            ids = [[token for token in row if token != audio] for row in kwargs["input_ids"].tolist()]
        for row in ids if ids is not None else []:
            text = tokenizer.decode([token for token in row if token not in (0,)])
            self.said.append(text.replace("<|endoftext|>", "").strip())

    def _clap(self, pipe):
        encode, tokenizer = pipe.model.get_text_features, pipe.tokenizer

        def listening(**inputs):
            for row in inputs.get("input_ids", []):
                self.said.append(tokenizer.decode([token for token in row.tolist() if token != 256]))
            return encode(**inputs)

        pipe.model.get_text_features = listening
