"""The base classes of all datasets, which return samples by number and batches as dicts of arrays."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.batches import gathering
from neuroarrays.batches.buffers import Buffers
from neuroarrays.batches.identity import Identity, checksum
from neuroarrays.errors import SchemaError, many, printable
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.schema.given import check, described

#: A batch: arrays by the names of the tree's variables, and labels as text.
Batch = dict[str, Any]


class Samples(ABC):
    """A dataset that gathers whole batches; a sample is a batch of one, without the batch axis."""

    #: Session and area, for error messages.
    location: str
    # Names of the attributes that tell which samples of the area the dataset has.
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

    def load(self) -> None:  # noqa: B027  some datasets keep nothing in memory
        """Read now the data that is kept in memory, not with the first batch."""

    def unread(self) -> list[LazyArray]:
        """Return the arrays that are read for each batch, even after `load`."""
        return []

    def gatherers(self) -> Iterator[Any]:
        """Yield the datasets that gather into buffers: this one, or those that it combines."""
        if hasattr(self, "buffers"):
            yield self

    def __getitem__(self, index: Any) -> Batch:
        try:
            number = None if isinstance(index, bool) else operator.index(index)
        except TypeError:
            number = None
        if number is None:
            msg = (
                f"{self.location}: [{index!r:.60}]: expected the number of one sample; for several "
                "use .batch([0, 1, 2])"
            )
            raise TypeError(msg)
        sample: Batch = self.__getitems__([number])[0]
        return sample

    def __getitems__(self, indices: Sequence[int]) -> Gathered:
        return Gathered(self.batch(indices), len(indices), self.ragged)

    def __repr__(self) -> str:
        variables = "".join(f", {name} {shape}" for name, shape in self.shapes().items())
        text = f"<{type(self).__name__} of {self.location}: {many(len(self), 'sample')}{variables}>"
        return printable(text)

    def delivered(self, values: np.ndarray) -> Any:
        """Return an array as a batch has it: unchanged here, as a tensor in `na.torch`."""
        return values

    def shapes(self) -> dict[str, str]:
        """Return shape and dtype of each variable of a sample, as text."""
        return {}

    def identity(self) -> Identity:
        """Return what identifies these samples: area, number, variables, and a checksum of the choice."""
        variables = {name: shape.rpartition(" ")[0] for name, shape in self.shapes().items()}
        identity = {"of": self.location, "samples": len(self), "variables": variables}
        chosen = checksum(*(getattr(self, name) for name in self.chosen_by))
        return identity | {"chosen samples": chosen}

    def _numbers(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return sample numbers as (n,) int64 from 0 on, after checking them; -1 is the last sample."""
        numbers, n = np.asarray(indices), len(self)
        if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
            mask = numbers.ndim == 1 and numbers.dtype.kind == "b"
            hint = "; of a mask take np.flatnonzero(mask)" if mask else ""
            msg = (
                f"{self.location}: expected numbers of samples, such as [0, 1, 2], found "
                f"{indices!r:.60}{hint}"
            )
            raise TypeError(msg)
        numbers = np.asarray(numbers, np.int64)
        # As unsigned numbers, negative ones are larger than all others: one look at them suffices.
        if not numbers.size or numbers.view(np.uint64).max() < n:
            return numbers
        if numbers.min() < -n or numbers.max() >= n:
            wrong = numbers.min() if numbers.min() < -n else numbers.max()
            msg = f"{self.location}: there is no sample {wrong}; there are {n}"
            raise IndexError(msg)
        return np.where(numbers < 0, numbers + n, numbers)


def check_samples(samples: Any, kind: Any, example: str) -> None:
    """Check that an argument is a dataset of a kind.

    Raises
    ------
    TypeError
        If it is not; the message contains `example`.
    """
    if not isinstance(samples, kind):
        msg = f"expected a dataset, such as {example}, found {described(samples)}"
        raise TypeError(msg)


def check_units(datasets: Iterable[Any]) -> None:
    """Check that datasets have variables of the same name in the same unit.

    Raises
    ------
    SchemaError
        If units differ; the message names the variable, both areas and their units.
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
    buffers = Buffers()
    for dataset in datasets:
        gatherers = list(dataset.gatherers()) if isinstance(dataset, Samples) else []
        if len(gatherers) == 1:  # a stack holds a part of each of its datasets at once
            gatherers[0].buffers = buffers


class Gathered(Sequence[Any]):
    """A batch that is also the sequence of its samples, as torch's own loaders need it.

    `na.torch.collate` returns the batch as it was gathered. The default function of torch stacks
    the samples again, which gives the same tensors, but labels (`session`, `area`, `unit_id`) once
    per sample.

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
            f"the transform returned a {type(batch).__name__}, which cannot be split into samples: "
            "give the loader collate_fn=na.torch.collate, which keeps it whole"
        )
        raise TypeError(msg)

    def _sample(self, batch: Mapping[str, Any], i: int) -> dict[str, Any]:
        """Return sample i of a dict of arrays; it has no offsets, which belong to the batch only."""
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
        #: Side of a split, for error messages; `loaders` sets it.
        self.side = ""
        #: Targets that were checked and need no further check; see `target_checks`.
        self.varied: set[str] = set()
        self.buffers = Buffers()

    def _finish(self, arrays: Mapping[str, np.ndarray]) -> Batch:
        """Return a batch made of numpy arrays."""
        return self.finished({name: self.delivered(values) for name, values in arrays.items()})

    def finished(self, batch: Batch) -> Batch:
        """Return a batch with its labels, if they are wanted, and after the transform."""
        if self.labels:
            batch |= {schema.SESSION: self.session, schema.AREA: self.area}
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
