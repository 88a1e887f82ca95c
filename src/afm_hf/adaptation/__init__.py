"""Adapting a model: to unlabelled clips at test time, to a few labelled ones, to captions without audio."""
