"""ADIFF: explains how two clips differ."""
