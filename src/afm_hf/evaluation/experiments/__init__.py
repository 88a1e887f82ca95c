"""The experiments of the thesis that need more than one evaluation: a table (JSON, CSV) and a picture each."""
