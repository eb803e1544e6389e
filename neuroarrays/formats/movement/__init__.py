"""Files of the package movement: poses and boxes of tracked animals, in netCDF-4.

https://movement.neuroinformatics.dev/latest/user_guide/movement_dataset.html. One file is one session::

    position     (time, space, keypoint, individual), of boxes without keypoint
    confidence   (time, keypoint, individual)         confidence of the tracker
    shape        (time, space, individual)            width and height of boxes
    time         s, or numbers of frames; space, keypoint, individual: names
    attributes   ds_type "poses" or "bboxes", time_unit "seconds" or "frames", fps, source_software

Versions before 0.17 have ``keypoints`` and ``individuals``, and older ones another order of axes, so
dimensions are recognised by their names in the file. Other variables along time (velocity, ...) are
read as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files.hdf5 import HDF5Source
from neuroarrays.files.probe import Probe
from neuroarrays.formats.clocks import seconds
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.lazy.arrays import file_array
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import Arranged

#: Present and former names of dimensions in movement, and the names in the tree, in the tree's order.
_DIMS = {
    "time": schema.TIME,
    "individual": schema.INDIVIDUAL,
    "individuals": schema.INDIVIDUAL,
    "keypoint": schema.KEYPOINT,
    "keypoints": schema.KEYPOINT,
    "space": schema.SPACE,
}
_ORDER = list(dict.fromkeys(_DIMS.values()))
#: What a clock counts; the node of each kind of data.
_UNITS = ("seconds", "frames")
_NODES = {"poses": "pose", "bboxes": "boxes"}


class MovementReader(Reader):
    """Reads the netCDF files of movement; a folder of these is one tree."""

    name = "movement"
    description = "movement: poses and boxes of tracked animals (netCDF)"
    url = "https://movement.neuroinformatics.dev"
    by_file = True

    def recognise(self, probe: Probe) -> bool:
        """Whether a path is netCDF-4 with the attribute or dimensions of movement, and positions."""
        if probe.container != "hdf5":
            return False
        names, ds_type = set(probe.names), probe.attrs.get("ds_type")
        is_movement = ds_type in _NODES if ds_type else bool(names & {"individual", "individuals"})
        return is_movement and {schema.POSITION, schema.TIME, schema.SPACE} <= names

    def open_session(
        self, session: Probe, name: str, request: Request, *, sampling_rate: float | None = None
    ) -> dict[str, xr.Dataset]:
        """Open a file as a session with one node, ``pose`` or ``boxes``.

        Parameters
        ----------
        session : Probe
            Path of the session's file.
        name : str
            Name of the session.
        request : Request
            The areas that the caller wants.
        sampling_rate : float, optional, Hz
            Frames per second, for a file with frame numbers (default: the ``fps`` of the file).
        """
        source = session.source
        assert isinstance(source, HDF5Source), "recognised as HDF5"
        facts = {key: _number(value) for key, value in source.attrs("/").items() if key[0] != "_"}
        dims = _dimensions(source)
        groups = [group for group in source.names("/") if source.info(group) is None]
        notes = [f"not in the tree: the group {group}" for group in groups]
        coords = {schema.TIME: _clock(source, facts, sampling_rate)}
        variables: dict[str, xr.Variable] = {}
        for label, array_dims in dims.items():
            is_coord = array_dims == (label,)
            if label in _DIMS and label != "time" and is_coord:
                names = np.array([str(text) for text in source.read(label)], object)
                coords[_DIMS[label]] = xr.Variable(_DIMS[label], names)
            elif "time" in array_dims and not is_coord and source.known(label).dtype.kind in "iufb":
                # "speed" in a tree is in cm/s.
                name_in_tree = "speed_signal" if label == "speed" else label
                variables[name_in_tree] = _values(source, label, array_dims)
            elif label != "time":
                notes.append(f"not in the tree: {label} {array_dims}")
        if schema.POSITION not in variables:
            raise FormatError(source.path, schema.POSITION, "numbers along time", "other values")
        node = _NODES.get(str(facts.get("ds_type")), "pose")
        attrs = facts | {"session_id": name} | ({"notes": notes} if notes else {})
        return {"": xr.Dataset(attrs=attrs), node: dataset(variables, coords)}


def _dimensions(source: HDF5Source) -> dict[str, tuple[str, ...]]:
    """Return the dimensions of each array in the file, by their names in the file."""
    dims = {}
    with source.opened() as file:
        for name in filter(source.info, source.names("/")):
            array = file[name]
            scales = [scale[0].name.strip("/") if len(scale) else "" for scale in array.dims]
            if "netCDF dimension but not" not in str(source.attr(name, "NAME")):
                dims[name] = (name,) if "CLASS" in array.attrs else tuple(scales)
    return dims


def _clock(source: HDF5Source, facts: dict[str, Any], rate: float | None) -> xr.Variable:
    """Return the times of the frames in s, as stored, or as frame numbers divided by the rate in Hz."""
    stored, unit = file_array(source, "time"), facts.get("time_unit")
    if stored.ndim != 1 or stored.dtype.kind not in "iuf" or unit not in _UNITS:
        stored_as = f"shape {stored.shape}, {stored.dtype}, time_unit={unit!r}"
        raise FormatError(source.path, "time", "numbers (frame,) of seconds or frames", stored_as)
    if unit == "seconds" and rate is not None:
        msg = f"{source.path}: sampling_rate={rate!r}, and its times are in seconds already"
        raise ValueError(msg)
    if unit == "seconds":
        rate = 1.0
    elif rate is None:
        rate = facts.get("fps")
    if not (isinstance(rate, int | float) and 0 < rate < np.inf):
        hint = "say how many there are in a second: sampling_rate=30"
        raise FormatError(source.path, "time", "frames per second", f"{rate!r}", hint)
    clock = seconds(stored, rate)
    return clock.variable((schema.TIME,), {"units": "s", "long_name": "session clock"})


def _values(source: HDF5Source, name: str, dims: tuple[str, ...]) -> xr.Variable:
    """Return a variable with time first, and its other dimensions in the order of the tree."""
    renamed = [_DIMS.get(dim, dim or f"{name}_axis{axis}") for axis, dim in enumerate(dims)]
    ordered = sorted(renamed, key=lambda dim: _ORDER.index(dim) if dim in _ORDER else len(_ORDER))
    array = Arranged(file_array(source, name), tuple(renamed.index(dim) for dim in ordered))
    attrs = {key: _number(value) for key, value in source.attrs(name).items()}
    fill = attrs.get("_FillValue")
    coded: dict[str, Any] = {k: attrs[k] for k in ("scale_factor", "add_offset") if k in attrs}
    if fill is not None and fill == fill:  # a fill value of NaN needs no decoding
        coded["_FillValue"] = fill
    # Names in capital letters are those of HDF5 dimension scales.
    described = {
        k: v for k, v in attrs.items() if k[0] != "_" and not k.isupper() and k != "coordinates"
    }
    variable = array.variable(tuple(ordered), described | coded)
    for dim, size in zip(dims, source.known(name).shape, strict=True):
        labels = source.info(dim) if dim else None
        if labels is not None and labels.shape != (size,):
            expected = f"shape ({size:,},), as {name!r} has it"
            raise FormatError(source.path, dim, expected, f"{labels.shape}")
    decode = xr.conventions.decode_cf_variable
    return decode(name, variable, decode_times=False) if coded else variable


def _number(value: Any) -> Any:
    """Return the value of a list of one value, which is how netCDF stores an attribute."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value
