"""The command line, `afm-hf`: one file a command; `app.py` puts them together."""

from .app import app

__all__ = ["app"]
