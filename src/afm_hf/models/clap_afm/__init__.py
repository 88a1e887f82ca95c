"""CLAP: contrastive audio and text embeddings."""
