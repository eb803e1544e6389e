"""Nodes of an aligned tree for flashed images, in which an image is a presentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.formats.retina import nodes as retina
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import Arranged


@dataclass
class Flashes:
    """Images that were flashed in one block of one session.

    Attributes
    ----------
    path : str
        The file they come from, for messages.
    images : (presentation, y, x) lazy array, optional
        The images that were shown, in grey levels as stored.
    responses : (presentation, unit) lazy float array
        Responses of the units, in `response_units`.
    by_trial : (trial, presentation, unit) lazy float array, optional
        Responses of each repeat, in the same unit.
    units : dict of str to (unit,) array
        Labels of the units. Without `unit_id` among them, units are counted from 0.
    table : dict of str to (presentation,) array
        Parameters of the presentations.
    response_units : str
        Unit of the responses.
    attrs : dict
        Attributes of the session.
    """

    path: str
    images: LazyArray | None
    responses: LazyArray
    by_trial: LazyArray | None = None
    units: dict[str, Any] = field(default_factory=dict)
    table: dict[str, Any] = field(default_factory=dict)
    response_units: str = "1"
    attrs: Mapping[str, Any] = field(default_factory=dict)


def flash_nodes(block: str, flashes: Flashes) -> dict[str, xr.Dataset]:
    """Return the session, retina and table of presentations of one block.

    Parameters
    ----------
    block : str
        Path of the session, ``<block>/<session>``.
    flashes : Flashes
        The contents of the block.

    Raises
    ------
    FormatError
        If the numbers of responses, labels and presentations differ.
    """
    images, responses, by_trial = flashes.images, flashes.responses, flashes.by_trial
    count, units = responses.shape
    for name, length in (
        ("an image", count if images is None else images.shape[0]),
        ("repeats", count if by_trial is None else by_trial.shape[1]),
        *((name, len(values)) for name, values in flashes.table.items()),
    ):
        if length != count:
            raise FormatError(
                flashes.path, block, f"{name} for each of the {count} responses", f"{length}"
            )
    shown: dict[str, xr.Variable] = {}
    if images is not None:
        movie = Arranged(images, (0, Arranged.NEW, 1, 2))
        axes = (schema.PRESENTATION, "channel", "y", "x")
        shown["stimulus"] = retina.variable("session", "stimulus", movie, axes)
    pair = (schema.PRESENTATION, schema.UNIT)
    area = {schema.RESPONSES: retina.variable("area", schema.RESPONSES, responses, pair)}
    coords = retina.unit_coords(flashes.path, block, flashes.units, units)
    if by_trial is not None:
        name = "responses_by_trial"
        area[name] = retina.variable("area", name, by_trial, (schema.TRIAL, *pair))
        coords[schema.TRIAL] = retina.along(schema.TRIAL, np.arange(by_trial.shape[0]))
    for variable in area.values():
        variable.attrs["units"] = flashes.response_units
    dims = (schema.PRESENTATION,)
    rows = {
        name: schema.var(
            "table", name, retina.along(schema.PRESENTATION, values).values, dims, schema.ALIGNED
        )
        for name, values in flashes.table.items()
    }
    table, below = dataset(rows), f"{block}/{retina.RETINA}"
    ids = {schema.PRESENTATION: retina.along(schema.PRESENTATION, np.arange(count))}
    return {
        block: dataset(shown, ids, flashes.attrs),
        below: dataset(area, coords | schema.trial_labels(dataset(area), table)),
        f"{below}/{schema.PRESENTATIONS}": table,
    }
