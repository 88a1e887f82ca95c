"""A plugin of pytest: runs the laid-out tests with the installed transformers and its common tests.

The folder is named by `UPSTREAM_FOLDER`, the common tests by `UPSTREAM_COMMON_TESTS`.
"""

import os
import re
from pathlib import Path

from upstream.joined import join, join_tests

MARKS = ("accelerate_tests", "flash_attn_test", "flash_attn_3_test", "flash_attn_4_test", "torch_compile_test", "order")
MARKS += ("is_pipeline_test", "generate", "not_device_test")
# Without the files that a checkout has and the sdist of transformers lacks they can say nothing.
NEEDS_A_CHECKOUT = re.compile("^test_pipeline_")


def pytest_configure(config):
    """Before any test is collected."""
    for mark in MARKS:
        config.addinivalue_line("markers", f"{mark}: one of transformers' common tests")
    folder = Path(os.environ["UPSTREAM_FOLDER"])
    join_tests(folder, Path(os.environ["UPSTREAM_COMMON_TESTS"]))
    join(folder)


def pytest_collection_modifyitems(config, items):
    """Leaves out what needs a checkout."""
    left_out = [item for item in items if NEEDS_A_CHECKOUT.search(item.name)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
