"""Shared memory that worker processes gather batches into, mapped once and reused.

New shared memory is most of the cost of a batch from a worker, because the kernel hands out and
clears every page of it. Here the process of the loop makes the memory before the workers start, and
both sides map it once. A worker marks a block as busy when it sends a tensor that lies in it; the
loop clears the mark when the last tensor in the block is gone. If no block is free, torch sends the
tensor in its usual way.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import sys
import weakref
from bisect import bisect_right
from collections.abc import Callable
from multiprocessing.reduction import DupFd, ForkingPickler
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

from neuroarrays.batches.buffers import rounded
from neuroarrays.files import state
from neuroarrays.torch.datasets import each

#: Memory of a worker, bytes. Pages that no batch has used take up addresses only, no memory.
ROOM = 1 << 30
#: Bytes in front of the blocks of a worker, one for each: 1 while the loop uses the block.
_MARKS = 1 << 12


class Rings:
    """Shared memory of the workers of a loader, which call this object as their ``collate_fn``.

    Parameters
    ----------
    workers : int
        Number of workers.
    collate_fn, init_fn : callable
        The loader's function that makes a batch, and its ``worker_init_fn`` (or None).

    Raises
    ------
    OSError
        If the system has no anonymous memory files, or too little memory.
    """

    def __init__(self, workers: int, collate_fn: Callable[[Any], Any], init_fn: Any):
        if not hasattr(os, "memfd_create"):
            msg = "this system has no memory files without a name"
            raise OSError(msg)
        self.collate_fn, self.init_fn, self.key = collate_fn, init_fn, str(id(self))
        # The file has no name on disk, so nothing is left behind, however the processes end.
        self.file = os.memfd_create("neuroarrays-batches")
        try:
            os.ftruncate(self.file, workers * ROOM)
            self._map()
        except OSError:
            self.close()
            raise
        _OPEN.get_or_make(self.key, lambda: self)

    def _map(self) -> None:
        """Map the memory of the file into this process."""
        self.mapped, self._lock = mmap.mmap(self.file, 0), state.Lock()
        #: The blocks of this worker, in order, and the address at which each begins.
        self._blocks, self._addresses = list[np.ndarray](), list[int]()

    def close(self) -> None:
        """Close the file; the memory stays as long as a process has it mapped."""
        os.close(self.file)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a worker that is not forked needs to open the memory."""
        names = ("collate_fn", "init_fn", "key")
        return {name: getattr(self, name) for name in names} | {"file": DupFd(self.file)}

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        self.__dict__.update(attributes, file=attributes["file"].detach())
        self._map()

    def begin(self, worker: int) -> None:
        """Let a worker process gather into its part of the memory from the first batch on."""
        self.close()
        self._room = worker * ROOM  # offset of this worker's part, bytes
        self._marks = self.bytes(self._room, _MARKS)
        info: Any = get_worker_info()
        each(info.dataset, "gather_into", self._memory)
        if self.init_fn is not None:
            self.init_fn(worker)

    def __call__(self, fetched: Any) -> Any:
        file = io.BytesIO()
        _Pickler(file, self).dump(self.collate_fn(fetched))
        return _Sent(self.key, file.getvalue())

    def bytes(self, start: int, size: int) -> np.ndarray:
        """Return bytes of the memory, (size,) uint8. Views of the array keep only this block alive."""
        return np.frombuffer(self.mapped, np.uint8, size, start)

    def _memory(self, size: int) -> np.ndarray:
        """Return memory to gather into, (size,) uint8: a free block, or new memory if there is none."""
        with self._lock:
            number = self._unused(size)
            return np.empty(size, np.uint8) if number is None else self._blocks[number]

    def _unused(self, size: int) -> int | None:
        """Return the number of a block of this size that no array uses, here or in the loop, or None."""
        blocks = self._blocks
        for number in range(len(blocks)):
            # The order of the two checks matters: a block is marked before its last array here is gone.
            unheld = blocks[number].size == size and sys.getrefcount(blocks[number]) <= 2
            if unheld and not self._marks[number]:
                return number
        begin = _MARKS + sum(block.size for block in blocks)
        if begin + size > ROOM or len(blocks) == _MARKS:
            return None
        blocks.append(self.bytes(self._room + begin, size))
        self._addresses.append(blocks[-1].ctypes.data)
        return len(blocks) - 1

    def place(self, tensor: torch.Tensor, marked: set[int]) -> tuple[int, ...] | None:
        """Mark the block of a tensor's storage as busy, and return where the loop finds it.

        Returns
        -------
        tuple of int, or None
            Offset of the block's mark, offset of the block, size of the block, and begin and size
            of the storage in the block, in bytes. None if torch has to send the tensor.

        Notes
        -----
        A storage that lies elsewhere, or in a block that an earlier batch still uses, is copied into
        a free block. `marked` are the numbers of the blocks of this batch.
        """
        storage = tensor.untyped_storage()
        address, nbytes = storage.data_ptr(), storage.nbytes()
        with self._lock:
            number: Any = bisect_right(self._addresses, address) - 1
            begin = address - self._addresses[number] if number >= 0 else -1
            inside = 0 <= begin < self._blocks[number].size
            if not inside or (self._marks[number] and number not in marked):
                # Torch sends a shared storage, or a large one of which this is a part, only once.
                if storage.is_shared() or not 0 < nbytes <= 2 * tensor.nbytes:
                    return None
                number, begin = self._unused(rounded(nbytes)), 0
                if number is None:
                    return None
                copy = torch.from_numpy(self._blocks[number][:nbytes])
                copy.copy_(torch.empty(0, dtype=torch.uint8).set_(storage))
            self._marks[number] = 1
            marked.add(number)
            start = self._addresses[number] - self._marks.ctypes.data + self._room
            return self._room + number, start, self._blocks[number].size, begin, nbytes


