"""What of this package's CLAP becomes transformers' `msclap`, and what is left out, as tables.

The order: texts of modules are rewritten (`REWRITTEN`), methods are exchanged (`arrays_only.py`), what transformers
would not take is cut (`CUT`), what is left and needed is merged (`FILES`), and renamed (`RENAMED`).
"""

from upstream.merging import File, Imported

NAME = "msclap"
PACKAGE = f"transformers.models.{NAME}"
# Names of ours to names of theirs, one after the other.
RENAMED = {
    r"ClapAfm": "MSClap",
    r"clap_afm": NAME,
    r"\bAfm(?=[A-Z])": "MSClap",
    r"\bafm_(?=htsat|cnn14)": f"{NAME}_",
    r"\b(?=(?:MelBatchNorm|SpecAugment)\b)": "MSClap",
    r"\(P22, ": "(arXiv:2206.04769, ",
    r"from afm_hf import": "from transformers import",
}

FILES = (
    File(
        f"configuration_{NAME}",
        "Microsoft CLAP model configuration",
        (
            "configuration_afm_htsat.AfmHtsatConfig",
            "configuration_afm_cnn14.AfmCnn14Config",
            "configuration_clap_afm.ClapAfmAudioConfig",
            "configuration_clap_afm.ClapAfmTextConfig",
            "configuration_clap_afm.ClapAfmConfig",
        ),
        ("configuration_",),
    ),
    File(
        f"modeling_{NAME}",
        "PyTorch Microsoft CLAP model",
        (
            "modeling_afm_htsat.AfmHtsatPreTrainedModel",
            "modeling_afm_htsat.AfmHtsatModel",
            "modeling_afm_cnn14.AfmCnn14PreTrainedModel",
            "modeling_afm_cnn14.AfmCnn14Model",
            "modeling_clap_afm.ClapAfmPreTrainedModel",
            "modeling_clap_afm.ClapAfmAudioModel",
            "modeling_clap_afm.ClapAfmTextModel",
            "modeling_clap_afm.ClapAfmModel",
            "modeling_clap_afm.ClapAfmAudioModelWithProjection",
            "modeling_clap_afm.ClapAfmTextModelWithProjection",
        ),
        ("modeling_", "losses_"),
    ),
    File(
        f"feature_extraction_{NAME}",
        "Feature extractor class for Microsoft CLAP",
        ("feature_extraction_afm.AfmFeatureExtractor",),
        ("feature_extraction_", "log_mel"),
    ),
    File(
        f"processing_{NAME}",
        "Audio/Text processor class for Microsoft CLAP",
        ("processing_clap_afm.ClapAfmProcessor",),
    ),
)

_FRAMEWISE = ("num_classes", "clipwise", "clipwise_output")
# Modules that take part, and what is cut out of them.
CUT: dict[str, tuple[str, ...]] = {
    "configuration_clap_afm": (
        *("classifier_layers", "classifier_dropout", "problem_type", "check_problem_type"),  # no classifier
        "save_pretrained",  # which also writes the files of sentence-transformers
    ),
    "configuration_afm_htsat": ("use_framewise_head", "num_classes"),  # Mellow's
    "configuration_afm_cnn14": ("use_clipwise_head", "num_classes", "num_steps"),
    "modeling_afm_common": (),
    "modeling_afm_htsat": (
        *("StillBatchNorms", "use_framewise_head", "framewise", "framewise_output", *_FRAMEWISE, "tscam_conv"),
        *("_token_semantic", "_final_resolution"),
        *("_clips_in_cache", "is_undisturbed", "is_gelu", "_window_order", "_product"),  # what makes a CPU faster
    ),
    "modeling_afm_cnn14": ("StillBatchNorms", "use_clipwise_head", "fc_audioset", *_FRAMEWISE),
    "losses_clap_afm": ("num_pairs", "same", "check_num_pairs", "without_own_texts"),  # negatives of one's own
    "modeling_clap_afm": (
        *("OwnCode", "StillBatchNorms", "model_tags"),
        *("save_pretrained", "put_in_int8"),  # the first refuses a model in eight bits
        *("num_pairs", "same_texts", "same"),
        *("ClapAfmForAudioClassification", "say_if_nothing_is_learned", "_loss_where_counts_allow"),
        *("places_of", "check_places"),  # texts that are too long
        *("flatten_windows", "input_features_mask"),  # long clips in windows
    ),
    "feature_extraction_afm": (
        *("_head", "_part", "_samples", "_streamed", "_windows", "_to_whole_windows", "_check_rates"),
        *("window_hop_s", "channels", "CHANNELS", "resampler", "RESAMPLERS", "allow_silence", "max_values"),
    ),
    "log_mel": (),
    "processing_clap_afm": ("OwnCode", "__call__", "prepare_inputs_layout"),
}

