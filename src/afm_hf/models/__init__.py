"""Models, feature extractors, processors and pipelines: flat, because exactly these files may travel to a Hub repo."""
