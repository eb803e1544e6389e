"""Make aligned trees in memory, valid under the schema, and archives of them."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.lazy.trees import tree_of

#: What is shown, in degrees.
ORIENTATIONS = (0.0, 45.0, 90.0, 135.0)


def aligned_tree(
    sessions: int = 1,
    areas: tuple[str, ...] = ("VISp", "CA1"),
    presentations: int = 12,
    units: int = 4,
    bins: int = 5,
    seed: int = 0,
) -> xr.DataTree:
    """Return a small aligned tree in memory, valid under the schema.

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
        are 20 ms, ``time`` their centres. Each unit prefers one of four orientations.

    Examples
    --------
    >>> from neuroarrays.synthetic import aligned_tree
    >>> tree = aligned_tree(sessions=2)
    >>> [path.strip("/") for path in tree.groups if path.endswith("CA1")]
    ['session_0/CA1', 'session_1/CA1']
    """
    random = np.random.default_rng(seed)
    groups = {"/": xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED, source="synthetic"))}
    time = xr.Variable(schema.TIME, (np.arange(bins) + 0.5) * 0.02, {"units": "s"})
    ids = xr.Variable(schema.PRESENTATION, np.arange(presentations))
    both, shape = (schema.PRESENTATION, schema.TIME), (presentations, bins)

    def variable(
        role: str, name: str, data: Any, dims: tuple[str, ...] | None = None
    ) -> xr.Variable:
        """Return a variable of an aligned tree."""
        return schema.var(role, name, data, dims, tree=schema.ALIGNED)

    for session in range(sessions):
        start = 1.0 + 0.5 * np.arange(presentations)
        table = {
            "start_time": start,
            "stop_time": start + 0.02 * bins,
            "duration": np.full(presentations, 0.02 * bins),
            "orientation": random.choice(ORIENTATIONS, presentations),
            "stimulus": np.array([f"image{i % 3}" for i in range(presentations)], object),
        }
        dims = (schema.PRESENTATION,)
        rows = {name: variable("table", name, data, dims) for name, data in table.items()}
        labels = {name: rows[name] for name in ("orientation", "stimulus")}
        attrs = {"session_id": f"session_{session}", "subject": "m1", "species": "Mus musculus"}
        groups[f"session_{session}"] = xr.Dataset(attrs=attrs)
        for i, area in enumerate(areas):
            path = f"session_{session}/{area}"
            prefers = random.choice(ORIENTATIONS, units)
            rate = np.where(table["orientation"][:, None] == prefers, 2.0, 0.6)
            counts = random.poisson(rate[..., None], (presentations, units, bins)).astype(np.uint8)
            unit_id = xr.Variable(schema.UNIT, 10 * i + np.arange(units))
            groups[path] = xr.Dataset(
                {
                    schema.SPIKE_DATA: variable("area", schema.SPIKE_DATA, counts),
                    "speed": variable(
                        "area", "speed", random.gamma(2, 5, shape).astype("f4"), both
                    ),
                    "valid": variable("area", "valid", np.ones(shape, bool), both),
                },
                {schema.PRESENTATION: ids, schema.UNIT: unit_id, schema.TIME: time, **labels},
            )
            pupil = random.normal(size=shape).astype(np.float32)
            groups[f"{path}/pupil"] = xr.Dataset({"x": variable("behaviour", "x", pupil, both)})
            groups[f"{path}/presentations"] = xr.Dataset(rows)
    return tree_of(groups)


def write_archive(path: str | os.PathLike[str], seed: int = 0, layout: str | None = None) -> Path:
    """Save an aligned tree of two sessions, of 80 presentations and two areas each.

    Parameters
    ----------
    path : str or path
        The archive; its suffix says which kind (see `neuroarrays.save`).
    seed : int
        Of all random values.
    layout : str, optional
        As for `neuroarrays.save`: "allen_binned" is that of the published Allen archive.

    Returns
    -------
    Path
        The archive.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_archive
    >>> path = write_archive("archive.h5")
    >>> na.catalog(path)["units"].sum().item()
    40
    """
    from neuroarrays.archive.saving import save

    tree = aligned_tree(sessions=2, presentations=80, units=10, bins=13, seed=seed)
    if layout == "allen_binned":  # holds numbers only, and no attributes
        nodes = {
            path: node.to_dataset(inherit=False).drop_vars(["stimulus", "valid"], errors="ignore")
            for path, node in tree.subtree_with_keys
        }
        tree = tree_of(nodes)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the layout .* has no place for: attributes")
        return Path(save(tree, path, layout=layout))
