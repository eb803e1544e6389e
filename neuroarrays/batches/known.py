"""Targets that cannot be trained on: known in no sample of a dataset, or the same in all of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from neuroarrays.batches.masks import BEHAVIOR_WITHHELD, WITHHELD
from neuroarrays.errors import SchemaError, many, warn

#: Samples that are read together.
_TOGETHER = 256


def check_targets(samples: Any, batch: Mapping[str, np.ndarray]) -> None:
    """See to it that the targets of trials or clips are known and vary, as `check_target` does.

    Parameters
    ----------
    samples : AlignedSamples
        The dataset.
    batch : dict of str to array
        Of this dataset, after masks.

    Raises
    ------
    SchemaError
        If a target is NaN in all samples, and not because a test withholds it.
    """
    for name in sorted(samples.targets - samples.varied):
        alone = copy.copy(samples)
        alone.fields = {name: samples.fields[name]}
        alone.varied, alone.labels, alone.transform = samples.targets, False, None
        keys = [key for key in (WITHHELD, BEHAVIOR_WITHHELD) if key in samples.masked.get(name, ())]

        def read(numbers: np.ndarray, alone: Any = alone, name: str = name) -> Any:
            return alone.batch(numbers)[name]

        def withheld(alone: Any = alone, keys: Iterable[str] = keys) -> bool:
            masks = [alone.batch(range(len(alone)))[key] for key in keys]
            return any(bool(mask.all()) for mask in masks)

        check_target(samples, name, batch[name], read, withheld)


def check_target(
    samples: Any,
    name: str,
    values: np.ndarray,
    read: Callable[[np.ndarray], Any],
    withheld: Callable[[], bool] = lambda: False,
) -> None:
    """See to it that a target is known and varies, in a batch or elsewhere; asked once per target.

    Usually the first batch shows two different values, and nothing else is read. Otherwise samples
    are read until there are two.

    Parameters
    ----------
    samples : AreaSamples
        The dataset; its `varied` keeps the targets that need not be looked at again.
    name : str
        The target.
    values : (n, ...) array
        The target in a batch; NaN where it is not known.
    read : callable
        From numbers of samples to the target in these.
    withheld : callable
        Whether a test withholds all of it, which is no mistake.

    Raises
    ------
    SchemaError
        If it is NaN in all samples; which, where, and what to do. A target of one value in all
        samples is warned of.
    """
    if name in samples.varied:
        return
    value, varies = _two_values([values])
    if not varies:
        value, varies = _two_values(map(read, _numbers(samples)))
    if not varies and len(samples) > 1 and not withheld():
        _say(samples, name, value)
    samples.varied.add(name)


def _numbers(samples: Any) -> list[np.ndarray]:
    """The numbers of samples that have all values; of windows those that do not overlap."""
    numbers = np.arange(0, len(samples), getattr(samples, "step", 1))
    if hasattr(samples, "bounds"):
        numbers = np.union1d(numbers, np.asarray(samples.bounds)[1:] - 1)
    return np.split(numbers, range(_TOGETHER, numbers.size, _TOGETHER))


def _two_values(arrays: Iterable[Any]) -> tuple[Any, bool]:
    """The first known value of some arrays (None if there is none), and whether another one differs."""
    first = None
    for array in arrays:
        values = np.asarray(array).ravel()
        if values.dtype.kind == "f":
            values = values[~np.isnan(values)]
        if values.size:
            first = values[0] if first is None else first
            if (values != first).any():
                return first, True
    return first, False


def _say(samples: Any, name: str, value: Any) -> None:
    """Say that a target is known nowhere (an error), or has one value (a warning)."""
    side = f" of {samples.side!r}" if samples.side else ""
    where = f"{samples.location}: the target {name} is"
    every = f"in all of {many(len(samples), 'sample')}{side}: nothing can be learnt from it"
    if value is None:
        msg = f"{where} NaN {every}. Leave out this area, or choose another target or split"
        raise SchemaError(msg)
    warn(f"{where} {float(value):g} {every}")
