"""YAMNet, Google's classifier of AudioSet's sounds, as an audio encoder."""
