"""The most memory that a process has had."""

from pathlib import Path


def peak_mb():
    """Return the peak of this process, MB, since its program began.

    `ru_maxrss` of getrusage is not that: a process begun by another one starts at the peak of that one.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
