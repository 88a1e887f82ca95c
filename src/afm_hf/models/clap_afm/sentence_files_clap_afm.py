"""The files by which sentence-transformers knows a CLAP: which method embeds texts, which one clips.

They are written beside the model's `config.json`, so that `SentenceTransformer(folder or repo)` embeds both. The module
that they name is sentence-transformers' own: no code of a repo is needed, nor trust in it.
"""

import json
import os
from pathlib import Path
from typing import Any

from ..common.writing_afm import write_text

_MODULE = "sentence_transformers.base.modules.transformer.Transformer"  # since version 5.4
SENTENCE_FILES: dict[str, Any] = {
    "modules.json": [{"idx": 0, "name": "0", "path": "", "type": _MODULE}],
    "sentence_bert_config.json": {
        "transformer_task": "feature-extraction",
        "modality_config": {
            modality: {"method": f"get_{modality}_features", "method_output_name": "pooler_output"}
            for modality in ("text", "audio")
        },
        "module_output_name": "sentence_embedding",
    },
    "config_sentence_transformers.json": {"model_type": "SentenceTransformer", "similarity_fn_name": "cosine"},
}


def write_sentence_files(folder: str | os.PathLike[str]) -> None:
    """
    Writes them into the folder of a [`ClapAfmModel`].

    What is there already stays: sentence-transformers may have written it, with prompts and modules of its own.

    Args:
        folder (`str` or `PathLike`): Of the checkpoint.

    Raises:
        WriteError: (an `OSError`) if a file cannot be written.
    """
    for name, content in SENTENCE_FILES.items():
        path = Path(folder) / name
        if not path.exists():
            write_text(path, json.dumps(content, indent=2) + "\n", "the description for sentence-transformers")


__all__ = ["SENTENCE_FILES", "write_sentence_files"]
