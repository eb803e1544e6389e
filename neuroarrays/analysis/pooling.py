"""`pool`: pseudo-populations, the units of all sessions as if recorded together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Unpack
from zlib import crc32

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.analysis import conditions as _conditions
from neuroarrays.analysis.over import Over, over, over_areas, takes_options
from neuroarrays.errors import NothingLeft, SchemaError, shorten
from neuroarrays.schema.given import whole_number

CONDITION = "condition"


@takes_options
def pool(
    tree: xr.DataTree,
    by: str | Sequence[str],
    trials: bool = False,
    *,
    time: bool = False,
    seed: int = 0,
    **options: Unpack[Over],
) -> xr.DataArray:
    """Pool the responses of the units of all sessions to a pseudo-population.

    Parameters
    ----------
    tree : DataTree
        An aligned tree, or a session of one, with ``spike_data`` (counts) or ``responses`` (in any
        unit) along ``(presentation_id, unit_id[, time])``.
    by : str or sequence of str
        Parameters of the presentations. Conditions are the combinations of their values, and are
        matched between sessions by value.
    trials : bool
        If True, return trials instead of means of conditions. In each condition, all units get as
        many trials as the unit with the fewest. They are drawn without replacement from the
        presentations of the unit, independently for each unit.
    time : bool
        If True, keep the time bins; if False, average over those that count.
    seed : int
        Seed of the draw. The presentations of a unit depend only on the seed, the path of its area
        and its `unit_id`, not on the rest of the tree.

    Returns
    -------
    (condition or trial, unit_id[, time]) xr.DataArray, spikes/s or the unit of the responses
        Responses, with the parameters along the first dimension, and `session` and `area` along
        ``unit_id``. Conditions without a presentation for all units are left out; the attribute
        ``notes`` lists them. Trials are in the order of conditions.

    Raises
    ------
    NothingLeft
        If no condition has a presentation for all units.
    SchemaError, NotInTree, ValueError, NeuroArraysError
        As in `over`.

    Notes
    -----
    A trial of a pseudo-population never happened: its units respond in different presentations,
    even units of one session. This destroys correlations between units within a condition (noise
    correlations), so a decoder sees independent units (Averbeck, Latham & Pouget 2006, Nat. Rev.
    Neurosci. 7:358; Meyers et al. 2008, J. Neurophysiol. 100:1407). A presentation that is masked
    or missing (NaN) for a unit is not drawn for it. For trials, the tree is read twice: first the
    presentations are counted.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.align(na.load_sample(), "epochs", bin_width=1.0, window=(0, 300))
    >>> na.pool(tree, "tags").dims
    ('condition', 'unit_id')
    """
    names = [by] if isinstance(by, str) else list(by)
    seed = whole_number(seed, "seed", 0)
    means = over(tree, _means, names, time and not trials, **options)
    _whole(means, tree)
    number = means["n"].max(schema.TIME) if schema.TIME in means["n"].dims else means["n"]
    least = number.min(schema.UNIT).stack({CONDITION: names})
    rows = np.flatnonzero(least.values > 0)
    values = {name: least[name].values for name in names}
    if not rows.size:
        msg = f"no condition of {', '.join(names)} has a presentation for every unit of the tree"
        raise NothingLeft(msg)
    if trials:
        labels = {name: of[rows] for name, of in values.items()}
        out = over(tree, _drawn, labels, least.values[rows], time, seed, **options)
    else:
        out = means["mean"].stack({CONDITION: names}).isel({CONDITION: rows})
        out = out.drop_vars([CONDITION, *names])
        labels = {name: (CONDITION, of[rows], means[name].attrs) for name, of in values.items()}
        out = out.assign_coords(labels).transpose(CONDITION, schema.UNIT, ...)
    out.name = "pool"
    lacking = [_title(values, i) for i in np.flatnonzero(least.values == 0).tolist()]
    notes = [*means.attrs.get("notes", [])]
    notes += [f"left out, because not all units have it: {shorten(lacking)}"] if lacking else []
    pooled: xr.DataArray = out.assign_attrs({"notes": notes} if notes else {})
    return pooled


def _whole(means: Any, tree: Any) -> None:
    """Refuse one area, whose units were recorded together."""
    if schema.SESSION not in means.coords:
        msg = (
            f"{tree.path} is an area; expected a tree or session. For one area use na.tuning_curve"
        )
        raise SchemaError(msg)


def _title(values: Mapping[str, np.ndarray], row: int) -> str:
    return " and ".join(f"{name} {of[row]}" for name, of in values.items())


def _rates(area: xr.DataTree, names: list[str]) -> tuple[xr.Dataset, Any, Any, np.ndarray]:
    node, response = _conditions.trials_of(area)
    return node, response, _conditions.conditions(node, names), _conditions.means(node, response)


@over_areas("trials")
def _means(area: xr.DataTree, names: list[str], time: bool) -> xr.Dataset:
    """Mean responses ``(by, ..., unit_id[, time])`` of one area, and the numbers of presentations."""
    from neuroarrays.analysis.rates import psth
    from neuroarrays.kernels import moments

    if time:
        return psth(area, names)[["mean", "n"]]
    node, response, conditions, rates = _rates(area, names)
    known = np.isfinite(rates)[:, :, None]
    total, _, n = moments.moments(rates[:, :, None], conditions.labels, conditions.size, known)
    dims, shape = (*names, schema.UNIT), (*conditions.shape, rates.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (total / n).reshape(shape)
    variables = {"mean": (dims, mean, response.attrs), "n": (dims, n.reshape(shape))}
    coords = _conditions.kept(node, (schema.UNIT,)) | conditions.coords(node)
    return xr.Dataset(variables, coords)


@over_areas("trials")
def _drawn(
    area: xr.DataTree, labels: dict[str, np.ndarray], number: np.ndarray, time: bool, seed: int
) -> xr.DataArray:
    """Trials ``(trial, unit_id[, time])`` of one area: a given number of each condition."""
    node, response, conditions, rates = _rates(area, list(labels))
    units = node[schema.UNIT].values
    chosen = np.empty((int(number.sum()), units.size), np.int64)
    ends = np.concatenate([[0], np.cumsum(number)])
    known = np.isfinite(rates)
    codes = _codes(conditions, labels)
    before: Counter[Any] = Counter()  # an id may occur twice in a file
    for column, unit in enumerate(units.tolist()):
        key = crc32(f"{area.path}/{unit}".encode())
        random = np.random.default_rng([seed, key, before[unit]])
        before[unit] += 1
        order = random.permutation(rates.shape[0])
        order = order[known[order, column]]
        of_order = conditions.labels[order]
        for code, start, stop in zip(codes, ends[:-1], ends[1:], strict=True):
            chosen[start:stop, column] = order[of_order == code][: stop - start]
    if time:
        values = response.values.values * response.scale
        mask = _conditions.counted(node, response.values)
        values = values if mask is None else np.where(mask, values, np.nan)
        drawn = values[chosen, np.arange(units.size)]
    else:
        drawn = np.take_along_axis(rates, chosen, axis=0)
    coords = _conditions.kept(node, (schema.UNIT, schema.TIME) if time else (schema.UNIT,))
    for name, of in labels.items():
        coords[name] = (schema.TRIAL, np.repeat(of, number), node[name].attrs)
    dims = (schema.TRIAL, schema.UNIT, schema.TIME)[: drawn.ndim]
    return xr.DataArray(drawn, coords, dims, "pool", response.attrs)


def _codes(conditions: _conditions.Conditions, labels: Mapping[str, np.ndarray]) -> np.ndarray:
    """The numbers of combinations of values in this area; values are matched as in `over`."""
    places = []
    for name, wanted in labels.items():
        here = conditions.values[name]
        if here.dtype.kind == "f":
            wanted = wanted.astype(here.dtype)
        position = {value: i for i, value in enumerate(here.tolist())}
        places.append([position[value] for value in wanted.tolist()])
    codes: np.ndarray = np.ravel_multi_index(places, conditions.shape)
    return codes
