"""Outer indexing: one int, slice or array of positions for each axis, independent of the others.

All indexing of the package uses this module: it normalises keys, picks values by a key, and groups
positions into blocks that are read at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

#: One entry of a key.
Entry = int | slice | np.ndarray
#: A key: an entry for each axis.
Key = tuple[Entry, ...]
#: The number of a chunk along one axis, the positions in the chunk, and the positions in the result.
Part = tuple[int, slice | np.ndarray, slice | np.ndarray]


def normalise(key: Key, shape: tuple[int, ...]) -> Key:
    """Normalise an outer key: one entry for each axis, and no negative positions.

    Parameters
    ----------
    key : tuple
        Ints, slices, and arrays of positions or bool; entries at the end may be missing.
    shape : tuple of int
        Shape of the array.

    Returns
    -------
    tuple of int, slice or (n,) int64 array
        Slices have a positive step; one with a negative step becomes an array.

    Raises
    ------
    IndexError
        If a position is outside the axis.
    """
    key = tuple(key) + (slice(None),) * (len(shape) - len(key))
    entries: list[Entry] = []
    for axis, (k, n) in enumerate(zip(key, shape, strict=True)):
        if isinstance(k, slice):
            bounds = k.indices(n)
            is_forward = (k.step or 1) > 0
            entries.append(slice(*bounds) if is_forward else np.arange(*bounds, dtype=np.int64))
            continue
        if isinstance(k, int) and not isinstance(k, bool) and -n <= k < n:
            entries.append(k + n if k < 0 else k)
            continue
        array = np.asarray(k)
        if array.dtype == bool:
            array = np.flatnonzero(array)
        if array.size and (array.min() < -n or array.max() >= n):
            msg = f"index out of bounds for axis {axis} of size {n}"
            raise IndexError(msg)
        array = array.astype(np.int64, copy=False)
        if array.size and array.min() < 0:
            array = np.where(array < 0, array + n, array)
        entries.append(int(array) if array.ndim == 0 else array)
    return tuple(entries)


# ---------------------------------------------------------------------- properties of a key


def positions(k: Entry) -> np.ndarray:
    """The positions that one entry of a normalised key picks, (n,) int64; (1,) for an int."""
    if isinstance(k, slice):
        return np.arange(k.start, k.stop, k.step, dtype=np.int64)
    return np.atleast_1d(np.asarray(k, np.int64))


def compact(picked: np.ndarray) -> slice | np.ndarray:
    """Consecutive positions become a slice; other positions are returned unchanged."""
    if picked.size and (np.diff(picked) == 1).all():
        return slice(int(picked[0]), int(picked[-1]) + 1, 1)
    return picked


def length(k: Entry, n: int) -> int:
    """The number of positions that an entry of a normalised key picks of `n`; 1 for an int."""
    if isinstance(k, slice):
        return len(range(*k.indices(n)))
    return k.size if isinstance(k, np.ndarray) else 1


def result_shape(key: Key, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the values that a normalised key picks; axes with an int are dropped."""
    pairs = zip(key, shape, strict=True)
    return tuple(length(k, n) for k, n in pairs if not isinstance(k, int))


def is_all(k: Entry, n: int) -> bool:
    """Whether an entry picks all `n` positions of an axis, in their order."""
    return isinstance(k, slice) and k.indices(n) == (0, n, 1)


def is_whole(key: Key, shape: tuple[int, ...]) -> bool:
    """Whether a key picks all values, in the order of the array."""
    return all(is_all(k, n) for k, n in zip(key, shape, strict=True))


def span(k: Entry) -> tuple[int, int, Entry]:
    """The first position of an entry, the position after its last, and the entry in this range."""
    if isinstance(k, int):
        return k, k + 1, 0
    if isinstance(k, slice):
        picked = range(k.start, k.stop, k.step)
        low, high = (picked[0], picked[-1] + 1) if picked else (k.start, k.start)
        return low, high, slice(0, high - low, k.step)
    low, high = (int(k.min()), int(k.max()) + 1) if k.size else (0, 0)
    return low, high, k - low


# --------------------------------------------------------------------- values picked by a key


def take(values: np.ndarray, key: Key) -> np.ndarray:
    """The values that an outer key picks: a view if the key has no arrays, else a copy."""
    if not any(isinstance(k, np.ndarray) for k in key):
        return values[(*key, ...)]  # With "..." the result is an array, also if it is one object.
    plain = tuple(slice(None) if isinstance(k, np.ndarray) else k for k in key)
    picked, axis = values[(*plain, ...)], 0
    for k in key:
        if isinstance(k, np.ndarray):
            if picked.flags.c_contiguous:
                picked = np.take(picked, k, axis=axis)
            else:  # `np.take` would first copy the whole array.
                picked = picked[(slice(None),) * axis + (k,)]
        axis += isinstance(k, slice | np.ndarray)
    return picked


