"""Options that several commands share, and the parsing of their values."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any

_DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")


def seconds(text: str) -> float:
    """Return a duration such as 0.02, 0.02s or 20ms, in seconds."""
    parts = re.fullmatch(r"\s*([-+.\deE]+|nan|inf)\s*(ms|s|us|µs)?\s*", text)
    if not parts:
        msg = f"{text!r} is not a duration; give seconds or milliseconds, e.g. 0.02 or 20ms"
        raise argparse.ArgumentTypeError(msg)
    try:
        number = float(parts[1])
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    per_second = {"ms": 1000, "us": 1_000_000, "µs": 1_000_000}.get(parts[2] or "", 1)
    return number / per_second


def engine(command: argparse.ArgumentParser) -> None:
    """Add the option for the format."""
    command.add_argument(
        "--engine",
        metavar="FORMAT",
        help="name of the format, or package.module:Class of a reader (default: recognised "
        "from the file)",
    )


def recordings(command: argparse.ArgumentParser, about: str, damaged: str) -> None:
    """Add the paths to open, their format, and the option that leaves out damaged ones."""
    command.add_argument("path", metavar="PATH", nargs="+", help=about)
    engine(command)
    command.add_argument(
        "--skip-damaged",
        action="store_true",
        help=f"leave out {damaged} that cannot be read, and print a note for each",
    )


def bins(add: Callable[..., Any], otherwise: str = "") -> None:
    """Add the options that choose the times and the bins."""
    add(
        "--bin-width",
        metavar="S",
        type=seconds,
        default=0.02,
        help="width of a bin, in seconds, or with a unit as in 20ms (default: %(default)s)",
    )
    add(
        "--window",
        metavar=("A", "B"),
        type=seconds,
        nargs=2,
        help="from A to B seconds after each onset; negative is before (default: the longest "
        "presentation)" + otherwise,
    )
    add(
        "--event",
        metavar="COLUMN",
        default="start_time",
        help="column of the table that has the onsets (default: %(default)s)",
    )
    add(
        "--event-clock",
        choices=("session", "presentation"),
        help="what the times of that column count from: the start of the session, or of each "
        "presentation (default: recognised from its values)",
    )
    add(
        "--no-clip",
        dest="clip",
        action="store_false",
        help="also count spikes after the stop of a presentation",
    )


def values(add: Callable[..., Any]) -> None:
    """Add the options that choose the signals and how they are put into bins."""
    add(
        "--series",
        metavar="NAME",
        nargs="+",
        action="extend",
        help="names of the series to align, or patterns such as 'eye*' (default: behaviour)",
    )
    add(
        "--method",
        choices=("linear", "previous", "nearest", "mean", "max", "sum", "any"),
        help="how the samples of a series become bins (default: the mean of each bin, or linear "
        "interpolation if a bin is no wider than the sampling interval)",
    )
    add(
        "--max-gap",
        metavar="S",
        type=seconds,
        help="longest gap in a series that is interpolated over, in seconds",
    )
    add(
        "--dtype",
        default="uint8",
        choices=_DTYPES,
        help="dtype of the counts (default: %(default)s)",
    )
    add(
        "--binarize",
        action="store_true",
        help="write 1 for a bin with any spike, 0 for one with none",
    )
    add(
        "--blanks",
        choices=("drop", "keep"),
        default="drop",
        help="what to do with presentations that their table marks as blank (default: %(default)s)",
    )
    add(
        "--responses",
        metavar="NAME",
        help="the series that becomes `responses`, if the units have several (default: dF/F, "
        "else fluorescence)",
    )
