"""Write the groups, tables and series of an Allen session file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroarrays.synthetic.allen_options import AllenOptions

if TYPE_CHECKING:
    import h5py


@dataclass
class SessionPlan:
    """The tables that are written, and the end of the session."""

    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    end: float = 0.0


class AllenPieces:
    """One file, with the options, the random generator, the plan and the true parameters."""

    def __init__(self, file: h5py.File, options: AllenOptions):
        self.file, self.options = file, options
        self.random = np.random.default_rng(options.seed)
        self.plan = SessionPlan()
        self.truth: dict[str, Any] = {}

    def group(self, path: str, kind: str, **attrs: Any) -> h5py.Group:
        """Write a group with its type."""
        group = self.file.require_group(path)
        group.attrs.update({"neurodata_type": kind, "namespace": "core", **attrs})
        return group

    def ends(self, counts: Any) -> np.ndarray:
        """Return the ends of the rows of a ragged column."""
        ends = np.cumsum(counts, dtype=np.int64)
        narrow = self.options.layout != "2020" and ends.size
        return ends.astype(np.min_scalar_type(int(ends[-1]))) if narrow else ends

    def table(self, path: str, kind: str, columns: Mapping[str, Any], ids: np.ndarray) -> None:
        """Write a table with its columns."""
        import h5py

        group = self.group(path, kind, description=f"synthetic {path}")
        for name, values in columns.items():
            text = isinstance(values, list)
            group[name] = np.array(values, h5py.string_dtype()) if text else values
        group["id"] = ids
        group.attrs["colnames"] = np.array([n for n in columns if not n.endswith("_index")], object)

    def series(self, path: str, data: np.ndarray, clock: Any, unit: str) -> h5py.Group:
        """Write a series on its own clock, or on that of another series."""
        import h5py

        group = self.group(path, "TimeSeries", description="no description")
        group["data"] = data
        group["data"].attrs.update({"unit": unit, "conversion": 1.0})
        linked = isinstance(clock, str)
        group["timestamps"] = h5py.SoftLink(f"/{clock}/timestamps") if linked else clock
        return group


def text(value: Any, n: int) -> list[str]:
    """Return the same text n times."""
    return [str(value)] * n
