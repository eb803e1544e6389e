"""The text files of a phy folder: params.py, which is read and never run, and tables of clusters."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass, field
from pathlib import PureWindowsPath
from typing import Any

import numpy as np

from neuroarrays.errors import FormatError, shorten
from neuroarrays.files import safety
from neuroarrays.files.probe import Probe
from neuroarrays.files.texts import read_csv
from neuroarrays.schema import node_name
from neuroarrays.tree.columns import plain_column

#: Column of a table that says whose the row is; phy 1 called it otherwise in cluster_info.
_IDS = ("cluster_id", "id")
_INFO = "cluster_info"


@dataclass(frozen=True)
class Params:
    """What params.py says.

    Attributes
    ----------
    sampling_rate : float or None
        Samples per second.
    values : dict
        All names with plain values.
    problem : str
        Why there is no rate, in words.
    notes : list of str
        What in it was not read.
    """

    sampling_rate: float | None = None
    values: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    notes: list[str] = field(default_factory=list)

    def attrs(self) -> dict[str, Any]:
        """Attributes of the session."""
        kept = {
            key: self.values[key]
            for key in ("n_channels_dat", "dat_path", "dtype")
            if isinstance(self.values.get(key), int | str)
        }
        return kept | ({"sampling_rate": self.sampling_rate} if self.sampling_rate else {})

    def duration(self, folder: Probe) -> float | None:
        """How long the recording is, s, by the size of its file in the folder or beside it; None if unknown.

        Other folders that params.py names are not looked into.
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
    """What params.py says in lines ``name = value``; other code in it is not run, but noted."""
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
    found = f"sample_rate = {rate!r}"[:80] if "sample_rate" in values else "no plain sample_rate"
    return Params(None, values, "; ".join([found, *notes]), notes)


def _assigned(statement: ast.stmt) -> list[str]:
    """The plain names that a statement gives a value to; [] where it does something else."""
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return names if len(names) == len(targets) else []


def _statements(file: Probe) -> list[ast.stmt | str]:
    """The statements of a file; where it is no Python as a whole, of each line, or which line it is."""
    text = file.read_bytes().decode("utf-8-sig", "replace")  # a path may be in any encoding
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
    """The columns of all tables of clusters, in the order of the units.

    Parameters
    ----------
    folder : Probe
        With cluster_*.tsv or .csv. What cluster_info repeats of the others is theirs.
    ids : (unit,) int64
        Clusters that have spikes.
    notes : list of str
        Takes what is in the tables and of no unit, and units that are in none.

    Returns
    -------
    columns : dict of str to (unit,) array
        Numbers, NaN where a table has no row for a unit; or text, "" there.
    tables : set of str
        Names of the files.

    Raises
    ------
    FormatError
        If a table cannot be read, or lists a cluster twice.
    """
    import pandas as pd

    files = [
        child
        for child in folder.glob("cluster_*")
        if child.is_file and child.suffix in (".tsv", ".csv")
    ]
    columns: dict[str, np.ndarray] = {}
    order = sorted(files, key=lambda file: (file.stem == _INFO, file.suffix != ".tsv"))
    for file in order:  # phy reads .csv of its first version, and writes .tsv
        table = _table(file)
        key = next((name for name in _IDS if name in table), None)
        if key is None:
            notes.append(f"{file.name} not read: it has no column cluster_id")
            continue
        numbers = pd.to_numeric(table[key], errors="coerce")
        if numbers.isna().any() or (numbers % 1 != 0).any():
            raise FormatError(file.given, key, "whole numbers", f"{table[key].tolist()[:5]}")
        if numbers.duplicated().any():
            twice = int(numbers[numbers.duplicated()].iloc[0])
            raise FormatError(file.given, key, "each cluster once", f"{twice} twice")
        rows = pd.Index(numbers.astype(np.int64))
        if silent := np.setdiff1d(rows, ids).tolist():
            notes.append(
                f"{file.name}: clusters {shorten(silent)} have no spikes, and are no units"
            )
        if unlisted := np.setdiff1d(ids, rows).tolist():
            notes.append(f"{file.name}: no row for the units {shorten(unlisted)}")
        for name in table.columns.drop(key):
            column = plain_column(table[name].set_axis(rows).reindex(ids))
            if column.dtype.kind not in "biuf":
                column = np.array(["" if text is None else str(text) for text in column], object)
            label = node_name(str(name))
            if label in columns and file.stem != _INFO:
                notes.append(f"{file.name}: {label} not read: another table has it")
            columns.setdefault(label, column)
    return columns, {file.name for file in files}


def _table(file: Probe) -> Any:
    """A text table, a DataFrame; tables of phy are separated by tabs, also those called .csv."""
    text = file.read_text().removeprefix("\ufeff")
    with safety.readable(file.given, "", "a table of clusters"):
        separator = "\t" if "\t" in text.partition("\n")[0] else ","
        return read_csv(text, sep=separator, index_col=False)