# Expressions in the modules' texts, and what takes their places; each must be found.
REWRITTEN: dict[str, tuple[tuple[str, str], ...]] = {
    "configuration_clap_afm": (
        (r"\(AfmConfig\)", "(PreTrainedConfig)"),
        (r"EncoderConfigSpec\(", "SubConfigSpec("),
    ),
    "configuration_afm_htsat": ((r"\(AfmConfig\)", "(PreTrainedConfig)"),),
    "configuration_afm_cnn14": ((r"\(AfmConfig\)", "(PreTrainedConfig)"),),
    "modeling_afm_common": (
        (r"of every system of the thesis: ", "of both towers: "),
        (r"\(`Projection` in msclap, Pengi, Mellow and ADIFF\)", "(`Projection` in msclap)"),
    ),
    "modeling_afm_htsat": (
        # a stage is the run through its blocks
        (
            r"(?s)    def forward\(self, hidden_states: torch\.Tensor, \*\*kwargs[^\n]*\n"
            r"        clips = .*?    def _run\(",
            "    def forward(",
        ),
        (r"\blinear\(self\.(\w+), ", r"self.\1("),  # layers whose weights may be packed
    ),
    "losses_clap_afm": ((r", or fewer than pairs\.", "."),),
    "modeling_clap_afm": (
        (r", or a text is too long\.", "."),
        (r"build_audio_encoder\(", "AutoModel.from_config("),
        (r"encode_windows\(([\w.]+), features, owners, (\*\*\w+)\)", r"\1(input_features, \2)"),
        (r"average_windows\((.+), owners\)", r"\1"),
        (r"(?s)`, or `\(batch, windows, 1, frames, mels\)` for clips cut.*?keeps\.\n", "`.\n"),
        (r" or `\(batch, windows, 1, frames, mels\)`\.", "."),
        (r"encoder; of all windows, if there are several\.", "encoder."),
        (r"return_loss: bool \| None = True", "return_loss: bool | None = None"),
        (
            r"(?s)( +)Whether to return the contrastive loss, for which.*?`return_dict=False`\)\.\n",
            r"\1Whether to return the contrastive loss, for which the text at each place belongs to the audio at the"
            "\n" + r"\1same place.\n",
        ),
        (r"        if return_loss is None:\n.*\n", ""),
    ),
    "feature_extraction_afm": (
        (
            r"(?s)    Audio may be a path, URL.*?\n\n    Args:",
            "    Audio is mono, as arrays at `sampling_rate`: pipelines and `load_audio` read files.\n\n    Args:",
        ),
        (r"Rate in Hz to which audio is resampled\.", "Rate in Hz at which audio must be."),
        (r"mel_sampling_rate: int \| None = None", "mel_sampling_rate: int | None = 32000"),
        (
            r"(?s)Rate in Hz for which the mel filter bank is built;.*?sampling rate\.",
            "Rate in Hz for which the mel filter bank is built; `sampling_rate` if it is `None`. 32000 is that of the\n"
            "            official CLAP 2023, whatever the sampling rate; CLAP 2022 has 44100.",
        ),
        (
            r"max_length_s \(`float`, \*optional\*, defaults to 7\.0\):\n( +)Length of a clip in seconds\.",
            r"max_length_s (`float`, *optional*, defaults to 7.0):"
            "\n"
            r"\1Length of a clip in seconds; 5.0 for CLAP 2022.",
        ),
        (
            r"(?s) part, a `\"random\"` one \(for\n.*?cuts them\.\n",
            ' part, or a `"random"` one (for\n            training; the official code does this in inference, too).\n',
        ),
        (r', "windows", "segments"\)', ")"),
    ),
    "processing_clap_afm": (
        (r"a converted or bundled checkpoint", "a converted checkpoint"),
        (r"\(self, feature_extractor: Any, tokenizer: Any\) -> None:", "(self, feature_extractor, tokenizer):"),
    ),
}

# What the rewriting brings in.
KNOWN = {"PreTrainedConfig": Imported("transformers", "PreTrainedConfig", "PreTrainedConfig")}

# Lines of transformers' tables: the file, the table, and its new entries.
MODEL_TYPES = {
    NAME: "MSClapConfig",
    f"{NAME}_audio_model": "MSClapAudioConfig",
    f"{NAME}_cnn14": "MSClapCnn14Config",
    f"{NAME}_htsat": "MSClapHtsatConfig",
    f"{NAME}_text_model": "MSClapTextConfig",
}
MODELS = {kind: name.replace("Config", "Model") for kind, name in MODEL_TYPES.items()}
AUTO = {
    "auto_mappings.py": {
        "CONFIG_MAPPING_NAMES": MODEL_TYPES,
        "SPECIAL_MODEL_TYPE_TO_MODULE_NAME": {kind: NAME for kind in MODEL_TYPES if kind != NAME},
        "FEATURE_EXTRACTOR_MAPPING_NAMES": {NAME: "MSClapFeatureExtractor"},
        "PROCESSOR_MAPPING_NAMES": {NAME: "MSClapProcessor"},
    },
    "modeling_auto.py": {"MODEL_MAPPING_NAMES": MODELS},
    "tokenization_auto.py": {"TOKENIZER_MAPPING_NAMES": {NAME: "GPT2Tokenizer"}},
}
