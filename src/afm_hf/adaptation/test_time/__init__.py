"""Test-time adaptation: a domain vector learned on unlabelled clips.

What a vector does beyond its own clips is measured in `afm_hf.evaluation.test_time_study`.
"""

import importlib
from typing import Any

_STUDY = ("GeneralizationReport", "Task", "adapt_to_task", "generalization_report", "hits")


def __getattr__(name: str) -> Any:
    if name not in _STUDY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # It was here once; by name, for nothing below may import what lies above.
    return getattr(importlib.import_module("afm_hf.evaluation.test_time_study"), name)
