"""The convolutional encoder of aiSFX, trained on professional libraries of sound effects."""