def take_after(values: np.ndarray, key: Key, lead: int) -> np.ndarray:
    """The values that an outer key picks along the axes after the first `lead` axes."""
    return take(values, (*(slice(None),) * lead, *key))


def copy(values: np.ndarray, key: Key) -> np.ndarray:
    """A copy of the values that an outer key picks, in C order and native byte order."""
    picked = take(values, key)
    native = picked.dtype.newbyteorder("=")
    return picked.astype(native, order="C", copy=not picked.flags.owndata)


def dropping_ints(key: Key) -> tuple[int | slice, ...]:
    """The index that drops the axes of length 1 which were read for the ints of a key."""
    return tuple(0 if isinstance(k, int) else slice(None) for k in key)


# ------------------------------------------------------------------- positions in blocks


def groups(picked: np.ndarray, block: int, gap: int = 0) -> Iterator[tuple[int, int, np.ndarray]]:
    """Group positions along an axis by the block in which they are.

    Parameters
    ----------
    picked : (n,) int64
        Positions in any order.
    block : int
        Length of a block.
    gap : int, optional
        Two positions of a block that are further apart than this are in different groups; 0 for any
        distance.

    Yields
    ------
    first, last : int
        The lowest and the highest position of a group.
    indices : (m,) int64
        The indices in `picked` of the positions of the group, in the order of the positions.
    """
    order = np.argsort(picked, kind="stable")
    ordered = picked[order]
    is_split = np.diff(ordered // block) != 0
    if gap:
        is_split |= np.diff(ordered) > gap
    bounds = [0, *(np.flatnonzero(is_split) + 1).tolist(), ordered.size]
    for begin, end in pairwise(bounds):
        if end > begin:
            yield int(ordered[begin]), int(ordered[end - 1]), order[begin:end]


def parts(k: Entry, n: int, chunk: int) -> Iterator[Part]:
    """The chunks along an axis of length `n` from which an entry of a normalised key picks."""
    if isinstance(k, int):
        yield k // chunk, slice(k % chunk, k % chunk + 1), slice(0, 1)
    elif isinstance(k, slice) and k.step in (1, None):
        start, stop, _ = k.indices(n)
        for number in range(start // chunk, -(-stop // chunk)):
            begin = number * chunk
            low, high = max(start, begin), min(stop, begin + chunk)
            if high > low:
                yield number, slice(low - begin, high - begin), slice(low - start, high - start)
    else:
        picked = positions(k) if isinstance(k, slice) else k
        for first, _, indices in groups(picked, chunk):
            number = first // chunk
            in_chunk = picked[indices] - number * chunk
            if indices.size == 1:
                position, index = int(in_chunk[0]), int(indices[0])
                yield number, slice(position, position + 1), slice(index, index + 1)
            else:
                yield number, in_chunk, indices


def mesh(
    selectors: tuple[slice | np.ndarray, ...], shape: tuple[int, ...]
) -> tuple[np.ndarray, ...]:
    """Slices and arrays as index arrays with which numpy indexes each axis independently."""
    pairs = zip(selectors, shape, strict=True)
    return np.ix_(*(np.arange(*s.indices(n)) if isinstance(s, slice) else s for s, n in pairs))


def read_outer(
    fetch: Callable[[Key], np.ndarray],
    shape: tuple[int, ...],
    dtype: np.dtype,
    blocks: tuple[int, ...],
    key: Key,
    allowed: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Read the values of an outer key with a function that only takes ints and slices.

    Positions along an axis are grouped by block. Each block is fetched once, and numpy picks from
    it. h5py's own selection by a list needs milliseconds for each row.

    Parameters
    ----------
    fetch : callable
        Returns the values for a key of ints and slices.
    shape, dtype : tuple of int, np.dtype
        Shape and type of the array.
    blocks : tuple of int
        Shape of a block that is read at once.
    key : tuple
        A key as `normalise` takes it.
    allowed : callable, optional
        Called with the number of bytes of the result; raises if the file cannot hold so many.
    """
    key = normalise(key, shape)
    sizes = result_shape(key, shape)
    if allowed is not None:
        allowed(math.prod(sizes) * dtype.itemsize)
    picked = [axis for axis, k in enumerate(key) if isinstance(k, np.ndarray)]
    if not picked:
        return np.asarray(fetch(key))
    axis = max(picked, key=lambda a: shape[a] / max(blocks[a], 1))
    along = np.asarray(key[axis])
    out_axis = sum(not isinstance(k, int) for k in key[:axis])
    out = np.empty(sizes, dtype)
    for first, last, indices in groups(along, blocks[axis]):
        slab_key = (*key[:axis], slice(first, last + 1), *key[axis + 1 :])
        if len(picked) > 1:
            slab = read_outer(fetch, shape, dtype, blocks, slab_key)
        else:
            slab = np.asarray(fetch(slab_key))
        rows = slab.take(along[indices] - first, axis=out_axis)
        out[(slice(None),) * out_axis + (indices,)] = rows
    return out
