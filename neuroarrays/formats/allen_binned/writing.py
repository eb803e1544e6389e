"""Write the published binned archive of Allen Visual Coding in its exact layout.

`write_allen_binned` makes the files that its pipeline made: a netCDF-4 group per session, area and
kind of signal, coordinates repeated in each, int8 and float32, neither compressed nor chunked,
without attributes. Code written for the published files reads these unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays._version import __version__
from neuroarrays.errors import SchemaError, option, shorten, warn
from neuroarrays.files.blocks import blocks
from neuroarrays.files.writing import interruptible, new_hdf5
from neuroarrays.lazy.arrays import identity

if TYPE_CHECKING:
    import h5py

PRESENTATION, UNIT, TIME = schema.PRESENTATION, schema.UNIT, schema.TIME
#: Texts that mean a missing number in columns of the published tables.
_MISSING = ("", "null", "N/A", "nan", "NaN", "None")
_SPIKE_DIMS = (PRESENTATION, TIME, UNIT)
_SIGNAL_DIMS = (TIME, PRESENTATION)

Report = Callable[[int], None]


@dataclass
class PublishedArea:
    """The contents of one area that are written.

    Attributes
    ----------
    path : str
        Path of the area: ``session_<id>/<area>``.
    groups : dict
        Name of a group -> its variables, with dimensions in the order of the file.
    labels : dict
        Coordinates by name, with the dtypes of the file.
    """

    path: str
    groups: dict[str, dict[str, xr.Variable]] = field(default_factory=dict)
    labels: dict[str, np.ndarray] = field(default_factory=dict)


class LeftOut(UserWarning):
    """Contents for which the layout has no place, each with the first path where it was."""

    def __init__(self, left: dict[str, str]):
        super().__init__(left)  # so that it is the same after a pickle
        self.left = left

    def __str__(self) -> str:
        listed = "; ".join(f"{what} ({where})" for what, where in self.left.items())
        return f"the layout allen_binned has no place for: {listed}"


def write_allen_binned(
    tree: xr.DataTree, path: Path, at: Callable[[str], None], add: Report
) -> None:
    """Write an aligned trial tree as one file of the published archive.

    Parameters
    ----------
    tree : xr.DataTree
        ``<session>/<area>`` with ``spike_data`` along presentation_id, unit_id and time.
    path : Path
        Path of the new file.
    at, add : callable
        Called with the path that is being written, and with the number of bytes written.

    Raises
    ------
    SchemaError
        If the tree has no such form, or values that the layout cannot hold.

    Warns
    -----
    UserWarning
        Once, with everything of the tree that the layout has no place for.
    """
    import h5py

    left: dict[str, str] = {}
    areas = list(_areas(tree, left))
    if left:
        warn(LeftOut(left))
    with new_hdf5(path, track_order=True) as (file, check):
        versions = f"version=2,neuroarrays={__version__},hdf5={h5py.version.hdf5_version}"
        file.attrs["_NCProperties"] = np.bytes_(versions)
        writer = _PublishedWriter(file, add, check)
        for area in areas:
            at(area.path)
            writer.forget(but=area.path.partition("/")[0])
            for name, variables in area.groups.items():
                writer.group(f"{area.path}/{name}", variables, area.labels)


# ------------------------------------------------------------------------------- what is written


def _areas(tree: xr.DataTree, left: dict[str, str]) -> Iterator[PublishedArea]:
    """Return the areas of a tree in the order of the file, after checking that they fit."""
    if schema.kind_of(tree) != schema.ALIGNED:
        msg = "the layout allen_binned holds aligned trees; na.align makes one of a recording tree"
        raise SchemaError(msg)
    paths = sorted(schema.area_paths(tree))
    if not paths:
        msg = "the tree has no areas to write"
        raise SchemaError(msg)
    for path in paths:
        if path.count("/") != 1:
            msg = (
                f"{path}: the layout allen_binned has one file per stimulus, with <session>/<area>; "
                "save each block as a tree of its own"
            )
            raise SchemaError(msg)
    named = [_path_in_file(path) for path in paths]
    if len(set(named)) < len(named):
        msg = f"two sessions would have one name: {shorten(sorted(named))}"
        raise SchemaError(msg)
    nodes = dict(tree.subtree_with_keys)
    for node_path in (".", *dict.fromkeys(path.partition("/")[0] for path in paths)):
        node = nodes[node_path]
        _leave_out(left, f"attributes {shorten(node.attrs)}" if node.attrs else "", node_path)
        for name in node.to_dataset(inherit=False).data_vars:
            _leave_out(left, str(name), node_path)
    for path, name_in_file in zip(paths, named, strict=True):
        yield _area(nodes[path], path, name_in_file, left)


def _path_in_file(path: str) -> str:
    session, _, area = path.partition("/")
    return f"{session if session.startswith('session_') else f'session_{session}'}/{area}"


def _leave_out(left: dict[str, str], what: str, where: str) -> None:
    """Record what is left out, with the first path where it was."""
    if what:
        left.setdefault(what, where)


def _area(node: xr.DataTree, path: str, name_in_file: str, left: dict[str, str]) -> PublishedArea:
    dataset = node.to_dataset()
    area = PublishedArea(name_in_file)
    for name in _SPIKE_DIMS:
        if name not in dataset.coords:
            msg = f"{path}: the coordinate {name} is missing; the layout allen_binned needs it"
            raise SchemaError(msg)
        values = dataset[name].values
        area.labels[name] = values.astype("f8") if name == TIME else _int32(values, path, name)
    spikes = dataset.get(schema.SPIKE_DATA)
    if spikes is None or set(spikes.dims) != set(_SPIKE_DIMS):
        problem = "none" if spikes is None else f"dims {spikes.dims}"
        msg = (
            f"{path}: expected spike_data along presentation_id, unit_id and time, found {problem}"
        )
        raise SchemaError(msg)
    table = node.children.get(schema.PRESENTATIONS)
    if table is None:
        msg = f"{path}: there is no table of presentations; the layout allen_binned needs one"
        raise SchemaError(msg)
    area.groups["spike_data"] = {"spike_data": spikes.variable}
    pupil = node.children.get(schema.PUPIL)
    rows = table.to_dataset(inherit=False)
    signals = {} if pupil is None else dict(pupil.to_dataset(inherit=False).data_vars)
    if gaze := _fitting(signals, _SIGNAL_DIMS, f"{path}/pupil", left):
        area.groups["gaze_data"] = gaze
    area.groups["presentations"] = _numbers(rows, f"{path}/presentations", left)
    if "speed" in dataset:
        area.groups["speed"] = _fitting({"speed": dataset["speed"]}, _SIGNAL_DIMS, path, left)
    for other in set(dataset.data_vars) - {schema.SPIKE_DATA, "speed", schema.VALID}:
        _leave_out(left, str(other), path)
    if schema.VALID in dataset and not bool(dataset[schema.VALID].all()):
        _leave_out(left, "valid, which is False in some bins", path)
    labels = [str(n) for n, c in dataset.coords.items() if c.dims == (UNIT,) and n != UNIT]
    _leave_out(left, f"unit metadata {shorten(labels)}" if labels else "", path)
    for name in set(node.children) - {schema.PRESENTATIONS, schema.PUPIL}:
        _leave_out(left, str(name), path)
    return area


def _int32(values: np.ndarray, path: str, name: str) -> np.ndarray:
    if values.size and (values.min() < -(2**31) or values.max() >= 2**31):
        msg = f"{path}: {name} has values beyond int32, which the layout allen_binned has"
        raise SchemaError(msg)
    return values.astype("i4")


def _fitting(
    signals: Mapping[Hashable, xr.DataArray], dims: tuple[str, ...], path: str, left: dict[str, str]
) -> dict[str, xr.Variable]:
    """Return the signals with these dimensions; the others are left out."""
    fit = {}
    for name, signal in signals.items():
        if set(signal.dims) == set(dims) and signal.dtype.kind in "fiub":
            fit[str(name)] = signal.variable
        else:
            _leave_out(left, f"{name} along {', '.join(map(str, signal.dims))}", path)
    return fit


def _numbers(rows: xr.Dataset, path: str, left: dict[str, str]) -> dict[str, xr.Variable]:
    """Return the columns of the table as numbers; other text is left out."""
    columns = {}
    for name, column in rows.data_vars.items():
        if column.dims != (PRESENTATION,):
            _leave_out(left, f"{name} along {', '.join(map(str, column.dims))}", path)
        elif column.dtype.kind in "fiub":
            columns[str(name)] = column.variable
        elif (numbers := _as_numbers(column.values)) is not None:
            columns[str(name)] = xr.Variable((PRESENTATION,), numbers)
        else:
            _leave_out(left, f"text {name}", path)
    return columns


def _as_numbers(texts: np.ndarray) -> np.ndarray | None:
    """Return text as numbers, NaN if it is missing; None if it is something else."""
    missing = [value is None or value != value or str(value) in _MISSING for value in texts]
    try:
        return np.array([np.nan if m else float(v) for v, m in zip(texts, missing, strict=True)])
    except ValueError:
        return None


# ------------------------------------------------------------------------------------ the file


class _PublishedWriter:
    """Writes netCDF-4 groups as h5netcdf does."""

    def __init__(self, file: h5py.File, add: Report, check: Callable[[], None]):
        self.file, self.add, self.check = file, add, check
        self.dimensions = 0
        self.session = ""
        self.computed: dict[Hashable, np.ndarray] = {}

    def forget(self, but: str) -> None:
        """Drop the signals that were kept for the areas of other sessions."""
        if but != self.session:
            self.session, self.computed = but, {}

    def group(
        self, path: str, variables: Mapping[str, xr.Variable], labels: Mapping[str, np.ndarray]
    ) -> None:
        """Write one group: its coordinates, then its variables."""
        name = path.rpartition("/")[2]
        order = {"spike_data": _SPIKE_DIMS, "presentations": (PRESENTATION,)}.get(
            name, _SIGNAL_DIMS
        )
        group = self.file.create_group(path, track_order=True)
        scales = {}
        for dim in order:
            scales[dim] = scale = self._create(group, dim, labels[dim].shape, labels[dim].dtype)
            scale[...] = labels[dim]
            scale.make_scale(dim)
            scale.attrs["_Netcdf4Dimid"] = np.int32(self.dimensions)
            scale.attrs["_Netcdf4Coordinates"] = np.array([self.dimensions], "i4")
            self.dimensions += 1
        for name, variable in variables.items():
            dtype = np.dtype("i1" if name == "spike_data" else "f4")
            arranged = variable.transpose(*order)
            dataset = self._create(group, name, arranged.shape, dtype)
            ids = [scales[dim].attrs["_Netcdf4Dimid"] for dim in order]
            for axis, dim in enumerate(order):
                dataset.dims[axis].attach_scale(scales[dim])
            dataset.attrs["_Netcdf4Coordinates"] = np.array(ids, "i4")
            dataset.attrs["_Netcdf4Dimid"] = ids[0]
            if name == "spike_data":
                self._spikes(dataset, arranged)
            else:
                dataset[...] = self._signal(variable, order)
                self.check()
                self.add(dataset.nbytes)

    def _create(
        self, group: h5py.BinnedGroup, name: str, shape: Any, dtype: np.dtype
    ) -> h5py.Dataset:
        floating = dtype.kind == "f"
        dataset = group.create_dataset(
            name, shape, dtype, fillvalue=np.nan if floating else None, track_order=True
        )
        if floating:
            dataset.attrs["_FillValue"] = np.array([np.nan], dtype)
        return dataset

    def _spikes(self, dataset: h5py.Dataset, variable: xr.Variable) -> None:
        """Write counts in blocks of presentations, after checking that int8 can hold them."""
        whole = (1, *variable.shape[1:])
        for key in blocks(variable.shape, whole, variable.dtype.itemsize):
            with interruptible():
                values = np.asarray(variable[key].values)
            if values.size and values.max() > np.iinfo(np.int8).max:
                msg = (
                    f"{dataset.name}: a bin holds {values.max()} spikes, more than int8, which the "
                    f"layout allen_binned has; align with {option('binarize', True)} or narrower bins"
                )
                raise SchemaError(msg)
            if values.size:
                dataset[key] = values.astype(np.int8)
            self.check()
            self.add(values.nbytes)

    def _signal(self, variable: xr.Variable, order: tuple[str, ...]) -> np.ndarray:
        """Write a signal as stored; areas of a session that share it compute it once."""
        key = identity(variable), order
        if key not in self.computed:
            self.computed[key] = variable.transpose(*order).values.astype(np.float32)
        return self.computed[key]


#: Name of a layout -> the function that writes it.
LAYOUTS: dict[str, Callable[[xr.DataTree, Path, Callable[[str], None], Report], None]] = {
    "allen_binned": write_allen_binned
}
