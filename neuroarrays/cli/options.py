"""Options that several commands have, and values of options, read from what is typed."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any

_DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")


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


def engine(command: argparse.ArgumentParser) -> None:
    """Which format it is."""
    command.add_argument(
        "--engine",
        metavar="FORMAT",
        help="name of the format, or package.module:Class of a reader; found by looking when not given",
    )


def recordings(command: argparse.ArgumentParser, about: str, damaged: str) -> None:
    """What is opened, in which format, and whether damaged sessions or recordings are left out."""
    command.add_argument("path", metavar="PATH", nargs="+", help=about)
    engine(command)
    command.add_argument(
        "--skip-damaged",
        action="store_true",
        help=f"leave out {damaged} that cannot be read, with a note",
    )


def bins(add: Callable[..., Any], otherwise: str = "") -> None:
    """Which times are aligned, and in what bins."""
    add(
        "--bin-width",
        metavar="S",
        type=seconds,
        default=0.02,
        help="width of a bin, in seconds or as 20ms (default: %(default)s)",
    )
    add(
        "--window",
        metavar=("A", "B"),
        type=seconds,
        nargs=2,
        help="from A to B seconds relative to each onset (default: the longest presentation)"
        + otherwise,
    )
    add(
        "--event",
        metavar="COLUMN",
        default="start_time",
        help="column of the table that onsets are taken from (default: %(default)s)",
    )
    add(
        "--event-clock",
        choices=("session", "presentation"),
        help="what that column counts from; found by comparing it when not given",
    )
    add(
        "--no-clip",
        dest="clip",
        action="store_false",
        help="count spikes after a presentation's stop too",
    )


def values(add: Callable[..., Any]) -> None:
    """What is aligned, and how it is put into bins."""
    add(
        "--series",
        metavar="NAME",
        nargs="+",
        action="extend",
        help="names or globs of the series to align (default: behaviour)",
    )
    add(
        "--method",
        choices=("linear", "previous", "nearest", "mean", "max", "sum", "any"),
        help="what becomes of the samples of a series (default: the mean of each bin, linear "
        "interpolation where bins are no wider than the sampling interval)",
    )
    add("--max-gap", metavar="S", type=seconds, help="longest gap in a series that is bridged")
    add(
        "--dtype",
        default="uint8",
        choices=_DTYPES,
        help="dtype of the counts (default: %(default)s)",
    )
    add("--binarize", action="store_true", help="1 where there is any spike")
    add(
        "--blanks",
        choices=("drop", "keep"),
        default="drop",
        help="presentations that their table marks as blank (default: %(default)s)",
    )
    add(
        "--responses",
        metavar="NAME",
        help="which of several series of the same units is `responses` (default: dF/F, else fluorescence)",
    )
