"""What the package movement saves: poses and boxes of tracked animals, netCDF-4.

https://movement.neuroinformatics.dev/latest/user_guide/movement_dataset.html. One file is one session::

    position     (time, space, keypoint, individual), of boxes without keypoint
    confidence   (time, keypoint, individual)         how sure the tracker was
    shape        (time, space, individual)            width and height of boxes
    time         s, or numbers of frames; space, keypoint, individual: names
    attributes   ds_type "poses" or "bboxes", time_unit "seconds" or "frames", fps, source_software

Before 0.17 these were ``keypoints`` and ``individuals``, in another order before that: dimensions are
taken by the names that the file has for them. Other variables along time (velocity, ...) come along.
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

#: What movement calls a dimension, or has called it, and what the tree does, in the order of the tree.
_DIMS = {
    "time": schema.TIME,
    "individual": schema.INDIVIDUAL,
    "individuals": schema.INDIVIDUAL,
    "keypoint": schema.KEYPOINT,
    "keypoints": schema.KEYPOINT,
    "space": schema.SPACE,
}
_ORDER = list(dict.fromkeys(_DIMS.values()))
#: The node of each kind of data, and what a clock counts.
_UNITS = ("seconds", "frames")
_NODES = {"poses": "pose", "bboxes": "boxes"}


class MovementReader(Reader):
    """Reads the netCDF files of movement; a folder of these is one tree."""

    name = "movement"
    description = "movement: poses and boxes of tracked animals (netCDF)"
    url = "https://movement.neuroinformatics.dev"
    by_file = True

    def recognise(self, probe: Probe) -> bool:
        """Whether it is netCDF-4 with positions along time and space, and says so as movement does."""
        if probe.container != "hdf5":
            return False
        names, stated = set(probe.names), probe.attrs.get("ds_type")
        animals = stated in _NODES if stated else bool(names & {"individual", "individuals"})
        return animals and {schema.POSITION, schema.TIME, schema.SPACE} <= names

    def open_session(
        self, session: Probe, name: str, request: Request, *, sampling_rate: float | None = None
    ) -> dict[str, xr.Dataset]:
        """Open a file as a session with one node, ``pose`` or ``boxes``.

        Parameters
        ----------
        session : Probe
            The file.
        name : str
            Of the session.
        request : Request
            What to open.
        sampling_rate : float, optional, Hz
            Frames per second, where the file numbers its frames; its own ``fps`` unless given.
        """
        source = session.source
        assert isinstance(source, HDF5Source), "recognised as HDF5"
        facts = {key: _number(value) for key, value in source.attrs("/").items() if key[0] != "_"}
        dims = _dimensions(source)
        groups = [group for group in source.names("/") if source.info(group) is None]
        notes = [f"not in the tree: the group {group}" for group in groups]
        coords = {schema.TIME: _clock(source, facts, sampling_rate)}
        variables: dict[str, xr.Variable] = {}
        for label, own in dims.items():
            if label in _DIMS and label != "time" and own == (label,):
                names = np.array([str(text) for text in source.read(label)], object)
                coords[_DIMS[label]] = xr.Variable(_DIMS[label], names)
            elif "time" in own and own != (label,) and source.known(label).dtype.kind in "iufb":
                name_in_tree = "speed_signal" if label == "speed" else label  # that is in cm/s
                variables[name_in_tree] = _values(source, label, own)
            elif label != "time":
                notes.append(f"not in the tree: {label} {own}")
        if schema.POSITION not in variables:
            raise FormatError(source.path, schema.POSITION, "numbers along time", "other values")
        node = _NODES.get(str(facts.get("ds_type")), "pose")
        attrs = facts | {"session_id": name} | ({"notes": notes} if notes else {})
        return {"": xr.Dataset(attrs=attrs), node: dataset(variables, coords)}


def _dimensions(source: HDF5Source) -> dict[str, tuple[str, ...]]:
    """The dimensions of every array in the file, by the names that the file has for them."""
    dims = {}
    with source.opened() as file:
        for name in filter(source.info, source.names("/")):
            array = file[name]
            scales = [scale[0].name.strip("/") if len(scale) else "" for scale in array.dims]
            if "netCDF dimension but not" not in str(source.attr(name, "NAME")):
                dims[name] = (name,) if "CLASS" in array.attrs else tuple(scales)
    return dims


def _clock(source: HDF5Source, facts: dict[str, Any], rate: float | None) -> xr.Variable:
    """Times of the frames, s: as they are stored, or their numbers divided by frames per second."""
    stored, unit, fps = file_array(source, "time"), facts.get("time_unit"), facts.get("fps")
    if stored.ndim != 1 or stored.dtype.kind not in "iuf" or unit not in _UNITS:
        found = f"shape {stored.shape}, {stored.dtype}, time_unit={unit!r}"
        raise FormatError(source.path, "time", "numbers (frame,) of seconds or frames", found)
    if unit == "seconds" and rate is not None:
        msg = f"{source.path}: sampling_rate={rate!r}, and its times are in seconds already"
        raise ValueError(msg)
    frames = 1.0 if unit == "seconds" else fps if rate is None else rate
    if not (isinstance(frames, int | float) and 0 < frames < np.inf):
        hint = "say how many there are in a second: sampling_rate=30"
        raise FormatError(source.path, "time", "frames per second", f"{frames!r}", hint)
    clock = seconds(stored, frames)
    return clock.variable((schema.TIME,), {"units": "s", "long_name": "session clock"})


def _values(source: HDF5Source, name: str, dims: tuple[str, ...]) -> xr.Variable:
    """One variable, time first and its other dimensions as the tree has them."""
    renamed = [_DIMS.get(dim, dim or f"{name}_axis{axis}") for axis, dim in enumerate(dims)]
    wanted = sorted(renamed, key=lambda dim: _ORDER.index(dim) if dim in _ORDER else len(_ORDER))
    array = Arranged(file_array(source, name), tuple(renamed.index(dim) for dim in wanted))
    attrs = {key: _number(value) for key, value in source.attrs(name).items()}
    fill = attrs.get("_FillValue")
    coded: dict[str, Any] = {k: attrs[k] for k in ("scale_factor", "add_offset") if k in attrs}
    if fill is not None and fill == fill:  # NaN is NaN
        coded["_FillValue"] = fill
    own = {k: v for k, v in attrs.items() if k[0] != "_" and not k.isupper() and k != "coordinates"}
    variable = array.variable(tuple(wanted), own | coded)
    for dim, size in zip(dims, source.known(name).shape, strict=True):
        labels = source.info(dim) if dim else None
        if labels is not None and labels.shape != (size,):
            expected = f"shape ({size:,},), as {name!r} has it"
            raise FormatError(source.path, dim, expected, f"{labels.shape}")
    decode = xr.conventions.decode_cf_variable
    return decode(name, variable, decode_times=False) if coded else variable


def _number(value: Any) -> Any:
    """The number in a list of one, which is how netCDF has it."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value
