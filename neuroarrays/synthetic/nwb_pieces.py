"""Write groups, tables, series and clocks of an NWB file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroarrays.synthetic.nwb_options import NWBOptions

if TYPE_CHECKING:
    import h5py


class NWBPieces:
    """One file, with the options, the random generator and the true parameters."""

    def __init__(self, file: h5py.File, options: NWBOptions, path: Path):
        self.file, self.options, self.path = file, options, path
        self.random = np.random.default_rng(options.seed)
        self.truth: dict[str, Any] = {}

    def group(self, path: str, kind: str, **attrs: Any) -> h5py.Group:
        """Write a group with its type."""
        group = self.file.require_group(path)
        group.attrs.update({"neurodata_type": kind, "namespace": "core", **attrs})
        return group

    def text(self, values: list[str]) -> np.ndarray:
        """Write a column of text."""
        if self.options.text == "fixed":
            return np.array([value.encode() for value in values])
        import h5py

        return np.array(values, h5py.string_dtype())

    def index(self, counts: list[int]) -> np.ndarray:
        """Return the ends of the rows of a ragged column."""
        ends = np.cumsum(counts)
        dtype = np.dtype(self.options.index_dtype)
        if ends.size and ends[-1] > np.iinfo(dtype).max:
            dtype = np.min_scalar_type(int(ends[-1]))
        return ends.astype(dtype)

    def table(self, path: str, kind: str, columns: Mapping[str, Any], ids: np.ndarray) -> None:
        """Write a table with its columns."""
        group = self.group(path, kind, description=f"synthetic {path}")
        for name, values in columns.items():
            group[name] = self.text(values) if _is_text(values) else values
            group[name].attrs["description"] = f"the column {name}"
        group["id"] = ids
        if self.options.colnames:
            names = [name for name in columns if not name.endswith("_index")]
            group.attrs["colnames"] = np.array(names, object)

    def series(self, path: str, kind: str, data: np.ndarray, unit: str, **attrs: Any) -> h5py.Group:
        """Write a series with its unit; its clock is written later."""
        group = self.group(path, kind, description=f"synthetic {path}", comments="no comments")
        group["data"] = data
        group["data"].attrs.update({"unit": unit, "conversion": 1.0, "offset": 0.0, **attrs})
        return group

    def clock(self, group: h5py.Group, size: int, rate: float, start: float) -> np.ndarray:
        """Write the clock of a series as the options tell, and return its times in s."""
        if self.options.clock == "rate":
            group["starting_time"] = start
            group["starting_time"].attrs.update({"rate": rate, "unit": "seconds"})
            return start + np.arange(size) / rate
        times = start + np.arange(size) / rate + self.random.uniform(0, 0.2 / rate, size)
        if self.options.clock == "duplicated":
            times[3] = times[2]
        group["timestamps"] = times
        group["timestamps"].attrs.update({"unit": "seconds", "interval": 1})
        return times


def _is_text(values: Any) -> bool:
    """Whether values are a list of texts."""
    return isinstance(values, list) and bool(values) and isinstance(values[0], str)
