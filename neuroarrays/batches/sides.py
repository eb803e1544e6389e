"""The sides of a split as somebody gave them, checked: positions of presentations, intervals of a clock."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from neuroarrays.batches.splits import Split
from neuroarrays.errors import SchemaError, many
from neuroarrays.tree.columns import seconds


def positions(split: Mapping[str, Any], n: int, where: str) -> Split:
    """Check a split of presentations: positions that exist, none on two sides, none of them empty.

    Parameters
    ----------
    split : mapping of str to (n,) int or (presentation_id,) bool
        Positions, or a mask, of each side.
    n : int
        Number of presentations.
    where : str
        Session and area, for errors.

    Returns
    -------
    dict of (n,) int64
        Positions.

    Raises
    ------
    SchemaError
        Which session, area and split is at fault.
    """
    owner = np.full(n, "", object)
    sides: Split = {}
    for name, given in split.items():
        rows = chosen(given, n, f"{where}: split {name!r}")
        taken = [other for other in owner[rows] if other]
        if taken:
            msg = (
                f"{where}: {many(len(taken), 'presentation')} both in {taken[0]!r} and in {name!r}"
            )
            raise SchemaError(msg)
        owner[rows] = name
        sides[name] = rows
    return sides


def chosen(given: Any, n: int, what: str) -> np.ndarray:
    """Check a choice of presentations.

    Parameters
    ----------
    given : (n,) int or (presentation_id,) bool
        Positions, or a mask.
    n : int
        Number of presentations.
    what : str
        What the choice is, for errors.

    Returns
    -------
    (n,) int64
        Positions.

    Raises
    ------
    SchemaError
        If there is none, or one that does not exist.
    """
    rows = np.asarray(given if np.size(given) else np.empty(0, int))
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


def intervals(split: Mapping[str, Any], where: str) -> Split:
    """Check a split of a clock: intervals with a length, none on two sides.

    Parameters
    ----------
    split : mapping of str to (n, 2) float, s
        Begin and end of the stretches of each side.
    where : str
        Session and area, for errors.

    Returns
    -------
    dict of (n, 2) float64, s
        The same as arrays.

    Raises
    ------
    SchemaError
        Which session, area and split is at fault.
    """
    sides = {name: seconds(part, f"split {name!r}").reshape(-1, 2) for name, part in split.items()}
    every = []
    for name, part in sides.items():
        if part.shape[0] == 0 or not (part[:, 1] > part[:, 0]).all():
            msg = f"{where}: split {name!r} is empty"
            raise SchemaError(msg)
        every += [(begin, end, name) for begin, end in part.tolist()]
    every.sort()
    for (_, end, side), (begin, _, other) in pairwise(every):
        if side != other and begin < end - 1e-9 * max(1.0, abs(end)):
            msg = f"{where}: splits {side!r} and {other!r} share {begin:g} to {end:g} s"
            raise SchemaError(msg)
    return sides
