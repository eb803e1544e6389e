"""Converting values that h5py returns: bytes to text, and references to paths or row numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from neuroarrays.files.source import text_array

if TYPE_CHECKING:
    import h5py


def is_text(dtype: np.dtype) -> bool:
    """Return whether values are text, of fixed or variable length, or codes whose names the type has."""
    import h5py

    is_string = dtype.kind == "S" or h5py.check_string_dtype(dtype) is not None
    return is_string or h5py.check_enum_dtype(dtype) is not None


def is_reference(dtype: np.dtype) -> bool:
    """Return whether values are references to objects of the file, or to regions of datasets."""
    import h5py

    return h5py.check_ref_dtype(dtype) is not None


def is_object_reference(dtype: np.dtype) -> bool:
    """Return whether values are references to whole objects of the file."""
    import h5py

    return h5py.check_ref_dtype(dtype) is h5py.Reference


def decode(file: h5py.File, raw: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Convert bytes and enumerated codes to str, references to paths or row numbers.

    Parameters
    ----------
    file : h5py.File
        The file that references point into.
    raw : np.ndarray
        Values as h5py returns them, of any shape.
    dtype : np.dtype
        The dtype of their dataset.

    Returns
    -------
    np.ndarray
        Of the same shape; object dtype for text and references. A region of rows becomes an (n,)
        int64 array of row numbers.
    """
    import h5py

    if (codes := h5py.check_enum_dtype(dtype)) is not None:
        names = {code: name for name, code in codes.items()}
        texts = [names.get(code, str(code)) for code in raw.ravel().tolist()]
        return np.array([*texts, None], object)[:-1].reshape(raw.shape)
    if is_text(dtype):
        return text_array(raw)
    if not is_reference(dtype):
        return raw
    out = np.empty(raw.shape, object)
    for index, reference in np.ndenumerate(raw):
        if isinstance(reference, h5py.RegionReference) and reference:
            space = h5py.h5r.get_region(reference, file.id)
            low, high = space.get_select_bounds()
            out[index] = np.arange(low[0], high[0] + 1)
        else:
            out[index] = path_of(file, reference)
    return out


def path_of(file: h5py.File, reference: h5py.Reference) -> str:
    """Return the path of the object that a reference points to; "" where there is no such object."""
    from h5py import h5r

    try:  # asking for the name is ten times as fast as opening the object
        name = h5r.get_name(reference, file.id) if reference else None
        return (name or b"").decode("utf-8", "surrogateescape")
    except (KeyError, ValueError, RuntimeError, OSError):
        return ""


def unwritten_part(dataset: h5py.Dataset) -> str:
    """Return how much of a dataset was never written, such as "1 of 4 chunks"; "" for nothing."""
    from h5py import h5d

    if dataset.chunks is None:
        is_contiguous = dataset.id.get_create_plist().get_layout() == h5d.CONTIGUOUS
        return "all values" if is_contiguous and not dataset.id.get_storage_size() else ""
    total = math.prod(-(-n // size) for n, size in zip(dataset.shape, dataset.chunks, strict=True))
    written = dataset.id.get_num_chunks()
    return f"{total - written:,} of {total:,} chunks" if written < total else ""
