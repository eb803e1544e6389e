"""Spike counts as events on a device, and spread out there."""

from __future__ import annotations

import math

import numpy as np
import torch

from neuroarrays.batches import fields
from neuroarrays.kernels.stretches import STRETCH, stretches


class DeviceEvents:
    """Counts of rows as events on a device: two bytes a spike; see `neuroarrays.kernels.events`.

    Parameters
    ----------
    events : Events
        Counts of (row, ...), in memory.
    dtype : torch.dtype
        Of the counts when they are spread out.
    device : torch.device
        Where to keep them.
    """

    def __init__(self, events: fields.Events, dtype: torch.dtype, device: torch.device):
        self.shape, self.dtype = torch.Size(events.shape), dtype
        #: Where the events of each stretch begin: on the host, which so knows how many there are.
        self.first = events.first
        # As int16: most of what one does with uint16 is missing on devices.
        self.places = torch.from_numpy(events.places.view(np.int16)).to(device)

    @property
    def nbytes(self) -> int:
        """Bytes on the device."""
        return self.places.nbytes

    def rows(self, rows: np.ndarray) -> torch.Tensor:
        """Counts of some rows.

        Parameters
        ----------
        rows : (n,) int64
            Numbers of the rows, in any order.

        Returns
        -------
        (n, ...) tensor on the device
            Spikes of each place.
        """
        width = math.prod(self.shape[1:])
        per_row = stretches(width)
        segments = rows[:, None] * per_row + np.arange(per_row)
        begins, ends = self.first[segments].ravel(), self.first[segments + 1].ravel()
        counts = ends - begins
        total = int(counts.sum())
        bases = (np.arange(rows.size)[:, None] * width + np.arange(per_row) * STRETCH).ravel()
        # One copy of a small table: where each stretch is read from, and what is added to its places.
        reading = begins - (np.cumsum(counts) - counts)
        table = torch.from_numpy(np.stack([counts, reading, bases])).to(self.places.device)
        each = torch.repeat_interleave(table[1:], table[0], dim=1, output_size=total)
        numbers = torch.arange(total, device=self.places.device) + each[0]
        places = self.places[numbers].to(torch.int64).bitwise_and_(STRETCH - 1).add_(each[1])
        out = torch.zeros(rows.size * width, dtype=self.dtype, device=self.places.device)
        out.index_add_(0, places, out.new_ones(1).expand(total))
        return out.reshape(rows.size, *self.shape[1:])
