"""The most memory that a process has had, and a peak that begins anew where a measurement does."""

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_mb() -> float:
    """The most memory that this process has had, in MB (10^6 bytes).

    Linux also counts what the process that started this one had, if it asks `getrusage`; so the status is read there.
    """
    if _STATUS.is_file():
        return float(_STATUS.read_text().partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def peak_mb_from_now_on() -> float:
    """Memory that this process has, MB; where Linux lets it, its peak begins anew here."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        print("the peak of the memory holds what the process had before, too", file=sys.stderr)
    return peak_mb()
