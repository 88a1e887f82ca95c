"""Pengi: open and closed audio tasks as text generation."""
