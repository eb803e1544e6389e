"""Features: find their types, join several as components, and split angles into cosine and sine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.lazy.computed import Elementwise, as_lazy
from neuroarrays.lazy.views import side_by_side
from neuroarrays.schema.given import check
from neuroarrays.schema.labels import FULL_TURNS
from neuroarrays.tree import groups as _groups

#: The types of features.
DISCRETE, CONTINUOUS = ("binary", "categorical", "count", "timeline"), ("linear", "circular")
#: DRIADA's name -> type. "discrete" becomes one of the discrete types, depending on the values.
_DRIADA = {
    "continuous": "linear", "c": "linear", "phase": "circular", "angle": "circular",
    "spike": "binary", "cat": "categorical", "time": "timeline", "discrete": "discrete",
    "d": "discrete", "ambiguous": "unknown",
}  # fmt: skip
#: Attributes of a feature: its type, the score of the type, and the full turn of an angle.
TYPE, SCORE, PERIOD = "feature_type", "feature_type_score", "period"

_ANGLES = {"angle", "azimuth", "bearing", "direction", "hd", "heading", "phase", "yaw"}
#: Masks, which are not features.
_MASKS = (schema.VALID, schema.VALID_UNITS, schema.WITHHELD)

Override = str | tuple[str, float]


def feature_types(
    tree: xr.DataTree, overrides: Mapping[str, Override] | None = None
) -> xr.DataTree:
    """Find the type of each feature and write it into its attributes.

    A feature is a signal with one value per time. Each is read once; the rest of the tree is
    unchanged.

    Parameters
    ----------
    tree : DataTree or a node of one
        A recording or aligned tree.
    overrides : mapping of str to str or (str, float), optional
        Types of some features, by name or path: ``{"licks": "binary"}``. An angle may have its full
        turn, ``{"wheel": ("circular", 1.0)}``. DRIADA's names are accepted too: "continuous",
        "discrete", "cat", "spike", "phase", "angle", "time", "ambiguous", "c", "d".

    Returns
    -------
    DataTree
        A tree whose features have the attributes ``feature_type`` and ``feature_type_score`` (from
        0 to 1, how clear the case is; 1.0 if it was given). Angles also have ``period``, which
        `interpolate`, `tuning_curve` and the decoders use.

    Raises
    ------
    ValueError
        If a type is unknown, or the full turn of an angle is neither 2 pi nor 360 and was not
        given.
    NotInTree
        If no feature has a given name.

    Notes
    -----
    The first line that fits decides:

    =============  ==============================================================================
    type           a feature that
    =============  ==============================================================================
    circular       has the attribute ``period``
    binary         is bool, or has two values
    unknown        is constant, or has fewer than two finite samples
    timeline       always rises, in equal steps (to a fifth, 95 % of them)
    count          is whole, not negative and never falls
    circular       wraps: its range is a full turn, 2 pi or 360; at least half of its steps of more
                   than half a turn, and at least three, become steps like the others when a turn is
                   taken off; and it has been in half of all directions. In degrees it must go both
                   ways through the seam, because laps of a track do not. Where its unit (rad, deg)
                   or its name (heading, direction, angle, phase, ...) says that it is an angle,
                   more than half a turn is enough
    linear         is rounded: has five usual values or more, and goes from each to the next only
    count          is whole, not negative, changes from sample to sample, and its highest values
                   are rare
    categorical    has at most 20 values, or whole ones that last; each recurs
    linear         is anything else, rounded measures that vary like counts among it
    =============  ==============================================================================

    Multiplying a float feature does not change its type, except for angles, whose full turn is
    fixed, and for whole numbers. An angle may start at any value. Fewer than 30 samples lower the
    score.

    Other full turns (180, 24, 1) are not recognised. A circular track whose length is 2 pi or 360
    is taken for an angle, and a position that changes at constant speed for a timeline: use
    `overrides` for these.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.feature_types(na.load_sample(), {"x": "linear"})
    >>> tree["A2929-200711/head_direction/ry"].attrs["feature_type"]
    'circular'
    """
    check(overrides, Mapping | None, "overrides: expected a dict of types by name", TypeError)
    wanted_types = {
        key.strip("/"): _override(key, value) for key, value in (overrides or {}).items()
    }
    nodes = _groups.nodes_of(tree)
    names: dict[str, None] = {}
    for path, node in nodes.items():
        changed = {}
        for name in _features(path, node):
            names |= {name: None, f"{path}/{name}": None}
            chosen = wanted_types.get(f"{path}/{name}", wanted_types.get(name))
            feature = node.variables[name].copy(deep=False)
            feature.attrs = _typed(feature, name, chosen)
            changed[name] = feature
        nodes[path] = node.assign(changed)
    for key in wanted_types:
        if key not in names:
            known = [name for name in names if ("/" in name) == ("/" in key)]
            raise NotInTree("feature", key, known)
    return _groups.rebuilt(tree, nodes)


def _features(path: str, node: xr.Dataset) -> list[str]:
    """Names of the signals that have one value per time."""
    if schema.PRESENTATIONS in path.split("/"):
        return []
    return [
        str(name)
        for name, variable in node.data_vars.items()
        if variable.dims == (schema.TIME,)
        and name not in _MASKS
        and variable.dtype.kind in "biufUST"
    ]


def _override(key: str, value: Override) -> tuple[str, float | None]:
    kind, period = (value, None) if isinstance(value, str) else value
    kind = _DRIADA.get(str(kind).lower(), kind)
    if kind not in (*DISCRETE, *CONTINUOUS, *_DRIADA.values()):
        known = ", ".join(map(repr, (*DISCRETE, *CONTINUOUS, *_DRIADA)))
        msg = f"overrides[{key!r}]={value!r}: expected one of {known}"
        raise ValueError(msg)
    if period is not None and (kind != "circular" or not 0 < float(period) < np.inf):
        msg = f"overrides[{key!r}]={value!r}: expected ('circular', a full turn above 0)"
        raise ValueError(msg)
    return kind, None if period is None else float(period)


def _typed(
    feature: xr.Variable, name: str, chosen: tuple[str, float | None] | None
) -> dict[Any, Any]:
    """The attributes of a feature, with its type."""
    from neuroarrays.kernels import features

    attrs = {k: v for k, v in feature.attrs.items() if k not in (TYPE, SCORE, PERIOD)}
    turn = FULL_TURNS.get(str(attrs.get("units", "")).lower())
    period = feature.attrs.get(PERIOD)
    if chosen is not None:
        kind, score = chosen[0], 1.0
        if kind == "discrete":
            kind = features.classify(feature.values, (), False)[0]
            kind = kind if kind in DISCRETE else "categorical"
        period = chosen[1] or period or turn or _turn_of(feature, name) if kind == "circular" else 0
    elif period:
        before = feature.attrs.get(SCORE, 1.0) if feature.attrs.get(TYPE) == "circular" else 1.0
        kind, score = "circular", float(before)
    elif feature.dtype.kind in "UST":
        kind, score = "categorical", 1.0
    else:
        words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)  # from head_direction and headDirection
        angle = turn is not None or not _ANGLES.isdisjoint(word.lower() for word in words)
        turns = (features.FULL_TURN, 360.0) if turn is None else (turn,)
        kind, score, period = features.classify(feature.values, turns, angle)
    return (
        attrs | {TYPE: kind, SCORE: round(score, 3)} | ({PERIOD: float(period)} if period else {})
    )


def _turn_of(feature: xr.Variable, name: str) -> float:
    """The full turn, 2 pi or 360, that the values of an angle lie in."""
    values = np.asarray(feature.values, float)
    values = values[np.isfinite(values)]
    span = float(np.ptp(values)) if values.size else 0.0
    for turn in (2 * np.pi, 360.0):
        if turn / 2 <= span <= turn * (1 + 1e-3):
            return turn
    msg = (
        f"{name!r} has a range of {span:g}, which fits no angle in radians or degrees: give its "
        f"full turn, such as overrides={{{name!r}: ('circular', 1.0)}}"
    )
    raise ValueError(msg)


def aggregate(tree: xr.DataTree, components: Mapping[str, Sequence[str]]) -> xr.DataTree:
    """Join several features into one with components, and keep the single ones.

    Parameters
    ----------
    tree : DataTree or a node of one
        A recording or aligned tree.
    components : mapping of str to list of str
        New name -> names of the features: ``{"position": ["x", "y"]}``. The new feature is added in
        each node that has all of them.

    Returns
    -------
    DataTree
        A tree with ``position(time, position_component)``, lazy. The coordinate
        ``position_component`` has the names. Attributes, the unit included, are those that all
        components share.

    Raises
    ------
    NotInTree
        If no node has all of them.
    ValueError
        If a node already has the new name.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.aggregate(na.load_sample(), {"xz": ["x", "z"]})
    >>> tree["A2929-200711/position/xz"].dims
    ('time', 'xz_component')
    """
    nodes = _groups.nodes_of(tree)
    for name, parts in components.items():
        having = {path: _features(path, node) for path, node in nodes.items()}
        places = [path for path, names in having.items() if set(parts) <= set(names)]
        if not places or not parts:
            known = dict.fromkeys(variable for names in having.values() for variable in names)
            raise NotInTree("node with the features", ", ".join(parts), known)
        for path in places:
            node = nodes[path]
            _free(path, node, name)
            variables = [node.variables[part] for part in parts]
            shared = {
                key: value
                for key, value in variables[0].attrs.items()
                if all(key in v.attrs and v.attrs[key] == value for v in variables)
            }
            nodes[path] = _beside(
                node,
                name,
                side_by_side([as_lazy(variable) for variable in variables]),
                list(parts),
                shared,
            )
    return _groups.rebuilt(tree, nodes)


def circular_components(tree: xr.DataTree) -> xr.DataTree:
    """Add the cosine and sine of each angle, under its name and ``_2d``.

    Parameters
    ----------
    tree : DataTree or a node of one
        A recording or aligned tree. Angles are the features with the attribute ``period``, which
        some files have and `feature_types` sets.

    Returns
    -------
    DataTree
        A tree with ``<name>_2d(time, <name>_2d_component)``, float, without unit, lazy, beside each
        angle. The coordinate has "cos" and "sin".

    Raises
    ------
    SchemaError
        If there is no angle.
    ValueError
        If a node already has the new name.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.circular_components(na.load_sample())
    >>> tree["A2929-200711/head_direction/ry_2d"].sel(ry_2d_component="cos").dims
    ('time',)
    """
    nodes = _groups.nodes_of(tree)
    n_angles = 0
    for path, node in nodes.items():
        for name in _features(path, node):
            angle = node.variables[name]
            if not angle.attrs.get(PERIOD):
                continue
            _free(path, node, f"{name}_2d")
            pair = _cos_sin(angle, float(angle.attrs[PERIOD]))
            attrs = {"units": "1", TYPE: "linear"}
            nodes[path] = _beside(nodes[path], f"{name}_2d", pair, ["cos", "sin"], attrs)
            n_angles += 1
    if not n_angles:
        msg = "no feature has the attribute period; na.feature_types(tree) sets it for angles"
        raise SchemaError(msg)
    return _groups.rebuilt(tree, nodes)


def _free(path: str, node: xr.Dataset, name: str) -> None:
    if name in node.variables or f"{name}_component" in node.variables:
        msg = f"{path} has {name!r} already"
        raise ValueError(msg)


def _beside(
    node: xr.Dataset, name: str, array: LazyArray, labels: list[str], attrs: Mapping[Any, Any]
) -> xr.Dataset:
    dim = f"{name}_component"
    column = array.variable((schema.TIME, dim), attrs)
    return node.assign({name: column}).assign_coords({dim: labels})


def _cos_sin(angle: xr.Variable, period: float) -> LazyArray:
    """Cosine and sine of an angle, (time, 2) float."""
    stored_dtype = angle.dtype
    dtype = (
        stored_dtype if stored_dtype.kind == "f" and stored_dtype.itemsize >= 4 else np.dtype("f8")
    )
    stored = as_lazy(angle)
    return side_by_side(
        [Elementwise(part, (stored,), dtype, (period,)) for part in (_cosine, _sine)]
    )


def _cosine(angle: np.ndarray, period: float) -> np.ndarray:
    return np.asarray(np.cos(np.asarray(angle, float) * (2 * np.pi / period)))


def _sine(angle: np.ndarray, period: float) -> np.ndarray:
    return np.asarray(np.sin(np.asarray(angle, float) * (2 * np.pi / period)))
