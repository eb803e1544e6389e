"""`DeviceEvents`, which keeps spike counts as events on a device and expands them there."""

from __future__ import annotations

import math

import numpy as np
import torch

from neuroarrays.batches import fields
from neuroarrays.kernels.stretches import STRETCH, stretches


class DeviceEvents:
    """Spike counts as events on a device, two bytes per spike; see `neuroarrays.kernels.events`.

    Parameters
    ----------
    events : Events
        Counts (row, ...), in memory.
    dtype : torch.dtype
        Dtype of the expanded counts.
    device : torch.device
        Where to keep the events.
    """

    def __init__(self, events: fields.Events, dtype: torch.dtype, device: torch.device):
        self.shape, self.dtype = torch.Size(events.shape), dtype
        #: First event of each stretch; kept on the host, which needs the number of events.
        self.first = events.first
        # Stored as int16, because torch lacks most operations on uint16.
        self.places = torch.from_numpy(events.places.view(np.int16)).to(device)

    @property
    def nbytes(self) -> int:
        """Size on the device, bytes."""
        return self.places.nbytes

    def rows(self, rows: np.ndarray) -> torch.Tensor:
        """Expand the counts of some rows.

        Parameters
        ----------
        rows : (n,) int64
            Numbers of the rows, in any order.

        Returns
        -------
        (n, ...) tensor on the device
            Spike counts.
        """
        width = math.prod(self.shape[1:])
        per_row = stretches(width)
        segments = rows[:, None] * per_row + np.arange(per_row)
        begins, ends = self.first[segments].ravel(), self.first[segments + 1].ravel()
        counts = ends - begins
        total = int(counts.sum())
        bases = (np.arange(rows.size)[:, None] * width + np.arange(per_row) * STRETCH).ravel()
        # One small table is copied to the device: for each stretch the number of events, the shift
        # from the output to the stored events, and the position of its first count in the output.
        shifts = begins - (np.cumsum(counts) - counts)
        table = torch.from_numpy(np.stack([counts, shifts, bases])).to(self.places.device)
        per_event = torch.repeat_interleave(table[1:], table[0], dim=1, output_size=total)
        numbers = torch.arange(total, device=self.places.device) + per_event[0]
        in_stretch = self.places[numbers].to(torch.int64).bitwise_and_(STRETCH - 1)
        positions = in_stretch.add_(per_event[1])
        out = torch.zeros(rows.size * width, dtype=self.dtype, device=self.places.device)
        out.index_add_(0, positions, out.new_ones(1).expand(total))
        return out.reshape(rows.size, *self.shape[1:])
