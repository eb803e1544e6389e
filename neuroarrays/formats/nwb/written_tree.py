"""Rebuild the tree of a file that `na.to_nwb` wrote, from its description in the file (`layout`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays.errors import FormatError
from neuroarrays.files.source import Source
from neuroarrays.formats.nwb import layout, ragged
from neuroarrays.formats.nwb.account import Account
from neuroarrays.formats.nwb.observed import stretches_of_units
from neuroarrays.lazy.arrays import LazyArray, file_array, wrap
from neuroarrays.lazy.computed import RegularClock
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import Blocks, Segments


class WrittenTree:
    """The description of a tree in the file that was written from it.

    Attributes
    ----------
    attrs : dict
        Attributes of the session.
    notes : list of str
        Notes about parts of the tree that were not written.
    """

    def __init__(self, account: Account, text: str):
        description = json.loads(text)
        if not isinstance(description, dict) or description.get("version") != layout.VERSION:
            raise ValueError(f"not of version {layout.VERSION}")
        self._account = account
        self._nodes: dict[str, dict[str, Any]] = dict(description[layout.NODES])
        self._datasets: list[str] = list(description[layout.DATASETS])
        self.attrs: dict[str, Any] = dict(description[layout.ATTRS])
        self.notes = [f"not in the file: {part}" for part in description[layout.LEFT_OUT]]

    def nodes(self, wanted: Callable[[str], bool]) -> dict[str, xr.Dataset]:
        """Return the nodes of the wanted areas, by path below the session.

        A node whose datasets changed since they were written is left out, with the reason.
        """
        groups: dict[str, xr.Dataset] = {}
        for path, node in self._nodes.items():
            if layout.AREA in node and not wanted(node[layout.AREA]):
                continue
            with self._account.step(f"{layout.DESCRIPTION_PATH}/{path}"):
                groups[path] = self._node(node)
        for name in self._datasets:
            self._account.take(name)
        return groups

    def is_written(self, path: str) -> bool:
        """Whether an object of the file is one of those that were written."""
        return any(name.startswith(f"{path}/") for name in self._datasets)

    def _node(self, node: Mapping[str, Any]) -> xr.Dataset:
        """Return a node by its description."""
        variables: dict[str, xr.Variable] = {}
        coords: dict[str, xr.Variable] = {}
        for name, entry in node[layout.VARIABLES].items():
            data = self._values(entry)
            dims = tuple(entry[layout.DIMS])
            if len(dims) != len(data.shape):
                raise FormatError(
                    self._account.source.path,
                    f"/{entry.get(layout.AT)}",
                    "the array that was written",
                    f"shape {data.shape} for {', '.join(dims)}",
                )
            group = coords if entry[layout.COORD] else variables
            group[name] = xr.Variable(dims, data, entry[layout.ATTRS])
        return dataset(variables, coords, node[layout.ATTRS])

    def _values(self, entry: Mapping[str, Any]) -> Any:
        """Return the values of a variable by its description, lazily if they have a dataset."""
        source, rows = self._account.source, entry.get(layout.ROWS)
        if layout.VALUES in entry:
            return _array(entry)
        if layout.CLOCK in entry:
            return wrap(self._clock(entry[layout.CLOCK]))
        if layout.STRETCHES in entry:
            number = source.known("units/id").shape[0]
            stretches = stretches_of_units(source, number)[slice(*rows or ())]
            return stretches[:, : entry[layout.WIDTH], entry[layout.STRETCHES]]
        if layout.SIZES in entry:
            starts, ends = ragged.bounds(source, "units/spike_times")
            return (ends - starts)[slice(*entry[layout.SIZES])]
        path = entry[layout.AT]
        if source.info(path) is None:
            raise FormatError(source.path, f"/{path}", "the array that was written", "nothing")
        array = file_array(source, path)
        if layout.TRAINS in entry:
            values: LazyArray = array
            column = path
            if layout.BLOCK in entry:
                values, column = Blocks(array, entry[layout.BLOCK]), f"{path}_index"
            units = slice(*entry[layout.TRAINS])
            starts, ends = (bounds[units] for bounds in ragged.bounds(source, column))
            return wrap(Segments(values, starts, ends - starts))
        variable = array.variable(tuple(f"axis{i}" for i in range(array.ndim)))
        if rows is not None:
            variable = variable[slice(*rows)]
        if layout.COLUMN in entry:
            variable = variable[:, entry[layout.COLUMN]]
        return variable._data

    def _clock(self, series: str) -> RegularClock:
        """Return the clock of a series that has a starting time and a rate."""
        source = self._account.source
        start, size = f"{series}/starting_time", source.known(f"{series}/data").shape[0]
        rate = source.attr(start, "rate")
        return RegularClock(float(source.read(start)), float(np.ravel(rate)[0]), size)


def read_written_tree(account: Account) -> WrittenTree | None:
    """Return the description of the tree that a file was written from, or None if it has none."""
    info = (
        account.source.info(layout.DESCRIPTION_PATH)
        if "scratch" in account.source.names("/")
        else None
    )
    if info is None or not info.text or info.shape != ():
        return None
    try:
        tree = WrittenTree(account, str(account.source.read(layout.DESCRIPTION_PATH)))
    except (ValueError, KeyError, TypeError) as error:
        account.leave(
            layout.DESCRIPTION_PATH,
            f"says nothing of a tree: {error}; the file is read as any other",
        )
        return None
    account.take(layout.DESCRIPTION_PATH)
    return tree


def was_written(source: Source) -> bool:
    """Whether `na.to_nwb` wrote a file; such a file is plain NWB, whatever the dataset was."""
    return source.info(layout.DESCRIPTION_PATH) is not None


def _array(entry: Mapping[str, Any]) -> np.ndarray:
    """Return values that are in the description itself."""
    dtype = np.dtype(entry[layout.DTYPE])
    shape = tuple(entry[layout.SHAPE])
    if dtype.kind != "O":
        return np.array(entry[layout.VALUES], dtype).reshape(shape)
    array = np.empty(shape, object)
    array[...] = np.array(entry[layout.VALUES], object).reshape(shape)
    return array
