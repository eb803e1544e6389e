"""Name generated sessions: each seed has a session of its own, so that several open as one tree."""

from __future__ import annotations


def session_name(name: str, seed: int) -> str:
    """Return the name for seed 0, and "name-1", "name-2", ... for other seeds."""
    return name if seed == 0 else f"{name}-{seed}"
