"""Trees in memory, valid under the schema: no file is written."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema


def aligned_tree(
    sessions: int = 1,
    areas: tuple[str, ...] = ("VISp", "CA1"),
    presentations: int = 12,
    units: int = 4,
    bins: int = 5,
    seed: int = 0,
) -> xr.DataTree:
    """A small aligned tree in memory, valid under the schema.

    Parameters
    ----------
    sessions, presentations, units, bins : int
        How many sessions, and of each area how many presentations, units and time bins.
    areas : tuple of str
        Areas of every session.
    seed : int
        Of the random values.

    Returns
    -------
    xr.DataTree
        ``session_<i>/<area>`` with ``spike_data`` (presentation_id, unit_id, time) uint8, ``speed``
        (presentation_id, time) float32, ``valid``; below it ``pupil`` and ``presentations``. Bins
        are 20 ms, ``time`` their centres.
    """
    random = np.random.default_rng(seed)
    groups = {"/": xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED, source="synthetic"))}
    time = xr.Variable(schema.TIME, (np.arange(bins) + 0.5) * 0.02, {"units": "s"})
    ids = xr.Variable(schema.PRESENTATION, np.arange(presentations))
    both, shape = (schema.PRESENTATION, schema.TIME), (presentations, bins)

    def made(role: str, name: str, data: Any, dims: tuple[str, ...] | None = None) -> xr.Variable:
        return schema.var(role, name, data, dims, tree=schema.ALIGNED)

    for session in range(sessions):
        start = 1.0 + 0.5 * np.arange(presentations)
        table = {
            "start_time": start,
            "stop_time": start + 0.02 * bins,
            "duration": np.full(presentations, 0.02 * bins),
            "orientation": random.choice([0.0, 45.0, 90.0, 135.0], presentations),
            "stimulus": np.array([f"image{i % 3}" for i in range(presentations)], object),
        }
        dims = (schema.PRESENTATION,)
        rows = {name: made("table", name, data, dims) for name, data in table.items()}
        labels = {name: rows[name] for name in ("orientation", "stimulus")}
        attrs = {"session_id": f"session_{session}", "subject": "m1", "species": "Mus musculus"}
        groups[f"session_{session}"] = xr.Dataset(attrs=attrs)
        for i, area in enumerate(areas):
            place = f"session_{session}/{area}"
            counts = random.poisson(1.0, (presentations, units, bins)).astype(np.uint8)
            unit_id = xr.Variable(schema.UNIT, 10 * i + np.arange(units))
            groups[place] = xr.Dataset(
                {
                    "spike_data": made("area", "spike_data", counts),
                    "speed": made("area", "speed", random.gamma(2, 5, shape).astype("f4"), both),
                    "valid": made("area", "valid", np.ones(shape, bool), both),
                },
                {schema.PRESENTATION: ids, schema.UNIT: unit_id, schema.TIME: time, **labels},
            )
            pupil = random.normal(size=shape).astype(np.float32)
            groups[f"{place}/pupil"] = xr.Dataset({"x": made("behaviour", "x", pupil, both)})
            groups[f"{place}/presentations"] = xr.Dataset(rows)
    return xr.DataTree.from_dict(groups)
