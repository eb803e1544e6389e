"""Facts about a session of retina and its units, which open-retina calls `session_kwargs`.

One value is an attribute of the session, one value per unit a label, a row per unit a variable of
the retina; other arrays (a mask of regions) stand in the node `session_info` below the session.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.files.source import plain
from neuroarrays.formats.retina import nodes as retina
from neuroarrays.lazy.indexes import dataset

INFO = "session_info"
#: Variables that a session or its retina has in some blocks.
_VARIABLES = ("stimulus", schema.RESPONSES, "responses_by_trial", schema.TIME, schema.TRIAL)
#: Attributes of a session that the tree sets itself.
_OURS = ("session_id", "stimulus_type", "sampling_rate", "sampling_rate_source", "note", "notes")


def session_info(session: Any, area: Any) -> dict[str, Any]:
    """Return all facts about a session and its units, by name.

    Parameters
    ----------
    session, area : DataTree node
        A session of one block, and its retina.

    Returns
    -------
    dict
        Text, numbers and arrays, in memory: labels (unit_id,), rows (unit_id, ...), others as
        stored; each in its own unit.
    """
    attrs = {str(name): value for name, value in session.attrs.items() if name not in _OURS}
    info = {k: v for k, v in attrs.items() if isinstance(v, str | int | float | np.generic)}
    if INFO in session.children:
        info |= {str(k): v.values for k, v in session.children[INFO].data_vars.items()}
    contents = area.to_dataset(inherit=False)
    rows = {k: v for k, v in contents.data_vars.items() if v.dims[:1] == (schema.UNIT,)}
    labels = {k: v for k, v in contents.coords.items() if v.dims == (schema.UNIT,)}
    return info | {str(name): array.values for name, array in (rows | labels).items()}


def put_session_info(
    nodes: dict[str, xr.Dataset], path: str, info: Mapping[str, Any], notes: list[str]
) -> None:
    """Add facts about a session to its nodes; those that cannot be stored become notes.

    These are values that no array can hold, and names that the tree uses itself or cannot have.

    Parameters
    ----------
    nodes : dict of str to Dataset
        Nodes of one session in one block by path; the facts are added to them.
    path : str
        Path of the session's node.
    info : mapping
        Values by name. An array as long as the number of units has a value for each unit.
    notes : list of str
        Notes of the session, appended to.
    """
    area = nodes[f"{path}/{retina.RETINA}"]
    used = {
        *_OURS,
        *_VARIABLES,
        *nodes[path].variables,
        *nodes[path].dims,
        *area.variables,
        *area.dims,
    }
    rest: dict[str, xr.Variable] = {}
    for name, value in info.items():
        if value is None or name == schema.UNIT:
            continue
        if name in used or name != schema.node_name(str(name)):
            notes.append(
                f"session_kwargs[{name!r}]: not in the tree, which "
                f"{'uses' if name in used else 'cannot have'} this name; give it another"
            )
            continue
        try:
            values = np.asarray(value)
        except ValueError:  # lists of different lengths
            values = np.empty(len(value), object)
        if values.dtype.kind not in "biufUS":
            notes.append(
                f"session_kwargs[{name!r}]: not in the tree ({values.dtype} of shape "
                f"{values.shape})"
            )
        elif values.ndim == 0:
            nodes[path].attrs.setdefault(name, plain(values))
        elif values.shape[0] != area.sizes[schema.UNIT]:
            rest[name] = xr.Variable(
                [f"{name}_{axis}" for axis in range(values.ndim)], _text(values)
            )
        elif values.ndim == 1:
            area.coords[name] = retina.along(schema.UNIT, values)
        else:
            dims = [schema.UNIT, *(f"{name}_{axis}" for axis in range(1, values.ndim))]
            area[name] = xr.Variable(dims, _text(values))
    if rest:
        nodes[f"{path}/{INFO}"] = dataset(rest)


def _text(values: np.ndarray) -> np.ndarray:
    """Return text as objects, which every store accepts, and numbers as they are."""
    return values.astype(object) if values.dtype.kind == "U" else values
