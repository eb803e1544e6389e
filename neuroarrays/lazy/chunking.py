"""Dask on top of the lazy arrays of a tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from neuroarrays import schema
from neuroarrays.lazy.arrays import LazyArray, array_of
from neuroarrays.lazy.trees import tree_of


def chunked(tree: xr.DataTree, chunks: Any) -> xr.DataTree:
    """Dask arrays on top of the data variables of a tree.

    Coordinates, tables of presentations and observed time stay: labels to group by may not be dask
    arrays.

    Parameters
    ----------
    tree : xr.DataTree
        Any tree.
    chunks : "auto", {} or dict
        As in xarray: {} takes the chunks of the file; dims that a node lacks are left out there.
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
            data = array_of(array.variable)
            token = f"{name}-{tokenize(data)}" if isinstance(data, LazyArray) else None
            chunked_variables[name] = array.variable.chunk(sizes, name=token)
        return dataset.assign(chunked_variables)

    return tree_of({p: chunk(p, node) for p, node in tree.subtree_with_keys})
