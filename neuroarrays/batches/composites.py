"""Datasets that combine others: the repeats of each stimulus, or several sessions as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from neuroarrays import schema
from neuroarrays.batches.aligned import TrialSamples
from neuroarrays.batches.base import (
    AreaSamples,
    Batch,
    Samples,
    check_samples,
    check_units,
    is_per_sample,
)
from neuroarrays.batches.encoding import check_alike
from neuroarrays.batches.identity import Identity, checksum
from neuroarrays.batches.labels import Labels
from neuroarrays.batches.tokens import Part, SpikeEventSamples
from neuroarrays.errors import SchemaError
from neuroarrays.lazy.arrays import LazyArray


class RepeatSamples(Samples):
    """A dataset whose samples are stimuli, each with all its repeats and their mean.

    Parameters
    ----------
    trials : TrialSamples
        A dataset of presentations, with targets.
    labels : (presentation_id,) array
        Label of the stimulus of each presentation of the area; equal labels are repeats.

    Notes
    -----
    Inputs are those of the first repeat. A batch has each target twice, in its unit: its mean over
    the repeats in which it is known (not NaN), and ``<name>_by_trial`` ``(n, repeat, ...)``, padded
    with NaN for stimuli with fewer repeats. It also has each mask of the targets twice: whether any
    repeat is known, and ``<mask>_by_trial``, padded as not known. `repeats` ``(n,)`` int64 is the
    number of repeats. Targets must be floats.

    Raises
    ------
    SchemaError
        If there is no target, or a target is not a float.

    Examples
    --------
    >>> import neuroarrays as na
    >>> ripples = na.align(na.load_sample(), "sleep_ripples", bin_width=0.01, window=(-0.1, 0.2))
    >>> ca1 = ripples["A2929-200711/ca1"]
    >>> data = na.batches.TrialSamples(ca1, ["duration"], ["spike_data"], rows=range(12))
    >>> shown = na.batches.RepeatSamples(data, [i % 4 for i in range(ca1.sizes["presentation_id"])])
    >>> batch = shown.batch([0, 1])
    >>> tuple(batch["spike_data"].shape), tuple(batch["spike_data_by_trial"].shape)
    ((2, 8, 30), (2, 3, 8, 30))
    """

    def __init__(self, trials: TrialSamples, labels: Any):
        shown = np.asarray(labels)[trials.rows].tolist()
        groups: dict[Any, list[int]] = {}
        for i, label in enumerate(shown):
            groups.setdefault(label, []).append(i)
        self.trials, self.groups, self.location = trials, list(groups.values()), trials.location
        self.most = max(map(len, self.groups))
        wrong = [n for n in sorted(trials.targets) if trials.dtypes[n].kind != "f"]
        if wrong or not trials.targets:
            msg = f"{self.location}: repeats need targets of a float dtype, found {wrong or 'no target'}"
            raise SchemaError(msg)

    @property
    def transform(self) -> Any:
        """The transform of the presentations, which is applied before the mean over repeats."""
        return self.trials.transform

    @transform.setter
    def transform(self, transform: Any) -> None:
        self.trials.transform = transform

    @property
    def encodings(self) -> dict[str, list[str]]:
        """The labels of each encoded variable."""
        return self.trials.encodings

    @property
    def neurons(self) -> Labels:
        """The labels of the units."""
        return self.trials.neurons

    def load(self) -> None:
        self.trials.load()

    def unread(self) -> list[LazyArray]:
        return self.trials.unread()

    def gatherers(self) -> Iterator[Any]:
        return self.trials.gatherers()

    def __len__(self) -> int:
        return len(self.groups)

    def identity(self) -> Identity:
        repeats = {"stimuli": len(self), "repeats": checksum(*self.groups)}
        return self.trials.identity() | repeats

    def shapes(self) -> dict[str, str]:
        return self.trials.shapes() | {"repeats": f"1 to {self.most}"}

    def batch(self, indices: Sequence[int]) -> Batch:
        groups = [self.groups[i] for i in self._numbers(indices)]
        every = self.trials.batch([row for group in groups for row in group])
        sizes = np.array([len(group) for group in groups], np.int64)
        first = np.cumsum(sizes) - sizes
        rows = first[:, None] + np.minimum(np.arange(self.most), sizes[:, None] - 1)
        padding = np.arange(self.most) >= sizes[:, None]
        batch = {k: v[first] if is_per_sample(k, v) else v for k, v in every.items()}
        for name in sorted(self.trials.targets):
            repeats = every[name][rows]
            repeats[padding] = np.nan
            batch[f"{name}_by_trial"], batch[name] = repeats, self.mean(repeats)
        for name in sorted({key for keys in self.trials.masked.values() for key in keys}):
            known = self.trials.masks[name].known
            repeats = every[name][rows]
            repeats[padding] = not known
            batch[f"{name}_by_trial"] = repeats
            batch[name] = repeats.any(1) if known else repeats.all(1)
        return batch | {"repeats": self.delivered(sizes)}

    @staticmethod
    def mean(repeats: Any) -> Any:
        """Return the mean over known repeats: (n, ...) of (n, repeat, ...), in the same dtype and unit."""
        unknown = np.isnan(repeats)
        wide = np.result_type(repeats.dtype, np.float32)  # sums in float16 would be rounded
        total = np.where(unknown, 0, repeats).sum(1, dtype=wide)
        count = np.asarray(repeats.shape[1] - unknown.sum(1), wide)
        mean = np.full(total.shape, np.nan, wide)
        return np.divide(total, count, out=mean, where=count > 0).astype(repeats.dtype)


class StackedSamples(Samples):
    """Several datasets of the same kind as one dataset.

    Parameters
    ----------
    datasets : sequence of dataset
        Datasets with the same variables, shapes and neurons (`unit_id`), such as the sessions of
        one population. Windows of tokens (`SpikeEventSamples`) may have any neurons, if they share
        one vocabulary.

    Attributes
    ----------
    owner : (sample,) int64
        Position of the dataset of each sample in `datasets`, for example for `balanced`.
    transform : callable, optional
        A function of whole batches, applied after the transforms of the datasets (default: none).

    Notes
    -----
    The labels `session` and `area` of a batch are lists with a name for each sample.

    Raises
    ------
    SchemaError
        If neurons, shapes or units of measurement differ; the message names the session, area and
        variable.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> ripples = na.align(tree, "sleep_ripples", bin_width=0.01, window=(-0.1, 0.2))
    >>> data = na.batches.TrialSamples(ripples["A2929-200711/ca1"], ["spike_data"])
    >>> len(na.batches.StackedSamples([data, data]))
    1188
    """

    def __init__(self, datasets: Sequence[AreaSamples]):
        self.datasets = list(datasets)
        if not self.datasets:
            msg = "expected at least one dataset to stack, found none"
            raise ValueError(msg)
        for dataset in self.datasets:
            check_samples(dataset, AreaSamples, 'na.batches.TrialSamples(area, ["spike_data"])')
        self.location = ", ".join(d.location for d in self.datasets)
        for other in self.datasets[1:]:
            _check_alike(self.datasets[0], other)
        check_alike(self.datasets)
        check_units(self.datasets)
        self.transform: Callable[[Batch], Batch] | None = None
        self.encodings = getattr(self.datasets[0], "encodings", {})
        self._of_tokens = isinstance(self.datasets[0], SpikeEventSamples)
        self.ends = np.cumsum([len(d) for d in self.datasets])
        self.owner = np.repeat(np.arange(len(self.datasets)), np.diff(self.ends, prepend=0))

    @property
    def ragged(self) -> Mapping[str, str]:
        return self.datasets[0].ragged

    def load(self) -> None:
        for dataset in self.datasets:
            dataset.load()

    def unread(self) -> list[LazyArray]:
        return [array for dataset in self.datasets for array in dataset.unread()]

    def gatherers(self) -> Iterator[Any]:
        for dataset in self.datasets:
            yield from dataset.gatherers()

    def __len__(self) -> int:
        return int(self.ends[-1])

    def identity(self) -> Identity:
        return {"stacked": [dataset.identity() for dataset in self.datasets]}

    def shapes(self) -> dict[str, str]:
        return self.datasets[0].shapes()

    def batch(self, indices: Sequence[int]) -> Batch:
        chosen = self._numbers(indices)
        owner = self.owner[chosen]
        order = np.argsort(owner, kind="stable")
        numbers = chosen[order] - (self.ends - np.diff(self.ends, prepend=0))[owner[order]]
        used, begins = np.unique(owner[order], return_index=True)
        rows, numbers_of = (np.split(values, begins[1:]) for values in (order, numbers))
        parts = [(self.datasets[d], n, r) for d, n, r in zip(used, numbers_of, rows, strict=True)]
        batch = self._mixed(parts, chosen.size) if self._of_tokens else self._joined(parts, order)
        for name in (schema.SESSION, schema.AREA):
            if name in batch:
                batch[name] = [getattr(self.datasets[d], name) for d in owner]
        return batch if self.transform is None else self.transform(batch)

    def _joined(self, parts: list[tuple[Any, np.ndarray, np.ndarray]], order: np.ndarray) -> Batch:
        """Gather from several datasets of arrays and join the samples, in the order of the request.

        `parts` are (dataset, sample indices, rows of the batch) of each dataset.
        """
        batches = [dataset.batch(numbers.tolist()) for dataset, numbers, _ in parts]
        back = np.argsort(order, kind="stable")
        return {
            name: self.joined([batch[name] for batch in batches])[back]
            if is_per_sample(name, value)
            else value
            for name, value in batches[0].items()
        }

    def _mixed(self, parts: list[tuple[Any, np.ndarray, np.ndarray]], n: int) -> Batch:
        """Gather n windows of tokens from several datasets into one batch; their lengths differ."""
        first = self.datasets[0]
        assert isinstance(first, SpikeEventSamples)
        arrays = first.gather([Part(*part) for part in parts], n)
        labels = dict.fromkeys([schema.SESSION, schema.AREA], "") if first.labels else {}
        return {name: first.delivered(values) for name, values in arrays.items()} | labels

    @staticmethod
    def joined(parts: list[Any]) -> Any:
        """Concatenate arrays along their first axis."""
        return np.concatenate(parts)


def _check_alike(first: AreaSamples, other: AreaSamples) -> None:
    """Check that two datasets have the same variables, shapes and neurons."""
    shapes, others = first.shapes(), other.shapes()
    tokens = isinstance(first, SpikeEventSamples)
    if type(first) is not type(other) or (list(shapes) != list(others) and not tokens):
        kinds = [f"{type(d).__name__} of {list(d.shapes())}" for d in (other, first)]
        msg = (
            f"{other.location} is a {kinds[0]}, {first.location} a {kinds[1]}: they cannot be "
            "stacked"
        )
        raise SchemaError(msg)
    if isinstance(first, SpikeEventSamples) and isinstance(other, SpikeEventSamples):
        first.check_alike(other)
        return
    same_units = (first.unit_id is None) == (other.unit_id is None) and (
        first.unit_id is None or np.array_equal(first.unit_id, other.unit_id)
    )
    for name, shape in shapes.items():
        msg = ""
        if others[name] != shape:
            msg = f"{other.location}: {name} is {others[name]}, {shape} in {first.location}"
        elif not same_units:
            msg = f"{other.location}: {name} is of other units than in {first.location}"
        if msg:
            raise SchemaError(f"{msg}: they cannot be stacked; alternate them with cycle")
