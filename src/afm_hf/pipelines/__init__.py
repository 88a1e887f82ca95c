"""One class for each task of `transformers.pipeline`, on a common base."""
