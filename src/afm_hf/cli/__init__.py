"""The command line, `afm-hf`: one file a command."""
