"""Signals of a synthetic NWB file: behaviour, fluorescence, and what lies elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from neuroarrays.files.writing import new_hdf5
from neuroarrays.synthetic.nwb_pieces import NWBPieces


def _running(made: NWBPieces) -> None:
    size = int(20 * made.options.duration)
    speed = made.random.gamma(2.0, 5.0, size)  # cm/s
    stored = speed / 100 if made.options.running_unit == "m/s" else speed
    place = "processing/running/running_speed"
    group = made.series(place, "TimeSeries", stored, made.options.running_unit)
    times = made.clock(group, size, 20.0, 0.5)
    made.truth |= {"running": speed, "running_time": times}


def _pupil(made: NWBPieces) -> None:
    import h5py

    size = int(20 * made.options.duration)
    gaze = made.random.normal(size=(size, 2))
    area = made.random.uniform(10, 20, size)
    place = "acquisition/EyeTracking/pupil_tracking"
    group = made.series(place, "EllipseSeries", gaze, "meters")
    group["area"] = area
    clock = "processing/running/running_speed/timestamps"
    if made.options.clock in ("soft", "hard") and clock in made.file:
        linked = h5py.SoftLink(f"/{clock}") if made.options.clock == "soft" else made.file[clock]
        group["timestamps"] = linked
        times = made.file[clock][:]
    else:
        times = made.clock(group, size, 20.0, 0.51)
    made.truth |= {"pupil": gaze, "pupil_area": area, "pupil_time": times}


def _position(made: NWBPieces) -> None:
    size = int(10 * made.options.duration)
    position = np.cumsum(made.random.normal(size=(size, 2)), axis=0)
    place = "processing/behavior/Position/SpatialSeries"
    group = made.series(place, "SpatialSeries", position, "cm")
    times = made.clock(group, size, 10.0, 0.0)
    made.truth |= {"position": position, "position_time": times}


def _licks(made: NWBPieces) -> None:
    times = np.sort(made.random.uniform(0, made.options.duration, 12))
    place = "processing/behavior/BehavioralEvents/lick_left"
    group = made.series(place, "TimeSeries", np.ones(12), "a.u.")
    group["timestamps"] = times
    made.truth["licks"] = times


def _lfp(made: NWBPieces) -> None:
    size = int(50 * made.options.duration)
    stored = made.random.integers(-2000, 2000, (size, 3)).astype(np.int16)
    group = made.series(
        "acquisition/ElectricalSeries",
        "ElectricalSeries",
        stored,
        "volts",
        conversion=1.95e-7,
        offset=1e-3,
    )
    group["starting_time"] = 0.25
    group["starting_time"].attrs.update({"rate": 50.0, "unit": "seconds"})
    made.truth |= {"lfp_stored": stored, "lfp_time": 0.25 + np.arange(size) / 50.0}


def _rois(made: NWBPieces) -> None:
    import h5py

    n, size = 4, int(8 * made.options.duration)
    values = made.random.normal(size=(size, n)).astype(np.float32)
    plane = "general/optophysiology/plane"
    made.group(plane, "ImagingPlane")["location"] = "V1"
    table = "processing/ophys/ImageSegmentation/PlaneSegmentation"
    columns = {"iscell": np.ones((n, 2), np.float32), "depth": np.arange(n, dtype=np.int32)}
    made.table(table, "PlaneSegmentation", columns, 7 + np.arange(n))
    made.file[table]["imaging_plane"] = h5py.SoftLink(f"/{plane}")
    stored = values.T if made.options.transposed else values
    place = "processing/ophys/Fluorescence/RoiResponseSeries"
    group = made.series(place, "RoiResponseSeries", stored, "lumens")
    group["rois"] = np.arange(n)[::-1]
    group["rois"].attrs["table"] = made.file[table].ref
    times = made.clock(group, size, 8.0, 0.1)
    made.truth |= {"rois": values, "roi_id": 7 + np.arange(n)[::-1], "roi_time": times}


def _cells(made: NWBPieces) -> None:
    """One TimeSeries per neuron, in an order that is not the alphabet's."""
    numbers, size = (2, 10, 1), 30
    values = made.random.normal(size=(size, len(numbers)))
    times = np.arange(size) / 3.0
    for column, number in zip(values.T, numbers, strict=True):
        place = f"processing/calcium/traces/neuron {number}"
        made.series(place, "TimeSeries", column, "a.u.")["timestamps"] = times
    order = np.argsort(numbers)
    made.truth |= {"cells": values[:, order], "cell_id": np.sort(numbers), "cell_time": times}


def _empty(made: NWBPieces) -> None:
    group = made.series("acquisition/nothing", "TimeSeries", np.empty(0), "a.u.")
    group["timestamps"] = np.empty(0)


def outside(made: NWBPieces) -> None:
    """A series whose values lie in another file."""
    import h5py

    here = made.path.absolute()
    other = here.with_name(f"{here.stem}_elsewhere.h5")
    with new_hdf5(other, replaced=True) as (file, _):
        file["data"] = np.arange(5.0)
        file["series/data"] = np.arange(5.0)
        file["series/timestamps"] = np.arange(5.0)
    place = "acquisition/outside"
    if made.options.outside == "link":
        made.file[place] = h5py.ExternalLink(other.name, "/series")
        return
    group = made.group(place, "TimeSeries")
    group["timestamps"] = np.arange(5.0)
    if made.options.outside == "virtual":
        layout = h5py.VirtualLayout((5,), "f8")
        layout[:] = h5py.VirtualSource(str(other), "data", (5,))
        group.create_virtual_dataset("data", layout)
    else:
        raw = here.with_name(f"{here.stem}_elsewhere.raw")
        raw.write_bytes(np.arange(5.0).tobytes())
        group.create_dataset("data", (5,), "f8", external=[(str(raw), 0, 40)])


#: Part -> what writes it.
SIGNALS: dict[str, Callable[[NWBPieces], None]] = {
    "running": _running,
    "pupil": _pupil,
    "position": _position,
    "licks": _licks,
    "lfp": _lfp,
    "rois": _rois,
    "cells": _cells,
    "empty": _empty,
}
