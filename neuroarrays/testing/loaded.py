"""Modules that a server of processes imports once, so that its children need not."""

from __future__ import annotations

from importlib import import_module

import numpy as np

from neuroarrays.formats.registry import FORMATS
from neuroarrays.kernels.counts import is_sorted

#: Heavy packages, and what tasks of children import.
_NAMES = ("h5py", "hdf5plugin", "zstandard", "dask.array", "distributed", "pyarrow.parquet")
_TASKS = ("neuroarrays.collection.building", "neuroarrays.formats.checking")

for _name in (*_NAMES, *_TASKS):
    try:
        import_module(_name)
    except ImportError:  # of an extra that is not installed
        continue
for _format in FORMATS:
    _format.load()
# The first kernel of a process takes half a second: numba sets up its compiler.
is_sorted(np.zeros(1), np.zeros(1, np.int64), np.ones(1, np.int64))
