"""All samples of a dataset on one device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from neuroarrays import schema
from neuroarrays.batches.aligned import ClipSamples
from neuroarrays.batches.base import Batch, is_per_sample
from neuroarrays.torch.datasets import Tensors, check_dataset


class OnDevice(Tensors):
    """All samples of a dataset on one device, indexed there.

    Parameters
    ----------
    samples : dataset
        Gathered once. Of a `ClipDataset` every frame of the clock is kept once, however many
        windows it is in, and its transform gets batches on the device.
    device : str or torch.device
        Where to keep them.

    Attributes
    ----------
    transform : callable, optional
        Sees batches on the device: that of a `ClipDataset`; of other datasets one that is set here,
        after theirs.

    Notes
    -----
    Use it without workers: its batches are on the device already.

    Raises
    ------
    MemoryError
        If they take more than is free on a GPU.
    """

    def __init__(self, samples: Tensors, device: str | torch.device):
        check_dataset(samples)
        self.samples, self.device = samples, torch.device(device)
        self._transform: Callable[[Batch], Batch] | None = None
        self.location = f"{samples.location} on {self.device}"
        kept = samples.frames() if isinstance(samples, ClipSamples) else samples
        n, first = len(kept), kept.batch([0])
        needed = n * sum(v[0].nbytes for v in first.values() if isinstance(v, torch.Tensor))
        if self.device.type == "cuda":
            free = torch.cuda.mem_get_info(self.device)[0]
            if needed > 0.9 * free:
                msg = f"{self.location}: {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
                raise MemoryError(msg)
        self.kept: Batch = {}
        for begin in range(0, n, 256):
            part = kept.batch(range(begin, min(begin + 256, n)))
            for name, value in part.items():
                if not is_per_sample(name, value):
                    self.kept[name] = value
                elif isinstance(value, list):
                    self.kept.setdefault(name, []).extend(value)
                else:
                    if not begin:
                        shape = (n, *value.shape[1:])
                        self.kept[name] = value.new_empty(shape, device=self.device)
                    self.kept[name][begin : begin + 256] = value.to(self.device)

    @property
    def transform(self) -> Any:
        return self.samples.transform if isinstance(self.samples, ClipSamples) else self._transform

    @transform.setter
    def transform(self, transform: Any) -> None:
        if isinstance(self.samples, ClipSamples):
            self.samples.transform = transform
        else:
            self._transform = transform

    def __len__(self) -> int:
        return len(self.samples)

    def shapes(self) -> dict[str, str]:
        return self.samples.shapes()

    def batch(self, indices: Sequence[int]) -> Batch:
        numbers = self._numbers(indices)
        if isinstance(self.samples, ClipSamples):
            return self._clips(self.samples, numbers)
        rows = torch.from_numpy(numbers).to(self.device)
        batch = {
            name: [value[i] for i in numbers]
            if isinstance(value, list)
            else value[rows]
            if is_per_sample(name, value)
            else value
            for name, value in self.kept.items()
        }
        return batch if self._transform is None else self._transform(batch)

    def _clips(self, clips: ClipSamples, numbers: np.ndarray) -> Batch:
        """What `ClipDataset.batch` gives, of the frames on the device."""
        starts, ends = clips.spans(numbers)
        places = starts[:, None] + np.arange(clips.bins)
        past = places >= ends[:, None]
        outside = torch.from_numpy(past).to(self.device) if past.any() else None
        batch: Batch = {}
        for name, shift in {**clips.shifts, **dict.fromkeys(clips.masks, 0)}.items():
            rows = np.minimum(places + shift, clips.time.size - 1)
            values = self.kept[name][torch.from_numpy(rows).to(self.device), 0]
            if outside is not None:
                values[outside] = float("nan") if values.is_floating_point() else 0
            batch[name] = values
        if clips.pad and schema.VALID not in batch:
            batch[schema.VALID] = torch.from_numpy(~past).to(self.device)
        batch[schema.TIME] = torch.from_numpy(clips.time[starts]).to(self.device)
        return clips.finished(batch)
