"""What CLAPCAP, Pengi, Mellow and ADIFF share: audio as a prefix of a language model."""
