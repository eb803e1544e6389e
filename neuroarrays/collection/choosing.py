"""Rows of a table that fit a condition, in the grammar of `select_units`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroarrays.collection.scanning import CATALOG, PRESENTATIONS, SESSIONS, UNITS
from neuroarrays.errors import NothingLeft, NotInTree, many, quoted
from neuroarrays.formats import rows
from neuroarrays.tree.query import Coded, Query
from neuroarrays.tree.selection import range_of

if TYPE_CHECKING:
    import pandas as pd

#: Of which tables the rows are what.
_CALLED = {UNITS: "unit", PRESENTATIONS: "presentation", SESSIONS: "session", CATALOG: "area"}
#: Parts of a condition, and sessions, that a message speaks of one by one.
_PARTS, _SESSIONS = 6, 6


def check_names(condition: Query, columns: list[str], table: str) -> None:
    """Refuse a condition on a column that there is not.

    Raises
    ------
    NotInTree
        Names the column, and those that there are.
    """
    for name in condition.names:
        if name not in columns:
            raise NotInTree(f"column of the {_CALLED[table]}s", name, columns)


def fitting(condition: Query, frame: pd.DataFrame) -> np.ndarray:
    """Which rows fit: (row,) bool.

    Parameters
    ----------
    condition : Query
        Parsed.
    frame : DataFrame
        Has its columns at least; what a recording lacks is missing there, and fits neither a
        condition nor its `not`.
    """
    return condition.where(_reader(frame), len(frame))


def _reader(frame: pd.DataFrame) -> Any:
    def column(name: str) -> Any:
        values = frame[name]
        if values.dtype != "category":
            return values.to_numpy()
        distinct = [*values.cat.categories.tolist(), None]
        return Coded(np.array(distinct, object), values.cat.codes.to_numpy())

    return column


def nothing_left(condition: Query, frame: pd.DataFrame, table: str) -> NothingLeft:
    """The error for a condition that no row fits: what each part alone would fit, by session.

    Parameters
    ----------
    condition : Query
        What fits nothing.
    frame : DataFrame
        All rows, with the columns of the condition and with path, block and session.
    table : str
        Which table.
    """
    return NothingLeft("; ".join(_why(condition, frame, table)))


def _why(condition: Query, frame: pd.DataFrame, table: str) -> Iterator[str]:
    parts = condition.conditions[:_PARTS]
    fits = [part.where(_reader(frame), len(frame)) for part in parts]
    more = len(condition.conditions) - len(parts)
    each = [f"{p.text!r} alone fits {fit.sum():,}" for p, fit in zip(parts, fits, strict=True)]
    each += [f"{many(more, 'more condition')}"] if more else []
    called = f"{_CALLED[table]} of {len(frame):,}"
    yield f"{quoted(condition.text)} fits no {called}: {', '.join(each)}"
    for name in list(
        dict.fromkeys(
            n for p, fit in zip(parts, fits, strict=True) if not fit.any() for n in p.names
        )
    )[:_PARTS]:
        yield range_of(name, [frame[name].to_numpy()])
    if len(parts) > 1:
        yield from _by_session(frame, fits)


def _by_session(frame: pd.DataFrame, fits: list[np.ndarray]) -> Iterator[str]:
    """How many rows of each session fit each part; those first in which the parts fit most."""
    import pandas as pd

    counts = pd.DataFrame({number: fit for number, fit in enumerate(fits)})
    keys = [name for name in (rows.PATH, rows.BLOCK, rows.SESSION) if name in frame]
    columns = [frame[name].astype(object).to_numpy() for name in keys]
    counted = counts.groupby(columns, sort=False, dropna=False).sum()
    best = counted.assign(least=counted.min(axis=1), total=counted.sum(axis=1))
    best = best.sort_values(["least", "total"], ascending=False, kind="stable")
    names = [key[-1] if isinstance(key, tuple) else key for key in best.index]
    shown = [
        f"{name} {', '.join(f'{number:,}' for number in row)}"
        for name, row in zip(names, best[list(counts.columns)].to_numpy(), strict=True)
    ]
    rest = f" and {len(shown) - _SESSIONS:,} more sessions" if len(shown) > _SESSIONS else ""
    yield f"by session: {'; '.join(shown[:_SESSIONS])}{rest}"
