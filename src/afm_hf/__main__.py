"""`python -m afm_hf`: the same as `afm-hf`."""

from .cli.app import app

app(prog_name="afm-hf")
