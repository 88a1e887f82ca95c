"""The tests that transformers asks of all its models, where `scripts/fetch_common_tests.py` has put them."""

import importlib
import sys
from pathlib import Path

import pytest
import transformers

FOLDER = Path(sys.prefix) / "transformers-tests" / transformers.__version__


def mixin(module, name):
    """A class of transformers' common tests; the test module that asks is skipped where they were not fetched."""
    pytest.importorskip("parameterized")
    if not FOLDER.is_dir():
        pytest.skip(
            "transformers' common tests are not here; `python scripts/fetch_common_tests.py` fetches them",
            allow_module_level=True,
        )
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    return getattr(importlib.import_module(f"transformers_tests.{module}"), name)
