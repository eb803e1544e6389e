"""Write groups of a temporaldata file: tables, intervals and series."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroarrays.formats.temporaldata import layout

if TYPE_CHECKING:
    import h5py


def describe(group: h5py.Group, description: Mapping[str, Any]) -> None:
    """Write the attribute from which the reader restores the node; temporaldata ignores it."""
    group.attrs[layout.OURS] = json.dumps(description)


def write_group(
    group: h5py.Group,
    kind: str,
    arrays: Mapping[str, np.ndarray],
    attrs: Mapping[str, Mapping[str, Any]],
) -> h5py.Group:
    """Write the arrays of a group with their attributes, and return the group.

    ASCII text is stored as bytes and listed in the attribute ``_unicode_keys``, as temporaldata
    does. temporaldata ignores the attributes of the arrays.
    """
    import h5py

    ascii_names = []
    for name, values in arrays.items():
        if values.dtype.kind not in "OU":
            group.create_dataset(name, data=values)
        else:
            texts = ["" if text is None else str(text) for text in values.ravel().tolist()]
            if texts and all(text.isascii() and text for text in texts):
                group.create_dataset(name, data=np.array(texts, "S").reshape(values.shape))
                ascii_names.append(name)
            else:
                array = np.empty(len(texts), object)
                array[:] = texts
                group.create_dataset(
                    name, data=array.reshape(values.shape), dtype=h5py.string_dtype()
                )
        group[name].attrs.update(attrs.get(name, {}))
    group.attrs[layout.KIND] = kind
    group.attrs["_unicode_keys"] = np.array(ascii_names, "S")
    return group


def write_intervals(parent: h5py.Group, name: str, rows: np.ndarray) -> h5py.Group:
    """Write intervals, (n, 2) in s, and return their group."""
    group = parent.create_group(name)
    write_group(group, layout.INTERVAL, {"start": rows[:, 0], "end": rows[:, 1]}, {})
    group.attrs["timekeys"] = np.array(["start", "end"], "S")
    return group


def write_series(
    file: h5py.Group,
    name: str,
    arrays: Mapping[str, np.ndarray],
    domain: np.ndarray,
    attrs: Mapping[str, Mapping[str, Any]],
) -> h5py.Group:
    """Write a series with time stamps, and return its group.

    temporaldata needs an index: the number of the first stamp at or after each full second.
    """
    group = write_group(file.create_group(name), layout.IRREGULAR, arrays, attrs)
    group.attrs["timekeys"] = np.array(["timestamps"], "S")
    write_intervals(group, "domain", domain)
    first, last = (domain[0, 0], domain[-1, 1]) if len(domain) else (0.0, 0.0)
    grid = np.arange(first, last + 1.0)
    group["timestamp_indices_1s"] = np.searchsorted(arrays["timestamps"], grid)
    return group
