"""Datasets made of others, or of more than one source: repeats, stacks, raw spikes, a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch.utils.data import Dataset

from neuroarrays import gathering, interpolation, schema
from neuroarrays.bins import check_bin_width
from neuroarrays.datasets import Batch, Samples, TrialDataset, is_per_sample
from neuroarrays.errors import SchemaError
from neuroarrays.lazy import unwrap
from neuroarrays.trains import Trains, trains_of


class SpikeWindowDataset(Dataset[Batch]):
    """Windows binned from raw spike trains as they are asked for.

    Parameters
    ----------
    area : DataTree node
        An area of a recording tree, with a `spikes` node.
    length : float, s
        Length of a window.
    bin_width : float, s
        Width of a bin; its edges are those of `na.bin_spikes`.
    starts : (n,) float, s, optional
        Starts of the windows on the session clock, anywhere. Every `stride` unless given.
    stride : float, s, optional
        From one start to the next one's; `length` unless given.
    window : (float, float) or (n, 2) float, s, optional
        Stretches that windows lie in entirely; from the first spike to the last unless given.
    series : sequence of str
        Signals of the recording to interpolate at the bins' centres: ``"running/speed"``. NaN
        where there are no data.
    dtype : {"uint8", "float32", "float16"}
        Of the counts; the series are float32.
    labels : bool
        Put `session`, `area` and `unit_id` into every batch.
    transform : callable, optional
        From batch to batch.

    Notes
    -----
    A batch is ``{"spike_data": (n, bins, unit), <series>: (n, bins), "time": (n,) float64}``. The
    spikes are kept in memory in order of time, ten bytes each, and are put in that order again in
    every worker that is not forked.

    Raises
    ------
    SchemaError
        If the area has no spikes.
    ValueError
        If no window fits.
    """

    def __init__(  # noqa: PLR0913
        self,
        area: xr.DataTree,
        length: float,
        bin_width: float = 0.02,
        starts: Any = None,
        *,
        stride: float | None = None,
        window: Any = None,
        series: Sequence[str] = (),
        dtype: str = "uint8",
        labels: bool = False,
        transform: Callable[[Batch], Batch] | None = None,
    ):
        from neuroarrays.kernels import counts

        self.place = gathering.place(area)
        if schema.SPIKES not in area.children:
            msg = f"{self.place} has no spikes node: expected an area of a recording tree"
            raise SchemaError(msg)
        if dtype not in ("uint8", "float32", "float16"):
            msg = f"dtype={dtype!r}: expected 'uint8', 'float32' or 'float16'"
            raise ValueError(msg)
        node = area[schema.SPIKES].to_dataset()
        self.bin_width, self.dtype = check_bin_width(bin_width), np.dtype(dtype)
        self.bins = counts.bins_to_cover(length, self.bin_width)
        self.trains: Trains = trains_of(node)
        self.starts = self._starts(starts, length, stride or length, window)
        self.unit_id = torch.from_numpy(np.array(node[schema.UNIT].values, np.int64))
        self.session, _, self.area = self.place.rpartition("/")
        self.labels, self.transform = labels, transform
        self.series = {name: self._signal(area, name) for name in series}
        self.buffers = gathering.Buffers()
        self._slices: Any = None
        _ = self.slices

    def _starts(self, starts: Any, length: float, stride: float, window: Any) -> np.ndarray:
        low, high = self.trains.extent()
        if starts is not None:
            found = np.asarray(starts, np.float64)
        else:
            spans = np.asarray((low, high) if window is None else window, float).reshape(-1, 2)
            slack = 1e-6 * self.bin_width
            found = np.concatenate([
                a + stride * np.arange(np.floor((b - a - length + slack) / stride) + 1)
                for a, b in spans
                if b - a + slack >= length
            ] or [np.empty(0)])  # fmt: skip
        if found.ndim != 1 or not found.size or not np.isfinite(found).all():
            msg = (
                f"{self.place}: no window of {length:g} s (spike_times span {low:.3f} to "
                f"{high:.3f} s, window={window}, starts of shape {found.shape})"
            )
            raise ValueError(msg)
        return found

    def _signal(self, area: xr.DataTree, name: str) -> gathering.Field:
        from neuroarrays.kernels import counts

        variable = name.rpartition("/")[2]
        array = gathering.find(area, name)
        node = array.to_dataset(name=variable)
        offsets = counts.bin_centres(0.0, self.bins, self.bin_width)
        dims = (schema.PRESENTATION, schema.TIME)
        found = interpolation.resampled(node, self.starts, offsets, "linear", None, dims)
        lazy = unwrap(found[variable]._data)
        return gathering.Stored(lazy, 0, gathering.place(area, name))

    @property
    def slices(self) -> Any:
        """The spikes in order of time slice; see `neuroarrays.kernels.events`."""
        if self._slices is None:
            from neuroarrays.kernels import events

            times = self.trains.load(np.arange(self.trains.first.size))
            self._slices = events.slice_by_time(times, self.trains.first, self.trains.last)
        return self._slices

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_slices": None}

    def __len__(self) -> int:
        return int(self.starts.size)

    def __getitem__(self, index: int) -> Batch:
        if not -len(self) <= index < len(self):
            msg = f"window {index} of {len(self)}"
            raise IndexError(msg)
        batch = self.__getitems__([index % len(self)])
        return {k: v[0] if is_per_sample(k, v) else v for k, v in batch.items()}

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        from neuroarrays.kernels import events

        rows = np.asarray(indices, np.int64)
        shape = (rows.size, self.bins, self.slices.n_units)
        counted = self.buffers.get(shape, np.dtype(np.uint8))
        try:
            events.count_windows(self.slices, self.starts[rows], self.bin_width, counted)
        except OverflowError as error:
            msg = f"{self.place}: spike_data: {error}; take a smaller bin_width"
            raise OverflowError(msg) from error
        out = counted
        if self.dtype != counted.dtype:
            out = self.buffers.get(shape, self.dtype)
            out[...] = counted
        batch: Batch = {"spike_data": torch.from_numpy(out)}
        for name, field in self.series.items():
            values = self.buffers.get((rows.size, *field.shape[1:]), np.dtype(np.float32))
            field.rows(rows, values)
            batch[name] = torch.from_numpy(values)
        batch[schema.TIME] = torch.from_numpy(self.starts[rows])
        if self.labels:
            batch |= {"session": self.session, "area": self.area, schema.UNIT: self.unit_id}
        return batch if self.transform is None else self.transform(batch)


class RepeatDataset(Dataset[Batch]):
    """Stimuli as samples: the mean over the repeats of each, and every repeat.

    Parameters
    ----------
    trials : TrialDataset
        Presentations, with targets.
    labels : (presentation_id,) array
        What was shown in each presentation of the area; equal labels are repeats.

    Notes
    -----
    Inputs are those of the first repeat. A target comes twice: its mean over the repeats that are
    not NaN, and as ``<name>_by_trial`` ``(n, repeat, ...)``, padded with NaN for stimuli that
    were shown less often. `repeats` ``(n,)`` int64 says how often. Targets have to be floats.

    Raises
    ------
    SchemaError
        If there is no target, or one is not a float.
    """

    def __init__(self, trials: TrialDataset, labels: Any):
        own = np.asarray(labels)[trials.rows].tolist()
        groups: dict[Any, list[int]] = {}
        for i, label in enumerate(own):
            groups.setdefault(label, []).append(i)
        self.trials, self.groups = trials, list(groups.values())
        self.most = max(map(len, self.groups))
        wrong = [n for n in sorted(trials.targets) if trials.dtypes[n].kind != "f"]
        if wrong or not trials.targets:
            msg = f"{trials.place}: repeats need targets of a float dtype, not {wrong or 'none'}"
            raise SchemaError(msg)

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> Batch:
        if not -len(self) <= index < len(self):
            msg = f"stimulus {index} of {len(self)}"
            raise IndexError(msg)
        batch = self.__getitems__([index % len(self)])
        return {k: v[0] if is_per_sample(k, v) else v for k, v in batch.items()}

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        groups = [self.groups[i] for i in indices]
        every = self.trials.__getitems__([row for group in groups for row in group])
        sizes = torch.tensor([len(group) for group in groups])
        first = torch.cumsum(sizes, 0) - sizes
        batch = {k: v[first] if is_per_sample(k, v) else v for k, v in every.items()}
        for name in sorted(self.trials.targets):
            values = every[name]
            stacked = values.new_full((len(groups), self.most, *values.shape[1:]), float("nan"))
            for i, (begin, size) in enumerate(zip(first.tolist(), sizes.tolist(), strict=True)):
                stacked[i, :size] = values[begin : begin + size]
            batch[name] = stacked.nanmean(1)
            batch[f"{name}_by_trial"] = stacked
        return batch | {"repeats": sizes}


class Stack(Dataset[Batch]):
    """Several datasets of one kind of sample, one after another.

    Parameters
    ----------
    datasets : sequence of dataset
        With the same variables, shapes and units: sessions of one population.

    Attributes
    ----------
    owner : (sample,) int64
        Which dataset each sample is of: weights for `balanced`.

    Raises
    ------
    SchemaError
        If units or shapes differ; which session, area and variable.
    """

    def __init__(self, datasets: Sequence[Samples]):
        self.datasets = list(datasets)
        if not self.datasets:
            msg = "there is no dataset to stack"
            raise ValueError(msg)
        one = self.datasets[0]
        for other in self.datasets[1:]:
            _check_alike(one, other)
        self.ends = np.cumsum([len(d) for d in self.datasets])  # type: ignore[arg-type]
        self.owner = np.repeat(np.arange(len(self.datasets)), np.diff(self.ends, prepend=0))

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: int) -> Batch:
        if not -len(self) <= index < len(self):
            msg = f"sample {index} of {len(self)}"
            raise IndexError(msg)
        index %= len(self)
        owner = self.owner[index]
        own: Batch = self.datasets[owner][int(index - self.ends[owner])]  # counted from its end
        return own

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        chosen = np.asarray(indices, np.int64)
        owner = self.owner[chosen]
        order = np.argsort(owner, kind="stable")
        own = chosen[order] - (self.ends - np.diff(self.ends, prepend=0))[owner[order]]
        used, begins = np.unique(owner[order], return_index=True)
        parts = [
            self.datasets[d].__getitems__(rows.tolist())
            for d, rows in zip(used, np.split(own, begins[1:]), strict=True)
        ]
        back = torch.from_numpy(np.argsort(order, kind="stable"))
        batch: Batch = {}
        for name, value in parts[0].items():
            if is_per_sample(name, value):
                batch[name] = torch.cat([part[name] for part in parts])[back]
            elif isinstance(value, str):
                names = [d.session if name == "session" else d.area for d in self.datasets]
                batch[name] = [names[d] for d in owner]
            else:
                batch[name] = value
        return batch


def _check_alike(one: Samples, other: Samples) -> None:
    if list(one.fields) != list(other.fields):
        msg = f"{other.place} has {list(other.fields)}, {one.place} has {list(one.fields)}"
        raise SchemaError(msg)
    same_units = (one.unit_id is None) == (other.unit_id is None) and (
        one.unit_id is None or torch.equal(one.unit_id, other.unit_id)  # type: ignore[arg-type]
    )
    for name, field in one.fields.items():
        theirs = other.fields[name]
        if field.shape[1:] != theirs.shape[1:]:
            msg = f"{other.place}: {name} is {theirs.shape[1:]}, {field.shape[1:]} in {one.place}"
            raise SchemaError(f"{msg}: they cannot be stacked; train with na.torch.cycle")
        if not same_units:
            msg = f"{other.place}: {name} is of other units than in {one.place}"
            raise SchemaError(f"{msg}: they cannot be stacked; train with na.torch.cycle")


class OnDevice(Dataset[Batch]):
    """All samples of a dataset on one device, indexed there.

    Parameters
    ----------
    samples : dataset
        Its samples are gathered once; windows that overlap are stored as often as they occur.
    device : str or torch.device
        Where to keep them.

    Raises
    ------
    MemoryError
        If they take more than is free on a GPU.
    """

    def __init__(self, samples: Samples, device: str | torch.device):
        self.device, n = torch.device(device), len(samples)  # type: ignore[arg-type]
        one = samples.__getitems__([0])
        needed = n * sum(v.nbytes for k, v in one.items() if is_per_sample(k, v))
        if self.device.type == "cuda":
            free = torch.cuda.mem_get_info(self.device)[0]
            if needed > 0.9 * free:
                msg = f"{samples.place}: {needed / 1e9:.1f} GB, {free / 1e9:.1f} free on {device}"
                raise MemoryError(msg)
        self.batch: Batch = {
            k: v.new_empty((n, *v.shape[1:]), device=self.device) if is_per_sample(k, v) else v
            for k, v in one.items()
        }
        for begin in range(0, n, 256):
            part = samples.__getitems__(range(begin, min(begin + 256, n)))
            for k, v in part.items():
                if is_per_sample(k, v):
                    self.batch[k][begin : begin + 256] = v.to(self.device)
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> Batch:
        return {k: v[index] if is_per_sample(k, v) else v for k, v in self.batch.items()}

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        rows = torch.as_tensor(np.asarray(indices), device=self.device)
        return {k: v[rows] if is_per_sample(k, v) else v for k, v in self.batch.items()}
