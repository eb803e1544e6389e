"""Functions for a child of `neuroarrays.files.guard` that hang, crash or grow."""

from __future__ import annotations

import os
import time

from neuroarrays.errors import FormatError
from neuroarrays.files import guard


def spin(path: str) -> None:
    """Run for ever."""
    while path:
        pass


def wait(path: str) -> None:
    """Wait for a minute."""
    time.sleep(60)


def crash(path: str) -> None:
    """End the process."""
    os.abort()


def grow(path: str) -> None:
    """Allocate memory without end."""
    blocks = []
    while path:
        blocks.append(bytearray(1 << 26))


def again(path: str) -> str:
    """Start a child from a child."""
    return str(guard.in_child("os.path:basename", path))


def refuse(path: str) -> None:
    """Raise an error that is not one of this package."""
    msg = f"no such thing in {path}"
    raise ValueError(msg)


def name(path: str) -> None:
    """Raise an error of this package."""
    raise FormatError(path, "", "one thing", "another", "do this")
