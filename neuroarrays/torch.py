"""Aligned trees as torch datasets: index and gather, nothing else.

Alignment, masks and splits happened before; a batch is read with one indexed read per variable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import MissingDependency, NotInTree, SchemaError
from neuroarrays.lazy import LazyArray, unwrap

try:
    import torch
    from torch.utils.data import Dataset
except ImportError as error:
    raise MissingDependency("torch", "torch", "neuroarrays.torch") from error


class ClipDataset(Dataset):
    """Windows of one clock, as dicts of tensors named like the tree's variables.

    Parameters
    ----------
    area : DataTree node
        An area of an aligned tree on one continuous clock.
    variables : sequence of str
        Paths below the area: ``["spike_data", "head_direction/ry"]``.
    length : float, s
        Length of a window; a whole number of bins.
    stride : float, s, optional
        From one window's start to the next one's; `length` unless given.
    window : (float, float), s, optional
        Part of the clock the windows lie in entirely; all of it unless given.

    Notes
    -----
    `dataset[i]` is a window, ``{name: (bins, ...) float32 tensor, "time": start in seconds}``;
    `dataset.__getitems__(indices)`, which a `DataLoader` calls, is a whole batch gathered at once:
    give the loader ``collate_fn=lambda batch: batch``.

    Raises
    ------
    NotInTree
        If a variable is not there.
    SchemaError
        If it is not along `time`.
    ValueError
        If no window fits.
    """

    def __init__(
        self,
        area: xr.DataTree,
        variables: Sequence[str],
        length: float,
        stride: float | None = None,
        window: tuple[float, float] | None = None,
    ):
        time = area[schema.TIME]
        width = float(time.attrs.get("bin_width") or np.diff(time[:2])[0])
        self.bins = round(length / width)
        step = round((length if stride is None else stride) / width)
        if self.bins < 1 or step < 1:
            msg = f"length={length!r}, stride={stride!r}: expected at least one bin of {width:g} s"
            raise ValueError(msg)
        self.time = time.values - width / 2
        low, high = window or (-np.inf, np.inf)
        slack = width * 1e-6
        first = int(np.searchsorted(self.time, low - slack))
        last = int(np.searchsorted(self.time + width, high + slack, side="right"))
        self.starts = np.arange(first, last - self.bins + 1, step)
        if self.starts.size == 0:
            msg = f"no window of {length:g} s fits into {window or (self.time[0], self.time[-1])}"
            raise ValueError(msg)
        self.arrays = {name: _array(area, name) for name in variables}

    def __len__(self) -> int:
        return int(self.starts.size)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {name: values[0] for name, values in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        starts = self.starts[np.asarray(indices)]
        rows = (starts[:, None] + np.arange(self.bins)).ravel()
        batch = {"time": torch.from_numpy(self.time[starts])}
        for name, array in self.arrays.items():
            key = (rows, *(slice(0, n, 1) for n in array.shape[1:]))
            values = array.outer(key) if isinstance(array, LazyArray) else array[rows]
            shaped = np.ascontiguousarray(values, np.float32)
            batch[name] = torch.from_numpy(
                shaped.reshape(len(starts), self.bins, *shaped.shape[1:])
            )
        return batch


def _array(area: xr.DataTree, name: str) -> Any:
    """The lazy array behind a variable, or its values."""
    try:
        variable = area[name]
    except KeyError:
        known = [p if p != "." else "" for p, _ in area.subtree_with_keys]
        names = [f"{p}/{v}".lstrip("/") for p in known for v in area[p or "."].data_vars]
        raise NotInTree("variable", name, names) from None
    if not isinstance(variable, xr.DataArray) or variable.dims[:1] != (schema.TIME,):
        msg = f"{name} is not along time first: {getattr(variable, 'dims', 'a node')}"
        raise SchemaError(msg)
    data = unwrap(variable.variable._data)
    return data if isinstance(data, LazyArray) else variable.values
