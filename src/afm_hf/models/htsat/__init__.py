"""HTSAT, the audio encoder of CLAP 2023, CLAPCAP, Pengi, Mellow and ADIFF."""
