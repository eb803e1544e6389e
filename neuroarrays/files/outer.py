"""Outer indexing: one int, slice or array of positions per axis, each axis by itself.

The only place that knows how: keys made regular, values picked by them, and positions grouped into
what is read at once. Everything that is indexed anywhere in the package comes through here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

#: One entry of a key, and a key: an entry for each axis.
Entry = int | slice | np.ndarray
Key = tuple[Entry, ...]
#: A chunk's number along one axis, what to take of it, and where that goes.
Part = tuple[int, slice | np.ndarray, slice | np.ndarray]


def normalise(key: Key, shape: tuple[int, ...]) -> Key:
    """An outer key with one entry per axis and no negative positions.

    Parameters
    ----------
    key : tuple
        Ints, slices, and arrays of positions or bool; axes at the end may lack.
    shape : tuple of int
        Of the array.

    Returns
    -------
    tuple of int, slice or (n,) int64 array
        Slices have a step above zero; one that runs backwards becomes an array.

    Raises
    ------
    IndexError
        If a position is outside the axis.
    """
    key = tuple(key) + (slice(None),) * (len(shape) - len(key))
    out: list[Entry] = []
    for axis, (k, n) in enumerate(zip(key, shape, strict=True)):
        if isinstance(k, slice):
            forward = (k.step or 1) > 0
            places = k.indices(n)
            out.append(slice(*places) if forward else np.arange(*places, dtype=np.int64))
            continue
        if isinstance(k, int) and -n <= k < n and k is not True and k is not False:
            out.append(k + n if k < 0 else k)
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
        out.append(int(array) if array.ndim == 0 else array)
    return tuple(out)


# ------------------------------------------------------------------------- what a key says


def positions(k: Entry) -> np.ndarray:
    """The positions that one entry of a normalised key picks, (n,) int64; (1,) for an int."""
    if isinstance(k, slice):
        return np.arange(k.start, k.stop, k.step, dtype=np.int64)
    return np.atleast_1d(np.asarray(k, np.int64))


def compact(picked: np.ndarray) -> slice | np.ndarray:
    """Consecutive positions as a slice, others as they are."""
    if picked.size and (np.diff(picked) == 1).all():
        return slice(int(picked[0]), int(picked[-1]) + 1, 1)
    return picked


def length(k: Entry, n: int) -> int:
    """How many positions one entry of a normalised key takes of an axis of `n`; 1 for an int."""
    if isinstance(k, slice):
        return len(range(*k.indices(n)))
    return k.size if isinstance(k, np.ndarray) else 1


def result_shape(key: Key, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of what a normalised key picks: axes indexed by an int are dropped."""
    pairs = zip(key, shape, strict=True)
    return tuple(length(k, n) for k, n in pairs if not isinstance(k, int))


def is_all(k: Entry, n: int) -> bool:
    """Whether one entry takes the whole axis of `n`, in its order."""
    return isinstance(k, slice) and k.indices(n) == (0, n, 1)


def is_whole(key: Key, shape: tuple[int, ...]) -> bool:
    """Whether a key takes every value, in the order of the array."""
    return all(is_all(k, n) for k, n in zip(key, shape, strict=True))


def span(k: Entry) -> tuple[int, int, Entry]:
    """First position of an entry, the position after its last, and what it picks of this range."""
    if isinstance(k, int):
        return k, k + 1, 0
    if isinstance(k, slice):
        places = range(k.start, k.stop, k.step)
        low, high = (places[0], places[-1] + 1) if places else (k.start, k.start)
        return low, high, slice(0, high - low, k.step)
    low, high = (int(k.min()), int(k.max()) + 1) if k.size else (0, 0)
    return low, high, k - low


# --------------------------------------------------------------------- values picked by a key


