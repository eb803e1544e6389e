"""`Transfer` sends batches to a device while the model computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch


class Transfer:
    """Sends batches to a device: the thread that gathers them calls `send`, the loop `receive`.

    On a GPU, copies run on a separate stream, from page-locked memory. The memory of a batch is kept
    until its copy has ended, and the stream of the loop waits for the copy.

    Parameters
    ----------
    device : str or torch.device
        The device to send batches to.
    """

    def __init__(self, device: str | torch.device):
        self.device = torch.device(device)
        self._stream: Any = None
        self._copying: deque[tuple[Any, Any]] = deque()

    def send(self, batch: Any) -> tuple[Any, Any]:
        """Start the copy of a batch; return it with the CUDA event of its end, or None if it ended."""
        if self.device.type != "cuda":
            return mapped(batch, lambda tensor: tensor.to(self.device)), None
        if self._stream is None:
            self._stream = torch.cuda.Stream(self.device)
        with torch.cuda.stream(self._stream):
            moved = mapped(batch, lambda tensor: tensor.to(self.device, non_blocking=True))
            arrived = torch.cuda.Event()
            arrived.record(self._stream)
        self._copying.append((batch, arrived))
        while self._copying and self._copying[0][1].query():
            self._copying.popleft()
        return moved, arrived

    def receive(self, sent: tuple[Any, Any]) -> Any:
        """Return a batch that was sent; what the loop computes on the device next waits for its copy."""
        moved, arrived = sent
        if arrived is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_event(arrived)
            mapped(moved, lambda tensor: _used_by(tensor, current))
        return moved


def page_locked(size: int) -> np.ndarray:
    """Allocate page-locked memory, which a GPU reads directly, (size,) uint8; plain memory without one."""
    pin = torch.cuda.is_available()
    memory: np.ndarray = torch.empty(size, dtype=torch.uint8, pin_memory=pin).numpy()
    return memory


def tensor_of(values: np.ndarray) -> torch.Tensor:
    """Return an array as a tensor in the same memory.

    In memory that torch allocated, the tensor is one of torch's: torch does not use page-locked
    memory again before the copies of its own tensors to a GPU have ended.
    """
    owner: Any = values
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if not isinstance(owner, torch.Tensor):
        return torch.from_numpy(values)
    storage, size = owner.untyped_storage(), values.itemsize
    begin = (values.ctypes.data - storage.data_ptr()) // size
    strides = [step // size for step in values.strides]
    empty = torch.from_numpy(np.empty(0, values.dtype))
    return empty.new_empty(0).set_(storage, begin, values.shape, strides)


def mapped(batch: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Return a batch with `change` applied to all tensors in its dicts, lists, tuples, namedtuples."""
    if isinstance(batch, torch.Tensor):
        return change(batch)
    if isinstance(batch, Mapping):
        return {name: mapped(value, change) for name, value in batch.items()}
    if isinstance(batch, tuple | list):
        values = [mapped(value, change) for value in batch]
        if isinstance(batch, list):
            return values
        return type(batch)(*values) if hasattr(batch, "_fields") else tuple(values)
    return batch


def _used_by(tensor: torch.Tensor, stream: Any) -> torch.Tensor:
    """Tell the allocator that a stream uses a tensor that was made on another one."""
    tensor.record_stream(stream)
    return tensor
