"""Prefetching from remote Zarr stores: the small arrays of a group are requested together.

The columns of a table are such arrays; they are read one after another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from neuroarrays.files.location import Folder

#: The most bytes of an array that is fetched with its siblings, and the most siblings.
_SMALL, _MOST = 1 << 16, 256


def fetch_siblings(folder: Folder, name: str, missing: Callable[[list[str]], list[str]]) -> None:
    """Fetch the small arrays of the group of an array, if it is small itself and not fetched yet.

    Parameters
    ----------
    folder : Folder
        The store.
    name : str
        Path of the array.
    missing : callable
        Returns those of some files whose content is not known yet.
    """
    if not folder.not_prefetched(missing(_small_files(folder, [name]))):
        return
    above = name.rpartition("/")[0]
    siblings = [f"{above}/{sibling}".lstrip("/") for sibling in folder.names(above)]
    siblings.insert(0, siblings.pop(siblings.index(name)))
    folder.prefetch(missing(_small_files(folder, siblings))[:_MOST])


def _small_files(folder: Folder, paths: Sequence[str]) -> list[str]:
    """Return the files of the small arrays among some arrays."""
    files = []
    for path in paths:
        meta = folder.document(f"{path}/.zarray") or folder.document(f"{path}/zarr.json")
        file = small_file(meta or {})
        files += [f"{path}/{file}"] if file else []
    return files


def small_file(meta: Mapping[str, Any]) -> str:
    """Return the name of the only file of a small array (Zarr format 2 or 3); "" for any other array."""
    try:
        shape = tuple(int(n) for n in meta["shape"])
        if meta["zarr_format"] == 2:
            chunks, kind = meta["chunks"], np.dtype(meta["dtype"])
            key = meta.get("dimension_separator", ".").join("0" * len(shape)) or "0"
        else:
            chunks, keys = (
                meta["chunk_grid"]["configuration"]["chunk_shape"],
                meta["chunk_key_encoding"],
            )
            kind = np.dtype(object if meta["data_type"] == "string" else meta["data_type"])
            key = keys.get("configuration", {}).get("separator", "/").join("c" + "0" * len(shape))
            if keys["name"] != "default":
                return ""
        is_one_chunk = all(n <= c for n, c in zip(shape, chunks, strict=True)) and 0 not in shape
        return key if is_one_chunk and math.prod(shape) * kind.itemsize <= _SMALL else ""
    except (KeyError, TypeError, ValueError, AttributeError):
        return ""
