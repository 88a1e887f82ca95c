"""Which audio encoder a model hears with."""
