"""Conditions on the rows of a table, in the grammar of `select_units`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroarrays.collection.scanning import CATALOG, PRESENTATIONS, SESSIONS, UNITS
from neuroarrays.errors import NothingLeft, many, quoted
from neuroarrays.formats import rows
from neuroarrays.tree.query import Coded, Query
from neuroarrays.tree.selection import range_of

if TYPE_CHECKING:
    import pandas as pd

#: Table -> the name of one of its rows, for messages.
_ROW_NAMES = {UNITS: "unit", PRESENTATIONS: "presentation", SESSIONS: "session", CATALOG: "area"}
#: The most parts of a condition, and the most sessions, that a message lists.
_PARTS, _SESSIONS = 6, 6


def fitting_rows(condition: Query, frame: pd.DataFrame) -> np.ndarray:
    """Return which rows fit a condition.

    Parameters
    ----------
    condition : Query
        The condition.
    frame : DataFrame
        A table with at least the columns of the condition. A missing value fits neither a condition
        nor its `not`.

    Returns
    -------
    (row,) bool
    """
    return condition.where(_reader(frame), len(frame))


def _reader(frame: pd.DataFrame) -> Any:
    """Return a function from the name of a column to its values, with categories as codes."""

    def column(name: str) -> Any:
        values = frame[name]
        if values.dtype != "category":
            return values.to_numpy()
        distinct = [*values.cat.categories.tolist(), None]
        return Coded(np.array(distinct, object), values.cat.codes.to_numpy())

    return column


def nothing_left(condition: Query, frame: pd.DataFrame, table: str) -> NothingLeft:
    """Return the error for a condition that no row fits.

    Its message has the number of rows that fit each part of the condition, in all and by session.

    Parameters
    ----------
    condition : Query
        The condition.
    frame : DataFrame
        All rows, with the columns of the condition and with path, block and session.
    table : str
        Name of the table.
    """
    return NothingLeft("; ".join(_reasons(condition, frame, table)))


def _reasons(condition: Query, frame: pd.DataFrame, table: str) -> Iterator[str]:
    """Yield the parts of the message of `nothing_left`."""
    parts = condition.conditions[:_PARTS]
    fits = [part.where(_reader(frame), len(frame)) for part in parts]
    n_more = len(condition.conditions) - len(parts)
    counts = [f"{p.text!r} alone fits {fit.sum():,}" for p, fit in zip(parts, fits, strict=True)]
    if n_more:
        counts.append(many(n_more, "more condition"))
    row_name = f"{_ROW_NAMES[table]} of {len(frame):,}"
    yield f"{quoted(condition.text)} fits no {row_name}: {', '.join(counts)}"
    failing = [part for part, fit in zip(parts, fits, strict=True) if not fit.any()]
    columns = dict.fromkeys(name for part in failing for name in part.names)
    for name in list(columns)[:_PARTS]:
        yield range_of(name, [frame[name].to_numpy()])
    if len(parts) > 1:
        yield from _by_session(frame, fits)


def _by_session(frame: pd.DataFrame, fits: list[np.ndarray]) -> Iterator[str]:
    """Yield how many rows of each session fit each part, beginning with the sessions that fit best."""
    import pandas as pd

    counts = pd.DataFrame({number: fit for number, fit in enumerate(fits)})
    keys = [name for name in (rows.PATH, rows.BLOCK, rows.SESSION) if name in frame]
    columns = [frame[name].astype(object).to_numpy() for name in keys]
    counted = counts.groupby(columns, sort=False, dropna=False).sum()
    best = counted.assign(least=counted.min(axis=1), total=counted.sum(axis=1))
    best = best.sort_values(["least", "total"], ascending=False, kind="stable")
    names = [key[-1] if isinstance(key, tuple) else key for key in best.index]
    texts = [
        f"{name} {', '.join(f'{number:,}' for number in row)}"
        for name, row in zip(names, best[list(counts.columns)].to_numpy(), strict=True)
    ]
    rest = f" and {len(texts) - _SESSIONS:,} more sessions" if len(texts) > _SESSIONS else ""
    yield f"by session: {'; '.join(texts[:_SESSIONS])}{rest}"
