"""CLAPCAP: captions from CLAP's audio embedding."""