def take(values: np.ndarray, key: Key) -> np.ndarray:
    """The values that an outer key picks: a view where it has no arrays, else a copy of just these."""
    if not any(isinstance(k, np.ndarray) for k in key):
        return values[(*key, ...)]  # "...": an array also where an object is picked
    plain = tuple(slice(None) if isinstance(k, np.ndarray) else k for k in key)
    picked, axis = values[(*plain, ...)], 0
    for k in key:
        if isinstance(k, np.ndarray):
            if picked.flags.c_contiguous:
                picked = np.take(picked, k, axis=axis)
            else:  # `take` would copy all of it before
                picked = picked[(slice(None),) * axis + (k,)]
        axis += isinstance(k, slice | np.ndarray)
    return picked


def take_after(values: np.ndarray, key: Key, lead: int) -> np.ndarray:
    """What an outer key picks of the axes after the first `lead`."""
    return take(values, (*(slice(None),) * lead, *key))


def copy(values: np.ndarray, key: Key) -> np.ndarray:
    """A new array of what an outer key picks, in C order and this machine's byte order."""
    picked = take(values, key)
    native = picked.dtype.newbyteorder("=")
    return picked.astype(native, order="C", copy=not picked.flags.owndata)


def left(key: Key) -> tuple[int | slice, ...]:
    """The index that is left to apply where a key was read with an axis of length 1 for each of its ints."""
    return tuple(0 if isinstance(k, int) else slice(None) for k in key)


# --------------------------------------------------------- positions grouped into what is read


def groups(picked: np.ndarray, block: int, gap: int = 0) -> Iterator[tuple[int, int, np.ndarray]]:
    """Positions that lie in one block of an axis, block after block.

    Parameters
    ----------
    picked : (n,) int64
        Positions in any order.
    block : int
        Positions of a block.
    gap : int, optional
        Positions between two of a block from which on they are groups of their own; 0: never.

    Yields
    ------
    first, last : int
        The lowest and the highest position of a group.
    places : (m,) int64
        Where in `picked` its positions are, in the order of the axis.
    """
    order = np.argsort(picked, kind="stable")
    ordered = picked[order]
    apart = np.diff(ordered // block) != 0
    if gap:
        apart |= np.diff(ordered) > gap
    bounds = [0, *(np.flatnonzero(apart) + 1).tolist(), ordered.size]
    for begin, end in pairwise(bounds):
        if end > begin:
            yield int(ordered[begin]), int(ordered[end - 1]), order[begin:end]


def parts(k: Entry, n: int, chunk: int) -> Iterator[Part]:
    """The chunks that one entry of a normalised key touches along an axis of `n`."""
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
        for first, _, places in groups(picked, chunk):
            number = first // chunk
            within = picked[places] - number * chunk
            if places.size == 1:
                at, to = int(within[0]), int(places[0])
                yield number, slice(at, at + 1), slice(to, to + 1)
            else:
                yield number, within, places


def mesh(
    selectors: tuple[slice | np.ndarray, ...], shape: tuple[int, ...]
) -> tuple[np.ndarray, ...]:
    """Slices and arrays as arrays that numpy takes each axis by itself."""
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
    """Read an outer key through `fetch`, which only takes integers and slices.

    Positions picked along an axis are grouped by block, each block is fetched once as a slab, and
    numpy picks from it: h5py's own list selection costs milliseconds per row.

    Parameters
    ----------
    fetch : callable
        Values under a key without arrays.
    shape, dtype, blocks : tuple of int, np.dtype, tuple of int
        Of the array, and of what is read at once.
    key : tuple
        As `normalise` takes it.
    allowed : callable, optional
        Raises when asked for more bytes than there can be.
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
    for first, last, places in groups(along, blocks[axis]):
        slab_key = (*key[:axis], slice(first, last + 1), *key[axis + 1 :])
        if len(picked) > 1:
            slab = read_outer(fetch, shape, dtype, blocks, slab_key)
        else:
            slab = np.asarray(fetch(slab_key))
        out[(slice(None),) * out_axis + (places,)] = slab.take(along[places] - first, axis=out_axis)
    return out
