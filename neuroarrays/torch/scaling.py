"""Normalisation of tensors; the statistics are those of `neuroarrays.batches.scaling`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import xarray as xr

from neuroarrays.batches.base import Batch
from neuroarrays.batches.scaling import Scaling
from neuroarrays.batches.scaling import scale as scale_array


@dataclass(frozen=True)
class Normalize:
    """Subtract a mean and divide by a standard deviation: a transform of batches.

    Attributes
    ----------
    mean, std : dict of str to () or (last axis,) float64 tensor
        Of each variable, in its unit; they broadcast against its last axes.
    stated : str
        Of which samples they are, and by which rule.
    raw : dict of str to () or (last axis,) float64 tensor
        The standard deviations before those of 0 became 1, in the unit of the variable.

    Examples
    --------
    >>> import neuroarrays as na
    >>> ripples = na.align(na.load_sample(), "sleep_ripples", bin_width=0.01, window=(-0.1, 0.2))
    >>> data = na.torch.TrialDataset(ripples["A2929-200711/ca1"], ["spike_data"])
    >>> data.transform = na.torch.Normalize.fit(data, ["spike_data"])
    >>> round(float(data.batch(range(len(data)))["spike_data"].std()), 3)
    1.0
    """

    mean: dict[str, torch.Tensor]
    std: dict[str, torch.Tensor]
    stated: str
    raw: dict[str, torch.Tensor] = field(default_factory=dict)

    def __call__(self, batch: Batch) -> Batch:
        for name, mean in self.mean.items():
            if name in batch:
                values = batch[name]
                if not values.is_floating_point():
                    msg = f"{name} has dtype {values.dtype}; make the dataset with a float dtype"
                    raise ValueError(msg)
                scale(values, mean, 1 / self.std[name])
        return batch

    @classmethod
    def fit(
        cls,
        samples: Any,
        names: Sequence[str],
        *,
        per_unit: bool = False,
        center: bool = True,
        ddof: int = 1,
        split: str = "train",
    ) -> Normalize:
        """The statistics of a dataset, one batch at a time and in float64; NaN is left out.

        Parameters
        ----------
        samples : dataset
            Those to take the statistics of, usually one side of a split; without a transform.
        names : sequence of str
            Variables, each normalised by itself.
        per_unit : bool
            One mean and deviation for each place on the last axis, instead of one for all.
        center : bool
            Subtract the mean.
        ddof : int
            Divide the sum of squares by the number of values minus this.
        split : str
            Name of the samples, to be stated.

        Returns
        -------
        Normalize
            What is constant is divided by 1.
        """
        return cls._of(
            Scaling.fit(samples, names, per_unit=per_unit, center=center, ddof=ddof, split=split)
        )

    @classmethod
    def stored(cls, area: xr.DataTree, names: Sequence[str], scope: str = "all") -> Normalize:
        """The statistics that stand beside the data, by the rule of neuralpredictors.

        Parameters
        ----------
        area : DataTree node
            With the node ``statistics/<scope>`` (SENSORIUM).
        names : sequence of str
            Variables, as in a batch: ``responses``, ``speed``, ``pupil/dilation``, ``stimulus``.
        scope : str
            What they are over: "all" kinds of stimuli, or one.

        Returns
        -------
        Normalize
            Responses are divided and not centred; a deviation of less than 1 % of the mean one (a
            silent unit) counts as that, the mean being over the units of all areas of the session.
            Of other variables one of 0 counts as 1. NaN where a statistic is NaN.

        Raises
        ------
        NotInTree
            If there is no such statistic.
        """
        return cls._of(Scaling.stored(area, names, scope))

    @classmethod
    def _of(cls, scaling: Scaling) -> Normalize:
        """The same as tensors."""
        mean, std, raw = (
            {name: torch.as_tensor(values) for name, values in table.items()}
            for table in (scaling.mean, scaling.std, scaling.raw)
        )
        return cls(mean, std, scaling.stated, raw)


def scale(values: torch.Tensor, mean: torch.Tensor, factor: torch.Tensor) -> None:
    """Subtract and multiply in place: the memory is the batch's own, written anew for each.

    Parameters
    ----------
    values : (...) float tensor
        In the unit of `mean`; changed, and without a unit after it.
    mean, factor : (...) tensor
        In the unit of `values`, and one over it; they broadcast against its last axes.
    """
    if values.device.type == "cpu":  # torch's threads would wait for work longer than this takes
        scale_array(values.numpy(), mean.numpy(), factor.numpy())
    else:
        values.sub_(mean.to(values)).mul_(factor.to(values))