_OPEN: state.Shared[Rings] = state.Shared(lambda rings: None)


class _Sent:
    """A pickled batch on its way to the loop; unpickling this object gives the batch."""

    def __init__(self, key: str, pickled: bytes):
        self.key, self.pickled = key, pickled

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (self.key, self.pickled)


def _received(key: str, pickled: bytes) -> Any:
    """Return a batch that a worker has sent."""
    return _Unpickler(io.BytesIO(pickled), _OPEN[key]).load()


class _Pickler(ForkingPickler):
    """Pickles a batch in a worker; for tensors in shared memory it stores only where they lie."""

    def __init__(self, file: io.BytesIO, rings: Rings):
        super().__init__(file)
        self._rings, self._marked = rings, set[int]()
        self._places: dict[tuple[int, int], tuple[int, ...] | None] = {}

    def persistent_id(self, obj: Any) -> Any:
        """Return where the values of a tensor are in the rings; None for other objects."""
        if not _is_plain(obj):
            return None
        storage = obj.untyped_storage()
        key = storage.data_ptr(), storage.nbytes()
        if key not in self._places:
            self._places[key] = self._rings.place(obj, self._marked)
        position = self._places[key]
        inside = obj.dtype, obj.storage_offset(), tuple(obj.shape), obj.stride()
        return None if position is None else (position, *inside)


class _Unpickler(pickle.Unpickler):
    """Unpickles a batch in the loop; its tensors stay where the worker gathered them."""

    def __init__(self, file: io.BytesIO, rings: Rings):
        super().__init__(file)
        self._rings = rings
        self._blocks: dict[int, np.ndarray] = {}
        self._storages: dict[tuple[int, ...], Any] = {}

    def persistent_load(self, pid: Any) -> torch.Tensor:
        """Return a tensor on the memory of the rings."""
        position, dtype, offset, shape, strides = pid
        mark, first, size, begin, nbytes = position
        if mark not in self._blocks:
            block = self._blocks[mark] = self._rings.bytes(first, size)
            marks = self._rings.bytes(mark, 1)
            weakref.finalize(block, _free, marks, os.getpid()).atexit = False
        if position not in self._storages:
            values = torch.from_numpy(self._blocks[mark][begin : begin + nbytes])
            self._storages[position] = values.untyped_storage()
        return torch.empty(0, dtype=dtype).set_(self._storages[position], offset, shape, strides)


def _free(mark: np.ndarray, process: int) -> None:
    """Let the worker use a block again, unless this is a forked child, which only has copies of the tensors."""
    if os.getpid() == process:
        mark[0] = 0


def _is_plain(value: Any) -> bool:
    """Whether a value is a plain dense tensor in the memory of the CPU, without a gradient."""
    if type(value) is not torch.Tensor or value.requires_grad or value.is_quantized:
        return False
    on_cpu = value.device.type == "cpu" and value.layout is torch.strided
    return on_cpu and not (value.is_conj() or value.is_neg())
