"""Values of options, read from what is typed."""

from __future__ import annotations

import argparse
import re


def seconds(text: str) -> float:
    """A duration such as 0.02, 0.02s or 20ms, in seconds."""
    parts = re.fullmatch(r"\s*([-+.\deE]+|nan|inf)\s*(ms|s|us|µs)?\s*", text)
    if not parts:
        msg = f"{text!r} is no duration; expected e.g. 0.02 or 20ms"
        raise argparse.ArgumentTypeError(msg)
    try:
        number = float(parts[1])
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    per_second = {"ms": 1000, "us": 1_000_000, "µs": 1_000_000}.get(parts[2] or "", 1)
    return number / per_second
