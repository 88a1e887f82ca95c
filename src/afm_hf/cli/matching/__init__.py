"""Commands, and options of commands, that set texts against audio: labels, their calibration, scores of pairs."""
