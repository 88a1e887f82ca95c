"""Reports of results for people: Markdown with plots, and one HTML page."""

from .writing import main_metric, read_results, write_report

__all__ = ["main_metric", "read_results", "write_report"]
