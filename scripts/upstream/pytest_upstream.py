"""A plugin of pytest: runs the laid-out tests with the installed transformers and its common tests.

The folder is named by `UPSTREAM_FOLDER`, the common tests by `UPSTREAM_COMMON_TESTS`.
"""

import os
from pathlib import Path

from upstream.joined import join, join_tests

MARKS = ("accelerate_tests", "flash_attn_test", "flash_attn_3_test", "flash_attn_4_test", "torch_compile_test", "order")
MARKS += ("is_pipeline_test", "generate", "not_device_test")


def pytest_configure(config):
    """Before any test is collected."""
    for mark in MARKS:
        config.addinivalue_line("markers", f"{mark}: one of transformers' common tests")
    folder = Path(os.environ["UPSTREAM_FOLDER"])
    join_tests(folder, Path(os.environ["UPSTREAM_COMMON_TESTS"]))
    join(folder)
