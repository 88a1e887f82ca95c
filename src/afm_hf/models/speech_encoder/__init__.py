"""Speech encoders of transformers (HuBERT, wav2vec 2.0, Whisper, ...) as an audio encoder, as SELM needs them."""
