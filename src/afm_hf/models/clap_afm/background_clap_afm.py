"""Everyday sounds that a label is measured against where it is scored by itself.

A CLAP's similarity has no zero: what it gives to labels that are not there differs from model to model and clip to
clip. So a label's logit is compared with those of many everyday sounds for the same clip. Above 0.5 says: the label
fits better than nine of ten of these sounds do. It is a place among labels, no probability that the sound is there.
"""

import torch

EVERYDAY_SOUNDS = (
    "rain",
    "thunder",
    "wind",
    "waves on a beach",
    "a stream",
    "a fire crackling",
    "a dog barking",
    "a cat meowing",
    "a cow mooing",
    "a horse neighing",
    "a sheep bleating",
    "a pig grunting",
    "a rooster crowing",
    "hens clucking",
    "a duck quacking",
    "an owl hooting",
    "birds singing",
    "crows cawing",
    "crickets chirping",
    "a frog croaking",
    "a bee buzzing",
    "a lion roaring",
    "a man speaking",
    "a woman speaking",
    "a child speaking",
    "a crowd talking",
    "laughter",
    "a baby crying",
    "a scream",
    "whispering",
    "singing",
    "a choir",
    "coughing",
    "sneezing",
    "snoring",
    "breathing",
    "applause",
    "cheering",
    "footsteps",
    "clapping hands",
    "a door closing",
    "knocking",
    "a doorbell",
    "a telephone ringing",
    "an alarm clock",
    "a clock ticking",
    "typing",
    "a mouse clicking",
    "writing",
    "paper tearing",
    "keys jingling",
    "coins",
    "glass breaking",
    "dishes",
    "cutlery",
    "chopping food",
    "frying food",
    "boiling water",
    "a kettle whistling",
    "a microwave oven",
    "a vacuum cleaner",
    "a washing machine",
    "a hair dryer",
    "water from a tap",
    "a toilet flushing",
    "a shower",
    "brushing teeth",
    "a zipper",
    "a car passing",
    "a car horn",
    "a car engine starting",
    "a truck",
    "a motorcycle",
    "a bus",
    "a train",
    "a siren",
    "an aeroplane",
    "a helicopter",
    "a boat",
    "a bicycle bell",
    "brakes squealing",
    "hammering",
    "sawing wood",
    "a drill",
    "a chainsaw",
    "a lawn mower",
    "a sewing machine",
    "a printer",
    "a camera shutter",
    "an electric hum",
    "static noise",
    "a beep",
    "a gunshot",
    "an explosion",
    "fireworks",
    "a church bell",
    "a whistle",
    "a piano",
    "a guitar",
    "a violin",
    "a flute",
    "a trumpet",
    "an organ",
    "a drum",
    "a cymbal",
    "a synthesizer",
    "a ball bouncing",
    "a splash",
    "wood creaking",
    "metal clanging",
    "silence",
)
SHARE = 0.1  # of the everyday sounds that may fit better than a label of 0.5: a clip may hold several, and synonyms
STEEPNESS = 2.0  # of the sigmoid, per standard deviation of the everyday sounds


def relative_scores(logits: torch.Tensor, everyday: torch.Tensor) -> torch.Tensor:
    """
    Scores from 0 to 1 of labels by themselves.

    Args:
        logits (`torch.Tensor` of shape `(..., labels)`): Of the labels.
        everyday (`torch.Tensor` of shape `(..., sounds)`): Of the everyday sounds, for the same clips.
    """
    everyday = everyday.float()
    spread = everyday.std(dim=-1, keepdim=True).clamp(min=1e-6)
    bar = everyday.quantile(1 - SHARE, dim=-1, keepdim=True)
    return (STEEPNESS * (logits.float() - bar) / spread).sigmoid()


__all__ = ["EVERYDAY_SOUNDS", "relative_scores"]
