"""Commands that make data: written by language models, or put together from official files."""
