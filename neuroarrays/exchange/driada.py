"""Aligned trees as what DRIADA's builder of experiments takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import NotInTree, SchemaError, shorten

#: Our names of the neurons' matrices, and DRIADA's.
_NEURAL = {schema.RESPONSES: "calcium", schema.SPIKE_DATA: "spikes"}
#: Masks, which are no features.
_MASKS = (schema.VALID, schema.VALID_UNITS)


def to_driada(tree: xr.DataTree, area: str | None = None) -> dict[str, Any]:
    """The arrays that DRIADA's ``load_exp_from_aligned_data`` takes, of one area.

    Parameters
    ----------
    tree : xr.DataTree
        An aligned tree on a continuous clock.
    area : str, optional
        Path of the area; needed where there are several.

    Returns
    -------
    dict of str to numpy.ndarray
        ``calcium`` (unit, time) float, ``spikes`` where there are counts, and every numeric signal
        along time as (time,) or (component, time); bool and small integers as int64, which DRIADA
        takes. Signals with one value or none are left out, as it leaves them out.
        ``_metadata`` is a dict: ``fps`` (Hz), which the builder takes from there, where the clock
        tells it; ``bad_frames`` (list of int), where the tree has frames that are not valid, which
        the builder takes as the argument of that name; ``left_out``, the signals that are.

    Raises
    ------
    SchemaError
        If the area has no continuous responses, or a value is NaN (DRIADA refuses the session).
    NotInTree
        If there is no such area.
    """
    areas = schema.area_paths(tree)
    if area is None and len(areas) != 1:
        msg = f"there are {len(areas)} areas, {shorten(areas)}; say area="
        raise SchemaError(msg)
    path = areas[0] if area is None else area.strip("/")
    if path not in areas:
        raise NotInTree("area", path, areas)
    arrays: dict[str, Any] = {}
    left_out: list[str] = []
    for node in (tree[path], *tree[path].children.values()):
        for name, array in node.to_dataset(inherit=False).data_vars.items():
            if array.dims[:1] != (schema.TIME,) or array.dtype.kind not in "biuf":
                continue
            if name in _MASKS or array.ndim > 2:
                continue
            values = _driada(array)
            if name not in _NEURAL and _is_constant(values):
                left_out.append(str(name))
            else:
                arrays[_NEURAL.get(str(name), str(name))] = values
    if "calcium" not in arrays:
        msg = f"{path} has no responses along (time, unit_id), which DRIADA needs"
        raise SchemaError(msg)
    missing = [name for name, values in arrays.items() if np.isnan(values).any()]
    if missing:
        msg = f"{shorten(missing)} of {path} have NaN, which DRIADA refuses; fill or leave them out"
        raise SchemaError(msg)
    facts = _facts(tree[path]) | ({"left_out": left_out} if left_out else {})
    return arrays | ({"_metadata": facts} if facts else {})


def _facts(area: Any) -> dict[str, Any]:
    """The rate of the clock, and the frames that are not to be trusted."""
    facts: dict[str, Any] = {}
    time = area.coords.get(schema.TIME)
    if time is not None and time.size > 1:
        step = float(np.median(np.diff(np.asarray(time.values, np.float64))))
        if step > 0:
            facts["fps"] = round(1 / step, 6)
    valid = area.data_vars.get(schema.VALID)
    if valid is not None and valid.dims == (schema.TIME,):
        bad = np.flatnonzero(~np.asarray(valid.values, bool)).tolist()
        facts |= {"bad_frames": bad} if bad else {}
    return facts


def _is_constant(values: np.ndarray) -> bool:
    """Whether there is one value or none, NaN aside."""
    known = values[~np.isnan(values)]
    return bool(known.size == 0 or (known == known[0]).all())


def _driada(array: xr.DataArray) -> np.ndarray:
    values = np.asarray(array.values).T
    return values.astype(np.float64 if values.dtype.kind == "f" else np.int64)
