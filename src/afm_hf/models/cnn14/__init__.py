"""Cnn14 of PANNs, the audio encoder of CLAP 2022."""
