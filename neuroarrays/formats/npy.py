"""Read npy files as readers need them: lazy arrays of numbers, and small Python objects."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files import npy as npy_format
from neuroarrays.files.members import ArraySource, npy_source
from neuroarrays.files.pickles import load_pickle
from neuroarrays.files.probe import Probe
from neuroarrays.lazy.arrays import LazyArray, file_array
from neuroarrays.lazy.views import Taken

#: The largest file of Python objects that is read, bytes.
LARGEST = 1 << 30


def source_of(file: Probe) -> ArraySource:
    """Return the source of an npy file of numbers; only its header is read.

    Raises
    ------
    FormatError
        If the file is not an npy file of numbers, or is cut short.
    """
    source = npy_source(file)
    if source.member.dtype.kind not in "iufb":
        raise FormatError(source.path, "", "numbers", f"values of dtype {source.member.dtype}")
    return source


def npy(file: Probe, axes: int) -> LazyArray:
    """Return the array of an npy file as a lazy array with a number of axes.

    An array of one column or one row, as MATLAB writes them, also counts as an array of one axis.

    Raises
    ------
    FormatError
        If the file is not an npy file of numbers, or its array has another number of axes.
    """
    source = source_of(file)
    stored = file_array(source, source.name)
    if axes == 1 and len(stored.shape) == 2 and 1 in stored.shape:
        return Taken(stored, 0, 1 if stored.shape[1] == 1 else 0)
    if len(stored.shape) != axes:
        raise FormatError(file.as_given, "", f"numbers along {axes} axes", f"shape {stored.shape}")
    return stored


def objects(file: Probe) -> Any:
    """Read the Python objects of an npy file as plain values; no code in the file is run.

    Parameters
    ----------
    file : Probe
        A file that ``numpy.save`` wrote from a dict or an array of objects.

    Returns
    -------
    object
        A dict, a list, an (n,) object array, ...; objects of other classes become inert `Record`s.

    Raises
    ------
    MissingPath
        If the file does not exist.
    FormatError
        If the file is not an npy file of objects, is damaged, or has more than 1 GiB.
    """
    data = file.read_bytes(LARGEST)
    header = npy_format.header(
        lambda start, size: data[start : start + size], file.as_given, any_kind=True
    )
    if not header.dtype.hasobject:
        raise FormatError(file.as_given, "", "Python objects", f"values of dtype {header.dtype}")
    value = load_pickle(data[len(header.raw) :], path=file.as_given)
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
