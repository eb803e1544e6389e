"""`OnDevice`: all samples of a dataset kept on one device, such as a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from neuroarrays import schema
from neuroarrays.batches import fields
from neuroarrays.batches.aligned import AlignedSamples, ClipSamples, TrialSamples
from neuroarrays.batches.base import Batch, is_per_sample
from neuroarrays.batches.identity import Identity
from neuroarrays.batches.masks import Mask
from neuroarrays.torch.datasets import Tensors, check_dataset
from neuroarrays.torch.events import DeviceEvents

#: Number of samples that are copied to the device together.
_STEP = 256
#: Stored dtypes that are kept on the device as they are, and converted there for each batch.
_NARROW = ("uint8", "int8", "int16", "float16")


class OnDevice(Tensors):
    """A dataset that keeps all samples on one device and gathers batches there.

    Parameters
    ----------
    samples : dataset
        A dataset. For a `ClipDataset` each frame of the clock is kept once, for any number of
        windows; for a `TrialDataset` its presentations are kept. Both are kept in their stored form
        and are converted on the device: counts that ``cache`` keeps as events need two bytes per
        spike, movies of uint8 one byte per value. For other datasets the transformed samples are
        kept.
    device : str or torch.device
        Where to keep them.

    Attributes
    ----------
    transform : callable, optional
        A function of batches on the device: that of a `ClipDataset` or `TrialDataset`; for other
        datasets one that is set here, after theirs.

    Notes
    -----
    Do not use it with workers: its batches are on the device already.

    Raises
    ------
    MemoryError
        If the samples need more memory than is free on the GPU.
    TypeError
        If the samples differ in length, as tokens of spikes do.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> ripples = na.align(tree, "sleep_ripples", bin_width=0.01, window=(-0.1, 0.2))
    >>> data = na.torch.TrialDataset(ripples["A2929-200711/ca1"], ["spike_data"])
    >>> kept = na.torch.OnDevice(data, "cpu")
    >>> tuple(kept.batch([0, 1])["spike_data"].shape)
    (2, 8, 30)
    """

    def __init__(self, samples: Tensors, device: str | torch.device):
        check_dataset(samples)
        self.samples, self.device = samples, torch.device(device)
        self._transform: Callable[[Batch], Batch] | None = None
        self.location = f"{samples.location} on {self.device}"
        if hasattr(samples, "vocabulary") or hasattr(
            getattr(samples, "datasets", [0])[0], "vocabulary"
        ):
            msg = f"{self.location}: windows of tokens differ in length; give the loader prefetch=2"
            raise TypeError(msg)
        self.kept: dict[str, Any] = {}
        samples.batch([0])  # raises an error for a target that is known in no sample
        if isinstance(samples, TrialSamples):
            self._keep_stored(samples, samples.rows)
        elif isinstance(samples, ClipSamples):
            self._keep_stored(samples.frames(), np.arange(samples.time.size))
        else:
            self._keep_samples(samples)

    def _keep_stored(self, samples: AlignedSamples, rows: np.ndarray) -> None:
        """Keep variables and masks of some rows in their stored form.

        `rows` (n,) int64 are positions of presentations, or of frames of the clock.
        """
        #: The row of the area that each kept row is; events are kept for all rows of the area.
        self.rows = rows
        samples.load()
        counted: dict[str, fields.Events] = {}
        needed = 0
        for name, field in samples.fields.items():
            stored_field = getattr(field, "field", field)
            dtype = samples.dtypes[name]
            if isinstance(stored_field, fields.Events) and (
                dtype.kind == "f" or dtype == stored_field.dtype
            ):
                counted[name] = stored_field
                needed += stored_field.places.nbytes
            else:
                size = _stored(field, dtype).itemsize
                needed += rows.size * int(np.prod(field.shape[1:])) * size
        self._check_room(needed)
        for name, events in counted.items():
            wide = torch.from_numpy(np.empty(0, samples.dtypes[name])).dtype
            self.kept[name] = DeviceEvents(events, wide, self.device)
        for name in samples.fields.keys() - counted.keys():
            self.kept[name] = self._copied(samples, name, rows)
        for name, mask in samples.masks.items():
            self.kept[name] = self._filled(mask.field.rows, mask.field.shape[1:], "bool", rows)

    def _copied(self, samples: AlignedSamples, name: str, rows: np.ndarray) -> torch.Tensor:
        """Copy rows of a variable to the device."""
        field, dtype = samples.fields[name], samples.dtypes[name]
        stored = _stored(field, dtype)
        read_rows: Callable[[np.ndarray, np.ndarray], None] = field.rows
        if (
            stored == dtype
        ):  # `samples.values` raises an error for values that the dtype cannot hold

            def checked(numbers: np.ndarray, out: np.ndarray) -> None:
                """Read rows with the checks of `samples.values`."""
                out[...] = samples.values(name, numbers)

            read_rows = checked

        return self._filled(read_rows, field.shape[1:], stored, rows)

    def _filled(
        self,
        read_rows: Callable[[np.ndarray, np.ndarray], None],
        shape: Any,
        dtype: Any,
        rows: np.ndarray,
    ) -> torch.Tensor:
        """Copy rows to the device, (n, *shape), where `read(rows, out)` writes them to memory."""
        buffer = np.empty((min(_STEP, rows.size), *shape), dtype)
        whole = torch.empty(
            (rows.size, *shape), dtype=torch.from_numpy(buffer).dtype, device=self.device
        )
        for begin in range(0, rows.size, _STEP):
            part = rows[begin : begin + _STEP]
            read_rows(part, buffer[: part.size])
            whole[begin : begin + part.size] = torch.from_numpy(buffer[: part.size])
        return whole

    def _check_room(self, needed: int) -> None:
        """Raise an error if `needed` bytes do not fit into the free memory of a GPU."""
        if self.device.type == "cuda":
            free = torch.cuda.mem_get_info(self.device)[0]
            if needed > 0.9 * free:
                msg = (
                    f"{self.location}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB "
                    "are free"
                )
                raise MemoryError(msg)

    def _keep_samples(self, samples: Tensors) -> None:
        """Keep the samples of any dataset as its batches have them."""
        n, first = len(samples), samples.batch([0])
        self._check_room(n * sum(v[0].nbytes for k, v in first.items() if _is_tensor(k, v)))
        for begin in range(0, n, _STEP):
            part = samples.batch(range(begin, min(begin + _STEP, n)))
            for name, value in part.items():
                if not is_per_sample(name, value):
                    self.kept[name] = value
                elif isinstance(value, list):
                    self.kept.setdefault(name, []).extend(value)
                else:
                    if not begin:
                        shape = (n, *value.shape[1:])
                        self.kept[name] = value.new_empty(shape, device=self.device)
                    self.kept[name][begin : begin + _STEP] = value.to(self.device)

    @property
    def transform(self) -> Any:
        return (
            self.samples.transform if isinstance(self.samples, AlignedSamples) else self._transform
        )

    @transform.setter
    def transform(self, transform: Any) -> None:
        if isinstance(self.samples, AlignedSamples):
            self.samples.transform = transform
        else:
            self._transform = transform

    def __len__(self) -> int:
        return len(self.samples)

    def identity(self) -> Identity:
        return self.samples.identity()  # the same on every device

    def shapes(self) -> dict[str, str]:
        return self.samples.shapes()

    def batch(self, indices: Sequence[int]) -> Batch:
        numbers = self._numbers(indices)
        if isinstance(self.samples, ClipSamples):
            return self._clips(self.samples, numbers)
        if isinstance(self.samples, TrialSamples):
            return self._trials(self.samples, numbers)
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

    def _gathered(self, samples: AlignedSamples, name: str, rows: np.ndarray) -> torch.Tensor:
        """Return values of a variable at kept rows, (*rows.shape, ...); NaN where a target is not known."""
        stored_values = self.kept[name]
        numbers = torch.from_numpy(rows).to(self.device)
        if isinstance(stored_values, DeviceEvents):
            values = stored_values.rows(self.rows[rows].ravel())
            values = values.reshape(*rows.shape, *stored_values.shape[1:])
        else:
            wide = torch.from_numpy(np.empty(0, samples.dtypes[name])).dtype
            values = stored_values[numbers].to(wide)
        for key in samples.masked.get(name, ()):
            _blank(samples.masks[key], self.kept[key][numbers], values, samples.dims[name])
        return values

    def _trials(self, trials: TrialSamples, numbers: np.ndarray) -> Batch:
        """Return the batch that `TrialDataset.batch` returns, from presentations kept on the device."""
        rows = torch.from_numpy(numbers).to(self.device)
        batch: Batch = {name: self._gathered(trials, name, numbers) for name in trials.fields}
        batch |= {name: self.kept[name][rows] for name in trials.masks}
        ids = torch.from_numpy(trials.ids[trials.rows[numbers]])
        batch[schema.PRESENTATION] = ids.to(self.device)
        return trials.finished(batch)

    def _clips(self, clips: ClipSamples, numbers: np.ndarray) -> Batch:
        """Return the batch that `ClipDataset.batch` returns, from frames kept on the device."""
        starts, ends = clips.spans(numbers)
        places = starts[:, None] + np.arange(clips.bins)
        past = places >= ends[:, None]
        outside = torch.from_numpy(past).to(self.device) if past.any() else None
        batch: Batch = {}
        for name, shift in {**clips.shifts, **dict.fromkeys(clips.masks, 0)}.items():
            rows = np.minimum(places + shift, clips.time.size - 1)
            if name in clips.masks:
                values = self.kept[name][torch.from_numpy(rows).to(self.device)]
            else:
                values = self._gathered(clips, name, rows)
            if outside is not None:
                values[outside] = float("nan") if values.is_floating_point() else 0
            batch[name] = values
        if clips.pad and schema.VALID not in batch:
            batch[schema.VALID] = torch.from_numpy(~past).to(self.device)
        batch[schema.TIME] = torch.from_numpy(clips.time[starts]).to(self.device)
        return clips.finished(batch)


def _is_tensor(name: str, value: Any) -> bool:
    """Whether an entry of a batch is a tensor with a batch axis."""
    return isinstance(value, torch.Tensor) and is_per_sample(name, value)


def _stored(field: fields.Field, requested: np.dtype) -> np.dtype:
    """Return the dtype in which values are kept on a device: the stored one if it is smaller."""
    narrow = field.dtype.name in _NARROW and field.dtype.itemsize < requested.itemsize
    return field.dtype if narrow and requested.kind == "f" else requested


def _blank(mask: Mask, values: torch.Tensor, out: torch.Tensor, dims: Sequence[str]) -> None:
    """Write NaN where values are not known, as `Mask.blank` does."""
    order, has_dim = mask.layout(dims, out.ndim)
    unknown = (~values if mask.known else values).permute(order)
    sizes = iter(unknown.shape)
    out.masked_fill_(unknown.reshape([next(sizes) if yes else 1 for yes in has_dim]), float("nan"))
