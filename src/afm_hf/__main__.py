"""`python -m afm_hf`: the same as `afm-hf`."""

from .cli import app

app(prog_name="afm-hf")
