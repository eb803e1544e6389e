"""Datasets made of others: repeats, stacks, a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from neuroarrays import schema
from neuroarrays.errors import SchemaError
from neuroarrays.torch.batched import AreaDataset, Batch, Batched, check_dataset, is_per_sample
from neuroarrays.torch.datasets import ClipDataset, TrialDataset


class RepeatDataset(Batched):
    """Stimuli as samples: the mean over the repeats of each, and every repeat.

    Parameters
    ----------
    trials : TrialDataset
        Presentations, with targets.
    labels : (presentation_id,) array
        What was shown in each presentation of the area; equal labels are repeats.

    Notes
    -----
    Inputs are those of the first repeat. A target comes twice: its mean over the repeats where it
    is known (not NaN), and as ``<name>_by_trial`` ``(n, repeat, ...)``, padded with NaN for stimuli
    that were shown less often. So do the masks of the targets: whether any repeat is known, and
    ``<mask>_by_trial``, padded with what is not. `repeats` ``(n,)`` int64 says how often a stimulus
    was shown. Targets have to be floats.

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
        self.trials, self.groups, self.place = trials, list(groups.values()), trials.place
        self.most = max(map(len, self.groups))
        wrong = [n for n in sorted(trials.targets) if trials.dtypes[n].kind != "f"]
        if wrong or not trials.targets:
            msg = f"{self.place}: repeats need targets of a float dtype, not {wrong or 'none'}"
            raise SchemaError(msg)

    def load(self) -> None:
        self.trials.load()

    def __len__(self) -> int:
        return len(self.groups)

    def _shapes(self) -> dict[str, str]:
        return self.trials._shapes() | {"repeats": f"1 to {self.most}"}

    def batch(self, indices: Sequence[int]) -> Batch:
        groups = [self.groups[i] for i in self._numbers(indices)]
        every = self.trials.batch([row for group in groups for row in group])
        sizes = torch.tensor([len(group) for group in groups])
        first = torch.cumsum(sizes, 0) - sizes
        batch = {k: v[first] if is_per_sample(k, v) else v for k, v in every.items()}
        spans = list(zip(first.tolist(), sizes.tolist(), strict=True))
        for name in sorted(self.trials.targets):
            batch[f"{name}_by_trial"] = stacked = self._stacked(every[name], spans, float("nan"))
            batch[name] = stacked.nanmean(1)
        for name in sorted({key for keys in self.trials.masked.values() for key in keys}):
            known = self.trials.masks[name].known
            batch[f"{name}_by_trial"] = stacked = self._stacked(every[name], spans, not known)
            batch[name] = stacked.any(1) if known else stacked.all(1)
        return batch | {"repeats": sizes}

    def _stacked(
        self, values: torch.Tensor, spans: Sequence[tuple[int, int]], fill: float
    ) -> torch.Tensor:
        """The values of each stimulus' repeats, side by side."""
        stacked = values.new_full((len(spans), self.most, *values.shape[1:]), fill)
        for i, (begin, size) in enumerate(spans):
            stacked[i, :size] = values[begin : begin + size]
        return stacked


