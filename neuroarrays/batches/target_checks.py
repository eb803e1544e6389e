"""Check that targets can be trained on: known in some sample of a dataset, and not the same in all."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from neuroarrays.batches.masks import BEHAVIOR_WITHHELD, WITHHELD
from neuroarrays.errors import SchemaError, many, warn

#: Number of samples that are read together.
_TOGETHER = 256


def check_targets(samples: Any, batch: Mapping[str, np.ndarray]) -> None:
    """Check each target of trials or clips with `check_target`.

    Parameters
    ----------
    samples : AlignedSamples
        The dataset.
    batch : dict of str to array
        A batch of this dataset, after its masks were applied.

    Raises
    ------
    SchemaError
        If a target is NaN in all samples, unless a competition withholds it.
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
    """Check once that a target is known and varies, in a batch or in other samples of the dataset.

    Usually the first batch has two different values, and nothing else is read. Otherwise samples
    are read until two values are seen.

    Parameters
    ----------
    samples : AreaSamples
        The dataset; its `varied` has the names of targets that need no further check.
    name : str
        Name of the target.
    values : (n, ...) array
        The target in a batch, in any unit; NaN where it is not known.
    read : callable
        A function from sample numbers to the values of the target in these samples.
    withheld : callable
        A function that returns whether a competition withholds the target; then NaN is no mistake.

    Raises
    ------
    SchemaError
        If the target is NaN in all samples; the message names the target and area.

    Warns
    -----
    UserWarning
        If the target has the same value in all samples.
    """
    if name in samples.varied:
        return
    value, varies = _two_values([values])
    if not varies:
        value, varies = _two_values(map(read, _numbers(samples)))
    if not varies and len(samples) > 1 and not withheld():
        _report(samples, name, value)
    samples.varied.add(name)


def _numbers(samples: Any) -> list[np.ndarray]:
    """Return numbers of samples that together have all values; windows among them do not overlap."""
    numbers = np.arange(0, len(samples), getattr(samples, "step", 1))
    if hasattr(samples, "bounds"):
        numbers = np.union1d(numbers, np.asarray(samples.bounds)[1:] - 1)
    return np.split(numbers, range(_TOGETHER, numbers.size, _TOGETHER))


def _two_values(arrays: Iterable[Any]) -> tuple[Any, bool]:
    """Return the first known value of some arrays (or None), and whether another value differs."""
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


def _report(samples: Any, name: str, value: Any) -> None:
    """Raise an error for a target that is known nowhere, or warn of one that is always `value`."""
    side = f" of {samples.side!r}" if samples.side else ""
    where = f"{samples.location}: the target {name} is"
    every = f"in all of {many(len(samples), 'sample')}{side}: nothing can be learnt from it"
    if value is None:
        msg = f"{where} NaN {every}. Leave out this area, or choose another target or split"
        raise SchemaError(msg)
    warn(f"{where} {float(value):g} {every}")
