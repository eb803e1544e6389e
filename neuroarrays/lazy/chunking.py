"""Dask on top of the lazy arrays of a tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from neuroarrays import schema
from neuroarrays.lazy.arrays import LazyArray, array_of
from neuroarrays.lazy.trees import tree_of

#: Bytes of a chunk, as dask's "auto" has them, of an array that is computed.
_LARGEST = 128 << 20


def chunked(tree: xr.DataTree, chunks: Any) -> xr.DataTree:
    """Dask arrays on top of the data variables of a tree.

    Coordinates, tables of presentations and observed time stay: labels to group by may not be dask
    arrays.

    Parameters
    ----------
    tree : xr.DataTree
        Any tree.
    chunks : "auto", {} or dict
        As in xarray: {} takes the chunks of the file, of what is computed at most 128 MiB each; dims
        that a node lacks are left out there.
    """
    from dask.base import tokenize

    def chunk(path: str, node: xr.DataTree) -> xr.Dataset:
        dataset = node.to_dataset(inherit=False)
        if {schema.PRESENTATIONS, schema.OBSERVED} & set(path.split("/")):
            return dataset
        chunked_variables = {}
        for name, array in dataset.data_vars.items():
            if schema.INTERVAL in array.dims:
                continue
            sizes: Any = chunks
            if isinstance(chunks, Mapping):
                preferred = array.encoding.get("preferred_chunks", {})
                sizes = {dim: chunks.get(dim, preferred.get(dim, -1)) for dim in array.dims}
                if array.dims and not preferred and not set(chunks) & set(array.dims):
                    sizes[array.dims[0]] = _rows(array)
            data = array_of(array.variable)
            token = f"{name}-{tokenize(data)}" if isinstance(data, LazyArray) else None
            chunked_variables[name] = array.variable.chunk(sizes, name=token)
        return dataset.assign(chunked_variables)

    return tree_of({p: chunk(p, node) for p, node in tree.subtree_with_keys})


def _rows(array: xr.DataArray) -> int:
    """How many rows of an array that no file has in chunks are a chunk: all of a small one."""
    row_bytes = array.nbytes // max(1, array.shape[0])
    return max(1, min(array.shape[0], _LARGEST // max(1, row_bytes)))
