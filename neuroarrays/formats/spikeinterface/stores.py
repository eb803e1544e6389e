"""`Store`: a folder of npy, csv and json files, or a Zarr store, as spikeinterface writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from neuroarrays.errors import FormatError
from neuroarrays.files import safety
from neuroarrays.files.members import npy_records
from neuroarrays.files.probe import Probe
from neuroarrays.files.source import Source
from neuroarrays.files.texts import read_csv
from neuroarrays.lazy.arrays import LazyArray, file_array
from neuroarrays.lazy.computed import Elementwise


@dataclass(frozen=True)
class Store:
    """A folder or Zarr store, whose arrays, tables and facts have the same names in both.

    Attributes
    ----------
    probe : Probe
        Path of the folder or store.
    """

    probe: Probe

    @property
    def is_zarr(self) -> bool:
        """Whether it is a Zarr store."""
        return self.probe.container == "zarr"

    def facts(self, group: str, name: str) -> dict[str, Any]:
        """Read a json file of a folder, or the attribute of that name of a group; {} if it is missing.

        Raises
        ------
        FormatError
            If it is not a json object of names and values.
        """
        if self.is_zarr:
            attrs = self.probe.source.attrs(group) if group else self.probe.attrs
            facts = attrs.get(name, {})
        else:
            file = self.probe.child(f"{group}/{name}.json".lstrip("/"))
            facts = file.read_json() if file.is_file else {}
        if not isinstance(facts, dict):
            where = f"{group}/{name}".lstrip("/")
            raise FormatError(self.probe.as_given, where, "names and values", f"{facts!r:.80}")
        return facts

    def children(self, group: str) -> list[str]:
        """Return the names of the members of a group, without suffixes; [] if it does not exist."""
        if self.is_zarr:
            return self.probe.source.names(group)
        return [child.stem for child in self.probe.child(group).children]

    def source(self, name: str) -> tuple[Source, str] | None:
        """Return the source of an array of plain values, and its name there; None if it is missing."""
        if self.is_zarr:
            source = self.probe.source
            return (source, name) if source.info(name) is not None else None
        file = self.probe.child(f"{name}.npy")
        return (file.source, file.stem) if file.is_file else None

    def array(self, name: str) -> LazyArray | None:
        """Return an array of plain values; None if it is missing.

        Raises
        ------
        FormatError
            If the array is damaged, or has Python objects.
        """
        source = self.source(name)
        return None if source is None else file_array(*source)

    def fields(self, name: str) -> dict[str, LazyArray]:
        """Return the fields of an array of records by name; {} if the array is missing."""
        if not self.is_zarr:
            file = self.probe.child(f"{name}.npy")
            if not file.is_file:
                return {}
            records = npy_records(file)
            return {field: file_array(records, field) for field in records.members()}
        array = self.array(name)
        if array is None:
            return {}
        return {
            field: Elementwise(_field, (array,), dtype, (field,))
            for field, (dtype, *_) in (array.dtype.fields or {}).items()
        }

    def table(self, name: str) -> pd.DataFrame | None:
        """Read a table, indexed by its first column as text; None if it is missing.

        Raises
        ------
        FormatError
            If the table cannot be read.
        """
        if not self.is_zarr:
            file = self.probe.child(f"{name}.csv")
            if not file.is_file:
                return None
            text = file.read_bytes()
            with safety.readable(file.as_given, "", "a table"):
                table = read_csv(text, dtype={0: str})
                return table.set_index(table.columns[0])
        source = self.probe.source
        columns = {key: source.read(f"{name}/{key}") for key in source.names(name)}
        if "index" not in columns:
            return None
        with safety.readable(self.probe.as_given, name, "columns of one length"):
            return pd.DataFrame(columns).astype({"index": str}).set_index("index")


def _field(records: np.ndarray, name: str) -> np.ndarray:
    """Return one field of records."""
    return np.asarray(records[name])
