"""The tables of presentations of the published archive, a csv of all sessions, as a tree.

``01_presentations_original.csv`` has a row for each presentation, and for each frame of a movie;
``02_presentations_whole_movies.csv`` has one row for each showing of a movie;
``03_presentations_filtered_by_duration.csv`` lacks presentations of unusual duration, and was binned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files import safety
from neuroarrays.files.probe import Probe
from neuroarrays.files.source import decoded
from neuroarrays.files.texts import read_csv
from neuroarrays.formats.allen_binned.walk import unit_of
from neuroarrays.formats.request import Request
from neuroarrays.lazy.indexes import dataset

if TYPE_CHECKING:
    import pandas as pd

_SESSION, _ID, _NAME = "session_id", "stimulus_presentation_id", "stimulus_name"
#: The most bytes of a table of all sessions.
_LARGEST = 4 << 30
#: Column of numbers -> the kinds of dtypes that it may have.
_TIMES = ((schema.START_TIME, "iuf"), (schema.STOP_TIME, "iuf"))
#: Names of the tables in their folder; the one that was binned comes first.
_FILES = (
    "03_presentations_filtered_by_duration.csv",
    "02_presentations_whole_movies.csv",
    "01_presentations_original.csv",
)


def table_of(probe: Probe) -> Probe | None:
    """Return the table at a path, or that of a folder that was binned; None if there is none."""
    if probe.is_folder:
        inside = [probe.child(name) for name in _FILES if name in probe.listing]
        return next((file for file in inside if not file.pointer), next(iter(inside), None))
    if not probe.is_file or probe.suffix != ".csv":
        return None
    first = decoded(probe.head.partition(b"\n")[0]).strip().split(",")
    return probe if {_SESSION, _ID, _NAME} <= set(first) else None


def groups(table: Probe, request: Request) -> dict[str, xr.Dataset]:
    """Return the nodes ``session_<id>/presentations/<stimulus>``.

    Raises
    ------
    FormatError
        If it is a pointer of git-annex, or another table.
    """
    frame = _frame(table)
    names = {f"session_{number}": number for number in frame[_SESSION].unique()}
    nodes: dict[str, xr.Dataset] = {}
    for name in request.sessions(names):
        rows = frame[frame[_SESSION] == names[name]]
        nodes[name] = xr.Dataset(attrs={"session_id": str(names[name])})
        for stimulus, shown in rows.groupby(_NAME, sort=True):
            node = f"{name}/{schema.PRESENTATIONS}/{schema.node_name(str(stimulus))}"
            nodes[node] = _table(shown.drop(columns=[_SESSION, _NAME]))
    return nodes


def _frame(table: Probe) -> pd.DataFrame:
    """Read the rows of all sessions, after checking columns and times (s)."""
    table.check_pointer()
    with safety.readable(table.path, "", "a table of presentations"):
        frame = read_csv(table.read_bytes(_LARGEST), ("null",))
    if lacking := [name for name in (_SESSION, _ID, _NAME) if name not in frame]:
        raise FormatError(
            table.as_given, "", f"the columns {_SESSION}, {_ID}, {_NAME}", f"no {lacking[0]}"
        )
    if not len(frame):
        raise FormatError(table.as_given, "", "a row for each presentation", "no row")
    for name, kinds in ((_SESSION, "iu"), (_ID, "iu"), (_NAME, "OUT"), *_TIMES):
        if name in frame and frame[name].to_numpy().dtype.kind not in kinds:
            what = "whole numbers" if kinds == "iu" else "text" if name == _NAME else "numbers"
            raise FormatError(table.as_given, name, f"{what} in every row", f"{frame[name].dtype}")
    return frame


def _table(rows: pd.DataFrame) -> xr.Dataset:
    """Return the columns of a stimulus, as numbers if all values are."""
    ids = xr.Variable(schema.PRESENTATION, rows[_ID].to_numpy(np.int64))
    variables = {}
    for name, column in rows.drop(columns=_ID).dropna(axis="columns", how="all").items():
        values = column.infer_objects().to_numpy()
        if values.dtype.kind not in "iufb":
            values = np.array([v if isinstance(v, str) else str(v) for v in values], object)
        unit = unit_of(str(name)) if values.dtype.kind in "iuf" else None
        variables[str(name)] = schema.var(
            "table", str(name), values, (schema.PRESENTATION,), **({"units": unit} if unit else {})
        )
    return dataset(variables, {schema.PRESENTATION: ids})
