"""The base of all datasets: samples by number, and batches as dicts of arrays."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.batches import fields, gathering
from neuroarrays.batches.identity import Identity, checksum
from neuroarrays.errors import SchemaError, many, printable
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.schema.given import check, described

#: Arrays by the names of the tree's variables; labels are text.
Batch = dict[str, Any]


class Samples(ABC):
    """A dataset that gathers whole batches; a sample is a batch of one without the batch axis."""

    #: Session and area, for errors.
    location: str
    #: Attributes that say which samples these are, of all that the area has.
    chosen_by: ClassVar[tuple[str, ...]] = ()

    @property
    def ragged(self) -> Mapping[str, str]:
        """Arrays of a batch whose samples are concatenated, and the names of their offsets."""
        return {}

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def batch(self, indices: Sequence[int]) -> Batch:
        """Gather samples by number, in any order, as a dict of arrays with a batch axis."""

    def load(self) -> None:  # noqa: B027  some keep nothing
        """Read the data that is kept in memory now, not with the first batch."""

    def unread(self) -> list[LazyArray]:
        """The arrays that are read for each batch, even after `load`."""
        return []

    def gatherers(self) -> Iterator[Any]:
        """The datasets that gather into buffers: this one, or those that it is made of."""
        if hasattr(self, "buffers"):
            yield self

    def __getitem__(self, index: Any) -> Batch:
        if isinstance(index, slice):
            msg = (
                f"{self.location}: expected the number of one sample; for several use "
                ".batch(range(0, 8))"
            )
            raise TypeError(msg)
        sample: Batch = self.__getitems__([operator.index(index)])[0]
        return sample

    def __getitems__(self, indices: Sequence[int]) -> Gathered:
        return Gathered(self.batch(indices), len(indices), self.ragged)

    def __repr__(self) -> str:
        variables = "".join(f", {name} {shape}" for name, shape in self.shapes().items())
        text = f"<{type(self).__name__} of {self.location}: {many(len(self), 'sample')}{variables}>"
        return printable(text)

    def delivered(self, values: np.ndarray) -> Any:
        """An array of a batch: of numpy here, a tensor in `na.torch`."""
        return values

    def shapes(self) -> dict[str, str]:
        """Shape and dtype of the variables of a sample, as text."""
        return {}

    def identity(self) -> Identity:
        """What tells these samples from others: their place, number, variables, and which they are."""
        variables = {name: shape.rpartition(" ")[0] for name, shape in self.shapes().items()}
        identity = {"of": self.location, "samples": len(self), "variables": variables}
        chosen = checksum(*(getattr(self, name) for name in self.chosen_by))
        return identity | {"chosen samples": chosen}

    def _numbers(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Check numbers of samples; negative ones count from the end."""
        numbers, n = np.asarray(indices, np.int64), len(self)
        # As unsigned numbers, negative ones are larger than all others: one look at them suffices.
        if not numbers.size or numbers.view(np.uint64).max() < n:
            return numbers
        if numbers.min() < -n or numbers.max() >= n:
            wrong = numbers.min() if numbers.min() < -n else numbers.max()
            msg = f"{self.location}: there is no sample {wrong}; there are {n}"
            raise IndexError(msg)
        return np.where(numbers < 0, numbers + n, numbers)


def check_samples(given: Any, kind: Any, example: str) -> None:
    """Raise an error if something is not a dataset.

    Raises
    ------
    TypeError
        If it is not; the message has an example.
    """
    if not isinstance(given, kind):
        msg = f"expected a dataset, such as {example}, found {described(given)}"
        raise TypeError(msg)


def check_units(datasets: Iterable[Any]) -> None:
    """Refuse datasets that have a variable of one name in different units.

    Raises
    ------
    SchemaError
        If they have; the message has the variable, both areas and their units.
    """
    first: dict[str, tuple[str, str]] = {}
    for dataset in datasets:
        for name, unit in getattr(dataset, "units", {}).items():
            where, expected = first.setdefault(name, (dataset.location, unit))
            if unit != expected and unit and expected:
                msg = (
                    f"the unit of {name} is {expected!r} in {where}, and {unit!r} in "
                    f"{dataset.location}"
                )
                raise SchemaError(f"{msg}: convert one of them, or train on them separately")


