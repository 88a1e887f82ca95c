"""What all models share: the feature extractor, layers, and results that say what made them."""
