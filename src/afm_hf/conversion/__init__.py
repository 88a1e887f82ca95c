"""From the official checkpoints to ours, and from ours to ONNX."""
