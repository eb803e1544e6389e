"""Compare trees and arrays, and index arrays in every way."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.formats.reader import Reader


def opened(
    reader: Reader,
    path: str | os.PathLike[str],
    chunks: Any = None,
    create_default_indexes: bool = False,
    **options: Any,
) -> xr.DataTree:
    """Open a path through xarray with one reader.

    By default xarray does not look for indexes that readers have not made: a fifth of its time.
    """
    return xr.open_datatree(
        path,
        engine=type(reader),
        chunks=chunks,
        create_default_indexes=create_default_indexes,
        **options,
    )


def variables(tree: xr.DataTree, coords: bool = True) -> Iterator[tuple[str, xr.Variable]]:
    """Yield every variable of a tree with its path; coordinates only in the node that has them."""
    for path, node in tree.subtree_with_keys:
        dataset = node.to_dataset(inherit=False)
        for name in dataset.variables if coords else dataset.data_vars:
            yield f"{path}/{name}", dataset.variables[name]


def load(tree: xr.DataTree) -> None:
    """Read every value of a tree without keeping any."""
    for _, variable in variables(tree):
        _ = variable.copy(deep=False).values


def tree_units(tree: xr.DataTree) -> int:
    """Return the largest number of units of a node."""
    return max((node.sizes.get(schema.UNIT, 0) for node in tree.subtree), default=0)


def same_values(a: Any, b: Any) -> bool:
    """Whether two arrays have equal shapes and values; NaN equals NaN, text is compared as text.

    A plain Python number is first put into the dtype of the other.
    """
    a = np.asarray(a)
    b = np.asarray(b, a.dtype if a.dtype.kind in "iufb" and not isinstance(b, str) else None)
    if a.shape != b.shape:
        return False
    if a.dtype.kind in "fc":
        return np.array_equal(a, b, equal_nan=True)
    if a.dtype.kind in "OUT":
        pairs = zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)
        return all(x is y or np.all(x == y) or (x != x and y != y) for x, y in pairs)
    return np.array_equal(a, b)


def assert_same_trees(a: xr.DataTree, b: xr.DataTree, but: Sequence[str] = ()) -> None:
    """Check that two trees have the same nodes, variables, dims, dtypes, values and attributes.

    Parameters
    ----------
    a, b : xr.DataTree
        Two trees.
    but : sequence of str
        Attributes of nodes that may differ.
    """
    nodes_a, nodes_b = dict(a.subtree_with_keys), dict(b.subtree_with_keys)
    assert set(nodes_a) == set(nodes_b)
    for path, node in nodes_a.items():
        attrs = [{k: v for k, v in n.attrs.items() if k not in but} for n in (node, nodes_b[path])]
        assert attrs[0] == attrs[1], path
    of_a, of_b = dict(variables(a)), dict(variables(b))
    assert set(of_a) == set(of_b)
    for path, expected in of_a.items():
        other = of_b[path]
        assert expected.dims == other.dims, path
        assert expected.dtype == other.dtype, path
        assert expected.attrs == other.attrs, path
        x, y = expected.copy(deep=False).values, other.copy(deep=False).values
        assert same_values(x, y), path


def indexers(shape: tuple[int, ...]) -> Iterator[tuple[Any, ...]]:
    """Return keys of every kind for an array: one axis at a time, then two axes with arrays."""
    whole = (slice(None),) * len(shape)
    yield whole
    for axis, n in enumerate(shape):
        kinds: list[Any] = [slice(None, None, 3), slice(None, None, -1), slice(0, 0), slice(n, n)]
        kinds += [slice(-3, None), slice(None, 0, -2), slice(1, n + 5), np.empty(0, np.int64)]
        kinds += [np.zeros(n, bool), np.arange(n) % 3 == 1]
        if n:
            kinds += [0, -1, n // 2, np.array([0, n - 1]), np.array([n - 1, 0, n // 2])]
            kinds += [np.array([0, 0, n - 1, n - 1]), np.array([-1, 0]), np.array([n // 2])]
        for kind in kinds:
            yield (*whole[:axis], kind, *whole[axis + 1 :])
    if len(shape) > 1 and min(shape):
        ends = tuple(np.array([n - 1, 0, 0]) for n in shape)
        yield ends
        yield (*ends[:-1], -1)
        yield (slice(None, None, -1), *ends[1:])


def outer(values: np.ndarray, key: tuple[Any, ...]) -> np.ndarray:
    """Return what numpy returns if each axis is indexed alone."""
    for axis in reversed(range(values.ndim)):
        values = values[(slice(None),) * axis + (key[axis],)]
    return values
