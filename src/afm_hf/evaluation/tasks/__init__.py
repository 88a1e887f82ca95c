"""One file for each task of `afm-hf evaluate`."""
