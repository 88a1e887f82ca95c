"""Audio Entailment: does a hypothesis follow from a clip?"""
