"""Read pickles without running anything in them.

Python's unpickler imports and calls whatever a file names. This reader imports and calls nothing:
plain values and numpy arrays are rebuilt by our own code (`rebuilding.BUILDERS`), and every other
name becomes a `Record` of what was stored. It needs none of the packages that wrote the file, takes
no more memory than the file can fill, and does not recurse.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Collection
from typing import Any

from neuroarrays.files.headers import Header, header_of
from neuroarrays.files.location import FILE, Location
from neuroarrays.files.opcodes import run
from neuroarrays.files.pickle_machine import Machine
from neuroarrays.files.rebuilding import Global, Record, StoredArray

__all__ = ["Global", "Record", "StoredArray", "load_pickle"]


def load_pickle(
    path_or_bytes: str | os.PathLike[str] | Location | Header | bytes | mmap.mmap,
    allowed: Collection[str] | None = None,
    *,
    stored: bool = False,
    where: str = "",
    path: str = "<bytes>",
) -> Any:
    r"""Read the first object of a pickle, without running anything in it.

    Parameters
    ----------
    path_or_bytes : path, bytes or mmap
        A file, or the bytes of a pickle.
    allowed : collection of str, optional
        Names ("package.module.Class") that may occur besides plain values and numpy arrays; any
        other name is an error. None allows all names; each becomes a `Record`.
    stored : bool, default False
        Whether arrays of 4 KiB and more stay in the file, as `StoredArray` (offset, dtype, shape).
        If False they are read-only arrays.
    where : str, optional
        Position of the pickle in its file, for messages.
    path : str, optional
        File of the bytes, for messages.

    Returns
    -------
    object
        Plain values, numpy arrays, `Record` for objects of other classes, `Global` for classes.

    Raises
    ------
    FormatError
        If it is damaged, deeper than 200 levels, longer than 10 million steps, declares arrays
        that its bytes do not fill, or names what is not allowed.

    Examples
    --------
    >>> import pickle
    >>> load_pickle(pickle.dumps({"fps": 20.0}))
    {'fps': 20.0}
    >>> load_pickle(b"cos\nsystem\n(S'ls'\ntR.")
    <Record of os.system>
    """
    if isinstance(path_or_bytes, bytes | mmap.mmap):
        return run(Machine(path_or_bytes, path, where, allowed, stored))
    header = header_of(path_or_bytes)
    header.check(FILE)
    path = header.path
    with header.location.open(header.stamp) as file:
        data = file.mapped() if stored and file.size else None
        if not isinstance(data, mmap.mmap):  # The file is remote, or a part of another file.
            return run(Machine(file.read(0, file.size), path, where, allowed, stored))
        with data:
            return run(Machine(data, path, where, allowed, stored))
