"""What comes with the package, the official checkpoints, and sharing models on the Hub."""

from .bundled import ASSETS, bundled_audio, bundled_model

__all__ = ["ASSETS", "bundled_audio", "bundled_model"]
