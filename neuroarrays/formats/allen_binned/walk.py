"""Read the structure of a file of the binned archive with h5py's low-level calls, without xarray.

Dimensions are recognised by their sizes. Object references are used only if two sizes are equal, because
HDF5 searches the whole file for the name of a referenced object, for which other readers need minutes.
Only labels are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files.hdf5 import HDF5Source
from neuroarrays.files.probe import Probe
from neuroarrays.files.source import Source
from neuroarrays.formats.allen import stimuli

if TYPE_CHECKING:
    import h5py

SESSION = re.compile(r"session_[^/]+")
SPIKES, SPEED, TRIALS = "spike_data", "speed", "presentations"
PUPILS = ("gaze_data", "pupil_data")
#: Ending of the name of a signal of gaze -> its unit.
_UNITS = {"_cm": "cm", "_deg": "degree"}
_NO_VARIABLE = b"This is a netCDF dimension but not a netCDF variable"


def unit_of(name: str) -> str | None:
    """Return the unit of a signal of gaze or of a parameter of the presentations; None if it has none."""
    return stimuli.UNITS.get(name) or next(
        (unit for end, unit in _UNITS.items() if name.endswith(end)), None
    )


@dataclass(frozen=True)
class Array:
    """One dataset: its path and its dimensions."""

    path: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype


@dataclass(frozen=True)
class BinnedGroup:
    """One netCDF group: its variables, and the values of its coordinates."""

    path: str
    arrays: dict[str, Array] = field(default_factory=dict)
    labels: dict[str, np.ndarray] = field(default_factory=dict)


class Walk:
    """One open file."""

    def __init__(self, path: str, file: h5py.File):
        from h5py import h5d, h5g, h5l, h5o

        self.path, self.file = path, file.id
        self._open_object, self._dataset, self._group = h5o.open, h5d.DatasetID, h5g.GroupID
        self._hard = h5l.TYPE_HARD
        self._held: dict[str, Any] = {}

    def sessions(self) -> list[str]:
        """Return the names of the sessions."""
        return [name for name in self._names(self.file) if SESSION.fullmatch(name)]

    def areas(self, session: str) -> list[str]:
        """Return the names of the areas of a session."""
        return self._names(self._open(session))

    def groups(self, area: str) -> list[str]:
        """Return the names of the groups of an area, which is given by its path."""
        return self._names(self._open(area))

    def shapes(self, area: str) -> dict[str, int]:
        """Return presentations, units and times of an area, from the sizes of its coordinates."""
        group = self._open(f"{area}/{SPIKES}")
        names = ("presentation_id", "unit_id", "time")
        return {name: int(self._child(group, name, area).shape[0]) for name in names}

    def group(self, path: str) -> BinnedGroup:
        """Return a group with its variables and labels."""
        from h5py import h5a, h5ds

        parent = self._open(path)
        datasets: dict[str, Any] = {}
        for name in self._names(parent):
            child = self._child(parent, name, path)
            if isinstance(child, self._dataset):
                datasets[name] = child
        scales = {
            name: dataset
            for name, dataset in datasets.items()
            if h5a.exists(dataset, b"CLASS") and h5ds.is_scale(dataset)
        }
        sizes = {name: dataset.shape[0] for name, dataset in scales.items() if dataset.rank == 1}
        group = BinnedGroup(path)
        for name, dataset in datasets.items():
            if name in sizes:
                if not h5ds.get_scale_name(dataset).startswith(_NO_VARIABLE):
                    group.labels[name] = self._values(dataset)
            elif name not in scales:
                dims = _by_size(dataset.shape, sizes) or self._by_reference(dataset, scales, path)
                dtype = dataset.dtype.newbyteorder("=")
                group.arrays[name] = Array(f"{path}/{name}", dims, dataset.shape, dtype)
        return group

    def fault(self, where: str, expected: str, found: str, hint: str = "") -> FormatError:
        """Return an error that names the file and the path in it."""
        hint = hint or "the file is damaged or was not written to its end"
        return FormatError(self.path, where, expected, found, hint)

    def _names(self, group: Any) -> list[str]:
        return sorted(name.decode() for name in group)

    def _open(self, path: str) -> Any:
        """Open a group by its path; the session and area that were opened last stay open."""
        if path in self._held:
            return self._held[path]
        above, _, name = path.rpartition("/")
        group = self._child(self._open(above) if above else self.file, name, above)
        if not isinstance(group, self._group):
            raise self.fault(path, "a group", "a dataset")
        depth = path.count("/")
        if depth < 2:
            self._held = {p: g for p, g in self._held.items() if p.count("/") < depth}
            self._held[path] = group
        return group

    def _child(self, parent: Any, name: str, where: str) -> Any:
        """What a name in a group is; only what lies inside this file."""
        encoded = name.encode()
        try:
            kind = parent.links.get_info(encoded).type
        except KeyError:
            raise self.fault(f"{where}/{name}", "something of this name", "nothing") from None
        if kind != self._hard:
            raise self.fault(where, "data inside this file", f"a link {name!r}", "copy the data")
        return self._open_object(parent, encoded)

    def _values(self, dataset: Any) -> np.ndarray:
        from h5py import h5s

        values = np.empty(dataset.shape, dataset.dtype.newbyteorder("="))
        if values.size:
            dataset.read(h5s.ALL, h5s.ALL, values)
        return values

    def _by_reference(self, dataset: Any, scales: dict[str, Any], group: str) -> tuple[str, ...]:
        """Return the names of dimensions by the addresses that references point to."""
        import h5py
        from h5py import h5o, h5r

        known = {h5o.get_info(dims).addr: name for name, dims in scales.items()}
        lists = h5py.Dataset(dataset).attrs.get("DIMENSION_LIST", ())
        dims = [h5r.dereference(refs[0], self.file) for refs in lists if len(refs)]
        names = [known.get(h5o.get_info(scale).addr, "") for scale in dims]
        if len(names) != dataset.rank or not all(names):
            raise self.fault(group, "dimensions with coordinates in the group", f"{names}")
        return tuple(names)


def _by_size(shape: tuple[int, ...], sizes: dict[str, int]) -> tuple[str, ...]:
    """Return the names of the dimensions if sizes tell them apart; () if not."""
    names = {size: name for name, size in sizes.items()}
    if len(names) < len(sizes) or len(set(shape)) < len(shape) or not set(shape) <= set(names):
        return ()
    return tuple(names[size] for size in shape)


@contextmanager
def walking(source: Source) -> Iterator[Walk]:
    """Open a file in a ``with`` block; errors of h5py are raised with its name.

    Raises
    ------
    FormatError
        If it is not readable HDF5.
    """
    if not isinstance(source, HDF5Source):
        raise FormatError(source.path, "", "an HDF5 file", "a Zarr store")
    with source.opened() as file:
        yield Walk(source.path, file)


def claims(probe: Probe) -> bool:
    """Whether an HDF5 file has sessions with areas with spikes, as the archive has them."""
    sessions = [name for name in probe.names if SESSION.fullmatch(name)]
    if probe.container != "hdf5" or not sessions:
        return False
    with walking(probe.source) as walk:
        areas = walk.areas(sessions[0])[:3]
        return any(SPIKES in walk.groups(f"{sessions[0]}/{area}") for area in areas)
