"""The models, one folder each, as in transformers; `common` and `encoders` hold what several share."""
