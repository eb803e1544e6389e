"""What was given in place of what a function takes: in words, and what to write instead."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays.errors import SchemaError, quoted, shorten

#: What an area has to have -> what an aligned tree that has none is instead.
_NOT = {
    "spikes": "an aligned tree has no spike times, its recording does",
    "rates": "an aligned tree has no spike times, its recording does",
    "trials": "this one is on one clock, align its recording to presentations",
    "clock": "this one is cut into presentations, align its recording on one clock",
}
_CLOCK = {"time", "unit_id"}
_COUNTS = ("spike_data", "responses")


def check(given: Any, kinds: Any, expected: str, error: type[Exception] = SchemaError) -> None:
    """Refuse what is of none of some classes: "<expected>, found <what it is>"."""
    if not isinstance(given, kinds):
        msg = f"{expected}, found {described(given)}"
        raise error(msg)


def whole_number(given: Any, name: str, least: int | None = None) -> int:
    """A whole number that was given as an argument.

    Parameters
    ----------
    given : int
        Of Python or numpy.
    name : str
        The argument.
    least : int, optional
        The smallest that makes sense.

    Returns
    -------
    int
        The number.

    Raises
    ------
    ValueError
        If it is none, or less.
    """
    if isinstance(given, bool) or not hasattr(given, "__index__"):
        msg = f"{name}={given!r:.60}: expected a whole number"
        raise ValueError(msg)
    number = int(given)
    if least is not None and number < least:
        msg = f"{name}={given}: expected at least {least}"
        raise ValueError(msg)
    return number


def yes_or_no(**options: Any) -> None:
    """Refuse an option that is neither True nor False.

    Raises
    ------
    ValueError
        Names the first.
    """
    for name, value in options.items():
        if not isinstance(value, bool | np.bool_):
            msg = f"{name}={value!r:.60}: expected True or False"
            raise ValueError(msg)


def choice(given: Any, name: str, choices: tuple[str, ...]) -> None:
    """Refuse what is none of the values of an option.

    Raises
    ------
    ValueError
        Names the option, and its values.
    """
    if given not in choices:
        *others, last = map(repr, choices)
        msg = f"{name}={given!r:.60}: expected {', '.join(others)} or {last}"
        raise ValueError(msg)


def described(given: Any) -> str:
    """What was given, in a few words: "the session '/mouse-3' of a recording tree"."""
    if isinstance(given, xr.DataTree):
        kind = {"recording": "a recording tree", "aligned": "an aligned tree"}.get(_kind(given))
        if kind is None:
            return "a tree that is not from na.open_datatree or na.align"
        if given.parent is None:
            return kind
        return f"{_role(given)} {given.path!r} of {kind}"
    if isinstance(given, xr.Dataset):
        variables = shorten(given.data_vars, 4) if given.data_vars else "no variable"
        return f"a Dataset of {dict(given.sizes)} with {variables}"
    if isinstance(given, xr.DataArray):
        return f"the variable {given.name!r} with dims {given.dims}"
    if isinstance(given, str | os.PathLike):
        return f"the text {quoted(given, 60)}" if isinstance(given, str) else f"a path, {given}"
    if given is None or isinstance(given, bool | int | float):
        return repr(given)
    if isinstance(given, list | tuple | dict) and not given:
        return f"an empty {type(given).__name__}"
    if hasattr(given, "shape") and hasattr(given, "dtype"):
        return f"an array of shape {tuple(given.shape)}"
    article = "an" if type(given).__name__[:1].lower() in "aeiou" else "a"
    return f"{article} {type(given).__name__}"


def _kind(tree: xr.DataTree) -> str:
    return str(tree.root.attrs.get("neuroarrays_schema", "")).partition("/")[0]


def _role(node: xr.DataTree) -> str:
    """What a node below the root is called."""
    names = set(node.data_vars)
    if "row_size" in names:
        return "the spikes"
    if "spikes" in node.children or names & set(_COUNTS):
        return "the area"
    return "the session" if node.level == 1 else "the node"


def instead(given: Any, wanted: str) -> str:
    """What to write instead, where an area of a tree is wanted.

    Parameters
    ----------
    given : object
        What was given.
    wanted : {"spikes", "rates", "trials", "clock"}
        An area of a recording tree with spikes; or also one of an aligned tree; or one with
        responses to presentations, or on one clock.

    Returns
    -------
    str
        With names of the tree that was given; "" where nothing can be said.
    """
    if isinstance(given, str | os.PathLike):
        return f"open it first: tree = na.open_datatree({os.fspath(given)!r})"
    if isinstance(given, xr.DataArray):
        return f"give the area, not its variable area[{given.name!r}]"
    if not isinstance(given, xr.DataTree):
        return "areas are nodes of a tree: tree['session/area']"
    kind, here = _kind(given), given.path.strip("/")
    below = [path for path in areas(given, wanted) if path != "."]
    if below:
        name = "tree" if not here else "session" if given.level == 1 else "node"
        return f"give one of its areas: {name}[{below[0]!r}]"
    if kind == "aligned" and given.name == "events":
        return (
            "it has no units: na.psth, na.tuning_curve and na.firing_rate take events, all else the "
            f"area{_area_above(given, wanted)}"
        )
    counted = set(_COUNTS) & set(given.variables)
    if kind == "aligned" and wanted == "trials" and not counted and not areas(given, "either"):
        events = [path for path, node in given.subtree_with_keys if node.name == "events"]
        if events:
            return f"it has no units; give its events: {'' if here else 'tree'}[{events[0]!r}]"
    if kind == "aligned" and _area_above(given, wanted):
        return f"give its area{_area_above(given, wanted)}"
    if kind == "recording":
        return _of_recording(given, here.partition("/")[0], wanted)
    if kind == "aligned":
        known = [*areas(given.root, "trials"), *areas(given.root, "clock"), "session/area"]
        area = next((path for path in known if path == here), known[0])
        return f"{_NOT[wanted]}: tree = na.open_datatree(path) and {_line(wanted, '...', area)}"
    return "give a tree from na.open_datatree or na.align"


def _area_above(given: xr.DataTree, wanted: str) -> str:
    """Where the area is that a node stands below: ", tree['session/area']"; "" if there is none."""
    if given.parent is None or "." not in areas(given.parent, wanted):
        return ""
    return f": tree[{given.parent.path.strip('/')!r}]"


def _of_recording(given: xr.DataTree, session: str, wanted: str) -> str:
    """The line that makes an area of a recording tree, of the session that was given if there is one."""
    spiking = areas(given.root, "spikes")
    if wanted in ("spikes", "rates") and not spiking:
        return _without_spikes(given.root)
    session = session or next(iter(given.root.children), "")
    of_session = [path for path in spiking if path.startswith(f"{session}/")]
    here = f"{given.path}/"
    inside = [
        path for path in of_session if f"/{path}/".startswith(here) or here.startswith(f"/{path}/")
    ]
    known = given.root.children.get(session, given)
    events = wanted == "trials" and not spiking and "events" in known.children
    area = next(
        iter([*inside, *of_session, *spiking]), f"{session}/events" if events else "session/area"
    )
    tables = [
        path.rpartition("/")[2]
        for path, node in given.root.subtree_with_keys
        if "/presentations/" in f"/{path}" and "start_time" in node.data_vars
    ]
    if wanted == "trials" and not tables:
        return "this recording has no table of presentations to align to"
    first = next((name for name in tables if name != "invalid_times"), "trials")
    line = _line(wanted, first, area)
    return f"align it first: {line}" if wanted in ("trials", "clock") else f"give {line}"


def _without_spikes(tree: xr.DataTree) -> str:
    """What a recording has in place of spikes: signals of imaged units, or none."""
    signals = (
        path for path, node in tree.subtree_with_keys if {"time", "unit_id"} <= set(node.dims)
    )
    first = next(signals, None)
    if first is None:
        return "this recording has no units with spikes"
    return (
        f"this recording has no spikes; its units have signals, such as tree[{first!r}], which "
        "na.align brings onto bins"
    )


def _line(wanted: str, table: str, area: str) -> str:
    """The line that gives an area of a recording tree, or aligns it."""
    call = {"trials": f"na.align(tree, {table!r})", "clock": "na.align(tree, bin_width=0.02)"}
    return f"{call.get(wanted, 'tree')}[{area!r}]"


def areas(tree: xr.DataTree, wanted: str) -> list[str]:
    """Paths of areas at ("." is the node itself) and below a node that have what is wanted."""
    return [path for path, node in tree.subtree_with_keys if has(node, wanted)]


def has(node: xr.DataTree, wanted: str) -> bool:
    """Whether a node is an area that has what is wanted.

    Parameters
    ----------
    node : DataTree node
        Of either tree.
    wanted : {"spikes", "rates", "trials", "clock", "either", "traces"}
        As in `instead`; "either": trials or a clock; "traces": responses on one clock.

    Returns
    -------
    bool
    """
    variables = node.variables
    dims = {name: set(variables[name].dims) for name in _COUNTS if name in variables}
    spikes = "spikes" in node.children and "row_size" in node.children["spikes"].variables
    trials = any({"presentation_id", "unit_id"} <= of for of in dims.values())
    clock = any(of == _CLOCK for of in dims.values())
    return {
        "spikes": spikes,
        "rates": spikes or "spike_data" in dims,
        "trials": trials,
        "clock": clock,
        "either": trials or clock,
        "traces": dims.get("responses") == _CLOCK,
    }[wanted]