def share_buffers(datasets: Iterable[Any]) -> None:
    """Let datasets gather into the same buffers.

    A loop has a batch or two, whatever the number of sessions that it takes them from: with buffers
    of their own, a thousand sessions would hold a thousand batches, and none would be in the cache.
    """
    buffers = fields.Buffers()
    for dataset in datasets:
        gatherers = list(dataset.gatherers()) if isinstance(dataset, Samples) else []
        if len(gatherers) == 1:  # a stack holds a part of each of its datasets at once
            gatherers[0].buffers = buffers


class Gathered(Sequence[Any]):
    """Split a batch into the list of its samples, as torch's own loaders need it.

    `na.torch.collate` returns the batch as it was gathered. The default of torch stacks the samples
    again, which gives the same tensors, with labels (`session`, `area`, `unit_id`) once per sample.

    Parameters
    ----------
    batch : dict or namedtuple
        The gathered batch.
    n : int
        Number of samples.
    ragged : mapping of str to str, optional
        Arrays whose samples are concatenated, and the names of their offsets.
    """

    def __init__(self, batch: Any, n: int, ragged: Mapping[str, str] | None = None):
        self.batch, self.n, self.ragged = batch, n, ragged or {}

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, key: Any) -> Any:
        batch = self.batch
        if isinstance(key, str):
            return batch[key]
        i = range(self.n)[operator.index(key)]
        if isinstance(batch, Mapping):
            return self._sample(batch, i)
        if hasattr(batch, "_fields"):
            return type(batch)(*(value[i] for value in batch))
        msg = (
            f"the transform returned a {type(batch).__name__}, which cannot be split into "
            "samples: give "
            "the loader collate_fn=na.torch.collate, which keeps it whole"
        )
        raise TypeError(msg)

    def _sample(self, batch: Mapping[str, Any], i: int) -> dict[str, Any]:
        """Sample i of a dict of arrays; offsets belong to the batch only."""
        sample = {}
        for name, value in batch.items():
            if name in self.ragged:
                offsets = batch[self.ragged[name]]
                sample[name] = value[int(offsets[i]) : int(offsets[i + 1])]
            elif name not in self.ragged.values():
                sample[name] = value[i] if is_per_sample(name, value) else value
        return sample


class AreaSamples(Samples):
    """Samples of one area, with optional labels and a transform."""

    def __init__(
        self,
        area: xr.DataTree,
        units: xr.Dataset | xr.DataTree,
        labels: bool,
        transform: Callable[[Batch], Batch] | None,
    ):
        self.location, self.area = gathering.location(area), str(area.name)
        expected = f"{self.location}: transform: expected a function of a batch, or None"
        check(transform, Callable | None, expected, TypeError)
        self.session = str(area.parent.name or "") if area.parent is not None else ""
        ids = units.coords[schema.UNIT].values if schema.UNIT in units.coords else None
        self.unit_id: Any = None if ids is None else self.delivered(np.array(ids, np.int64))
        self.labels, self.transform = labels, transform
        #: Of a split, which errors name; `loaders` sets it.
        self.side = ""
        #: Targets of which two values were seen.
        self.varied: set[str] = set()
        self.buffers = fields.Buffers()

    def _finish(self, arrays: Mapping[str, np.ndarray]) -> Batch:
        """Make a batch of arrays."""
        return self.finished({name: self.delivered(values) for name, values in arrays.items()})

    def finished(self, batch: Batch) -> Batch:
        """A batch with its labels, if wanted, after the transform."""
        if self.labels:
            batch |= {"session": self.session, "area": self.area}
            if self.unit_id is not None:
                batch[schema.UNIT] = self.unit_id
        if self.transform is None:
            return batch
        transformed: Any = self.transform(batch)
        if transformed is None:
            msg = f"{self.location}: the transform returned None; it must return the batch"
            raise TypeError(msg)
        batch = transformed
        return batch


def is_per_sample(name: str, value: Any) -> bool:
    """Whether an entry of a batch has a batch axis: arrays except the units, and lists."""
    if name == schema.UNIT:
        return False
    return isinstance(value, list) or getattr(value, "ndim", 0) > 0
