"""Check the sides of a split that a user gives: positions of presentations, or intervals of a clock."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from neuroarrays.batches.splits import Split
from neuroarrays.errors import SchemaError, many
from neuroarrays.tree.columns import seconds


def check_positions(split: Mapping[str, Any], n: int, where: str) -> Split:
    """Check that a split has existing positions of presentations, on one side each, and no empty side.

    Parameters
    ----------
    split : mapping of str to (n,) int or (presentation_id,) bool
        Positions, or a mask, of each side.
    n : int
        Number of presentations.
    where : str
        Session and area, for error messages.

    Returns
    -------
    dict of (n,) int64
        Positions of the presentations of each side.

    Raises
    ------
    SchemaError
        If the split is not valid; the message names the session, area and side.
    """
    owner = np.full(n, "", object)
    sides: Split = {}
    for name, selection in split.items():
        rows = check_rows(selection, n, f"{where}: split {name!r}")
        if others := [other for other in owner[rows] if other]:
            presentations = many(len(others), "presentation")
            msg = f"{where}: {presentations} both in {others[0]!r} and in {name!r}"
            raise SchemaError(msg)
        owner[rows] = name
        sides[name] = rows
    return sides


def check_rows(selection: Any, n: int, what: str) -> np.ndarray:
    """Check a selection of presentations.

    Parameters
    ----------
    selection : (n,) int or (presentation_id,) bool
        Positions, or a mask.
    n : int
        Number of presentations.
    what : str
        Name of the selection, for error messages.

    Returns
    -------
    (n,) int64
        Positions of the selected presentations.

    Raises
    ------
    SchemaError
        If the selection is empty, or has a position that does not exist.
    """
    rows = np.asarray(selection if np.size(selection) else np.empty(0, int))
    if rows.ndim != 1 or rows.dtype.kind not in "biu" or (rows.dtype == bool and rows.size != n):
        kind = f"{rows.dtype} of shape {rows.shape}"
        msg = f"{what}: expected positions of presentations or a mask of {n}, found {kind}"
        raise SchemaError(msg)
    rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
    if rows.size == 0:
        msg = f"{what}: there are no presentations" if n == 0 else f"{what} is empty"
        raise SchemaError(msg)
    if rows.min() < 0 or rows.max() >= n:
        wrong = rows.min() if rows.min() < 0 else rows.max()
        msg = f"{what} has position {wrong}, but there are {n} presentations"
        raise SchemaError(msg)
    return rows


def check_intervals(split: Mapping[str, Any], where: str) -> Split:
    """Check that a split of a clock has intervals with a length, and no time on two sides.

    Parameters
    ----------
    split : mapping of str to (n, 2) float, s
        Start and end of the stretches of each side.
    where : str
        Session and area, for error messages.

    Returns
    -------
    dict of (n, 2) float64, s
        Start and end of the stretches of each side, as arrays.

    Raises
    ------
    SchemaError
        If the split is not valid; the message names the session, area and side.
    """
    sides = {
        name: seconds(spans, f"split {name!r}").reshape(-1, 2) for name, spans in split.items()
    }
    stretches = []
    for name, spans in sides.items():
        if spans.shape[0] == 0 or not (spans[:, 1] > spans[:, 0]).all():
            msg = f"{where}: split {name!r} is empty"
            raise SchemaError(msg)
        stretches += [(begin, end, name) for begin, end in spans.tolist()]
    stretches.sort()
    for (_, end, side), (begin, _, other) in pairwise(stretches):
        if side != other and begin < end - 1e-9 * max(1.0, abs(end)):
            msg = f"{where}: splits {side!r} and {other!r} share {begin:g} to {end:g} s"
            raise SchemaError(msg)
    return sides
