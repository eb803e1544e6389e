"""Find the areas, variables, masks, columns and clocks that batches are gathered from, by name."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.batches.fields import Field, Lookup, field_of
from neuroarrays.errors import NotInTree, SchemaError, shorten, warn
from neuroarrays.schema import given
from neuroarrays.tree.breaks import breaks, step
from neuroarrays.tree.columns import seconds

#: Dtypes that the variables of a batch may have; None keeps the stored dtype.
DTYPES = ("float32", "float16", "uint8", None)


def location(area: Any, name: str = "") -> str:
    """Return session, area and variable as one text, for error messages."""
    if not isinstance(area, xr.DataTree):
        msg = f"expected an area of a tree, found {given.described(area)}; {given.instead(area, 'trials')}"
        raise TypeError(msg)
    path = area.path.strip("/") or str(area.name or "the root")
    return f"{path}: {name}" if name else path


def area_of(area: Any) -> Any:
    """Return an area as a node of a tree; an xr.Dataset becomes a tree of its own, named "dataset"."""
    return xr.DataTree(area, name="dataset") if isinstance(area, xr.Dataset) else area


def dtype_of(area: Any, name: str, field: Field, requested: Any) -> np.dtype:
    """Return the dtype of a variable in batches.

    `requested` is one dtype for all variables, or a dtype by name; None keeps the stored dtype, in
    the byte order of this machine, which torch needs.

    Raises
    ------
    ValueError
        If the dtype is none of `DTYPES`, or cannot hold the stored values.
    """
    chosen = requested.get(name, "float32") if isinstance(requested, Mapping) else requested
    if chosen not in DTYPES:
        msg = f"dtype={chosen!r} for {name}: expected one of {DTYPES}"
        raise ValueError(msg)
    dtype = field.dtype.newbyteorder("=") if chosen is None else np.dtype(chosen)
    if dtype == np.uint8 and field.dtype.kind == "f":
        msg = f"{location(area)}: {name} holds {field.dtype}, which uint8 would cut off"
        raise ValueError(msg)
    return dtype


def names(*lists: Sequence[str]) -> list[str]:
    """Return the variable names of several lists, each name once.

    Raises
    ------
    ValueError
        If one of them is not a list.
    """
    for each in lists:
        if isinstance(each, str):
            msg = f"expected a list of variables, got the text {each!r}"
            raise ValueError(msg)
        given.check(each, Iterable, "expected a list of variables", ValueError)
    return list(dict.fromkeys(name for each in lists for name in each))


def find(area: xr.DataTree, name: str, of_recording: bool = False) -> xr.DataArray:
    """Find a variable by its path below the area, or by its name in the session or block above it.

    Parameters
    ----------
    area : DataTree node
        An area of a tree.
    name : str
        The variable.
    of_recording : bool
        Whether the tree is a recording tree, whose signals are used as they are stored.

    Returns
    -------
    xr.DataArray
        The variable. A data variable wins over a coordinate of the same name further down.

    Raises
    ------
    NotInTree
        If neither the area nor a node above it has the variable.
    """
    location(area)
    node: xr.DataTree | None = area
    label = None
    while node is not None:
        try:
            array = node[name]
        except KeyError:
            array = None
        if isinstance(array, xr.DataArray):
            path, _, variable = name.rpartition("/")
            if variable in (node[path] if path else node).data_vars:
                return array
            # A coordinate may have the name of a variable of a node above it.
            label = array if label is None else label
        node = node.parent
    if label is not None:
        return label
    top = area.parent if of_recording and area.parent is not None else area
    known = [
        f"{path}/{v}".removeprefix("./") for path, n in top.subtree_with_keys for v in n.data_vars
    ]
    hint = f"looked in {location(area)} and above it"
    if schema.UNIT not in area.sizes and not of_recording:  # this is no area of an aligned tree
        hint = f"{hint}; {given.instead(area, 'trials')}"
    raise NotInTree("variable", name, known, hint=hint)


def unit(area: xr.DataTree, name: str) -> str:
    """Return the unit of a variable of an area, as the file has it; "" if it has none."""
    return str(find(area, name).attrs.get("units", ""))


def areas(tree: xr.DataTree, names: Sequence[str]) -> list[tuple[str, xr.DataTree]]:
    """Return the areas that have all of some variables, by session or by ``session/area``.

    Parameters
    ----------
    tree : xr.DataTree
        An aligned tree, from its root.
    names : sequence of str
        Variables that an area must have.

    Returns
    -------
    list of (str, DataTree node)
        Key and node of each area. The key is the session, or ``session/area`` if a session has
        several areas; the name of a block above the session is not part of it.

    Raises
    ------
    SchemaError, NotInTree
        If the tree is not an aligned tree, or no area has the variables.
    """
    if schema.kind_of(tree) != schema.ALIGNED:
        msg = (
            "this is a recording tree; give na.align(tree, bin_width=0.02), or use "
            "na.torch.SpikeWindowDataset on its areas"
        )
        raise SchemaError(msg)
    by_path: dict[str, xr.DataTree] = {}
    missing: NotInTree | None = None
    left_out: dict[str, list[str]] = {}
    for path in schema.area_paths(tree):
        area = tree[path]
        assert isinstance(area, xr.DataTree)
        try:
            for name in names:
                find(area, name)
        except NotInTree as error:
            missing = error
            left_out.setdefault(str(error.name), []).append(path)
            continue
        by_path[path] = area
    if not by_path:
        raise missing or SchemaError(
            f"expected an aligned tree, found {given.described(tree)}; give the whole, as area.root"
        )
    for name, paths in left_out.items():
        warn(f"without {name!r}, which other areas have, and left out: {shorten(paths)}")
    parents = [path.rpartition("/")[0] for path in by_path]
    alone = len(set(parents)) == len(parents)
    keys = [
        parent.rpartition("/")[2] or str(tree.name or "")
        if alone
        else "/".join(path.split("/")[-2:])
        for path, parent in zip(by_path, parents, strict=True)
    ]
    return list(zip(keys, by_path.values(), strict=True))


def column(area: xr.DataTree, name: str, hint: str = "") -> np.ndarray:
    """Return a column of the presentations of an area, (presentation_id,).

    `hint` is added to the error if the column does not exist.
    """
    table = area.children.get(schema.PRESENTATIONS)
    columns = [] if table is None else list(table.data_vars)
    if table is not None and name in columns:
        return np.asarray(table[name].values)
    if name in area.coords:
        return np.asarray(area.coords[name].values)
    raise NotInTree("column", name, columns, hint, f"the presentations of {location(area)}")


def field(area: xr.DataTree, name: str, dim: str, cache: bool | str) -> Field:
    """Return the field that gathers rows of a variable.

    Parameters
    ----------
    area : DataTree node
        An area of an aligned tree.
    name : str
        The variable; see `find`.
    dim : str
        The dimension whose rows are gathered.
    cache : {"auto", True, False}
        Whether the variable is kept in memory.

    Returns
    -------
    Field
        The variable as rows along `dim`.

    Raises
    ------
    NotInTree, SchemaError
        If there is no such variable, it is not numeric, or it has no dimension `dim`.
    """
    array = find(area, name)
    if array.dtype.kind not in "biuf":
        is_text = array.dtype.kind in "OUS"
        hint = f"; give encode={{{name!r}: True}} for the codes of a text" if is_text else ""
        msg = f"{location(area, name)} has dtype {array.dtype}; expected numbers{hint}"
        raise SchemaError(msg)
    if dim == schema.PRESENTATION and schema.IMAGE in array.dims and dim not in array.dims:
        return _images(area, name, array, cache)
    if dim not in array.dims:
        msg = f"{location(area, name)} is not along {dim}: it has dims {array.dims}"
        raise SchemaError(msg)
    return field_of(array.variable, dim, location(area, name), cache)


def _images(area: xr.DataTree, name: str, array: xr.DataArray, cache: bool | str) -> Lookup:
    """Return the field that looks up the image that each presentation shows."""
    table = area.children.get(schema.PRESENTATIONS)
    nodes = ([] if table is None else [table.to_dataset(inherit=False)]) + [area.to_dataset()]
    shown = next(
        (
            n[schema.IMAGE].values
            for n in nodes
            if schema.IMAGE in n.variables and n[schema.IMAGE].dims == (schema.PRESENTATION,)
        ),
        None,
    )
    if shown is None or schema.IMAGE not in array.coords:
        msg = (
            f"{location(area, name)} is along {schema.IMAGE}, but the presentations, or the images, "
            f"have no {schema.IMAGE} to look it up by"
        )
        raise SchemaError(msg)
    known = {int(image): i for i, image in enumerate(array[schema.IMAGE].values)}
    missing = next((image for image in shown.tolist() if int(image) not in known), None)
    if missing is not None:
        raise NotInTree("image", missing, list(known), hint=location(area, name))
    rows = np.array([known[int(image)] for image in shown], np.int64)
    return Lookup(field_of(array.variable, schema.IMAGE, location(area, name), cache), rows)


def clock(area: xr.DataTree, names: list[str]) -> tuple[np.ndarray, float, np.ndarray]:
    """Return the one clock that some variables share.

    Time stamps of a clock of bins (with the attribute `bin_width`) are the middles of bins; those
    of other clocks are the onsets of frames.

    Returns
    -------
    time : (time,) float64, s
        Time stamps.
    step : float, s
        Bin width, or the median step between time stamps.
    onsets : (time,) float64, s
        Where each bin or frame begins.

    Raises
    ------
    SchemaError
        If the variables have no clock or different ones, or the clock goes backwards.
    """
    time, first = None, ""
    for name in names:
        array = find(area, name)
        if schema.TIME in array.dims and schema.TIME not in array.coords:
            msg = f"{location(area, name)} has no clock: nothing says how long its frames last"
            raise SchemaError(f"{msg}; give the reader the rate, or assign the coordinate time")
        if schema.TIME not in array.dims:
            msg = f"{location(area, name)} is not along time: it has dims {array.dims}"
            raise SchemaError(msg)
        if schema.PRESENTATION in array.dims:
            msg = f"{location(area, name)} is cut into presentations {array.dims}: use TrialDataset"
            raise SchemaError(msg)
        stamps = seconds(array.coords[schema.TIME], f"the clock of {location(area, name)}")
        if time is not None and not np.array_equal(stamps, time):
            msg = (
                f"{location(area, name)} has another clock ({stamps.size:,} samples) than {first} "
                f"({time.size:,} samples): bring both on one with na.align"
            )
            raise SchemaError(msg)
        if time is None:
            time, first = stamps, name
    assert time is not None
    steps = np.diff(time)
    if not (steps > 0).all():
        msg = (
            f"{location(area, first)}: time decreases, stays equal or is NaN; na.validate "
            "lists where"
        )
        raise SchemaError(msg)
    clock = find(area, first).coords[schema.TIME]
    if "bin_width" in clock.attrs:
        width = step(clock)
        return time, width, time - width / 2
    return time, float(np.median(steps) if steps.size else 1.0), time


def bins_of(what: str, seconds: float, width: float) -> int:
    """Return a duration in s as a whole number of bins of `width` s; errors name it as `what`."""
    bins = seconds / width
    if not (np.isfinite(bins) and abs(bins - round(bins)) < 0.1):
        msg = (
            f"{what}: {seconds:g} s are {bins:.2f} bins of {width:g} s; expected a whole "
            "number of bins"
        )
        raise ValueError(msg)
    return round(bins)


def mask(area: xr.DataTree, name: str, dims: tuple[str, ...]) -> np.ndarray | None:
    """Return the mask `name` of an area, (...) bool with axes in the order of `dims`.

    Returns None if the area has no such mask, or the mask has other dimensions.
    """
    array = area.get(name)
    if not isinstance(array, xr.DataArray) or set(array.dims) != set(dims):
        return None
    return np.asarray(array.transpose(*dims).values, bool)


def stretches(
    area: xr.DataTree, time: np.ndarray, width: float, window: Any, across_gaps: bool
) -> np.ndarray:
    """Return the parts of a clock in which windows may lie.

    Parameters
    ----------
    area : DataTree node
        An area of an aligned tree.
    time : (time,) float64, s
        Time stamps of the frames.
    width : float, s
        Time from one stamp to the next.
    window : (2,) or (n, 2) float, s, or None
        Half-open intervals that the stamps must lie in; None for the whole clock.
    across_gaps : bool
        Whether parts may contain time that is not valid and breaks of the clock.

    Returns
    -------
    (n, 2) int64
        First frame of each part, and the frame after its last one, in the order of `window`.
    """
    slack = width * 1e-6
    pairs = np.asarray((-np.inf, np.inf) if window is None else window, np.float64).reshape(-1, 2)
    low, high = np.searchsorted(time, pairs.T - slack)
    valid = None if across_gaps else mask(area, schema.VALID, (schema.TIME,))
    clock = xr.DataArray(time, dims=schema.TIME, attrs={"bin_width": width})
    cuts = np.empty(0, np.int64) if across_gaps else np.flatnonzero(breaks(area, clock=clock))
    spans = []
    for begin, end in zip(low.tolist(), high.tolist(), strict=True):
        inner = cuts[(cuts > begin) & (cuts < end)]
        bounds = np.concatenate([[begin], inner, [end]])
        spans += [
            (a, b) for a, b in itertools.pairwise(bounds) if b > a and (valid is None or valid[a])
        ]
    return np.array(spans, np.int64).reshape(-1, 2)


def write_clips(starts: np.ndarray, ends: np.ndarray, field: Field, out: np.ndarray) -> None:
    """Write clips that may end early; past the end of a clip is NaN, or 0 if the dtype has no NaN."""
    whole = ends - starts == out.shape[1]
    if whole.all():
        field.clips(starts, out)
        return
    for i, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        field.clips(np.array([start]), out[i : i + 1, : end - start])
        out[i, end - start :] = np.nan if out.dtype.kind == "f" else 0


def dims_of(area: xr.DataTree, name: str, dim: str) -> tuple[str, ...]:
    """Return the dimensions of a variable's field, the dimension of the rows first."""
    dims = find(area, name).dims
    return (dim, *(str(d) for d in dims if d not in (dim, schema.IMAGE)))
