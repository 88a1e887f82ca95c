"""Mellow: two clips and a prompt, with a small language model."""
