"""The text files of a phy folder: params.py, which is parsed and never run, and tables of clusters."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass, field
from pathlib import PureWindowsPath
from typing import Any

import numpy as np

from neuroarrays.errors import FormatError, many, shorten
from neuroarrays.files import safety
from neuroarrays.files.probe import Probe
from neuroarrays.files.texts import as_utf8, read_csv
from neuroarrays.formats.labels import label_column
from neuroarrays.schema import node_name

#: Names of the column of a table with the cluster of a row; phy 1 wrote "id" in cluster_info.
_IDS = ("cluster_id", "id")
_INFO = "cluster_info"


@dataclass(frozen=True)
class Params:
    """The contents of params.py.

    Attributes
    ----------
    sampling_rate : float or None, Hz
        Samples per second.
    values : dict
        Values of all names that have a plain value.
    problem : str
        A sentence that tells why there is no rate, or "".
    notes : list of str
        Notes about lines that were not read.
    """

    sampling_rate: float | None = None
    values: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    notes: list[str] = field(default_factory=list)

    def attrs(self) -> dict[str, Any]:
        """Return attributes of the session."""
        attrs = {
            key: self.values[key]
            for key in ("n_channels_dat", "dat_path", "dtype")
            if isinstance(self.values.get(key), int | str)
        }
        return attrs | ({"sampling_rate": self.sampling_rate} if self.sampling_rate else {})

    def duration(self, folder: Probe) -> float | None:
        """Return the duration of the recording in s, by the size of its file, or None if unknown.

        The file is looked for in the folder and beside it, but not in other folders of params.py.
        """
        stored = self.values.get("dat_path")
        paths = stored if isinstance(stored, list | tuple) else [stored]
        channels, offset = self.values.get("n_channels_dat"), self.values.get("offset", 0)
        if len(paths) != 1 or not isinstance(paths[0], str) or not self.sampling_rate:
            return None
        if not (isinstance(channels, int) and channels > 0 and isinstance(offset, int)):
            return None
        name = PureWindowsPath(paths[0]).name
        recording = next((p for p in (folder.child(name), folder.beside(name)) if p.is_file), None)
        try:
            width = np.dtype(self.values.get("dtype", "int16")).itemsize
        except TypeError:
            return None
        if recording is None or not width or recording.size < offset:
            return None
        samples: int = (recording.size - offset) // (channels * width)
        return samples / self.sampling_rate


def read_params(file: Probe) -> Params:
    """Read the lines ``name = value`` of params.py; other code is not run, and notes name it."""
    if not file.is_file:
        return Params(problem="no such file")
    values: dict[str, Any] = {}
    code: list[str] = []
    for statement in _statements(file):
        if isinstance(statement, str):
            code.append(statement)
            continue
        names = _assigned(statement)
        try:
            if not names or not isinstance(statement, ast.Assign | ast.AnnAssign):
                raise ValueError
            values |= dict.fromkeys(names, ast.literal_eval(statement.value or ast.Constant(None)))
        except (ValueError, TypeError, RecursionError, MemoryError):
            of_names = f" ({', '.join(names)})" if names else ""
            code.append(f"line {statement.lineno}{of_names}")
    notes = [f"params.py: {shorten(code)} not read: code, which is never run"] if code else []
    rate = values.get("sample_rate")
    if isinstance(rate, int | float) and not isinstance(rate, bool) and 0 < rate < math.inf:
        return Params(float(rate), values, "", notes)
    problem = f"sample_rate = {rate!r}"[:80] if "sample_rate" in values else "no plain sample_rate"
    return Params(None, values, "; ".join([problem, *notes]), notes)


def _assigned(statement: ast.stmt) -> list[str]:
    """Return the names that a statement assigns a value to; [] if it does anything else."""
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return names if len(names) == len(targets) else []


def _statements(file: Probe) -> list[ast.stmt | str]:
    """Return the statements of a file, parsed line by line if it is not Python as a whole.

    A line that is not Python is returned as text, such as "line 3".
    """
    text = as_utf8(file.read_bytes()).decode()
    try:
        return list(ast.parse(text).body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    statements: list[ast.stmt | str] = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            statements += ast.parse(line.strip()).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            statements.append(f"line {number}")
    return statements


def cluster_labels(
    folder: Probe, ids: np.ndarray, notes: list[str]
) -> tuple[dict[str, np.ndarray], set[str]]:
    """Read the columns of all tables of clusters, in the order of the units.

    Parameters
    ----------
    folder : Probe
        Folder with cluster_*.tsv or .csv. If cluster_info repeats a column of another table, the
        other table counts.
    ids : (unit,) int64
        Clusters that have spikes.
    notes : list of str
        Notes are added about tables and rows that cannot be read, rows of no unit, and units
        without a row.

    Returns
    -------
    columns : dict of str to (unit,) array
        Numbers, or text. A unit without a row has NaN or "".
    tables : set of str
        Names of the files.

    """
    files = [
        child
        for child in folder.glob("cluster_*")
        if child.is_file and child.suffix in (".tsv", ".csv")
    ]
    columns: dict[str, np.ndarray] = {}
    order = sorted(files, key=lambda file: (file.stem == _INFO, file.suffix != ".tsv"))
    for file in order:  # phy writes .tsv, and reads .csv that its first version wrote
        try:
            table = _by_cluster(file, notes)
        except FormatError as error:
            notes.append(f"{file.name} not read: expected {error.expected}, found {error.found}")
            continue
        rows = table.index
        if silent := np.setdiff1d(rows, ids).tolist():
            notes.append(
                f"{file.name}: clusters {shorten(silent)} have no spikes, and are no units"
            )
        if unlisted := np.setdiff1d(ids, rows).tolist():
            notes.append(f"{file.name}: no row for the units {shorten(unlisted)}")
        for name in table.columns:
            column = label_column(table[name].reindex(ids))
            label = node_name(str(name))
            if label in columns and file.stem != _INFO:
                notes.append(f"{file.name}: {label} not read: another table has it")
            columns.setdefault(label, column)
    return columns, {file.name for file in files}


def _by_cluster(file: Probe, notes: list[str]) -> Any:
    """Read a table of clusters as a DataFrame with the clusters as its index.

    Rows without a cluster are left out, with a note: phy leaves such rows where clusters were merged.

    Raises
    ------
    FormatError
        If it is no table, has no clusters, or has a cluster twice.
    """
    import pandas as pd

    table = _table(file)
    key = next((name for name in _IDS if name in table), None)
    if key is None:
        raise FormatError(file.as_given, "", "a column cluster_id", shorten(map(str, table)))
    numbers = pd.to_numeric(table[key], errors="coerce")
    known = (numbers % 1 == 0).to_numpy()
    if not known.all():
        rows = many(int((~known).sum()), "row")
        notes.append(f"{file.name}: {rows} left out, where {key} is no number of a cluster")
    clusters = numbers[known].astype(np.int64)
    if clusters.duplicated().any():
        twice = clusters[clusters.duplicated()].iloc[0]
        raise FormatError(file.as_given, key, f"each cluster once in {key}", f"{twice} twice")
    return table[known].drop(columns=key).set_axis(pd.Index(clusters), axis=0)


def _table(file: Probe) -> Any:
    """Read a text table as a DataFrame; tables of phy have tabs as separators, also as .csv."""
    text = as_utf8(file.read_bytes())
    if not text.strip():
        raise FormatError(file.as_given, "", "a table of clusters", "an empty file")
    with safety.readable(file.as_given, "", "a table of clusters"):
        separator = "\t" if b"\t" in text.partition(b"\n")[0] else ","
        return read_csv(text, sep=separator, index_col=False)
