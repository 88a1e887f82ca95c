"""Puts this folder on the path, so that every test can `import tiny_models`; one thread per test process."""

import os

# Tiny models lose time to threads, the more when several test processes share the cores. Set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
