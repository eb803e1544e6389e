"""The tree of a file that `na.to_nwb` wrote, from what it says beside NWB (`layout`)."""

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


class Told:
    """What a file says of the tree that it was written from.

    Attributes
    ----------
    attrs : dict
        Attributes of the session.
    notes : list of str
        What was not written.
    """

    def __init__(self, account: Account, text: str):
        told = json.loads(text)
        if not isinstance(told, dict) or told.get("version") != layout.VERSION:
            raise ValueError(f"not of version {layout.VERSION}")
        self._account = account
        self._nodes: dict[str, dict[str, Any]] = dict(told[layout.NODES])
        self._datasets: list[str] = list(told[layout.DATASETS])
        self.attrs: dict[str, Any] = dict(told[layout.ATTRS])
        self.notes = [f"not in the file: {text}" for text in told[layout.LEFT_OUT]]

    def nodes(self, wanted: Callable[[str], bool]) -> dict[str, xr.Dataset]:
        """The nodes by path below the session, of the areas that are wanted.

        One whose datasets are not there as they were written is left, with the reason.
        """
        groups: dict[str, xr.Dataset] = {}
        for path, told in self._nodes.items():
            if layout.AREA in told and not wanted(told[layout.AREA]):
                continue
            with self._account.step(f"{layout.TOLD}/{path}"):
                groups[path] = self._node(told)
        for name in self._datasets:
            self._account.take(name)
        return groups

    def is_written(self, path: str) -> bool:
        """Whether an object of the file is one of those that were written."""
        return any(name.startswith(f"{path}/") for name in self._datasets)

    def _node(self, told: Mapping[str, Any]) -> xr.Dataset:
        variables: dict[str, xr.Variable] = {}
        coords: dict[str, xr.Variable] = {}
        for name, where in told[layout.VARIABLES].items():
            data = self._values(where)
            dims = tuple(where[layout.DIMS])
            if len(dims) != len(data.shape):
                found = f"shape {data.shape} for {', '.join(dims)}"
                raise FormatError(
                    self._account.source.path,
                    f"/{where.get(layout.AT)}",
                    "the array that was written",
                    found,
                )
            variable = xr.Variable(dims, data, where[layout.ATTRS])
            (coords if where[layout.COORD] else variables)[name] = variable
        return dataset(variables, coords, told[layout.ATTRS])

    def _values(self, where: Mapping[str, Any]) -> Any:
        """The values of a variable, lazily where they are in a dataset of their own."""
        source, rows = self._account.source, where.get(layout.ROWS)
        if layout.VALUES in where:
            return _array(where)
        if layout.CLOCK in where:
            return wrap(self._clock(where[layout.CLOCK]))
        if layout.STRETCHES in where:
            number = source.known("units/id").shape[0]
            each = stretches_of_units(source, number)[slice(*rows or ())]
            return each[:, : where[layout.WIDTH], where[layout.STRETCHES]]
        if layout.SIZES in where:
            starts, ends = ragged.bounds(source, "units/spike_times")
            return (ends - starts)[slice(*where[layout.SIZES])]
        at = where[layout.AT]
        if source.info(at) is None:
            raise FormatError(source.path, f"/{at}", "the array that was written", "nothing")
        array = file_array(source, at)
        if layout.TRAINS in where:
            values: LazyArray = array
            column = at
            if layout.BLOCK in where:
                values, column = Blocks(array, where[layout.BLOCK]), f"{at}_index"
            starts, ends = (
                each[slice(*where[layout.TRAINS])] for each in ragged.bounds(source, column)
            )
            return wrap(Segments(values, starts, ends - starts))
        variable = array.variable(tuple(f"axis{i}" for i in range(array.ndim)))
        if rows is not None:
            variable = variable[slice(*rows)]
        if layout.COLUMN in where:
            variable = variable[:, where[layout.COLUMN]]
        return variable._data

    def _clock(self, series: str) -> RegularClock:
        source = self._account.source
        start, size = f"{series}/starting_time", source.known(f"{series}/data").shape[0]
        rate = source.attr(start, "rate")
        return RegularClock(float(source.read(start)), float(np.ravel(rate)[0]), size)


def read_told(account: Account) -> Told | None:
    """What a file says of the tree that it was written from, if it does."""
    info = account.source.info(layout.TOLD) if "scratch" in account.source.names("/") else None
    if info is None or not info.text or info.shape != ():
        return None
    told = None
    try:
        told = Told(account, str(account.source.read(layout.TOLD)))
        account.take(layout.TOLD)
    except (ValueError, KeyError, TypeError) as error:
        account.leave(
            layout.TOLD, f"says nothing of a tree: {error}; the file is read as any other"
        )
    return told


def was_written(source: Source) -> bool:
    """Whether `na.to_nwb` wrote a file: of whatever dataset, it is plain NWB now."""
    return source.info(layout.TOLD) is not None


def _array(where: Mapping[str, Any]) -> np.ndarray:
    """Values that the text itself holds."""
    dtype = np.dtype(where[layout.DTYPE])
    shape = tuple(where[layout.SHAPE])
    if dtype.kind != "O":
        return np.array(where[layout.VALUES], dtype).reshape(shape)
    array = np.empty(shape, object)
    array[...] = np.array(where[layout.VALUES], object).reshape(shape)
    return array
