"""Write signals of a synthetic NWB file: behaviour, fluorescence, and values in other files."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from neuroarrays.files.writing import new_hdf5
from neuroarrays.synthetic import nwb_task
from neuroarrays.synthetic.nwb_pieces import NWBPieces


def _running(writer: NWBPieces) -> None:
    """Write the running speed at 20 Hz."""
    size = int(20 * writer.options.duration)
    if writer.options.task:
        speed = nwb_task.speed(writer, size)
    else:
        speed = writer.random.gamma(2.0, 5.0, size)  # cm/s
    stored = speed / 100 if writer.options.running_unit == "m/s" else speed
    path = "processing/running/running_speed"
    group = writer.series(path, "TimeSeries", stored, writer.options.running_unit)
    times = writer.clock(group, size, 20.0, 0.5)
    writer.truth |= {"running": speed, "running_time": times}


def _pupil(writer: NWBPieces) -> None:
    """Write the gaze and the area of the pupil at 20 Hz."""
    import h5py

    size = int(20 * writer.options.duration)
    gaze = writer.random.normal(size=(size, 2))
    area = writer.random.uniform(10, 20, size)
    path = "acquisition/EyeTracking/pupil_tracking"
    group = writer.series(path, "EllipseSeries", gaze, "meters")
    group["area"] = area
    clock = "processing/running/running_speed/timestamps"
    if writer.options.clock in ("soft", "hard") and clock in writer.file:
        linked = (
            h5py.SoftLink(f"/{clock}") if writer.options.clock == "soft" else writer.file[clock]
        )
        group["timestamps"] = linked
        times = writer.file[clock][:]
    else:
        times = writer.clock(group, size, 20.0, 0.51)
    if writer.options.task:
        area = nwb_task.pupil_area(writer, times)
        group["area"][:] = area
    writer.truth |= {"pupil": gaze, "pupil_area": area, "pupil_time": times}


def _position(writer: NWBPieces) -> None:
    """Write the position at 10 Hz."""
    size = int(10 * writer.options.duration)
    position = np.cumsum(writer.random.normal(size=(size, 2)), axis=0)
    path = "processing/behavior/Position/SpatialSeries"
    group = writer.series(path, "SpatialSeries", position, "cm")
    times = writer.clock(group, size, 10.0, 0.0)
    writer.truth |= {"position": position, "position_time": times}


def _licks(writer: NWBPieces) -> None:
    """Write the times of licks."""
    if writer.options.task:
        times = nwb_task.licks(writer)
    else:
        times = np.sort(writer.random.uniform(0, writer.options.duration, 12))
    path = "processing/behavior/BehavioralEvents/lick_left"
    group = writer.series(path, "TimeSeries", np.ones(times.size), "a.u.")
    group["timestamps"] = times
    writer.truth["licks"] = times


def _lfp(writer: NWBPieces) -> None:
    """Write local field potentials of three channels at 50 Hz."""
    size = int(50 * writer.options.duration)
    times = 0.25 + np.arange(size) / 50.0
    if writer.options.task:
        stored = (1000 * nwb_task.theta(writer, times, 3)).astype(np.int16)
    else:
        stored = writer.random.integers(-2000, 2000, (size, 3)).astype(np.int16)
    group = writer.series(
        "acquisition/ElectricalSeries",
        "ElectricalSeries",
        stored,
        "volts",
        conversion=1.95e-7,
        offset=1e-3,
    )
    group["starting_time"] = 0.25
    group["starting_time"].attrs.update({"rate": 50.0, "unit": "seconds"})
    writer.truth |= {"lfp_stored": stored, "lfp_time": times}


def _rois(writer: NWBPieces) -> None:
    """Write fluorescence traces of four regions of interest at 8 Hz."""
    import h5py

    n, size = 4, int(8 * writer.options.duration)
    values = writer.random.normal(size=(size, n)).astype(np.float32)
    plane = "general/optophysiology/plane"
    writer.group(plane, "ImagingPlane")["location"] = "V1"
    table = "processing/ophys/ImageSegmentation/PlaneSegmentation"
    columns = {"iscell": np.ones((n, 2), np.float32), "depth": np.arange(n, dtype=np.int32)}
    writer.table(table, "PlaneSegmentation", columns, 7 + np.arange(n))
    writer.file[table]["imaging_plane"] = h5py.SoftLink(f"/{plane}")
    stored = values.T if writer.options.transposed else values
    path = "processing/ophys/Fluorescence/RoiResponseSeries"
    group = writer.series(path, "RoiResponseSeries", stored, "lumens")
    group["rois"] = np.arange(n)[::-1]
    group["rois"].attrs["table"] = writer.file[table].ref
    times = writer.clock(group, size, 8.0, 0.1)
    writer.truth |= {"rois": values, "roi_id": 7 + np.arange(n)[::-1], "roi_time": times}


def _cells(writer: NWBPieces) -> None:
    """Write one TimeSeries per neuron, in an order that is not alphabetical."""
    numbers, size = (2, 10, 1), 30
    values = writer.random.normal(size=(size, len(numbers)))
    times = np.arange(size) / 3.0
    for column, number in zip(values.T, numbers, strict=True):
        path = f"processing/calcium/traces/neuron {number}"
        writer.series(path, "TimeSeries", column, "a.u.")["timestamps"] = times
    order = np.argsort(numbers)
    writer.truth |= {"cells": values[:, order], "cell_id": np.sort(numbers), "cell_time": times}


def _pose(writer: NWBPieces) -> None:
    """Write three body parts as ndx-pose does, on the clock of the first, with a skeleton."""
    import h5py

    names, size = ("snout", "left ear", "pupil_top"), int(30 * writer.options.duration)
    positions = writer.random.normal(300, 20, (size, len(names), 2)).astype(np.float32)
    sure = writer.random.uniform(0.5, 1, (size, len(names))).astype(np.float32)
    container = "processing/behavior/LeftCamera"
    group = writer.group(container, "PoseEstimation", namespace="ndx-pose")
    group["source_software"] = "DeepLabCut"
    group["source_software"].attrs["version"] = "2.3"
    group["scorer"] = "DLC_resnet50"
    skeleton = writer.group("processing/behavior/Skeletons/mouse", "Skeleton", namespace="ndx-pose")
    skeleton["nodes"] = writer.text(list(names))
    skeleton["edges"] = np.array([[0, 1], [0, 2]], np.uint8)
    group["mouse"] = h5py.SoftLink("/processing/behavior/Skeletons/mouse")
    times = np.empty(0)
    for column, name in enumerate(names):
        path = f"{container}/{name}"
        part = writer.series(path, "PoseEstimationSeries", positions[:, column], "pixels")
        part.attrs["namespace"] = "ndx-pose"
        part["reference_frame"] = "upper left corner"
        part["confidence"] = sure[:, column]
        part["confidence"].attrs["definition"] = "likelihood"
        if column:
            part["timestamps"] = h5py.SoftLink(f"/{container}/{names[0]}/timestamps")
        else:
            times = 0.2 + np.arange(size) / 30.0
            part["timestamps"] = times
    writer.truth |= {"pose": positions, "pose_confidence": sure, "pose_time": times}


def _empty(writer: NWBPieces) -> None:
    """Write a series without samples."""
    group = writer.series("acquisition/nothing", "TimeSeries", np.empty(0), "a.u.")
    group["timestamps"] = np.empty(0)


def outside(writer: NWBPieces) -> None:
    """Write a series whose values are in another file."""
    import h5py

    path_of_file = writer.path.absolute()
    other = path_of_file.with_name(f"{path_of_file.stem}_elsewhere.h5")
    with new_hdf5(other, replaced=True) as (file, _):
        file["data"] = np.arange(5.0)
        file["series/data"] = np.arange(5.0)
        file["series/timestamps"] = np.arange(5.0)
    path = "acquisition/outside"
    if writer.options.outside == "link":
        writer.file[path] = h5py.ExternalLink(other.name, "/series")
        return
    group = writer.group(path, "TimeSeries")
    group["timestamps"] = np.arange(5.0)
    if writer.options.outside == "virtual":
        layout = h5py.VirtualLayout((5,), "f8")
        layout[:] = h5py.VirtualSource(str(other), "data", (5,))
        group.create_virtual_dataset("data", layout)
    else:
        raw = path_of_file.with_name(f"{path_of_file.stem}_elsewhere.raw")
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
    "pose": _pose,
}
