"""`xy` gathers all samples of a dataset at once, for estimators of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuroarrays.batches.aligned import ClipSamples, TrialSamples
from neuroarrays.batches.base import check_samples
from neuroarrays.errors import NothingLeft, NotInTree, SchemaError, many, warn

_EXAMPLE = 'na.batches.TrialSamples(area, ["spike_data"], ["speed"])'


def xy(
    samples: TrialSamples | ClipSamples, target: str | None = None, groups: str | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gather all samples of a dataset as features, targets and groups: ``X, y, groups``.

    Parameters
    ----------
    samples : TrialSamples or ClipSamples
        A dataset; its inputs become the features, in their order.
    target : str, optional
        Name of the target; needed if there are several.
    groups : str, optional
        Column of `presentations` whose equal values make a group, such as ``"block_id"`` (default:
        each presentation is a group, and so are all windows of one stretch of the clock).

    Returns
    -------
    X : (sample, feature) float or int
        The inputs, flattened and concatenated, in the units of the tree.
    y : (sample,) or (sample, value)
        The target, flattened, in its unit.
    groups : (sample,) int64 or dtype of the column
        Groups for ``GroupKFold().split(X, y, groups)``, which never splits a group.

    Raises
    ------
    NotInTree
        If the target or column does not exist.
    SchemaError
        If there is no input, or there are several targets and none is named.
    NothingLeft
        If the target is NaN in all samples.

    Warns
    -----
    UserWarning
        If samples are left out because their target is not known (NaN).

    Examples
    --------
    >>> import neuroarrays as na
    >>> aligned = na.align(na.load_sample(), bin_width=0.1)
    >>> data = na.batches.ClipSamples(
    ...     aligned["A2929-200711/adn"],
    ...     ["spike_data"],
    ...     1.0,
    ...     ["head_direction/ry"],
    ...     window=(671.0, 690.0),
    ... )
    >>> X, y, groups = na.batches.xy(data)
    >>> X.shape, y.shape, groups.shape
    ((19, 70), (19, 10), (19,))
    """
    check_samples(samples, TrialSamples | ClipSamples, _EXAMPLE)
    inputs = [name for name in samples.fields if name not in samples.targets]
    target = _target(samples, target)
    if not inputs:
        msg = (
            f"{samples.location}: the dataset has targets but no inputs; make it with inputs, "
            f"such as {_EXAMPLE}"
        )
        raise SchemaError(msg)
    batch = samples.batch(range(len(samples)))
    n = len(samples)
    features = np.concatenate([np.reshape(batch[name], (n, -1)) for name in inputs], axis=1)
    values = np.array(batch[target])
    values = values if values.ndim == 1 else values.reshape(n, -1)
    group = _groups(samples, groups)
    if values.dtype.kind != "f":
        return features, values, group
    known = ~np.isnan(values).reshape(n, -1).any(1)
    if not known.any():
        msg = f"{samples.location}: {target} has a NaN in each of {many(n, 'sample')}"
        raise NothingLeft(msg)
    if known.all():
        return features, values, group
    lost = n - int(known.sum())
    warn(
        f"{samples.location}: {lost} of {many(n, 'sample')} left out, because their {target} is NaN"
    )
    return features[known], values[known], group[known]


def _target(samples: TrialSamples | ClipSamples, target: str | None) -> str:
    """Return the name of the target: the given one, or the only one of the dataset."""
    known = sorted(samples.targets)
    if target is None and len(known) == 1:
        return known[0]
    if target is None:
        msg = f"{samples.location}: {many(len(known), 'target')} {known}: choose one with target="
        raise SchemaError(msg)
    if target not in known:
        raise NotInTree("target", target, known, hint=samples.location)
    return target


def _groups(samples: TrialSamples | ClipSamples, groups: str | None) -> np.ndarray:
    """Return the group of each sample, (sample,)."""
    if isinstance(samples, TrialSamples):
        return samples.ids[samples.rows] if groups is None else samples.trial_info[groups]
    if groups is not None:
        msg = f"{samples.location}: windows of a clock have no column {groups!r}: leave out groups="
        raise SchemaError(msg)
    numbers: Any = np.searchsorted(samples.bounds, np.arange(len(samples)), side="right") - 1
    return np.asarray(numbers, np.int64)