class Stack(Batched):
    """Several datasets of one kind of sample, one after another.

    Parameters
    ----------
    datasets : sequence of dataset
        With the same variables, shapes and units: sessions of one population.

    Attributes
    ----------
    owner : (sample,) int64
        Which dataset each sample is of: weights for `balanced`.

    Notes
    -----
    The labels `session` and `area` are lists, one name per sample.

    Raises
    ------
    SchemaError
        If units or shapes differ; which session, area and variable.
    """

    def __init__(self, datasets: Sequence[AreaDataset]):
        self.datasets = list(datasets)
        if not self.datasets:
            msg = "there is no dataset to stack"
            raise ValueError(msg)
        for one in self.datasets:
            check_dataset(one)
        self.place = ", ".join(d.place for d in self.datasets)
        for other in self.datasets[1:]:
            _check_alike(self.datasets[0], other)
        self.ends = np.cumsum([len(d) for d in self.datasets])
        self.owner = np.repeat(np.arange(len(self.datasets)), np.diff(self.ends, prepend=0))

    def load(self) -> None:
        for dataset in self.datasets:
            dataset.load()

    def __len__(self) -> int:
        return int(self.ends[-1])

    def _shapes(self) -> dict[str, str]:
        return self.datasets[0]._shapes()

    def batch(self, indices: Sequence[int]) -> Batch:
        chosen = self._numbers(indices)
        owner = self.owner[chosen]
        order = np.argsort(owner, kind="stable")
        own = chosen[order] - (self.ends - np.diff(self.ends, prepend=0))[owner[order]]
        used, begins = np.unique(owner[order], return_index=True)
        parts = [
            self.datasets[d].batch(rows.tolist())
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


def _check_alike(one: AreaDataset, other: AreaDataset) -> None:
    ours, theirs = one._shapes(), other._shapes()
    if list(ours) != list(theirs) or type(one) is not type(other):
        found = [f"{type(d).__name__} of {list(d._shapes())}" for d in (other, one)]
        msg = f"{other.place} is a {found[0]}, {one.place} a {found[1]}: they cannot be stacked"
        raise SchemaError(msg)
    same_units = (one.unit_id is None) == (other.unit_id is None) and (
        one.unit_id is None or torch.equal(one.unit_id, other.unit_id)  # type: ignore[arg-type]
    )
    for name, shape in ours.items():
        msg = ""
        if theirs[name] != shape:
            msg = f"{other.place}: {name} is {theirs[name]}, {shape} in {one.place}"
        elif not same_units:
            msg = f"{other.place}: {name} is of other units than in {one.place}"
        if msg:
            raise SchemaError(f"{msg}: they cannot be stacked; train with na.torch.cycle")


class OnDevice(Batched):
    """All samples of a dataset on one device, indexed there.

    Parameters
    ----------
    samples : dataset
        Gathered once. Of a `ClipDataset` every frame of the clock is kept once, however many
        windows it is in, and its transform gets batches on the device.
    device : str or torch.device
        Where to keep them.

    Notes
    -----
    Use it without workers: its batches are on the device already.

    Raises
    ------
    MemoryError
        If they take more than is free on a GPU.
    """

    def __init__(self, samples: Batched, device: str | torch.device):
        check_dataset(samples)
        self.samples, self.device = samples, torch.device(device)
        self.place = f"{samples.place} on {self.device}"
        kept = samples.frames() if isinstance(samples, ClipDataset) else samples
        n, one = len(kept), kept.batch([0])
        needed = n * sum(v[0].nbytes for v in one.values() if isinstance(v, torch.Tensor))
        if self.device.type == "cuda":
            free = torch.cuda.mem_get_info(self.device)[0]
            if needed > 0.9 * free:
                msg = f"{self.place}: {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
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

    def __len__(self) -> int:
        return len(self.samples)

    def _shapes(self) -> dict[str, str]:
        return self.samples._shapes()

    def batch(self, indices: Sequence[int]) -> Batch:
        numbers = self._numbers(indices)
        if isinstance(self.samples, ClipDataset):
            return self._clips(self.samples, numbers)
        rows = torch.from_numpy(numbers).to(self.device)
        return {
            name: [value[i] for i in numbers]
            if isinstance(value, list)
            else value[rows]
            if is_per_sample(name, value)
            else value
            for name, value in self.kept.items()
        }

    def _clips(self, clips: ClipDataset, numbers: np.ndarray) -> Batch:
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
        if clips.pad and "valid" not in batch:
            batch["valid"] = torch.from_numpy(~past).to(self.device)
        batch[schema.TIME] = torch.from_numpy(clips.time[starts]).to(self.device)
        return clips._finish(batch)
