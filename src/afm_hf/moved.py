"""Old import paths: what was importable in version 0.1.0 from elsewhere stays so.

A table, and a hook on Python's import system that answers for the names in it.
"""

import importlib
import importlib.machinery
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

# New package -> modules that kept their name ("a"), or have another ("old>new"); they were in the package before "|".
_TABLE = {
    "audio": "models | audio_utils>audio_loading audio_common_afm>audio_checks audio_sources_afm>audio_sources "
    "audio_decoders_afm>audio_decoders audio_resampling_afm>audio_resampling",
    "models.common": "models | configuration_afm_common modeling_afm_common feature_extraction_afm results_afm",
    "models.encoders": "models | configuration_afm_encoders modeling_afm_encoders",
    "models.htsat": "models | configuration_afm_htsat modeling_afm_htsat",
    "models.cnn14": "models | configuration_afm_cnn14 modeling_afm_cnn14",
    "models.speech_encoder": "models | configuration_afm_speech_encoder modeling_afm_speech_encoder "
    "feature_extraction_afm_speech",
    "models.clap_afm": "models | configuration_clap_afm feature_extraction_clap_afm processing_clap_afm "
    "modeling_clap_afm",
    "models.prefix_lm": "models | configuration_afm_prefix_lm processing_afm_prefix_lm modeling_afm_prefix_lm "
    "generation_afm cache_afm scoring_afm prompts_afm",
    "models.clapcap": "models | configuration_clap_afm_captioning processing_clap_afm_captioning "
    "modeling_clap_afm_captioning",
    "models.pengi": "models | configuration_pengi feature_extraction_pengi processing_pengi modeling_pengi",
    "models.mellow": "models | configuration_mellow feature_extraction_mellow processing_mellow modeling_mellow "
    "chat_mellow",
    "models.adiff": "models | configuration_adiff feature_extraction_adiff processing_adiff modeling_adiff",
    "pipelines": "models | pipeline_afm_prefix_lm pipeline_audio_captioning pipeline_audio_difference "
    "pipeline_audio_entailment pipeline_audio_inputs pipeline_audio_quality_assessment "
    "pipeline_audio_question_answering pipeline_audio_text_generation pipeline_test_time_adaptation "
    "pipeline_zero_shot_audio_classification",
    "entailment": "models | entailment_afm>entailment_labels entailment_contrastive_afm>entailment_contrastive "
    "entailment_prompts_afm>entailment_prompts",
    "adaptation.test_time": "models | domain_vector_afm>domain_vector augmentation_afm>augmentation "
    "prompted_labels_afm>prompted_labels adaptation_afm>optimization",
    "evaluation.tasks": "evaluation | adaptation answers closed entailment fine_tune linear_probe quality questions "
    "rated_quality retrieval zero_shot",
    "conversion": "conversions | common encoders prefix_lm convert_msclap>msclap convert_pengi>pengi "
    "convert_mellow>mellow convert_adiff>adiff",
}
_SINGLE = {
    "audio_files": "pipelines.audio_files",
    "conversions": "conversion",
    "embedder": "retrieval.embedder",
    "export": "conversion.export",
    "hub_cards": "hub.cards",
    "hub_catalogue": "hub.catalogue",
    "hub_code": "hub.code",
    "index": "retrieval.index",
    "interpretation": "models.prefix_lm.interpretation_afm",
    "loading": "hub.loading",
}


def _table() -> dict[str, str]:
    moved = dict(_SINGLE)
    for new_package, row in _TABLE.items():
        old_package, _, modules = row.partition(" | ")
        for module in modules.split():
            old, _, new = module.partition(">")
            moved[f"{old_package}.{old}"] = f"{new_package}.{new or old}"
    return {f"{__package__}.{old}": f"{__package__}.{new}" for old, new in moved.items()}


MOVED = _table()  # old path -> new path


class _OldPaths:
    """Finds a module under its old path: the very module of the new one."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        loader: Any = self
        return importlib.machinery.ModuleSpec(fullname, loader) if fullname in MOVED else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        warnings.warn(f"{spec.name} has moved to {MOVED[spec.name]}.", DeprecationWarning, stacklevel=2)
        module = importlib.import_module(MOVED[spec.name])
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It has run; the import system has only to leave it what it is."""
        module.__spec__ = sys.modules[module.__name__].__spec__ = self.spec


def redirect() -> None:
    """Lets old paths be imported. Again is harmless."""
    if not any(type(finder).__name__ == "_OldPaths" for finder in sys.meta_path):
        sys.meta_path.insert(0, _OldPaths())


__all__ = ["MOVED", "redirect"]
