"""Anything that holds sound to checked float32 samples at the wanted rate, and these to log-mel spectrograms."""
