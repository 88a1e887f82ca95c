"""Commands that repeat experiments of the papers over several data sets or models."""
