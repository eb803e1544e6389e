"""Traces of the ROIs of a session of the Brain Observatory, and its other series."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files.source import Source
from neuroarrays.formats.nwb.dialects import PIPELINE
from neuroarrays.lazy.arrays import LazyArray, file_array
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import Taken, transposed

#: Traces of the ROIs: node, variable, and paths in the pipeline, of which the first that exists is read.
_TRACES = (
    ("DfOverF", "DfOverF", ("DfOverF/imaging_plane_1/data",)),
    ("Fluorescence", "Fluorescence", ("Fluorescence/imaging_plane_1/data",)),
    (
        "Fluorescence",
        "Neuropil",
        (
            "Fluorescence/imaging_plane_1_neuropil_response/data",
            "Fluorescence/imaging_plane_1/neuropil_traces",
        ),
    ),
    ("Fluorescence", "Demixed", ("Fluorescence/imaging_plane_1_demixed_signal/data",)),
)


def trace_nodes(source: Source, area: str) -> dict[str, xr.Dataset]:
    """Return the traces of the ROIs, with those of one container in one node."""
    where = f"{PIPELINE}/DfOverF/imaging_plane_1"
    length = _length(source, f"{where}/timestamps")
    shape = source.known(f"{where}/data").shape
    labels = _labels(source, shape[0] if shape else 0)
    variables: dict[str, dict[str, xr.Variable]] = {}
    for node, name, places in _TRACES:
        path = next((f"{PIPELINE}/{p}" for p in places if source.info(f"{PIPELINE}/{p}")), "")
        if not path:
            continue
        array = file_array(source, path)
        if array.shape != (labels[schema.UNIT].size, length) or array.dtype.kind not in "iuf":
            expected = f"numbers ({labels[schema.UNIT].size} ROIs, {length} frames)"
            raise FormatError(source.path, f"/{path}", expected, f"{array.dtype} {array.shape}")
        dims = (schema.TIME, schema.UNIT)
        variables.setdefault(node, {})[name] = transposed(array).variable(dims, {"nwb_path": path})
    clock = file_array(source, f"{where}/timestamps").variable((schema.TIME,), {"units": "s"})
    coords = {schema.TIME: clock, **labels}
    return {f"{area}/{node}": dataset(inside, coords) for node, inside in variables.items()}


def _labels(source: Source, count: int) -> dict[str, xr.Variable]:
    """Return labels of ROIs; `unit_id` is the cell specimen, or the row if two ROIs share one."""
    segmentation, fluorescence = (
        f"{PIPELINE}/ImageSegmentation",
        f"{PIPELINE}/Fluorescence/imaging_plane_1",
    )
    read = {
        name: source.read(path)
        for name, path in {
            "cell_specimen_id": f"{segmentation}/cell_specimen_ids",
            "roi_id": f"{segmentation}/roi_ids",
            "contamination_ratio": f"{fluorescence}/r",
            "contamination_rmse": f"{fluorescence}/rmse",
        }.items()
        if source.info(path)
    }
    for name, values in read.items():
        if values.shape != (count,):
            expected = f"{name} of each of {count} ROIs"
            raise FormatError(source.path, f"/{PIPELINE}", expected, f"shape {values.shape}")
    ids = np.asarray(read.get("cell_specimen_id", np.arange(count)))
    if ids.dtype.kind not in "iu" or np.unique(ids).size < count:
        ids = np.arange(count)
    return {
        name: xr.Variable(schema.UNIT, values)
        for name, values in ({schema.UNIT: ids} | read).items()
    }


def series_node(source: Source, path: str, columns: tuple[str, ...], unit: str) -> xr.Dataset:
    """Return a series of one or two values for each time; one column becomes one axis."""
    length, stored = _length(source, f"{path}/timestamps"), file_array(source, f"{path}/data")
    width = stored.shape[1] if stored.ndim == 2 else 1
    if stored.shape[:1] != (length,) or width != len(columns) or stored.dtype.kind not in "iuf":
        expected = f"numbers {(length, len(columns))}, as timestamps"
        raise FormatError(source.path, f"/{path}/data", expected, f"{stored.dtype} {stored.shape}")
    arrays: list[LazyArray] = (
        [Taken(stored, i, 1) for i in range(width)] if stored.ndim == 2 else [stored]
    )
    variables = {
        name: schema.var(
            "series", name, array.variable((schema.TIME,))._data, (schema.TIME,), units=unit
        )
        for name, array in zip(columns, arrays, strict=True)
    }
    clock = file_array(source, f"{path}/timestamps").variable((schema.TIME,), {"units": "s"})
    return dataset(variables, {schema.TIME: clock})


def _length(source: Source, path: str) -> int:
    """Return the length of a clock.

    Raises
    ------
    FormatError
        If it is missing, or not a list of numbers.
    """
    info = source.info(path)
    if info is None or len(info.shape) != 1 or info.dtype.kind not in "iuf":
        other = "nothing" if info is None else f"{info.dtype} of shape {info.shape}"
        raise FormatError(source.path, f"/{path}", "(frame,) numbers, s", other)
    return info.shape[0]
