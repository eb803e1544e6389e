"""Treat counted point events of an aligned tree (licks, rewards, pulses) as units."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import xarray as xr

from neuroarrays import schema

_Answer = TypeVar("_Answer", xr.Dataset, xr.DataArray)


def as_area(node: Any) -> xr.Dataset | None:
    """Convert the events of an aligned tree to an area whose units are the events.

    Parameters
    ----------
    node : object
        What the user gave as an area.

    Returns
    -------
    Dataset or None
        An area with `spike_data` (events per bin) along ``(presentation_id, unit_id, time)`` or
        ``(time, unit_id)``, `valid`, and the labels of presentations. None if `node` is not a node
        ``events`` with counts.
    """
    if not isinstance(node, xr.DataTree) or node.name != schema.EVENTS:
        return None
    counts_by_name = node.to_dataset()
    names = _names(node)
    if not names:
        return None
    along = [
        dim for dim in (schema.PRESENTATION, schema.TIME) if dim in counts_by_name[names[0]].dims
    ]
    dims = [along[0], schema.UNIT, *along[1:]]
    counts = np.stack([counts_by_name[name].transpose(*along).values for name in names], 1)
    coords: dict[Any, Any] = dict(counts_by_name.coords) | {schema.UNIT: range(len(names))}
    if node.parent is not None:  # the labels of presentations are in the node above
        coords |= {
            name: label
            for name, label in node.parent.coords.items()
            if label.dims == (schema.PRESENTATION,)
        }
    masks = {schema.VALID: counts_by_name[schema.VALID]} if schema.VALID in counts_by_name else {}
    return xr.Dataset({schema.SPIKE_DATA: (dims, counts)} | masks, coords)


def by_name(answer: _Answer, node: Any) -> _Answer:
    """Rename the result for `as_area`: units become events, and spikes/s become events/s."""
    named = answer.assign_coords({schema.EVENT: (schema.UNIT, _names(node))})
    named = named.swap_dims({schema.UNIT: schema.EVENT}).drop_vars(schema.UNIT)
    parts: list[xr.DataArray] = list(named.coords.values())
    parts += named.data_vars.values() if isinstance(named, xr.Dataset) else [named]
    for part in parts:
        if part.attrs.get("units") == "spikes/s":
            part.attrs |= {"units": "events/s"}
            part.attrs |= (
                {"long_name": "rate"} if part.attrs.get("long_name") == "firing rate" else {}
            )
    return named


def _names(node: xr.DataTree) -> list[str]:
    """The dataset of the counts in a node of events."""
    return [
        str(name)
        for name, counts in node.data_vars.items()
        if counts.dtype.kind in "iu" and schema.TIME in counts.dims
    ]
