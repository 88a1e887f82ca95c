"""Adapting a trained model to new sounds without training it anew."""
