"""`Buffers`, the memory of batches, which is reused."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import numpy as np

from neuroarrays.files import state

#: Number of buffers of one size that are kept for reuse, for two variables of that size: the batch
#: of the loop, the next one, and two that a thread gathers ahead.
_SPARE = 8


class Buffers:
    """Memory for batches, which is reused once no array refers to it any more.

    New memory pages cost half the time of gathering a large batch; reused memory has its pages. An
    array is free when no view and no tensor refers to it any more.
    """

    def __init__(self) -> None:
        self._buffers: dict[int, list[np.ndarray]] = {}
        self._lock = state.Lock()
        #: A function that returns unused memory of so many bytes, (size,) uint8, and replaces the
        #: buffers kept here.
        self.elsewhere: Callable[[int], np.ndarray] | None = None

    def get(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Return a C-contiguous array with arbitrary values that nothing else refers to."""
        nbytes = math.prod(shape) * dtype.itemsize
        memory = (self.elsewhere or self._unused)(rounded(nbytes))
        return memory[:nbytes].view(dtype).reshape(shape)

    def _unused(self, size: int) -> np.ndarray:
        """Return a kept or new buffer, (size,) uint8, that nothing else refers to."""
        with self._lock:
            same_size = self._buffers.setdefault(size, [])
            for number in range(len(same_size)):  # no name for the buffer, which would count
                if sys.getrefcount(same_size[number]) <= 2:
                    return same_size[number]
            same_size.append(np.empty(size, np.uint8))
            del same_size[:-_SPARE]
            return same_size[-1]

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return type(self), ()


def rounded(nbytes: int) -> int:
    """Return the size of the buffer for so many bytes: a power of two, so that it fits other arrays."""
    return 1 << max(12, (nbytes - 1).bit_length()) if nbytes else 1 << 12
