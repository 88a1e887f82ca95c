"""Every task with the bundled models, their controls, and one report."""

from .running import SuiteResult, run_suite

__all__ = ["SuiteResult", "run_suite"]
