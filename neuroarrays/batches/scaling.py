"""`Scaling` normalises batches as an explicit step, and states its numbers, samples and rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.batches import gathering
from neuroarrays.batches.base import Batch, Samples
from neuroarrays.errors import NotInTree, many
from neuroarrays.kernels.running import Moments

#: Number of samples whose values are summed together.
_TOGETHER = 256


@dataclass(frozen=True)
class Scaling:
    """Subtract a mean and divide by a standard deviation: a transform of batches.

    Attributes
    ----------
    mean : dict of str to () or (last axis,) float64 array
        The mean of each variable in its unit; it broadcasts against the last axes of the variable.
    std : dict of str to () or (last axis,) float64 array
        The standard deviation of each variable, in the same way.
    stated : str
        The samples of the statistics, and the rule.
    raw : dict of str to () or (last axis,) float64 array
        The standard deviations, before values of 0 became 1, in the unit of the variable.

    Examples
    --------
    >>> import neuroarrays as na
    >>> ripples = na.align(na.load_sample(), "sleep_ripples", bin_width=0.01, window=(-0.1, 0.2))
    >>> data = na.batches.TrialSamples(ripples["A2929-200711/ca1"], ["spike_data"])
    >>> data.transform = na.batches.Scaling.fit(data, ["spike_data"])
    >>> round(float(data.batch(range(len(data)))["spike_data"].std()), 3)
    1.0
    """

    mean: dict[str, np.ndarray]
    std: dict[str, np.ndarray]
    stated: str
    raw: dict[str, np.ndarray] = field(default_factory=dict)

    def __call__(self, batch: Batch) -> Batch:
        for name, mean in self.mean.items():
            if name in batch:
                values = batch[name]
                if values.dtype.kind != "f":
                    msg = f"{name} has dtype {values.dtype}; make the dataset with a float dtype"
                    raise ValueError(msg)
                scale(values, mean, 1 / self.std[name])
        return batch

    @classmethod
    def fit(
        cls,
        samples: Samples,
        names: Sequence[str],
        *,
        per_unit: bool = False,
        center: bool = True,
        ddof: int = 1,
        split: str = "train",
    ) -> Scaling:
        """Compute the statistics of a dataset in float64, batch by batch; NaN is left out.

        Parameters
        ----------
        samples : dataset
            The samples for the statistics, usually one side of a split, without a transform.
        names : sequence of str
            Variables; each is normalised separately.
        per_unit : bool
            If True, one mean and deviation for each position on the last axis, instead of one for
            all.
        center : bool
            If True, subtract the mean.
        ddof : int
            Divide the sum of squares by the number of values minus this.
        split : str
            Name of the samples, for `stated`.

        Returns
        -------
        Scaling
            The transform; constant values are divided by 1.

        Raises
        ------
        ValueError
            If a variable is NaN in all samples, or infinite in one; if `names` is no list.
        NotInTree
            If the samples have no such variable.
        """
        mean: dict[str, np.ndarray] = {}
        std, raw = dict(mean), dict(mean)
        totals = {name: Moments(()) for name in gathering.names(names)}
        for begin in range(0, len(samples), _TOGETHER):
            batch = samples.batch(range(begin, min(begin + _TOGETHER, len(samples))))
            for name, total in totals.items():
                if name not in batch:
                    where = getattr(samples, "location", "the samples")
                    raise NotInTree("variable", name, samples.shapes(), where=where)
                values = np.asarray(batch[name], np.float64)
                table = values.reshape(-1, values.shape[-1]) if per_unit else values.ravel()
                total.add(table, ~np.isnan(table))
        for name, total in totals.items():
            if not np.any(total.n):
                where = getattr(samples, "location", "the samples")
                msg = f"{where}: {name} is NaN in all of {many(len(samples), 'sample')} of {split}"
                raise ValueError(msg)
            if not np.isfinite(total.mean).all():
                where = getattr(samples, "location", "the samples")
                msg = f"{where}: {name} is infinite in a sample of {split}, so that it has no deviation"
                raise ValueError(f"{msg}: set infinite values to NaN, which is left out")
            deviation = total.deviation(ddof)
            raw[name] = deviation
            mean[name] = np.asarray(total.mean if center else np.zeros_like(total.mean))
            std[name] = np.where(deviation > 0, deviation, 1.0)
        what = "each unit" if per_unit else "all values"
        stated = f"{split} ({many(len(samples), 'sample')}), {what}, ddof={ddof}, center={center}"
        return cls(mean, std, stated, raw)

    @classmethod
    def stored(cls, area: xr.DataTree, names: Sequence[str], scope: str = "all") -> Scaling:
        """Use the statistics that are stored with the data, by the rule of neuralpredictors.

        Parameters
        ----------
        area : DataTree node
            An area with the node ``statistics/<scope>`` (SENSORIUM).
        names : sequence of str
            Variables, as in a batch: ``responses``, ``speed``, ``pupil/dilation``, ``stimulus``.
        scope : str
            The stimuli of the statistics: "all" kinds, or one kind.

        Returns
        -------
        Scaling
            The transform. Responses are divided and not centred. A deviation below 1 % of the mean
            deviation (a silent unit) is replaced by that value; the mean is over all units of the
            session, selected or not. For other variables a deviation of 0 becomes 1. NaN where a
            statistic is NaN.

        Raises
        ------
        NotInTree
            If the statistic does not exist.
        """
        scopes = _scopes(area)
        if scope not in scopes:
            hint = 'give the variables to normalise by the train side: normalize=["responses"]'
            raise NotInTree("statistics", scope, scopes, hint, gathering.location(area))
        table = scopes[scope].to_dataset()
        mean, std, raw = {}, {}, {}
        for name in names:
            key = name.replace("/", "_")
            session = [schema.SESSION_STD] if name == schema.RESPONSES else []
            for needed in (f"{key}_mean", f"{key}_std", *session):
                if needed not in table:
                    kind = needed.rpartition("_")[2]
                    known = [n for n in map(str, table.data_vars) if n.endswith(f"_{kind}")]
                    hint = "its file is missing, or of another size: see the notes of the tree"
                    raise NotInTree("statistic", needed, known, hint, gathering.location(area))
            centre = table[f"{key}_mean"].values.astype(np.float64)
            deviation = table[f"{key}_std"].values.astype(np.float64)
            raw[name] = deviation
            if name == schema.RESPONSES:
                centre = np.where(np.isnan(centre), np.nan, 0.0)
                least = 0.01 * float(table[schema.SESSION_STD])
                deviation = np.where(deviation <= least, least, deviation)
            mean[name] = centre
            std[name] = np.where(deviation == 0, 1.0, deviation)
        tier = table[f"{names[0].replace('/', '_')}_std"].attrs.get("tier", "unknown tier")
        stated = f"stored statistics, scope {scope}, {tier}, ddof=1; responses not centred"
        return cls(mean, std, stated, raw)


def _scopes(area: xr.DataTree) -> dict[str, xr.DataTree]:
    """Return the nodes of stored statistics of an area, by the stimuli they were computed from."""
    node = area.children.get(schema.STATISTICS)
    return {} if node is None else dict(node.children)


def scale(values: np.ndarray, mean: np.ndarray, factor: np.ndarray) -> None:
    """Subtract and multiply in place, in the memory of the batch.

    Parameters
    ----------
    values : (...) float
        Values in the unit of `mean`; they are changed, and have no unit afterwards.
    mean, factor : (...) float
        Mean in the unit of `values`, and factor in 1 over this unit; they broadcast against the
        last axes of `values`.
    """
    np.subtract(values, mean.astype(values.dtype), out=values)
    np.multiply(values, factor.astype(values.dtype), out=values)
